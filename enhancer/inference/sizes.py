"""What the network sees of a photo: reduced to its working size, and padded to one of few sizes."""

import cv2
import numpy as np

MOST_ELONGATED = 2.0
"""Longest side of what the network sees, in working sizes: it bounds a panorama's memory."""

COMMON_ASPECTS = ((2, 3), (3, 2), (3, 4), (4, 3), (9, 16), (16, 9), (1, 1))
"""Height to width of what most cameras and phones deliver."""

ELONGATED_ASPECTS = ((1, 2), (2, 1))
"""The longest that the network sees: every reduced photo fits into one of the two."""

MARGIN = 8
"""Pixels by which a picture is continued on every side: a network's convolutions see black beyond
the border. On ten real pairs the error of the outer 6 pixels was 0.113 without, 0.101 with it."""

_BUCKET_STEPS = (64, 32, 16, 8)
_MOST_PADDING = 1 / 12


def reduced_size(height: int, width: int, working_size: int) -> tuple[int, int]:
    """Height and width with the short side at `working_size`, or the long one at `MOST_ELONGATED`
    of it; never enlarged."""
    scale = working_size * min(1 / min(height, width), MOST_ELONGATED / max(height, width))
    if scale >= 1.0:
        return height, width
    return max(1, round(height * scale)), max(1, round(width * scale))


def reduce_photo(photo: np.ndarray, working_size: int) -> np.ndarray:
    """Average a uint8 or uint16 `(H, W, 3)` down to `reduced_size`; one that fits is returned."""
    height, width = reduced_size(photo.shape[0], photo.shape[1], working_size)
    if (height, width) == photo.shape[:2]:
        return photo
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)


def bucket(side: int) -> int:
    """The length to which a side is padded by reflection: nearly equal sizes share a program.

    The padding is cut off again, but attention, which sums over the whole picture, has seen it.
    The steps (8 to 64 pixels) therefore add at most a twelfth, but for the multiple of 8 that the
    network needs anyway. There are about 50 lengths up to 896 pixels.
    """
    step = next(
        step for step in _BUCKET_STEPS if step <= side * _MOST_PADDING or step == _BUCKET_STEPS[-1]
    )
    return -(-side // step) * step


def padded_size(height: int, width: int) -> tuple[int, int]:
    """What the network is given of a picture: its buckets and a margin on all sides."""
    return bucket(height) + 2 * MARGIN, bucket(width) + 2 * MARGIN


def pad(picture: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
    """Reflect a picture into margins, `(h, w, 3)` to `(*size, 3)`, by default its `padded_size`."""
    height, width = picture.shape[:2]
    rows, columns = size or padded_size(height, width)
    below, right = rows - height - MARGIN, columns - width - MARGIN
    return np.pad(picture, ((MARGIN, below), (MARGIN, right), (0, 0)), mode="reflect")


def crop(padded: np.ndarray, height: int, width: int) -> np.ndarray:
    """The picture in what `pad` returned, as a view."""
    return padded[MARGIN : MARGIN + height, MARGIN : MARGIN + width]
