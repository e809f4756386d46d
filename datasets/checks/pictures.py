"""What the checks do to pictures before they look at them: sizes, grey, and a small JPEG."""

import cv2
import numpy as np

from enhancer.photo.io import encode_jpeg

_THUMBNAIL_EDGE = 240


def size_within(pixels: np.ndarray, long_edge: int | None) -> tuple[int, int]:
    """Width and height of a picture that is shrunk to a long edge at most; None keeps them."""
    height, width = pixels.shape[:2]
    scale = min(1.0, long_edge / max(height, width)) if long_edge else 1.0
    return max(1, round(width * scale)), max(1, round(height * scale))


def resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Average a picture over areas, to a width and height; one of that size stays as it is."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """Return the luminance of sRGB pixels, uint8 `(height, width)`; a grey picture as it is."""
    return pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def thumbnail(pixels: np.ndarray) -> bytes:
    """Return a small JPEG of a picture, sRGB, uint8 `(height, width, 3)`."""
    return encode_jpeg(resize(pixels, size_within(pixels, _THUMBNAIL_EDGE)), quality=80)


def describe_sizes(before: np.ndarray, after: np.ndarray) -> str:
    """Both sizes in words."""
    sizes = (*before.shape[1::-1], *after.shape[1::-1])
    return "the input is {}x{}, the target {}x{}".format(*sizes)
