"""Affine maps of colour, one per pixel, that lead from a small photo to its edit: a local least-squares fit on two scales.

The narrow fit follows the edit closely, but where its few pixels hardly differ it says nothing about how contrast
changes. There its ridge pulls it to a wide fit, which has seen more of the tone curve, and that one's to the
gain in luminance. So texture and noise that only the full-size photo shows are amplified as the edit does it,
and walls do not grow grainier than they are beside an edge of theirs.

References:
    He, Sun and Tang, "Guided Image Filtering", ECCV 2010 (section 3.5: the colour guide). There the ridge pulls to zero.
"""

import concurrent.futures
import os

import cv2
import numpy as np

NARROW_RADIUS = 1
"""Neighbourhood of the fit in reduced pixels; a small one keeps halos at window frames narrow."""
NARROW_RIDGE = 1e-4
"""On the colour covariance, in squared [0, 1] units: below a contrast of about 1 % the wide fit decides."""
WIDE_RADIUS = 4
WIDE_RIDGE = 1e-5
"""Likewise: below a contrast of about 0.3 % in the wide neighbourhood the gain in luminance decides."""
_MAX_GAIN = 4.0
_DARKEST = 1e-6
_LUMINANCE = (0.2126, 0.7152, 0.0722)
_STRIPE_ROWS = 48  # few enough for the processor's caches
_MARGIN = WIDE_RADIUS + 2 * NARROW_RADIUS


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


def for_each(work, items) -> None:
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

    gain = _luminance(_box_mean(y, WIDE_RADIUS)) / np.maximum(_luminance(_box_mean(x, WIDE_RADIUS)), _DARKEST)
    np.clip(gain, 1 / _MAX_GAIN, _MAX_GAIN, out=gain)
    prior = np.zeros((3, 3, *x.shape[1:]), np.float32)
    for o in range(3):
        prior[o, o] = gain
    wide, _, _ = _regress(x, y, products, WIDE_RADIUS, WIDE_RIDGE, prior)
    matrix, mean_x, mean_y = _regress(x, y, products, NARROW_RADIUS, NARROW_RIDGE, wide)
    maps = np.empty((3, 4, *x.shape[1:]), np.float32)
    maps[:, :3] = matrix
    maps[:, 3] = mean_y - (matrix * mean_x).sum(axis=1)
    # Every pixel lies in several neighbourhoods; their maps are averaged, as in the guided filter.
    return _box_mean(maps.reshape(12, *x.shape[1:]), NARROW_RADIUS).reshape(maps.shape)


def _regress(x, y, products, radius: int, ridge: float, prior: np.ndarray):
    """Solve `matrix (cov_xx + ridge I) = cov_yx + ridge prior` in every neighbourhood, by an LDL^T factorisation.

    Float32 is enough for that, also where channels go together so closely that a determinant would be all rounding.
    """
    ridge = np.float32(ridge)
    mean_x, mean_y, means = _box_mean(x, radius), _box_mean(y, radius), _box_mean(products, radius)
    a11 = means[0] - mean_x[0] * mean_x[0] + ridge
    a12 = means[1] - mean_x[0] * mean_x[1]
    a13 = means[2] - mean_x[0] * mean_x[2]
    a22 = means[3] - mean_x[1] * mean_x[1] + ridge
    a23 = means[4] - mean_x[1] * mean_x[2]
    a33 = means[5] - mean_x[2] * mean_x[2] + ridge
    right = means[6:].reshape(3, 3, *x.shape[1:])
    right -= mean_y[:, None] * mean_x[None]
    right += ridge * prior

    # Rounding can take the little that the ridge leaves of a variance.
    least = ridge * np.float32(0.5)
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
    return matrix, mean_x, mean_y


def _box_mean(planes: np.ndarray, radius: int) -> np.ndarray:
    means = np.empty(planes.shape, np.float32)
    for plane, mean in zip(planes, means, strict=True):
        cv2.blur(plane, (2 * radius + 1, 2 * radius + 1), dst=mean)
    return means


def _luminance(planes: np.ndarray) -> np.ndarray:
    return sum(np.float32(weight) * plane for weight, plane in zip(_LUMINANCE, planes, strict=True))


def _padded_planes(picture: np.ndarray) -> np.ndarray:
    """Planes `(3, h + 2 margins, w + 2 margins)`, mirrored at the border."""
    planes = np.moveaxis(picture, -1, 0)
    return np.pad(planes, ((0, 0), (_MARGIN, _MARGIN), (_MARGIN, _MARGIN)), mode="symmetric")


def _num_threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
