"""How much of the error on a set of pairs is a wrong guess of the brightness?

    python -m benchmarks.brightness PAIRS

Each photo is edited by a curve that was fitted on the other photos: to the photos as they are, to
photos whose light was normalised as `enhancer.network.development` does it, to these with bright
photos held back to the level of the others, which it does not do, and to these with each photo's
exposure chosen by looking at its target, which no method can do. What that row still has is local.
The photos' own curve, fitted on the photo itself, is the least error of any curve.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import tyro

_SIDE = 128
_STOPS = np.linspace(-1, 1, 41)


@dataclasses.dataclass(frozen=True)
class Arguments:
    __doc__ = __doc__

    pairs: tyro.conf.Positional[Path]
    """Folder with JSON lines and images."""
    json: Path | None = None
    """File for the numbers."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m benchmarks.brightness")
    from unittest import mock

    import cv2
    import jax.numpy as jnp

    from enhancer.data.pairs import Pair
    from enhancer.network import development
    from enhancer.network.development import CURVE_END, light_factors
    from enhancer.scoring.baselines import GlobalCurve
    from recipes.scored_pairs import ScoredPairs

    def small(photo: np.ndarray) -> np.ndarray:
        return cv2.resize(photo, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)

    def developed(photo: np.ndarray, stops: float = 0.0) -> np.ndarray:
        """uint8 in [0, CURVE_END] of the normalised photo, `stops` brighter."""
        x = photo[None].astype("float32") / 255
        factors = np.asarray(light_factors(cast(Any, jnp.asarray(x))))
        linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
        linear = (linear * factors * 2**stops)[0]
        bent = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
        srgb = np.where(linear <= 0.0031308, 12.92 * linear, bent)
        return np.rint(255 * np.minimum(srgb / CURVE_END, 1)).astype("uint8")

    def l1(edited: np.ndarray, pair: Pair) -> float:
        return float(np.abs(edited.astype("float32") - pair.target).mean() / 255)

    scored = ScoredPairs(arguments.pairs)
    originals = [scored[i] for i in range(len(scored))]
    pairs = [Pair(pair.id, small(pair.input), small(pair.target)) for pair in originals]
    if len(pairs) < 2:
        print(f"{arguments.pairs} has one pair; two are needed.", file=sys.stderr)
        return 1
    stops = np.zeros(len(pairs))
    for _ in range(6):  # the exposures with which one curve fits all photos best
        curve = GlobalCurve(
            pair._replace(input=developed(pair.input, s))
            for pair, s in zip(pairs, stops, strict=True)
        )
        for i, pair in enumerate(pairs):
            tried = stops[i] + _STOPS
            stops[i] = tried[np.argmin([l1(curve(developed(pair.input, s)), pair) for s in tried])]
        stops -= stops.mean()

    with mock.patch.object(development, "WELL_LIT", 1.0):
        held_back = [developed(pair.input) for pair in pairs]
    inputs = {
        "curve": [pair.input for pair in pairs],
        "curve on normalised light": [developed(pair.input) for pair in pairs],
        "the same, bright ones held back": held_back,
        "the same, exposure known": [
            developed(pair.input, s) for pair, s in zip(pairs, stops, strict=True)
        ],
    }
    scores = {"unedited": [l1(pair.input, pair) for pair in pairs]}
    for name, photos in inputs.items():
        others = [pair._replace(input=photo) for pair, photo in zip(pairs, photos, strict=True)]
        curves = [GlobalCurve(others[:i] + others[i + 1 :]) for i in range(len(others))]
        edited = (curve(photo) for curve, photo in zip(curves, photos, strict=True))
        scores[name] = [l1(photo, pair) for photo, pair in zip(edited, pairs, strict=True)]
    scores["the photo's own curve"] = [l1(GlobalCurve([pair])(pair.input), pair) for pair in pairs]
    for name, values in scores.items():
        each = " ".join(f"{value:.3f}" for value in values)
        print(f"{name:32s} L1 {np.mean(values):.4f}   per photo {each}")
    print(f"exposure that the targets ask for beside the rule: {stops.std():.2f} stops (deviation)")
    if arguments.json:
        rows = {"ids": [pair.id for pair in pairs], "l1": scores, "stops": stops.tolist()}
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
