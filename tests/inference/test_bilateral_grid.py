"""Affine maps of colour in cells of place and luminance."""

import numpy as np

from enhancer.inference.bilateral_grid import CELL_SIDE, NUM_BINS, fit_grid, slice_grid


def coloured_noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).random((height, width, 3), np.float32)


def test_an_affine_edit_is_found_in_every_cell():
    x = coloured_noise(60, 80)
    matrix = np.array([[0.9, 0.1, 0.0], [0.05, 0.7, 0.1], [0.0, -0.1, 1.1]], np.float32)
    offset = np.array([0.05, 0.0, -0.02], np.float32)
    maps = fit_grid(x, x @ matrix.T + offset)
    assert maps.shape == (3, 4, 5, NUM_BINS, 4)
    np.testing.assert_allclose(
        maps[..., :3], np.broadcast_to(matrix[:, None, None, None], maps[..., :3].shape), atol=0.01
    )
    np.testing.assert_allclose(
        maps[..., 3], np.broadcast_to(offset[:, None, None, None], maps[..., 3].shape), atol=0.01
    )


def test_one_colour_says_how_bright_and_not_how_contrasty_so_contrast_follows_brightness():
    maps = fit_grid(np.full((9, 9, 3), 0.2, np.float32), np.full((9, 9, 3), 0.3, np.float32))
    np.testing.assert_allclose(maps[:, 0, 0, 4, :3], 1.5 * np.eye(3), atol=1e-3)
    np.testing.assert_allclose(maps[:, 0, 0, 4, 3], 0.0, atol=1e-3)


def test_dark_and_bright_side_by_side_have_maps_of_their_own():
    x = np.full((40, 40, 3), 0.1, np.float32)
    x[:, 20:] = 0.9
    y = np.where(x < 0.5, x + 0.3, x)
    pixels = np.array([[[0.1] * 3, [0.9] * 3]], np.float32)
    edited = slice_grid(fit_grid(x, y), pixels, rows=np.array([0.5]), columns=np.array([0.5, 0.5]))
    np.testing.assert_allclose(np.stack(edited, axis=-1)[0], [[0.4] * 3, [0.9] * 3], atol=5e-3)


def test_a_slice_lies_between_eight_cells():
    """Against an interpolation written out; the maps' weights are not rounded to steps, which would
    show as bands."""
    generator = np.random.default_rng(1)
    maps = generator.random((3, 3, 4, NUM_BINS, 4), np.float32)
    pixels = generator.random((2, 5, 3), np.float32)
    rows, columns = generator.random(2), np.sort(generator.random(5))
    edited = slice_grid(maps, pixels, rows, columns)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            place = [
                row * 2,
                column * 3,
                float(pixels[i, j] @ [0.2126, 0.7152, 0.0722]) * (NUM_BINS - 1),
            ]
            at = maps
            for coordinate in place:
                below = int(coordinate)
                at = at[:, below] * (1 - coordinate + below) + at[:, below + 1] * (
                    coordinate - below
                )
            expected = at @ np.append(pixels[i, j], 1)
            np.testing.assert_allclose([channel[i, j] for channel in edited], expected, rtol=1e-4)


def test_cells_grow_in_number_with_the_photo():
    x = coloured_noise(5 * CELL_SIDE, 8 * CELL_SIDE)
    assert fit_grid(x, x).shape == (3, 6, 9, NUM_BINS, 4)
