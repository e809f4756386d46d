"""How far a prediction is from its target: L1, PSNR, SSIM, CIE76 and CIEDE2000 of two 8-bit sRGB pictures.

Every function takes two uint8 arrays `(H, W, 3)` in [0, 255] of the same size and returns one float. The
definitions are the published ones, computed by scikit-image, so that the numbers can be set beside those of
other work.
"""

import concurrent.futures
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from skimage import color
from skimage.metrics import structural_similarity

PSNR_CAP_DB = 100.0
"""The PSNR of identical pictures, whose true value is infinite. No 8-bit pair that differs visibly comes near it, and
a finite number keeps means, differences and JSON defined."""

SSIM_WINDOW = 11
"""Side of SSIM's Gaussian window in pixels; smaller pictures have no SSIM."""

_ROWS_PER_STRIP = 128


def l1(prediction: np.ndarray, target: np.ndarray) -> float:
    """Mean absolute difference over all pixels and channels, on the [0, 1] scale; 0 is equal, lower is better."""
    _check_pair(prediction, target)
    difference = np.abs(prediction.astype(np.int16) - target.astype(np.int16))
    return float(difference.mean(dtype=np.float64)) / 255.0


def psnr_db(prediction: np.ndarray, target: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(1 / MSE), MSE over all pixels and channels on the [0, 1] scale.

    Higher is better. Capped at `PSNR_CAP_DB`, which is also what identical pictures score.
    """
    _check_pair(prediction, target)
    difference = prediction.astype(np.int32) - target.astype(np.int32)
    mse = float(np.square(difference).mean(dtype=np.float64)) / 255.0**2
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

    def of_channel(channel: int) -> float:
        similarity: Any = structural_similarity(
            # float32 halves the time; its rounding moves the score by less than 1e-5.
            prediction[..., channel].astype(np.float32),
            target[..., channel].astype(np.float32),
            data_range=255.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        return float(similarity)

    if prediction.shape[0] <= _ROWS_PER_STRIP:
        return float(np.mean([of_channel(channel) for channel in range(3)]))  # sooner done than threads are started
    return float(np.mean(_in_threads(of_channel, range(3))))


def delta_e_76(prediction: np.ndarray, target: np.ndarray) -> float:
    """Mean Euclidean distance in CIE L*a*b* over all pixels: the ΔE*ab that the FiveK literature prints; lower is better.

    The pictures are read as sRGB under its D65 white (2 degree observer), as in `ciede2000`, which corrects this
    distance where it disagrees with the eye.

    Reference: CIE 15, "Colorimetry" (the 1976 formula).
    """
    return _mean_color_difference(prediction, target, color.deltaE_cie76)


def ciede2000(prediction: np.ndarray, target: np.ndarray) -> float:
    """Mean CIEDE2000 colour difference over all pixels; about 1 is just noticeable, lower is better.

    The pictures are read as sRGB under its D65 white (2 degree observer); the weights kL, kC and kH are 1.

    Reference: Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula: implementation notes, supplementary
    test data, and mathematical observations", Color Research & Application 2005.
    """
    return _mean_color_difference(prediction, target, color.deltaE_ciede2000)


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "l1": l1,
    "psnr_db": psnr_db,
    "ssim": ssim,
    "delta_e_76": delta_e_76,
    "ciede2000": ciede2000,
}


def _mean_color_difference(
    prediction: np.ndarray, target: np.ndarray, difference: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> float:
    _check_pair(prediction, target)

    def sum_of_strip(top: int) -> float:
        rows = slice(top, top + _ROWS_PER_STRIP)
        lab = [color.rgb2lab(picture[rows].astype(np.float32) / 255.0) for picture in (prediction, target)]
        return float(difference(*lab).sum(dtype=np.float64))

    # Strips keep the formula's many temporaries in cache.
    tops = range(0, prediction.shape[0], _ROWS_PER_STRIP)
    sums = _in_threads(sum_of_strip, tops) if len(tops) > 1 else [sum_of_strip(top) for top in tops]
    return sum(sums) / (prediction.shape[0] * prediction.shape[1])


def _in_threads(function: Callable[[int], float], values: range) -> list[float]:
    """NumPy and SciPy release the GIL in their loops; the order of the results is that of `values`."""
    with concurrent.futures.ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(function, values))


def _check_pair(prediction: np.ndarray, target: np.ndarray) -> None:
    for name, picture in (("prediction", prediction), ("target", target)):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3 or picture.size == 0:
            raise ValueError(
                f"{name} must be a uint8 picture (height, width, 3), received {picture.dtype} {picture.shape}."
            )
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction {prediction.shape} and target {target.shape} differ in size; resize one of them first."
        )
