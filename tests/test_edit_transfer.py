"""The edit of a reduced photo arrives at the photo's own pixels."""

import cv2
import numpy as np
import pytest

from enhancer.edit_transfer import fit_affine, transfer_edit


def scene(height: int, width: int) -> np.ndarray:
    """A dark room with a bright window, furniture edges, fine texture and sensor noise; uint8."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    light = 0.12 + 0.35 * np.exp(-((x - 0.6) ** 2 + (y - 0.4) ** 2) / 0.15)
    picture = light[..., None] * np.array([1.0, 0.93, 0.82])
    picture[int(0.2 * height) : int(0.55 * height), int(0.5 * width) : int(0.75 * width)] = [0.86, 0.93, 0.97]
    picture[int(0.7 * height) :, int(0.1 * width) : int(0.4 * width)] *= [0.8, 0.5, 0.35]
    picture *= 1 + 0.08 * np.sin(x * width / 3)[..., None] * (y[..., None] > 0.6)
    return np.clip(255 * picture + generator.normal(0, 1.5, picture.shape), 0, 255).astype(np.uint8)


def edit(photo: np.ndarray) -> np.ndarray:
    """Lifted shadows, a warmer white balance and a gain that grows to the right; float32 in [0, 1]."""
    x = photo.astype(np.float32) / 255
    gain = np.linspace(1.0, 1.25, photo.shape[1], dtype=np.float32)[None, :, None]
    return np.clip(x**0.7 * gain * np.array([1.04, 1.0, 0.94], np.float32), 0, 1)


def reduced(picture: np.ndarray, width: int) -> np.ndarray:
    size = (width, round(picture.shape[0] * width / picture.shape[1]))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def psnr_db(prediction: np.ndarray, truth: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((prediction.astype(np.float32) / 255 - truth) ** 2)))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return scene(1400, 2100)


def test_a_known_edit_arrives_at_full_resolution(photo):
    truth = edit(photo)
    result = transfer_edit(photo, reduced(photo, 700), reduced(truth, 700))
    assert result.shape == photo.shape
    assert psnr_db(result, truth) >= 38.0


def test_no_wide_halo_at_a_window_frame(photo):
    truth = edit(photo)
    result = transfer_edit(photo, reduced(photo, 700), reduced(truth, 700))
    frame = int(0.5 * photo.shape[1])
    wall = np.s_[int(0.25 * 1400) : int(0.5 * 1400), frame - 40 : frame]
    error = np.abs(result[wall] / 255.0 - truth[wall]).mean((0, 2))
    columns_off = np.flatnonzero(error > 0.03)
    assert columns_off.size == 0 or 40 - columns_off[0] <= 4


def test_no_edit_gives_the_photo_back(photo):
    low = reduced(photo, 700)
    result = transfer_edit(photo, low, low.astype(np.float32) / 255)
    assert np.abs(result.astype(int) - photo.astype(int)).max() <= 1


def test_stripes_do_not_show(photo):
    low_input, low_output = reduced(photo, 300), reduced(edit(photo), 300)
    one_piece = transfer_edit(photo, low_input, low_output, stripe_rows=photo.shape[0])
    striped = transfer_edit(photo, low_input, low_output, stripe_rows=37)
    np.testing.assert_array_equal(striped, one_piece)


def test_flat_areas_follow_the_luminance_gain():
    """Where there is no contrast to fit, a plain guided filter would answer with the mean colour."""
    low_input, low_output = np.full((9, 9, 3), 0.2, np.float32), np.full((9, 9, 3), 0.3, np.float32)
    matrix, offset = fit_affine(low_input, low_output)
    np.testing.assert_allclose(matrix[4, 4], 1.5 * np.eye(3), atol=1e-3)
    np.testing.assert_allclose(offset[4, 4], 0.0, atol=1e-3)


def test_the_fit_solves_its_equations():
    generator = np.random.default_rng(0)
    x, y = generator.random((2, 12, 14, 3), np.float32)
    window = np.s_[4:7, 5:8]
    patch_x, patch_y = x[window].reshape(9, 3).astype(float), y[window].reshape(9, 3).astype(float)
    mean_x, mean_y = patch_x.mean(0), patch_y.mean(0)
    gain = np.clip(mean_y @ [0.2126, 0.7152, 0.0722] / (mean_x @ [0.2126, 0.7152, 0.0722]), 0.25, 4)
    covariance_xx = patch_x.T @ patch_x / 9 - np.outer(mean_x, mean_x)
    covariance_xy = patch_x.T @ patch_y / 9 - np.outer(mean_x, mean_y)
    expected = np.linalg.solve(covariance_xx + 1e-4 * np.eye(3), covariance_xy + 1e-4 * gain * np.eye(3))
    # In a tiling every 3 x 3 window holds the same nine pixels: all fits are equal, and smoothing them changes nothing.
    tiled_x, tiled_y = np.tile(x[window], (5, 5, 1)), np.tile(y[window], (5, 5, 1))
    matrix, _ = fit_affine(tiled_x, tiled_y)
    np.testing.assert_allclose(matrix[7, 7], expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(("size", "low_size"), [((1, 1), (1, 1)), ((1, 900), (1, 64)), ((900, 1), (64, 1))])
def test_the_smallest_and_thinnest_photos_work(size, low_size):
    low = np.full((*low_size, 3), 100, np.uint8)
    result = transfer_edit(np.full((*size, 3), 100, np.uint8), low, np.full((*low_size, 3), 0.5, np.float32))
    assert result.shape == (*size, 3)
    assert np.abs(result.astype(int) - 127.5).max() <= 1


def test_a_float_guide_is_taken_as_unit_range():
    low = np.full((8, 8, 3), 100, np.uint8)
    output = np.full((8, 8, 3), 0.5, np.float32)
    photo = np.full((32, 32, 3), 100, np.uint8)
    np.testing.assert_array_equal(
        transfer_edit(photo, low, output), transfer_edit(photo, low.astype(np.float32) / 255, output)
    )


def test_a_float_photo_is_refused():
    with pytest.raises(ValueError, match="photo must be uint8"):
        transfer_edit(np.zeros((4, 4, 3)), np.zeros((2, 2, 3)), np.zeros((2, 2, 3)))


def test_a_reduced_pair_of_two_sizes_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 2, 3\) and \(2, 3, 3\)"):
        transfer_edit(np.zeros((4, 4, 3), np.uint8), np.zeros((2, 2, 3)), np.zeros((2, 3, 3)))
