"""How much an edit brightens and colours a photo, and which edits are unlike the others."""

from typing import Any

import cv2
import numpy as np

RATIOS = {"brightness_ratio": "brightness", "saturation_ratio": "saturation"}
MAX_DEVIATIONS = 3.5
"""Of the modified z-score, as Iglewicz and Hoaglin (1993) recommend."""
MIN_PAIRS = 20
"""Fewer do not show what is usual."""
_MIN_SPREAD = 0.1  # in doublings: where all edits are alike, a third more is not yet an outlier
_MEASURED_EDGE = 256
_SMALLEST = 0.5  # of 255: black has no ratio


def measure(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    """Return the target's mean luminance and mean saturation, each over the input's.

    Saturation is the largest minus the smallest channel.

    Args:
        before, after: sRGB, uint8 `(height, width, 3)`.
    """
    values = [_brightness_and_saturation(pixels) for pixels in (before, after)]
    return {
        name: round(values[1][index] / values[0][index], 4) for index, name in enumerate(RATIOS)
    }


def find_outliers(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Find the pairs whose ratios are unlike those of the data set.

    Ratios are compared in doublings (their logarithm to base 2) with the median, in units of the
    median absolute deviation scaled to a normal distribution's standard deviation: a few strange
    pairs do not move either.

    Args:
        rows: of accepted pairs: `id` and `measurements` with the two ratios.

    Returns:
        Per id of an outlier what is unusual, in words.
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
    scale = _MEASURED_EDGE / max(pixels.shape[:2])
    if scale < 1:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    brightness = float(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).mean())
    red, green, blue = cv2.split(pixels)
    largest, smallest = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    saturation = float((largest - smallest).mean())
    return max(brightness, _SMALLEST), max(saturation, _SMALLEST)
