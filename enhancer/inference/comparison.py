"""A photo before and after, side by side in one small picture."""

from pathlib import Path

import numpy as np

from enhancer.inference.sizes import reduce_photo
from enhancer.photo.color import to_uint8
from enhancer.photo.io import encode_jpeg
from enhancer.system.files import write_atomically

SHORT_SIDE = 800
"""Pixels of each half, at most."""
_GAP = 8
_QUALITY = 90


def write_comparison(path: Path, before: np.ndarray, after: np.ndarray) -> None:
    """Write both photos, reduced, on white beside each other as a JPEG.

    Args:
        path: ends in .jpg; its folder is made.
        before, after: uint8 or uint16 `(H, W, 3)` sRGB, of one shape.
    """
    left, right = (to_uint8(reduce_photo(photo, SHORT_SIDE)) for photo in (before, after))
    gap = np.full((left.shape[0], _GAP, 3), 255, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, encode_jpeg(np.hstack([left, gap, right]), quality=_QUALITY))
