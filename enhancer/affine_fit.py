"""Affine maps of colour, one per pixel, that lead from a small photo to its edit: a local least-squares fit on two scales.

The narrow fit follows the edit closely, but where its few pixels hardly differ it says nothing about how the edit
changes contrast, and takes every unevenness of the edit for intended. There a wide fit decides, which has seen more of
the tone curve and averages unevenness out, and where even that one sees no contrast the gain in luminance. So texture
and noise that only the full-size photo shows are amplified as the edit does it, walls do not
grow grainier than they are beside an edge, and a weak network's patterns do not appear on them enlarged.

References:
    He, Sun and Tang, "Guided Image Filtering", ECCV 2010 (section 3.5: the colour guide). There the ridge pulls to zero.
"""

import concurrent.futures
import os
from collections.abc import Callable, Iterable

import cv2
import numpy as np

NARROW_RADIUS = 1
"""Neighbourhood of the narrow fit in reduced pixels; a small one keeps halos at window frames narrow."""
NARROW_RIDGE = 3e-5
"""On the colour covariance, in squared [0, 1] units: below a contrast of about 0.5 % the wide fit's matrix decides."""
WIDE_RADIUS = 4
WIDE_RIDGE = 1e-5
"""Likewise: below a contrast of about 0.3 % in the wide neighbourhood the gain in luminance decides."""
FLATNESS = 4e-4
"""Variance of luminance in the narrow neighbourhood at which both fits count the same: a contrast of 2 %."""
_MAX_GAIN = 4.0
_DARKEST = 1e-6
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
_STRIPE_ROWS = 48  # few enough for the processor's caches
_MARGIN = 2 * (WIDE_RADIUS + NARROW_RADIUS)


