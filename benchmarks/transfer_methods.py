"""Ways to carry an edit from a small picture to the full-size photo: the one in use, and those it is compared with."""

from collections.abc import Callable

import cv2
import numpy as np

from enhancer.inference.edit_transfer import transfer_edit

Transfer = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

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
    return _apply(photo, *_local_fit(low_input, low_output, radius=1, ridge=1e-4, to_gain=False))


def narrow_fit(photo: np.ndarray, low_input: np.ndarray, low_output: np.ndarray) -> np.ndarray:
    """The same with a ridge that pulls to the gain in luminance: what this project used before the grid."""
    return _apply(photo, *_local_fit(low_input, low_output, radius=1, ridge=1e-4, to_gain=True))


def wide_fit(photo: np.ndarray, low_input: np.ndarray, low_output: np.ndarray) -> np.ndarray:
    """The same in 9 x 9 pixels, which see more of the tone curve, so that less is left to the ridge."""
    return _apply(photo, *_local_fit(low_input, low_output, radius=4, ridge=1e-5, to_gain=True))


METHODS: dict[str, Transfer] = {
    "bicubic": bicubic,
    "ratio map": ratio_map,
    "guided filter": guided_filter,
    "narrow fit": narrow_fit,
    "wide fit": wide_fit,
    "bilateral grid": transfer_edit,
}
"""From a photo, uint8 `(H, W, 3)`, and a small pair, float32 `(h, w, 3)` in [0, 1], to the edited photo."""


def _local_fit(
    x: np.ndarray, y: np.ndarray, *, radius: int, ridge: float, to_gain: bool
) -> tuple[np.ndarray, np.ndarray]:
    mean_x, mean_y = _box_mean(x, radius), _box_mean(y, radius)
    covariance_xx = (
        _box_mean(x[..., :, None] * x[..., None, :], radius)
        - mean_x[..., :, None] * mean_x[..., None, :]
    )
    covariance_xy = (
        _box_mean(x[..., :, None] * y[..., None, :], radius)
        - mean_x[..., :, None] * mean_y[..., None, :]
    )
    gain = np.clip(mean_y @ _LUMINANCE / np.maximum(mean_x @ _LUMINANCE, 1e-6), 0.25, 4) * to_gain
    eye = ridge * np.eye(3)
    matrix = np.linalg.solve(
        covariance_xx + eye, covariance_xy + gain[..., None, None] * eye
    ).astype(np.float32)
    offset = mean_y - np.einsum("hwi,hwio->hwo", mean_x, matrix)
    return _box_mean(matrix, radius), _box_mean(offset, radius)


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


def _box_mean(planes: np.ndarray, radius: int) -> np.ndarray:
    flat = planes.reshape(*planes.shape[:2], -1)
    size = (2 * radius + 1, 2 * radius + 1)
    means = [cv2.blur(np.ascontiguousarray(flat[..., i]), size) for i in range(flat.shape[-1])]
    return np.stack(means, axis=-1).reshape(planes.shape)
