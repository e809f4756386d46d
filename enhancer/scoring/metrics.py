"""How far a prediction is from its target: L1, PSNR, SSIM, CIE76 and CIEDE2000, and where to look.

Every score takes two uint8 arrays `(H, W, 3)` in [0, 255] of the same size, sRGB under its D65
white, and returns one float. The definitions are the published ones, computed by scikit-image, in
tiles whose many temporaries fit the caches, several at a time.
"""

import concurrent.futures
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from skimage import color
from skimage.metrics import structural_similarity

PSNR_CAP_DB = 100.0
"""The PSNR of identical pictures, whose true value is infinite: no number for means and JSON."""
SSIM_WINDOW = 11
"""Side of SSIM's Gaussian window in pixels; smaller pictures have no SSIM."""
HIGHLIGHTS_FROM = 75.0
"""L* of the darkest pixel that counts as a highlight."""
SHADOWS_TO = 20.0
"""L* of the brightest pixel that counts as a shadow."""
LEAST_SHARE = 0.001
"""A region of fewer pixels than this share of the photo says nothing, and gets no score."""
_SSIM_TILE = (64, 512)  # rows and columns
_PIXELS_AT_ONCE = 1 << 14


class ColorDifference(NamedTuple):
    """Means over a picture or a part of it."""

    delta_e_76: float
    """Euclidean distance in CIE L*a*b* (CIE 15, 1976): the FiveK literature's ΔE*ab."""
    ciede2000: float


def l1(prediction: np.ndarray, target: np.ndarray, part: np.ndarray | None = None) -> float:
    """Mean absolute difference over pixels and channels, on the [0, 1] scale; lower is better.

    With `part`, bool `(H, W)`, only over the pixels where that is true, at least one.
    """
    _check_pair(prediction, target)
    if part is None:
        return cv2.norm(prediction, target, cv2.NORM_L1) / prediction.size / 255.0
    difference = cv2.absdiff(prediction, target)
    return float(np.mean(cv2.mean(difference, part.view(np.uint8))[:3])) / 255.0


def psnr_db(prediction: np.ndarray, target: np.ndarray) -> float:
    """10 log10(1 / MSE) over pixels and channels on the [0, 1] scale; at most `PSNR_CAP_DB`."""
    _check_pair(prediction, target)
    mse = cv2.norm(prediction, target, cv2.NORM_L2SQR) / prediction.size / 255.0**2
    return PSNR_CAP_DB if mse == 0.0 else min(PSNR_CAP_DB, float(-10.0 * np.log10(mse)))


def ssim(prediction: np.ndarray, target: np.ndarray) -> float:
    """Structural similarity in [-1, 1]; 1 is equal. Raises ValueError for less than the window.

    Gaussian window of 11 x 11 pixels with sigma 1.5, population covariance, K1 = 0.01, K2 = 0.03;
    the mean over the pixels whose window lies inside the picture, then over R, G and B.

    Reference: Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility
    to structural similarity", IEEE TIP 2004, section III.
    """
    _check_pair(prediction, target)
    if min(prediction.shape[:2]) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs pictures of at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels, these are "
            f"{prediction.shape[1]} x {prediction.shape[0]}; leave them out of the test set."
        )
    border = SSIM_WINDOW - 1
    height, width = (side - border for side in prediction.shape[:2])
    rows, columns = _SSIM_TILE

    def sum_of_tile(corner: tuple[int, int]) -> float:
        top, left = corner
        tile = (slice(top, top + rows + border), slice(left, left + columns + border))
        return _sum_of_similarity(prediction[tile], target[tile])

    corners = [(top, left) for top in range(0, height, rows) for left in range(0, width, columns)]
    return sum(_in_threads(sum_of_tile, corners)) / (height * width * 3)


def ciede2000(prediction: np.ndarray, target: np.ndarray) -> float:
    """Mean CIEDE2000 colour difference, kL = kC = kH = 1; about 1 is just noticeable.

    Reference: Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula", Color Research &
    Application 2005.
    """
    return color_differences(prediction, target)[0].ciede2000


