"""Test photos as their versions side by side: before, after, target, and where the two differ."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from enhancer.scoring.columns import COLUMNS, FAULTS, PhotoScores
from enhancer.scoring.evaluation import Method, Pairs, decoded
from enhancer.scoring.predictions import SavedPredictions
from enhancer.scoring.results import main_method, method_title

DIFFERENCE_GAIN = 4
"""Differences are shown so many times as strong: invisible ones would be black."""
WORST = 3
"""Photos shown of each fault."""


class Strip(NamedTuple):
    """One test photo as its versions side by side."""

    title: str
    """Why it is shown, such as "Worst photo"."""
    photo_id: str
    pictures: tuple[tuple[str, np.ndarray, float | None], ...]
    """Caption, pixels uint8 `(H, W, 3)`, and L1 against the target, if that means anything."""
    fault: str = ""
    """Of `enhancer.scoring.columns.FAULTS`, the one that it is an example of."""


def make_strips(
    source: Pairs,
    rows: Mapping[str, Sequence[PhotoScores]],
    methods: Mapping[str, Method],
    *,
    squash: int | None = None,
) -> list[Strip]:
    """The photos on which the method in question did best, middling and worst by L1, and the
    `WORST` of each fault.

    Args:
        source: the test pairs, those of `rows` among them.
        rows: per method what `evaluate` returned, "unedited" among them.
        methods: the methods of `rows`; shown are "scratch" and the one in question.
        squash: as in `evaluate`, so that what is shown is what was scored.
    """
    main = main_method(rows)
    ranking = sorted(rows[main], key=lambda row: row["l1"])
    median, last = (len(ranking) - 1) // 2, len(ranking) - 1
    picks = {"Best photo": 0, "Median photo": median, "Worst photo": last}
    if last < 2:
        picks = {"Best photo": 0, "Worst photo": 1} if last else {"The only photo": 0}
    places = {row["id"]: index for index, row in enumerate(rows["unedited"])}  # it scores them all
    l1 = {method: {row["id"]: row["l1"] for row in scores} for method, scores in rows.items()}

    def strip(title: str, name: str, shown: tuple[str, ...], fault: str = "") -> Strip:
        pair = decoded(source[places[name]], squash)
        pictures = [("before", pair.input, l1["unedited"][name])]
        for method in dict.fromkeys(shown):
            known = methods.get(method)
            enhance = known.of(pair) if isinstance(known, SavedPredictions) else known
            if enhance is not None and name in l1[method]:
                pictures.append((method_title(method), enhance(pair.input), l1[method][name]))
        prediction = pictures[-1][1]
        pictures.append(("target", pair.target, None))
        if not fault:
            pictures.append(("difference", difference_picture(prediction, pair.target), None))
        return Strip(title, name, tuple(pictures), fault)

    strips = [strip(title, ranking[rank]["id"], ("scratch", main)) for title, rank in picks.items()]
    for fault in FAULTS:
        column = COLUMNS[fault]
        # 0 is no fault, and None says that the photo has no such part.
        found = [(row[fault], row["id"]) for row in rows[main] if row.get(fault)]
        good = {None: abs, True: float, False: lambda value: -value}[column.lower_is_better]
        found.sort(key=lambda pair: good(pair[0]), reverse=True)
        for value, name in found[:WORST]:
            title = f"{column.title}: {column.text(value)}"
            strips.append(strip(title, name, (main,), fault))
    return strips


def difference_picture(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Mean absolute difference over channels, black to yellow, of uint8 `(H, W, 3)`, as sRGB."""
    difference = cv2.absdiff(prediction, target).mean(axis=2) * DIFFERENCE_GAIN
    levels = np.minimum(difference, 255.0).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1])
