"""Carry an edit made on a reduced photo over to the photo's own pixels, by a local affine fit of colours.

At every pixel of the reduced pair an affine map from input colour to output colour is fitted to its neighbourhood;
the maps, and not the pictures, are enlarged and applied to the full-size pixels, so that no detail is lost.

References:
    He, Sun and Tang, "Guided Image Filtering", ECCV 2010 (the colour guide: section 3.5).
    He and Sun, "Fast Guided Filter", arXiv:1505.00996 (fit at low resolution, enlarge the coefficients).
"""

import cv2
import numpy as np

RADIUS = 1
"""Neighbourhood of the fit in reduced pixels; a small one keeps halos at window frames narrow."""
EPSILON = 1e-4
"""Ridge on the colour covariance, in squared [0, 1] units: below a contrast of about 1 % the ridge decides."""
_MAX_GAIN = 4.0
_STRIPE_ROWS = 64


def transfer_edit(
    photo: np.ndarray,
    low_input: np.ndarray,
    low_output: np.ndarray,
    *,
    strength: float = 1.0,
    stripe_rows: int = _STRIPE_ROWS,
) -> np.ndarray:
    """Apply to `photo` the edit that leads from `low_input` to `low_output`.

    Args:
        photo: the full-size photo, uint8 `(H, W, 3)` sRGB.
        low_input: the same photo reduced, uint8 `(h, w, 3)`, or float in [0, 1].
        low_output: the edit of `low_input`, float `(h, w, 3)`; [0, 1], where values a little outside are
            used as they are, because clipping them first would bend the fit.
        stripe_rows: rows of the photo that are worked on at a time; bounds the memory, not the result.

    Returns:
        The edited photo, uint8 `(H, W, 3)`.
    """
    _check(photo, low_input, low_output)
    matrix, offset = fit_affine(_as_unit(low_input), np.asarray(low_output, np.float32))
    # One plane per coefficient: OpenCV and NumPy run fastest on contiguous single-channel rows.
    planes = [np.ascontiguousarray(matrix[..., i, o]) for o in range(3) for i in range(3)]
    planes += [np.ascontiguousarray(offset[..., o]) for o in range(3)]
    result = np.empty_like(photo)
    for top in range(0, photo.shape[0], stripe_rows):
        rows = slice(top, min(top + stripe_rows, photo.shape[0]))
        _apply_stripe(photo, planes, rows, result)
    return cv2.addWeighted(photo, 1.0 - strength, result, strength, 0.0) if strength < 1.0 else result


