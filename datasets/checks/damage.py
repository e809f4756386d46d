"""Pictures that decode and show nothing: one colour, or a band where a download broke off.

RAW files have a check of their own, on the sensor's values, in their decoder.
"""

import cv2
import numpy as np

from datasets.types import PairRejected

_MIN_STANDARD_DEVIATION = 1.0  # of 255, once noise is averaged away
_BAND_SHARE = 0.05
_CLIPPED = (4, 251)  # rows in a night sky or a blown-out window repeat in whole photos


def refuse_damaged(before: np.ndarray, after: np.ndarray) -> None:
    """Raise PairRejected where one of two pictures, uint8 `(height, width, 3)`, shows nothing."""
    bands = {}
    for role, pixels in (("input", before), ("target", after)):
        deviation = _deviation(pixels)
        if deviation < _MIN_STANDARD_DEVIATION:
            raise PairRejected(
                "damaged picture",
                f"the {role} is one uniform colour (standard deviation {deviation:.2f} of 255)",
                round(deviation, 3),
            )
        # The longest run of rows or of columns.
        bands[role] = max(_longest_run(pixels), _longest_run(pixels.transpose(1, 0, 2)))
    # A frame that the photographer put around both is none of our business.
    for role, other in (("input", "target"), ("target", "input")):
        if bands[role] > _BAND_SHARE > bands[other]:
            raise PairRejected(
                "damaged picture",
                f"{bands[role]:.0%} of the {role} is one empty or striped area, as in a file that "
                f"was cut off; the {other} has none",
                round(bands[role], 3),
            )


def _deviation(pixels: np.ndarray) -> float:
    step = max(1, max(pixels.shape[:2]) // 1024)  # to average each pixel takes long
    pixels = pixels[::step, ::step]
    scale = min(1.0, 128 / max(pixels.shape[:2]))
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return float(small.std(axis=(0, 1)).max())


def _longest_run(rows: np.ndarray) -> float:
    """Share of the longest run of rows that repeat the one before and are not clipped."""
    # A few columns find the candidates; photos have none, and so cost next to nothing.
    sparse = rows[:, :: max(1, rows.shape[1] // 16)]
    repeats = (sparse[1:] == sparse[:-1]).all(axis=(1, 2))
    for index in np.flatnonzero(repeats):
        previous, row = rows[index : index + 2]
        is_clipped = (row < _CLIPPED[0]) | (row > _CLIPPED[1])
        repeats[index] = (row == previous).all() and is_clipped.mean() < 0.5
    ends = np.flatnonzero(np.diff(repeats, prepend=False, append=False))
    return float(max(ends[1::2] - ends[::2], default=0)) / len(rows)
