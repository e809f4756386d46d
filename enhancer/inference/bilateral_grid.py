"""A bilateral grid of affine colour maps, fitted in closed form to a small photo and its edit.

The grid has cells in space and in luminance. In each, an affine map of colour is fitted to the
pixels of the small pair that fall into it, so that a dark wall and the bright window beside it have
maps of their own however close they lie, and what a weak network does unevenly to a wall is
averaged out. A pixel of the full-size photo takes its map from between the eight cells around its
place and luminance.
References:
    Chen, Adams, Wadhwa and Hasinoff, "Bilateral Guided Upsampling", SIGGRAPH Asia 2016 (the fit;
        here with blurred moments instead of a smoothness term, which needs no solver).
    Gharbi et al., "Deep Bilateral Learning for Real-Time Image Enhancement", SIGGRAPH 2017 (the
    slicing).
"""

import cv2
import numpy as np

CELL_SIDE = 20
"""Of a cell, in pixels of the small photo."""
NUM_BINS = 24
"""Cells in luminance from black to white."""
RIDGE = 1e-5
"""On the colour covariance in a cell, in squared [0, 1] units: below a contrast of 0.3 % the gain
in luminance decides."""
_BLURS = ((0.8, 0.8, 1.0), (6.0, 4.0, 1e-3))
"""Standard deviations in space and in luminance, in cells, and weight: a cell that few pixels fell
into takes the rest of its evidence from the wider one."""
_EVERYWHERE = 1e-6
_MAX_GAIN = 4.0
_DARKEST = 1e-6
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
_APPEND_ONE = np.eye(4, dtype=np.float32)
_PRODUCTS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


def fit_grid(low_input: np.ndarray, low_output: np.ndarray) -> np.ndarray:
    """Fit `output[o] = sum of maps[o, i] * input[i] over the colours i + maps[o, 3]` in every cell.

    Where a cell's colours hardly differ, the fit does not say how the edit changes contrast: a
    ridge pulls the matrix to the gain in luminance (and not to zero, as in a guided filter, which
    would smooth texture and noise away).

    Args:
        low_input, low_output: float32 `(h, w, 3)`, about [0, 1].

    Returns:
        The maps, float32 `(3, rows, columns, bins, 4)`: output channel, cell, coefficients of red,
        green, blue and offset.
    """
    moments = _moments(low_input, low_output)
    means = moments[1:] / moments[0]
    mean_x, mean_y = means[:3], means[3:6]
    covariance_xx = np.empty((*means.shape[1:], 3, 3))
    for mean, (i, j) in zip(means[6:12], _PRODUCTS, strict=True):
        covariance_xx[..., i, j] = covariance_xx[..., j, i] = mean - mean_x[i] * mean_x[j]
    covariance_xy = means[12:].reshape(3, 3, *means.shape[1:]) - mean_x[:, None] * mean_y[None]
    gain = np.tensordot(_LUMINANCE, mean_y, 1)
    gain = gain / np.maximum(np.tensordot(_LUMINANCE, mean_x, 1), _DARKEST)
    gain = np.clip(gain, 1 / _MAX_GAIN, _MAX_GAIN)
    ridge = RIDGE * np.eye(3)
    right = np.moveaxis(covariance_xy, (0, 1), (-2, -1)) + gain[..., None, None] * ridge
    matrix = np.moveaxis(np.linalg.solve(covariance_xx + ridge, right), (-1, -2), (0, 1))
    maps = np.empty((3, *means.shape[1:], 4), np.float32)
    maps[..., :3] = np.moveaxis(matrix, 1, -1)
    maps[..., 3] = mean_y - (matrix * mean_x).sum(axis=1)
    return maps


def slice_grid(
    maps: np.ndarray, pixels: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> list[np.ndarray]:
    """Interpolate the maps at pixels of a large photo and apply them.

    Args:
        maps: of `fit_grid`, or these times a number, by which the result is then multiplied.
        pixels: float32 `(rows, columns, 3)`, [0, 1].
        rows, columns: their places in the photo, [0, 1] from its first to its last pixel.

    Returns:
        Red, green and blue of the edited pixels, float32 `(rows, columns)` each, not clipped.
    """
    grid_rows, grid_columns, bins = maps.shape[1:4]
    place = rows * (grid_rows - 1)
    above = np.minimum(place.astype(np.intp), grid_rows - 2)
    weight = (place - above).astype(np.float32)[:, None, None, None]
    # For each row of the photo a picture of bins x columns; they are stacked, so that one look-up
    # serves all rows.
    first_bin = bins * np.arange(len(rows), dtype=np.float32)[:, None]
    depth = first_bin + np.clip(pixels @ _LUMINANCE, 0, 1) * np.float32(bins - 1)
    across = np.ascontiguousarray(
        np.broadcast_to((columns * (grid_columns - 1)).astype(np.float32), depth.shape)
    )
    homogeneous = cv2.transform(pixels, _APPEND_ONE)
    edited = []
    for plane in maps:
        lines = plane[above] + weight * (plane[above + 1] - plane[above])
        stack = np.ascontiguousarray(np.swapaxes(lines, 1, 2)).reshape(
            len(rows) * bins, grid_columns, 4
        )
        at_pixels = cv2.remap(stack, across, depth, cv2.INTER_LINEAR)
        cv2.multiply(at_pixels, homogeneous, dst=at_pixels)
        edited.append(cv2.transform(at_pixels, np.ones((1, 4), np.float32)))
    return edited


def _moments(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weighted sums over each cell's pixels of 1, x, y, x xT, x yT: `(22, rows, columns, bins)`."""
    height, width = x.shape[:2]
    shape = (*(max(2, round(side / CELL_SIDE) + 1) for side in (height, width)), NUM_BINS)
    row = np.rint(np.linspace(0, shape[0] - 1, height)).astype(np.intp)
    column = np.rint(np.linspace(0, shape[1] - 1, width)).astype(np.intp)
    depth = np.clip(x @ _LUMINANCE, 0, 1) * (NUM_BINS - 1)
    below = np.minimum(depth.astype(np.intp), NUM_BINS - 2)
    weight_above = (depth - below).ravel()
    cell = ((row[:, None] * shape[1] + column) * NUM_BINS + below).ravel()

    x_planes, y_planes = (np.ascontiguousarray(picture.reshape(-1, 3).T) for picture in (x, y))
    ones = np.ones_like(weight_above)
    factors = [(ones, ones), *((ones, plane) for plane in (*x_planes, *y_planes))]
    factors += [(x_planes[i], x_planes[j]) for i, j in _PRODUCTS]
    factors += [(x_planes[i], y_planes[o]) for i in range(3) for o in range(3)]
    moments = np.empty((len(factors), *shape))
    for moment, (a, b) in zip(moments, factors, strict=True):
        plane = a * b
        above = plane * weight_above
        total = np.bincount(cell, plane - above, moment.size)
        total[1:] += np.bincount(cell, above, moment.size)[:-1]
        moment[:] = _blurred(total.reshape(shape))
    return moments


def _blurred(total: np.ndarray) -> np.ndarray:
    bins = np.arange(NUM_BINS)
    result = np.full_like(total, _EVERYWHERE * total.mean())
    for in_space, in_luminance, share in _BLURS:
        kernel = np.exp(-0.5 * np.square((bins[:, None] - bins) / in_luminance))
        result += share * cv2.GaussianBlur(total, (0, 0), in_space) @ (kernel / kernel.sum(axis=0))
    return result