def fit_affine(low_input: np.ndarray, low_output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit `output = input @ matrix + offset` around every pixel.

    A plain guided filter pulls the matrix to zero where the neighbourhood is flat, which turns flat areas grey when
    their colour at full size differs from the mean. Here the ridge pulls it to the local luminance gain instead, so
    that a flat area is brightened as its surroundings are.

    Args:
        low_input, low_output: float32 `(h, w, 3)`, [0, 1].

    Returns:
        Matrix float32 `(h, w, 3, 3)`, input channel first, and offset float32 `(h, w, 3)`.
    """
    mean_x, mean_y = _box_mean(low_input), _box_mean(low_output)
    gain = _luminance(mean_y) / np.maximum(_luminance(mean_x), 1e-6)
    gain = np.clip(gain, 1.0 / _MAX_GAIN, _MAX_GAIN)
    covariance_xx = {
        (i, j): _box_mean(low_input[..., i] * low_input[..., j]) - mean_x[..., i] * mean_x[..., j]
        for i in range(3)
        for j in range(i, 3)
    }
    for i in range(3):
        covariance_xx[i, i] += np.float32(EPSILON)
    inverse = _inverse_of_symmetric(covariance_xx)
    matrix = np.empty((*low_input.shape[:2], 3, 3), np.float32)
    for o in range(3):
        right = [_box_mean(low_input[..., i] * low_output[..., o]) - mean_x[..., i] * mean_y[..., o] for i in range(3)]
        right[o] = right[o] + np.float32(EPSILON) * gain
        for i in range(3):
            matrix[..., i, o] = sum(inverse[min(i, j), max(i, j)] * right[j] for j in range(3))
    offset = mean_y - np.einsum("hwi,hwio->hwo", mean_x, matrix)
    smooth_matrix = _box_mean(matrix.reshape(*low_input.shape[:2], 9)).reshape(matrix.shape)
    return smooth_matrix, _box_mean(offset)


def _apply_stripe(photo: np.ndarray, planes: list[np.ndarray], rows: slice, result: np.ndarray) -> None:
    height, width = photo.shape[:2]
    low_height = planes[0].shape[0]
    # Rows are interpolated here and columns by OpenCV, both between pixel centres; giving the stripe to cv2.resize
    # as a whole would let it clamp at the stripe's edges and show seams.
    centre = (np.arange(rows.start, rows.stop) + 0.5) * (low_height / height) - 0.5
    centre = np.clip(centre, 0.0, low_height - 1.0)
    above = np.floor(centre).astype(np.intp)
    below = np.minimum(above + 1, low_height - 1)
    weight = (centre - above).astype(np.float32)[:, None]

    def enlarged(plane: np.ndarray) -> np.ndarray:
        lines = plane[above] + weight * (plane[below] - plane[above])
        return cv2.resize(lines, (width, len(lines)), interpolation=cv2.INTER_LINEAR)

    channels = [photo[rows, :, i].astype(np.float32) for i in range(3)]
    for o in range(3):
        # The photo stays on the 0-255 scale: only the offset needs scaling.
        total = enlarged(planes[9 + o]) * np.float32(255.0)
        for i in range(3):
            product = enlarged(planes[3 * o + i])
            product *= channels[i]
            total += product
        np.rint(total, out=total)
        np.clip(total, 0.0, 255.0, out=total)
        result[rows, :, o] = total


def _inverse_of_symmetric(a: dict[tuple[int, int], np.ndarray]) -> dict[tuple[int, int], np.ndarray]:
    """Invert 3 x 3 symmetric matrices, given and returned as planes of their upper triangle, by cofactors."""
    # Float64: the determinant of a near-grey neighbourhood (strongly correlated channels) is a difference of close numbers.
    xx, xy, xz, yy, yz, zz = (a[key].astype(np.float64) for key in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)))
    cofactor = {
        (0, 0): yy * zz - yz * yz,
        (0, 1): xz * yz - xy * zz,
        (0, 2): xy * yz - xz * yy,
        (1, 1): xx * zz - xz * xz,
        (1, 2): xy * xz - xx * yz,
        (2, 2): xx * yy - xy * xy,
    }
    determinant = xx * cofactor[0, 0] + xy * cofactor[0, 1] + xz * cofactor[0, 2]
    return {key: (value / determinant).astype(np.float32) for key, value in cofactor.items()}


def _box_mean(planes: np.ndarray) -> np.ndarray:
    side = 2 * RADIUS + 1
    if planes.ndim == 3 and planes.shape[-1] > 4:
        return np.stack([_box_mean(plane) for plane in np.moveaxis(planes, -1, 0)], axis=-1)
    return cv2.blur(np.ascontiguousarray(planes), (side, side), borderType=cv2.BORDER_REFLECT)


def _luminance(rgb: np.ndarray) -> np.ndarray:
    return rgb @ np.array([0.2126, 0.7152, 0.0722], np.float32)


def _as_unit(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float32) / (255.0 if picture.dtype == np.uint8 else 1.0)


def _check(photo: np.ndarray, low_input: np.ndarray, low_output: np.ndarray) -> None:
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[-1] != 3 or photo.size == 0:
        raise ValueError(f"photo must be uint8 (height, width, 3), received {photo.dtype} {photo.shape}.")
    if low_input.ndim != 3 or low_input.shape != low_output.shape or low_input.shape[-1] != 3 or low_input.size == 0:
        raise ValueError(
            f"low_input and low_output must both be (height, width, 3), received {low_input.shape} and "
            f"{low_output.shape}."
        )
