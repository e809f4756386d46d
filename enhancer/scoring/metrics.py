"""How far a prediction is from its target: L1, PSNR, SSIM, CIE76 and CIEDE2000 of two 8-bit sRGB pictures.

Every function takes two uint8 arrays `(H, W, 3)` in [0, 255] of the same size and returns one float. The
definitions are the published ones, computed by scikit-image, so that the numbers can be set beside those of other work.
Photos of 24 MP are handed to it in tiles whose many temporaries fit the caches, several at a time.
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
"""The PSNR of identical pictures, whose true value is infinite. No 8-bit pair that differs visibly comes near it, and
a finite number keeps means, differences and JSON defined."""

SSIM_WINDOW = 11
"""Side of SSIM's Gaussian window in pixels; smaller pictures have no SSIM."""

_SSIM_TILE = (64, 512)  # rows and columns
_PIXELS_AT_ONCE = 1 << 14


class ColorDifference(NamedTuple):
    """Means over a picture or a part of it."""

    delta_e_76: float
    ciede2000: float


def l1(prediction: np.ndarray, target: np.ndarray, part: np.ndarray | None = None) -> float:
    """Mean absolute difference over all pixels and channels, on the [0, 1] scale; 0 is equal, lower is better.

    Args:
        part: only over the pixels where this is true, bool `(H, W)`, at least one.
    """
    _check_pair(prediction, target)
    if part is None:
        return cv2.norm(prediction, target, cv2.NORM_L1) / prediction.size / 255.0
    difference = cv2.absdiff(prediction, target)
    return float(np.mean(cv2.mean(difference, part.view(np.uint8))[:3])) / 255.0


def psnr_db(prediction: np.ndarray, target: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(1 / MSE), MSE over all pixels and channels on the [0, 1] scale.

    Higher is better. Capped at `PSNR_CAP_DB`, which is also what identical pictures score.
    """
    _check_pair(prediction, target)
    mse = cv2.norm(prediction, target, cv2.NORM_L2SQR) / prediction.size / 255.0**2
    return PSNR_CAP_DB if mse == 0.0 else min(PSNR_CAP_DB, float(-10.0 * np.log10(mse)))


def ssim(prediction: np.ndarray, target: np.ndarray) -> float:
    """Structural similarity in [-1, 1]; 1 is equal, higher is better.

    Gaussian window of 11 x 11 pixels with sigma 1.5, population covariance, K1 = 0.01, K2 = 0.03, data range 255;
    the mean over the pixels whose window lies inside the picture, then over R, G and B.

    Raises:
        ValueError: a side is shorter than the window, `SSIM_WINDOW` pixels.

    Reference: Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE TIP 2004, section III.
    """
    _check_pair(prediction, target)
    if min(prediction.shape[:2]) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs pictures of at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels, these are "
            f"{prediction.shape[1]} x {prediction.shape[0]}; leave them out of the test set."
        )

    height, width = (side - SSIM_WINDOW + 1 for side in prediction.shape[:2])
    rows, columns = _SSIM_TILE

    def sum_of_tile(corner: tuple[int, int]) -> float:
        top, left = corner
        tile = (
            slice(top, top + rows + SSIM_WINDOW - 1),
            slice(left, left + columns + SSIM_WINDOW - 1),
        )
        return _sum_of_similarity(prediction[tile], target[tile])

    corners = [(top, left) for top in range(0, height, rows) for left in range(0, width, columns)]
    return sum(_in_threads(sum_of_tile, corners)) / (height * width * 3)


def delta_e_76(prediction: np.ndarray, target: np.ndarray) -> float:
    """Mean Euclidean distance in CIE L*a*b* over all pixels: the ΔE*ab that the FiveK literature prints; lower is better.

    The pictures are read as sRGB under its D65 white (2 degree observer), as in `ciede2000`, which corrects this
    distance where it disagrees with the eye.

    Reference: CIE 15, "Colorimetry" (the 1976 formula).
    """
    return color_differences(prediction, target)[0].delta_e_76


def ciede2000(prediction: np.ndarray, target: np.ndarray) -> float:
    """Mean CIEDE2000 colour difference over all pixels; about 1 is just noticeable, lower is better.

    The pictures are read as sRGB under its D65 white (2 degree observer); the weights kL, kC and kH are 1.

    Reference: Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula: implementation notes, supplementary
    test data, and mathematical observations", Color Research & Application 2005.
    """
    return color_differences(prediction, target)[0].ciede2000


def color_differences(
    prediction: np.ndarray, target: np.ndarray, parts: Sequence[np.ndarray] = ()
) -> list[ColorDifference]:
    """Both colour differences in one pass: over the whole picture, then over each of its `parts`, bool `(H, W)`."""
    _check_pair(prediction, target)
    pictures = [picture.reshape(-1, 3) for picture in (prediction, target)]
    masks = [part.reshape(-1) for part in parts]
    if any(mask.shape != pictures[0].shape[:1] for mask in masks):
        raise ValueError(f"Parts must have the picture's height and width, {prediction.shape[:2]}.")

    def sums(start: int) -> np.ndarray:
        piece = slice(start, start + _PIXELS_AT_ONCE)
        lab = [color.rgb2lab(pixels[piece].astype(np.float32) / 255.0) for pixels in pictures]
        both = np.stack([color.deltaE_cie76(*lab), color.deltaE_ciede2000(*lab)])
        return np.stack(
            [both.sum(axis=1, dtype=np.float64)]
            + [both @ mask[piece].astype(np.float64) for mask in masks]
        )

    total = np.sum(_in_threads(sums, range(0, len(pictures[0]), _PIXELS_AT_ONCE)), axis=0)
    counts = [len(pictures[0]), *(int(np.count_nonzero(mask)) for mask in masks)]
    return [
        ColorDifference(*(row / count).tolist()) for row, count in zip(total, counts, strict=True)
    ]


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "l1": l1,
    "psnr_db": psnr_db,
    "ssim": ssim,
    "delta_e_76": delta_e_76,
    "ciede2000": ciede2000,
}


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
    """NumPy and SciPy, under scikit-image, release the GIL in their loops; the order of the results is that of `values`."""
    if len(values) <= 2:
        return [function(value) for value in values]  # sooner done than threads are started
    with concurrent.futures.ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(function, values))


def _check_pair(prediction: np.ndarray, target: np.ndarray) -> None:
    for name, picture in (("prediction", prediction), ("target", target)):
        if (
            picture.dtype != np.uint8
            or picture.ndim != 3
            or picture.shape[-1] != 3
            or picture.size == 0
        ):
            raise ValueError(
                f"{name} must be a uint8 picture (height, width, 3), received {picture.dtype} {picture.shape}."
            )
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction {prediction.shape} and target {target.shape} differ in size; resize one of them first."
        )
