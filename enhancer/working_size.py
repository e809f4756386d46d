"""What the network sees of a photo: reduced to its working size, and padded to one of few sizes."""

import cv2
import numpy as np

MOST_ELONGATED = 2.0
"""Longest side of what the network sees, in working sizes: it bounds the memory that a panorama takes."""

COMMON_ASPECTS = ((2, 3), (3, 2), (3, 4), (4, 3), (9, 16), (16, 9), (1, 1))
"""Height to width of what most cameras and phones deliver."""

_BUCKET_STEPS = (64, 32, 16, 8)
_MOST_PADDING = 1 / 12


def reduced_size(height: int, width: int, working_size: int) -> tuple[int, int]:
    """Height and width with the short side at `working_size`, or the long one at `MOST_ELONGATED` of it; never enlarged."""
    scale = working_size * min(1 / min(height, width), MOST_ELONGATED / max(height, width))
    if scale >= 1.0:
        return height, width
    return max(1, round(height * scale)), max(1, round(width * scale))


def reduce_photo(photo: np.ndarray, working_size: int) -> np.ndarray:
    """Average pixels down to `reduced_size`; a photo that fits is returned itself.

    Args:
        photo: uint8 or uint16 `(H, W, 3)`.

    Returns:
        The same dtype, `(h, w, 3)`.
    """
    height, width = reduced_size(*photo.shape[:2], working_size)
    if (height, width) == photo.shape[:2]:
        return photo
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)


def bucket(side: int) -> int:
    """Return the length to which a side is padded by reflection, so that photos of nearly equal size share a compilation.

    The padding is cut off again, but the network's attention, which sums over the whole picture, has seen it: a part of
    the photo counted twice. The steps (8 to 64 pixels) are therefore such that at most a twelfth is added, except to the
    multiple of 8 that the network needs anyway. There are about 50 lengths up to 896 pixels.
    """
    step = next(step for step in _BUCKET_STEPS if step <= side * _MOST_PADDING or step == _BUCKET_STEPS[-1])
    return -(-side // step) * step


def pad_to_bucket(picture: np.ndarray) -> np.ndarray:
    """Reflect at the lower and right edge, `(h, w, 3)` to `(bucket(h), bucket(w), 3)`."""
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, bucket(height) - height), (0, bucket(width) - width), (0, 0)), mode="reflect")
