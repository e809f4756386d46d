"""What an edit did to a photo, in numbers that an editor knows."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

_SIDE = 128
"""Of the squares that are compared, in pixels."""
_SAMPLES = 4
"""At least so many pixels along a side are sampled for each pixel of the square."""
_SHADOWS, _HIGHLIGHTS = 0.25, 0.75
"""Shares of the photo's pixels, by brightness, below and above which these begin."""


class Change(NamedTuple):
    """After against before. Stops are of linear light, percents of the colours' ratio."""

    brightness_stops: float
    shadows_stops: float
    """Of the darkest quarter of the photo."""
    highlights_stops: float
    """Of the brightest quarter."""
    warmth_percent: float
    """Of red over blue: above 0 the photo became warmer."""
    saturation_percent: float

    def __str__(self) -> str:
        return (
            f"brightness {self.brightness_stops:+.1f} stops (shadows {self.shadows_stops:+.1f}, "
            f"highlights {self.highlights_stops:+.1f}), warmth {self.warmth_percent:+.0f} %, "
            f"saturation {self.saturation_percent:+.0f} %"
        )


def measure(before: np.ndarray, after: np.ndarray) -> Change:
    """Compare a photo with its edit, both uint8 or uint16 `(H, W, 3)` sRGB of one size.

    Of large photos a sample counts, drawn at random and the same each time.
    """
    first, second = _reduced(before), _reduced(after)
    light = [picture.max(axis=1) ** 2.2 + 1e-3 for picture in (first, second)]
    low, high = np.quantile(light[0], [_SHADOWS, _HIGHLIGHTS])

    def stops(where: np.ndarray) -> float:
        return float(np.log2(light[1][where].mean() / light[0][where].mean()))

    everywhere = np.ones_like(light[0], bool)
    (red, saturation), (new_red, new_saturation) = map(_colour, (first, second))
    return Change(
        stops(everywhere),
        stops(light[0] <= low),
        stops(light[0] >= high),
        100 * (new_red / red - 1),
        100 * (new_saturation / saturation - 1),
    )


def median(changes: Sequence[Change]) -> Change:
    """The middle of each number."""
    return Change(*(float(value) for value in np.median(np.array(changes), axis=0)))


def _reduced(photo: np.ndarray) -> np.ndarray:
    side = min(_SIDE, *photo.shape[:2])
    step = max(1, min(photo.shape[:2]) // (_SAMPLES * side))
    if step > 1:  # all of 24 MP would take 0.15 s; at equal distances blinds could be missed
        rng = np.random.default_rng(0)
        rows, columns = (
            np.arange(0, length - step + 1, step) + rng.integers(0, step, length // step)
            for length in photo.shape[:2]
        )
        photo = photo[rows][:, columns]
    small = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
    return small.reshape(-1, 3).astype(np.float32) / np.iinfo(photo.dtype).max


def _colour(pixels: np.ndarray) -> tuple[float, float]:
    """Red over blue, and how far apart the channels lie, of a picture as a whole."""
    red, _, blue = pixels.mean(axis=0) + 1e-2
    spread = np.ptp(pixels, axis=1).mean() / (pixels.max(axis=1).mean() + 1e-2)
    return float(red / blue), float(spread) + 1e-2
