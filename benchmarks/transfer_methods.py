"""Ways to carry an edit from a small picture to the full-size photo, ours and those that it is compared with."""

from collections.abc import Callable

import cv2
import numpy as np

from benchmarks.bilateral_grid import transfer_by_grid
from enhancer.edit_transfer import transfer_edit

Transfer = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

_RADIUS = 1
_RIDGE = 1e-4
_STRIPE_ROWS = 256
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)


def bicubic(photo: np.ndarray, low_input: np.ndarray, low_output: np.ndarray) -> np.ndarray:
    """The edited small picture enlarged: all detail is lost."""
    enlarged = cv2.resize(low_output, photo.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return cv2.convertScaleAbs(np.maximum(enlarged, 0, out=enlarged), alpha=255)


def ratio_map(photo: np.ndarray, low_input: np.ndarray, low_output: np.ndarray) -> np.ndarray:
    """The quotient of the small pictures, enlarged, times the photo."""
    gain = (np.maximum(low_output, 0) + 1e-2) / (low_input + 1e-2)
    offset = np.full(low_input.shape, 0, np.float32)
    matrix = np.zeros((*low_input.shape, 3), np.float32)
    for i in range(3):
        matrix[..., i, i] = gain[..., i]
        offset[..., i] = 1e-2 * (gain[..., i] - 1)
    return _apply(photo, matrix, offset)


def guided_filter(photo: np.ndarray, low_input: np.ndarray, low_output: np.ndarray) -> np.ndarray:
    """He et al., ECCV 2010, as in arXiv:1505.00996: a local affine fit whose ridge pulls the matrix to zero."""
    return _apply(photo, *_local_fit(low_input, low_output, np.zeros(low_input.shape[:2], np.float32)))


def one_scale_fit(photo: np.ndarray, low_input: np.ndarray, low_output: np.ndarray) -> np.ndarray:
    """The same with a ridge that pulls to the gain in luminance: our method without its wide fit."""
    mean_x, mean_y = (_box_mean(picture @ _LUMINANCE) for picture in (low_input, low_output))
    return _apply(photo, *_local_fit(low_input, low_output, np.clip(mean_y / np.maximum(mean_x, 1e-6), 0.25, 4)))


METHODS: dict[str, Transfer] = {
    "bicubic": bicubic,
    "ratio map": ratio_map,
    "guided filter": guided_filter,
    "one-scale fit": one_scale_fit,
    "bilateral grid": transfer_by_grid,
    "ours": transfer_edit,
}
"""From a photo, uint8 `(H, W, 3)`, and a small pair, float32 `(h, w, 3)` in [0, 1], to the edited photo."""


def _local_fit(x: np.ndarray, y: np.ndarray, prior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean_x, mean_y = _box_mean(x), _box_mean(y)
    covariance_xx = _box_mean(x[..., :, None] * x[..., None, :]) - mean_x[..., :, None] * mean_x[..., None, :]
    covariance_xy = _box_mean(x[..., :, None] * y[..., None, :]) - mean_x[..., :, None] * mean_y[..., None, :]
    ridge = np.float32(_RIDGE) * np.eye(3, dtype=np.float32)
    matrix = np.linalg.solve(
        (covariance_xx + ridge).astype(np.float64), covariance_xy + prior[..., None, None] * ridge
    ).astype(np.float32)
    offset = mean_y - np.einsum("hwi,hwio->hwo", mean_x, matrix)
    return _box_mean(matrix), _box_mean(offset)


def _apply(photo: np.ndarray, matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Enlarge the maps and apply them, in stripes whose borders are worked out from more rows than they show."""
    height, width = photo.shape[:2]
    result = np.empty_like(photo)
    scale = height / offset.shape[0]
    for top in range(0, offset.shape[0], _STRIPE_ROWS):
        low = slice(max(0, top - 2), min(top + _STRIPE_ROWS + 2, offset.shape[0]))
        first, last = round(low.start * scale), round(low.stop * scale)
        begin, end = round(top * scale), min(height, round((top + _STRIPE_ROWS) * scale))
        inner = slice(begin - first, end - first)
        x = photo[begin:end].astype(np.float32) / 255
        edited = _enlarge(offset[low], width, last - first)[inner]
        for i in range(3):
            edited += _enlarge(matrix[low, :, i], width, last - first)[inner] * x[..., i : i + 1]
        result[begin:end] = np.rint(np.clip(edited, 0, 1) * 255)
    return result


def _enlarge(plane: np.ndarray, width: int, height: int) -> np.ndarray:
    return cv2.resize(np.ascontiguousarray(plane), (width, height), interpolation=cv2.INTER_LINEAR)


def _box_mean(planes: np.ndarray) -> np.ndarray:
    side = 2 * _RADIUS + 1
    flat = planes.reshape(*planes.shape[:2], -1)
    means = [cv2.blur(np.ascontiguousarray(flat[..., i]), (side, side)) for i in range(flat.shape[-1])]
    return np.stack(means, axis=-1).reshape(planes.shape)
