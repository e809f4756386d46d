"""Test photos as their versions side by side: before, after, target, and where the two differ."""

import dataclasses
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from enhancer.data.pairs import Pair, Source, decode_pair
from enhancer.scoring.columns import Row
from enhancer.scoring.evaluation import Method, squashed
from enhancer.scoring.results import main_method, method_title
from enhancer.scoring.saved_predictions import SavedPredictions

DIFFERENCE_GAIN = 4
"""Differences are shown so many times as strong; invisible ones would be black else."""


@dataclasses.dataclass(frozen=True)
class Strip:
    """One test photo as its versions side by side."""

    title: str
    """Why it is shown, such as "Worst photo"."""
    photo_id: str
    pictures: tuple[tuple[str, np.ndarray, float | None], ...]
    """Caption, pixels uint8 `(H, W, 3)`, and L1 against the target (None for the target itself and the difference)."""


def make_strips(
    source: Source | Sequence[Pair],
    rows: Mapping[str, Sequence[Row]],
    methods: Mapping[str, Method],
    *,
    squash: int | None = None,
) -> list[Strip]:
    """Pick the photos on which the method in question did best, middling and worst by L1, and enhance them again.

    Args:
        source: the test pairs, those of `rows` among them.
        rows: per method what `enhancer.scoring.evaluation.evaluate` returned; `enhancer.scoring.results.main_method` decides, "unedited" is
            needed too.
        methods: the methods of `rows` to show, of which "scratch" and the one in question are.
        squash: as in `enhancer.scoring.evaluation.evaluate`, so that what is shown is what was scored.
    """
    main = main_method(rows)
    ranking = sorted(rows[main], key=lambda row: row["l1"])
    picks = {
        1: {"The only photo": 0},
        2: {"Best photo": 0, "Worst photo": -1},
    }.get(
        len(ranking), {"Best photo": 0, "Median photo": (len(ranking) - 1) // 2, "Worst photo": -1}
    )
    places = {
        row["id"]: index for index, row in enumerate(rows["unedited"])
    }  # it scores every photo, in order
    l1 = {method: {row["id"]: row["l1"] for row in scores} for method, scores in rows.items()}
    strips = []
    for title, rank in picks.items():
        photo_id = ranking[rank]["id"]
        pair = _pair(source[places[photo_id]])
        if squash is not None:
            pair = Pair(pair.id, squashed(pair.input, squash), squashed(pair.target, squash))
        pictures: list[tuple[str, np.ndarray, float | None]] = [
            ("before", pair.input, l1["unedited"][photo_id])
        ]
        prediction = None
        for name in dict.fromkeys(("scratch", main)):
            if name not in methods or photo_id not in l1.get(name, {}):
                continue
            method = methods[name]
            enhance = method.of(pair) if isinstance(method, SavedPredictions) else method
            if enhance is not None:
                prediction = enhance(pair.input)
                pictures.append((method_title(name), prediction, l1[name][photo_id]))
        pictures.append(("target", pair.target, None))
        if prediction is not None:
            pictures.append(("difference", difference_picture(prediction, pair.target), None))
        strips.append(Strip(title, photo_id, tuple(pictures)))
    return strips


def difference_picture(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Where two pictures differ and how much: the mean absolute difference over channels, from black to yellow.

    Args:
        prediction, target: uint8 `(H, W, 3)`.

    Returns:
        uint8 `(H, W, 3)` sRGB.
    """
    difference = cv2.absdiff(prediction, target).mean(axis=2) * DIFFERENCE_GAIN
    colored = cv2.applyColorMap(
        np.minimum(difference, 255.0).astype(np.uint8), cv2.COLORMAP_INFERNO
    )
    return np.ascontiguousarray(colored[..., ::-1])


def _pair(item) -> Pair:
    return item if isinstance(item, Pair) else decode_pair(item)