def fit_affine(low_input: np.ndarray, low_output: np.ndarray) -> np.ndarray:
    """Fit `output[o] = sum of maps[o, i] * input[i] over the colours i + maps[o, 3]` around every pixel.

    Args:
        low_input, low_output: float32 `(h, w, 3)`, about [0, 1].

    Returns:
        The maps, float32 `(3, 4, h, w)`: output channel, coefficients of red, green and blue and the offset.
    """
    height, width = low_input.shape[:2]
    x, y = _padded_planes(low_input), _padded_planes(low_output)
    maps = np.empty((3, 4, height, width), np.float32)

    def fit_stripe(top: int) -> None:
        bottom = min(top + _STRIPE_ROWS, height)
        rows = slice(top, bottom + 2 * _MARGIN)
        inner = np.s_[..., _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        maps[:, :, top:bottom] = _fit_planes(x[:, rows], y[:, rows])[inner]

    for_each(fit_stripe, range(0, height, _STRIPE_ROWS))
    return maps


def for_each(work: Callable[[int], None], items: Iterable[int]) -> None:
    """Call `work` with every item, on all cores: OpenCV and NumPy let other threads run."""
    with concurrent.futures.ThreadPoolExecutor(_num_threads()) as pool:
        for _ in pool.map(work, items):
            pass


def _fit_planes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`fit_affine` of planes `(3, h, w)`; `_MARGIN` pixels at the border are wrong."""
    products = np.empty((15, *x.shape[1:]), np.float32)
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    for product, (i, j) in zip(products[:6], pairs, strict=True):
        np.multiply(x[i], x[j], out=product)
    np.multiply(y[:, None], x[None], out=products[6:].reshape(3, 3, *x.shape[1:]))

    mean_x, mean_y = _box_mean(x, WIDE_RADIUS), _box_mean(y, WIDE_RADIUS)
    gain = _luminance(mean_y) / np.maximum(_luminance(mean_x), _DARKEST)
    np.clip(gain, 1 / _MAX_GAIN, _MAX_GAIN, out=gain)
    prior = np.zeros((3, 3, *x.shape[1:]), np.float32)
    for o in range(3):
        prior[o, o] = gain
    matrix = _regress(mean_x, mean_y, _box_mean(products, WIDE_RADIUS), WIDE_RIDGE, prior)
    maps = np.empty((3, 4, *x.shape[1:]), np.float32)
    maps[:, :3] = matrix
    maps[:, 3] = mean_y - (matrix * mean_x).sum(axis=1)
    # Every pixel lies in several neighbourhoods; their maps are averaged, as in the guided filter.
    wide = _box_mean(maps, WIDE_RADIUS)

    mean_x, mean_y = _box_mean(x, NARROW_RADIUS), _box_mean(y, NARROW_RADIUS)
    matrix = _regress(mean_x, mean_y, _box_mean(products, NARROW_RADIUS), NARROW_RIDGE, wide[:, :3])
    narrow = maps
    narrow[:, :3] = _box_mean(matrix, NARROW_RADIUS)
    # Not averaged: it takes what no matrix explains, so that the pixel of the small edit is met exactly.
    narrow[:, 3] = y - (narrow[:, :3] * x).sum(axis=1)

    luminance = _luminance(x)
    variance = _box_mean(np.square(luminance), NARROW_RADIUS) - np.square(_box_mean(luminance, NARROW_RADIUS))
    narrow -= wide
    narrow *= variance / (variance + np.float32(FLATNESS))
    narrow += wide
    return narrow


def _regress(mean_x: np.ndarray, mean_y: np.ndarray, means: np.ndarray, ridge: float, prior: np.ndarray) -> np.ndarray:
    """Solve `matrix (cov_xx + ridge I) = cov_yx + ridge prior` in every neighbourhood, by an LDL^T factorisation.

    Float32 is enough for that, also where channels go together so closely that a determinant would be all rounding.

    Args:
        mean_x, mean_y: of the colours, `(3, h, w)`.
        means: of the 6 products of x with x and the 9 of y with x, `(15, h, w)`; overwritten.
        ridge: in squared [0, 1] units.
        prior: `(3, 3, h, w)`, output channel first, as the result.
    """
    a11 = means[0] - mean_x[0] * mean_x[0] + ridge
    a12 = means[1] - mean_x[0] * mean_x[1]
    a13 = means[2] - mean_x[0] * mean_x[2]
    a22 = means[3] - mean_x[1] * mean_x[1] + ridge
    a23 = means[4] - mean_x[1] * mean_x[2]
    a33 = means[5] - mean_x[2] * mean_x[2] + ridge
    right = means[6:].reshape(prior.shape)
    right -= mean_y[:, None] * mean_x[None]
    right += ridge * prior

    # Rounding can take the little that the ridge leaves of a variance.
    least = np.float32(0.5 * ridge)
    d1 = np.maximum(a11, least)
    l21, l31 = a12 / d1, a13 / d1
    d2 = np.maximum(a22 - l21 * a12, least)
    b23 = a23 - l31 * a12
    l32 = b23 / d2
    d3 = np.maximum(a33 - l31 * a13 - l32 * b23, least)
    z1 = right[:, 0]
    z2 = right[:, 1] - l21 * z1
    z3 = right[:, 2] - l31 * z1 - l32 * z2
    matrix = np.empty_like(right)
    matrix[:, 2] = z3 / d3
    matrix[:, 1] = z2 / d2 - l32 * matrix[:, 2]
    matrix[:, 0] = z1 / d1 - l21 * matrix[:, 1] - l31 * matrix[:, 2]
    return matrix


def _box_mean(planes: np.ndarray, radius: int) -> np.ndarray:
    """Of each plane of `(..., h, w)`."""
    means = np.empty(planes.shape, np.float32)
    for index in np.ndindex(planes.shape[:-2]):
        cv2.blur(planes[index], (2 * radius + 1, 2 * radius + 1), dst=means[index])
    return means


def _luminance(planes: np.ndarray) -> np.ndarray:
    return np.tensordot(_LUMINANCE, planes, axes=1)


def _padded_planes(picture: np.ndarray) -> np.ndarray:
    """Planes `(3, h + 2 margins, w + 2 margins)`, mirrored at the border."""
    planes = np.moveaxis(picture, -1, 0)
    return np.pad(planes, ((0, 0), (_MARGIN, _MARGIN), (_MARGIN, _MARGIN)), mode="symmetric")


def _num_threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
