"""The edit transfer's competitor: a bilateral grid of affine maps, fitted in closed form.

The grid has cells in space and in luminance; in each an affine map of colour is fitted to the pixels of the small
pair that fall into it. A pixel of the full-size photo takes its map from between the eight cells around its place and luminance.

References:
    Chen, Adams, Wadhwa and Hasinoff, "Bilateral Guided Upsampling", SIGGRAPH Asia 2016 (the fit).
    Gharbi et al., "Deep Bilateral Learning for Real-Time Image Enhancement", SIGGRAPH 2017 (the slicing).
"""

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from enhancer.affine_fit import for_each

CELL_SIDE = 16
"""Of the grid in the small picture's pixels; 32 is 0.3 to 2 dB worse on every scene."""
NUM_BINS = 8
"""Of luminance."""
_RIDGE = 1e-5
_BLUR = 0.8
# A cell that few pixels fell into takes the rest of its evidence from wider surroundings, with these weights.
_SURROUNDINGS = ((3.0, 1e-2), (12.0, 1e-4))
_EVERYWHERE = 1e-6
_STRIPE_ROWS = 32
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
_PAIRS = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]


def transfer_by_grid(photo: np.ndarray, low_input: np.ndarray, low_output: np.ndarray) -> np.ndarray:
    """Apply to `photo`, uint8 `(H, W, 3)`, the edit from `low_input` to `low_output`, float32 `(h, w, 3)` in [0, 1]."""
    grid = fit_grid(low_input, low_output)
    result = np.empty_like(photo)

    def apply_to_stripe(top: int) -> None:
        _apply_stripe(photo, grid, np.arange(top, min(top + _STRIPE_ROWS, photo.shape[0])), result)

    for_each(apply_to_stripe, range(0, photo.shape[0], _STRIPE_ROWS))
    return result


def fit_grid(low_input: np.ndarray, low_output: np.ndarray) -> np.ndarray:
    """Return the maps, float32 `(rows, columns, bins, 3, 4)`: output channel, coefficients of the colours and offset."""
    moments = _moments(low_input, low_output)
    count = np.maximum(moments[0], 1e-12)
    mean_x, mean_y = np.moveaxis(moments[1:4] / count, 0, -1), np.moveaxis(moments[4:7] / count, 0, -1)
    covariance_xx = np.empty((*mean_x.shape, 3))
    for moment, (i, j) in zip(moments[7:13], _PAIRS, strict=True):
        covariance_xx[..., i, j] = covariance_xx[..., j, i] = moment / count - mean_x[..., i] * mean_x[..., j]
    covariance_xy = np.moveaxis((moments[13:] / count).reshape(3, 3, *count.shape), (0, 1), (-2, -1))
    covariance_xy = covariance_xy - mean_x[..., :, None] * mean_y[..., None, :]
    gain = np.clip(mean_y @ _LUMINANCE / np.maximum(mean_x @ _LUMINANCE, 1e-6), 0.25, 4)
    ridge = _RIDGE * np.eye(3)
    matrix = np.linalg.solve(covariance_xx + ridge, covariance_xy + gain[..., None, None] * ridge)
    offset = mean_y - np.einsum("...i,...io->...o", mean_x, matrix)
    return np.concatenate([np.swapaxes(matrix, -1, -2), offset[..., None]], axis=-1).astype(np.float32)


def _moments(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Sums over the pixels of each cell of 1, x, y, x xT and x yT, `(22, rows, columns, bins)`."""
    height, width = x.shape[:2]
    shape = (*(max(2, round(side / CELL_SIDE) + 1) for side in (height, width)), NUM_BINS)
    row = np.rint(np.linspace(0, shape[0] - 1, height)).astype(int)
    column = np.rint(np.linspace(0, shape[1] - 1, width)).astype(int)
    depth = np.clip(x @ _LUMINANCE, 0, 1) * (NUM_BINS - 1)
    near = np.minimum(depth.astype(int), NUM_BINS - 2)
    weight = depth - near
    cell = ((row[:, None] * shape[1] + column) * NUM_BINS + near).ravel()
    planes = [np.ones_like(weight), *np.moveaxis(x, -1, 0), *np.moveaxis(y, -1, 0)]
    planes += [x[..., i] * x[..., j] for i, j in _PAIRS]
    planes += [x[..., i] * y[..., o] for i in range(3) for o in range(3)]
    moments = np.empty((len(planes), *shape))
    for moment, plane in zip(moments, planes, strict=True):
        total = np.bincount(cell, (plane * (1 - weight)).ravel(), moment.size)
        total += np.bincount(cell + 1, (plane * weight).ravel(), moment.size)
        total = total.reshape(shape)
        moment[:] = gaussian_filter(total, _BLUR) + _EVERYWHERE * total.mean()
        for sigma, share in _SURROUNDINGS:
            moment += share * gaussian_filter(total, (sigma, sigma, min(sigma, 2.0)))
    return moments


def _apply_stripe(photo: np.ndarray, grid: np.ndarray, rows: np.ndarray, result: np.ndarray) -> None:
    height, width = photo.shape[:2]
    grid_rows, grid_columns = grid.shape[:2]
    x = photo[rows[0] : rows[-1] + 1].astype(np.float32) / 255
    place = rows * ((grid_rows - 1) / max(height - 1, 1))
    above = np.minimum(place.astype(int), grid_rows - 2)
    weight = (place - above).astype(np.float32)[:, None, None, None, None]
    # For each row of the photo a picture of columns x bins; they are stacked, so that one look-up serves the stripe.
    atlas = grid[above] * (1 - weight) + grid[above + 1] * weight
    atlas = np.ascontiguousarray(np.swapaxes(atlas, 1, 2)).reshape(len(rows) * NUM_BINS, grid_columns, 3, 4)
    depth = np.clip(x @ _LUMINANCE, 0, 1) * (NUM_BINS - 1) + NUM_BINS * np.arange(len(rows), dtype=np.float32)[:, None]
    column = np.linspace(0, grid_columns - 1, width, dtype=np.float32)
    columns = np.ascontiguousarray(np.broadcast_to(column, depth.shape))
    edited = []
    for o in range(3):
        maps = cv2.remap(np.ascontiguousarray(atlas[:, :, o]), columns, depth, cv2.INTER_LINEAR)
        total = maps[..., 3] + sum(maps[..., i] * x[..., i] for i in range(3))
        edited.append(np.rint(np.clip(total, 0, 1) * 255).astype(np.uint8))
    cv2.merge(edited, dst=result[rows[0] : rows[-1] + 1])
