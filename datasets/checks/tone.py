"""How much an edit brightens and colours a photo, and which edits are unlike the others."""

from typing import Any

import numpy as np

from datasets.checks.pictures import resize, size_within, to_grey

RATIOS = {"brightness_ratio": "brightness", "saturation_ratio": "saturation"}
MAX_DEVIATIONS = 3.5
"""Of the modified z-score, as Iglewicz and Hoaglin (1993) recommend."""
MIN_PAIRS = 20
"""Fewer do not show what is usual."""
_MIN_SPREAD = 0.1  # in doublings: where all edits are alike, a third more is not yet an outlier
_MEASURED_EDGE = 256
_SMALLEST = 0.5  # of 255: black has no ratio


def measure(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    """Return the target's mean luminance and mean saturation (the largest minus the smallest
    channel), each over the input's. Both are sRGB, uint8 `(height, width, 3)`."""
    values = zip(_brightness_and_saturation(before), _brightness_and_saturation(after), strict=True)
    return {name: round(b / a, 4) for name, (a, b) in zip(RATIOS, values, strict=True)}


def find_outliers(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Find the pairs whose ratios are unlike those of the data set; say per id what is unusual.

    Ratios are compared in doublings (their logarithm to base 2) with the median, in units of the
    median absolute deviation scaled to a normal distribution's standard deviation: a few strange
    pairs do not move either. Rows have an `id`, and `measurements` with the two ratios.
    """
    outliers: dict[str, list[str]] = {}
    if len(rows) < MIN_PAIRS:
        return outliers
    for name, noun in RATIOS.items():
        doublings = np.log2([row["measurements"][name] for row in rows])
        low, high = usual_range(doublings)
        for row, value in zip(rows, doublings, strict=True):
            if not low <= value <= high:
                text = f"{noun} × {2**value:.2f}, usual here: {2**low:.2f} to {2**high:.2f}"
                outliers.setdefault(row["id"], []).append(text)
    return outliers


def usual_range(doublings: np.ndarray) -> tuple[float, float]:
    """Return the bounds outside which a value is an outlier, in doublings."""
    median = float(np.median(doublings))
    spread = max(_MIN_SPREAD, 1.4826 * float(np.median(np.abs(doublings - median))))
    return median - MAX_DEVIATIONS * spread, median + MAX_DEVIATIONS * spread


def _brightness_and_saturation(pixels: np.ndarray) -> tuple[float, float]:
    pixels = resize(pixels, size_within(pixels, _MEASURED_EDGE))
    saturation = pixels.max(axis=-1) - pixels.min(axis=-1)
    return max(float(to_grey(pixels).mean()), _SMALLEST), max(float(saturation.mean()), _SMALLEST)
