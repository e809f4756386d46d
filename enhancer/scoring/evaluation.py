"""Score methods on test pairs: a row of scores per photo and method.

What is scored is the function from photo to photo that users run. Each photo is looked at three
times: at its stored size (all metrics, and those of its regions); squashed to a square, the plan's
protocol (L1, of photos of at least half its side); and reduced to what the network sees, without
the edit transfer (L1, CIEDE2000).
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from PIL import Image

from enhancer.data.pairs import Pair, decode_pair
from enhancer.inference.sizes import reduce_photo
from enhancer.scoring import metrics
from enhancer.scoring.columns import PLAN_SIDE, PhotoScores
from enhancer.scoring.faults import find_faults
from enhancer.scoring.predictions import SavedPredictions
from enhancer.system.progress import progress_bar

Enhance = Callable[[np.ndarray], np.ndarray]
"""uint8 `(H, W, 3)` sRGB in, the same out."""
Method = Enhance | SavedPredictions


class Pairs(Protocol):
    """Random access to pairs, `enhancer.data.pairs.Pair` or encoded as in a built data set."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Pair | dict[str, Any]: ...


def unedited(photo: np.ndarray) -> np.ndarray:
    """The method that does nothing; every other one has to beat it."""
    return photo


def evaluate(
    methods: Mapping[str, Method],
    source: Pairs,
    *,
    squash: int | None = None,
    network_side: int | None = None,
) -> dict[str, list[PhotoScores]]:
    """Score methods on every pair of `source`, in one pass.

    Args:
        methods: by name; functions from uint8 `(H, W, 3)` to the same, or saved predictions.
        source: the test pairs, encoded or decoded.
        squash: side in pixels of a square to which input and target are resized first (bilinear),
            which then counts as their stored size; None leaves them as they are.
        network_side: short side in pixels of what the network sees; None leaves these scores out.

    Returns:
        Per method one row per photo, in the order of `source`. A photo without a saved prediction
        has no row.

    Raises:
        ValueError: a prediction has another size than its photo, or a photo is too small for SSIM.
    """
    rows: dict[str, list[PhotoScores]] = {name: [] for name in methods}
    total = len(source) * len(methods)  # of a single photo, too, there is something to say
    with progress_bar(total=total, desc="test", unit="photo") as bar:
        for index in range(len(source)):
            pair = decoded(source[index], squash)
            views = _Views(pair, network_side)
            for name, method in methods.items():
                enhance = method.of(pair) if isinstance(method, SavedPredictions) else method
                if enhance is not None:
                    try:
                        rows[name].append({"id": pair.id} | views.score(enhance))
                    except ValueError as error:
                        raise ValueError(f"{name} on test pair {pair.id!r}: {error}") from error
                bar.update()
    return rows


def decoded(item: Pair | dict[str, Any], squash: int | None = None) -> Pair:
    """A pair of a source as it is scored."""
    pair = item if isinstance(item, Pair) else decode_pair(item)
    if squash is None:
        return pair
    return Pair(pair.id, squashed(pair.input, squash), squashed(pair.target, squash))


def squashed(picture: np.ndarray, side: int) -> np.ndarray:
    """A uint8 picture `(H, W, 3)` as a square of `side` pixels, its aspect ratio lost."""
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR))


class _Views:
    """A pair as it is looked at; what does not depend on the method is computed once."""

    def __init__(self, pair: Pair, network_side: int | None):
        self._pair, self._regions = pair, metrics.find_regions(pair.input)
        pictures = (pair.input, pair.target)
        self._square, self._small = [], []
        if 2 * max(pair.input.shape[:2]) >= PLAN_SIDE:  # much enlarged, it would say nothing
            self._square = [squashed(picture, PLAN_SIDE) for picture in pictures]
        if network_side is not None:
            self._small = [reduce_photo(picture, network_side) for picture in pictures]

    def score(self, enhance: Enhance) -> PhotoScores:
        prediction, target = enhance(self._pair.input), self._pair.target
        marked = {region: mask for region, mask in self._regions.items() if mask is not None}
        whole, *parts = metrics.color_differences(prediction, target, list(marked.values()))
        scores: PhotoScores = {
            "l1": metrics.l1(prediction, target),
            "psnr_db": metrics.psnr_db(prediction, target),
            "ssim": metrics.ssim(prediction, target),
            **whole._asdict(),
            **find_faults(self._pair.input, prediction, target),
            "l1_plan": None,
        }
        if self._square:
            square, square_target = self._square
            is_same = square.shape == target.shape  # then it is the same picture
            square_prediction = prediction if is_same else enhance(square)
            scores["l1_plan"] = metrics.l1(square_prediction, square_target)
        if self._small:
            small, small_target = self._small
            small_prediction = enhance(small)
            scores["l1_network"] = metrics.l1(small_prediction, small_target)
            scores["ciede2000_network"] = metrics.ciede2000(small_prediction, small_target)
        for region in self._regions:
            scores |= {f"l1_{region}": None, f"ciede2000_{region}": None}
        for (region, mask), part in zip(marked.items(), parts, strict=True):
            scores[f"l1_{region}"] = metrics.l1(prediction, target, mask)
            scores[f"ciede2000_{region}"] = part.ciede2000
        return scores
