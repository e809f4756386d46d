"""Parts of a photo that are judged by themselves: its highlights (mostly windows and lamps) and its shadows.

A region is a property of the unedited photo alone, so that it is the same for every method:

- **highlights**: CIE lightness L* of the photo is 75 or more;
- **shadows**: it is 20 or less.

L* is that of sRGB under D65. On dark interiors the first are the windows and the lamps, 0.5 to 8 % of the pixels, and the
second what a retoucher lifts, which is where noise, blotches and halos show.
"""

import numpy as np
from skimage import color

HIGHLIGHTS_FROM = 75.0
"""L* of the darkest pixel that counts as a highlight."""
SHADOWS_TO = 20.0
"""L* of the brightest pixel that counts as a shadow."""
LEAST_SHARE = 0.001
"""A region of fewer pixels than this share of the photo says nothing, and gets no score."""

REGIONS = ("highlights", "shadows")


def find_regions(photo: np.ndarray) -> dict[str, np.ndarray | None]:
    """Mark the regions of an unedited photo.

    Args:
        photo: uint8 `(H, W, 3)` sRGB.

    Returns:
        Per name in `REGIONS` a mask, bool `(H, W)`; None where the photo has too little of it.
    """
    # L* rises with luminance, so that a few numbers replace a cube root per pixel.
    luminance = np.empty(photo.shape[:2], np.float32)
    for row, line in zip(photo, luminance, strict=True):  # what lies between stays in the cache
        line[:] = color.rgb2xyz(row.astype(np.float32) / 255.0)[:, 1]
    masks = {
        "highlights": luminance >= _luminance(HIGHLIGHTS_FROM),
        "shadows": luminance <= _luminance(SHADOWS_TO),
    }
    return {name: mask if mask.mean() >= LEAST_SHARE else None for name, mask in masks.items()}


def _luminance(lightness: float) -> float:
    """CIE Y in [0, 1] of an L* of 8 and more."""
    return ((lightness + 16.0) / 116.0) ** 3