def color_differences(
    prediction: np.ndarray, target: np.ndarray, parts: Sequence[np.ndarray] = ()
) -> list[ColorDifference]:
    """Both colour differences in one pass, of the picture and then its `parts`, bool `(H, W)`."""
    _check_pair(prediction, target)
    pictures = [picture.reshape(-1, 3) for picture in (prediction, target)]
    masks = [part.reshape(-1) for part in parts]
    if any(mask.shape != pictures[0].shape[:1] for mask in masks):
        raise ValueError(f"Parts must have the picture's height and width, {prediction.shape[:2]}.")

    def sums(start: int) -> np.ndarray:
        piece = slice(start, start + _PIXELS_AT_ONCE)
        lab = [color.rgb2lab(pixels[piece].astype(np.float32) / 255.0) for pixels in pictures]
        both = np.stack([color.deltaE_cie76(*lab), color.deltaE_ciede2000(*lab)])
        whole = both.sum(axis=1, dtype=np.float64)
        return np.stack([whole, *(both @ mask[piece].astype(np.float64) for mask in masks)])

    total = np.sum(_in_threads(sums, range(0, len(pictures[0]), _PIXELS_AT_ONCE)), axis=0)
    counts = [len(pictures[0]), *(int(np.count_nonzero(mask)) for mask in masks)]
    return [ColorDifference(*(row / n).tolist()) for row, n in zip(total, counts, strict=True)]


def find_regions(photo: np.ndarray) -> dict[str, np.ndarray | None]:
    """Highlights and shadows of an unedited photo, uint8 `(H, W, 3)`; the same for every method.

    Highlights (mostly windows and lamps) have a CIE lightness L* of 75 or more, shadows 20 or less.

    Returns:
        "highlights" and "shadows" as masks, bool `(H, W)`; None where there is too little of it.
    """
    # L* rises with luminance, so that a few numbers replace a cube root per pixel.
    luminance = np.empty(photo.shape[:2], np.float32)
    for row, line in zip(photo, luminance, strict=True):  # what lies between stays in the cache
        line[:] = color.rgb2xyz(row.astype(np.float32) / 255.0)[:, 1]
    masks = {
        "highlights": luminance >= ((HIGHLIGHTS_FROM + 16.0) / 116.0) ** 3,
        "shadows": luminance <= ((SHADOWS_TO + 16.0) / 116.0) ** 3,
    }
    return {name: mask if mask.mean() >= LEAST_SHARE else None for name, mask in masks.items()}


def _sum_of_similarity(prediction: np.ndarray, target: np.ndarray) -> float:
    """SSIM summed over channels and over the pixels whose window lies inside a tile."""
    half, total = SSIM_WINDOW // 2, 0.0
    for channel in range(3):
        similarity: Any = structural_similarity(
            # float32 halves the time; its rounding moves the score by less than 1e-5.
            prediction[..., channel].astype(np.float32),
            target[..., channel].astype(np.float32),
            data_range=255.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        total += float(similarity[1][half:-half, half:-half].sum(dtype=np.float64))
    return total


def _in_threads(function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    """Results in the order of `values`; NumPy and SciPy release the GIL in their loops."""
    if len(values) <= 2:
        return [function(value) for value in values]  # sooner done than threads are started
    with concurrent.futures.ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(function, values))


def _check_pair(prediction: np.ndarray, target: np.ndarray) -> None:
    for name, picture in (("prediction", prediction), ("target", target)):
        if picture.dtype != np.uint8 or picture.shape[2:] != (3,) or picture.size == 0:
            raise ValueError(
                f"{name} must be a uint8 picture (height, width, 3), "
                f"received {picture.dtype} {picture.shape}."
            )
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction {prediction.shape} and target {target.shape} differ in size; resize one."
        )
