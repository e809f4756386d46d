"""The edit of a reduced photo arrives at the photo's own pixels."""

import tracemalloc

import cv2
import numpy as np
import pytest

from enhancer.inference import edit as edit_module
from enhancer.inference.edit import transfer_edit


def scene(height: int, width: int) -> np.ndarray:
    """A dark room with a bright window, furniture edges, fine texture and sensor noise; uint8."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    light = 0.12 + 0.35 * np.exp(-((x - 0.6) ** 2 + (y - 0.4) ** 2) / 0.15)
    picture = light[..., None] * np.array([1.0, 0.93, 0.82])
    rows, columns = (
        slice(int(a * n), int(b * n)) for a, b, n in ((0.2, 0.55, height), (0.5, 0.75, width))
    )
    picture[rows, columns] = [0.86, 0.93, 0.97]
    picture[int(0.7 * height) :, int(0.1 * width) : int(0.4 * width)] *= [0.8, 0.5, 0.35]
    picture *= 1 + 0.08 * np.sin(x * width / 3)[..., None] * (y[..., None] > 0.6)
    return np.clip(255 * picture + generator.normal(0, 1.5, picture.shape), 0, 255).astype(np.uint8)


def lift(x: np.ndarray) -> np.ndarray:
    """Lifted shadows, warmer, with a gain that grows to the right; float32 in [0, 1]."""
    gain = np.linspace(1.0, 1.25, x.shape[1], dtype=np.float32)[None, :, None]
    return np.clip(x**0.7 * gain * np.array([1.04, 1.0, 0.94], np.float32), 0, 1)


def look(x: np.ndarray) -> np.ndarray:
    """Contrast, and more colour."""
    x = x + 0.5 * (x * x * (3 - 2 * x) - x)
    grey = x.mean(axis=-1, keepdims=True)
    return np.clip(grey + 1.3 * (x - grey), 0, 1)


def reduced(picture: np.ndarray, width: int) -> np.ndarray:
    size = (width, round(picture.shape[0] * width / picture.shape[1]))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def unit(photo: np.ndarray) -> np.ndarray:
    return photo.astype(np.float32) / np.iinfo(photo.dtype).max


def psnr_db(prediction: np.ndarray, truth: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((unit(prediction) - truth) ** 2)))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return scene(1400, 2100)


@pytest.mark.parametrize(("edit", "least_db"), [(lift, 48.0), (look, 48.0)])
def test_a_known_edit_arrives_at_full_resolution(photo, edit, least_db):
    truth = edit(unit(photo))
    result = transfer_edit(photo, reduced(photo, 700), reduced(truth, 700))
    assert result.shape == photo.shape
    assert result.dtype == np.uint8
    assert psnr_db(result, truth) >= least_db


def test_no_wide_halo_at_a_window_frame(photo):
    truth = lift(unit(photo))
    result = transfer_edit(photo, reduced(photo, 700), reduced(truth, 700))
    frame = int(0.5 * photo.shape[1])
    wall = np.s_[int(0.25 * 1400) : int(0.5 * 1400), frame - 40 : frame]
    error = np.abs((unit(result[wall]) - truth[wall]).mean(axis=0)).mean(axis=-1)
    columns_off = np.flatnonzero(error > 0.02)
    assert columns_off.size == 0 or 40 - columns_off[0] <= 4


def test_noise_grows_with_the_tone_curves_slope_more_than_with_brightness():
    """A square root makes this wall 2.2 times as bright and its noise 1.1 times as strong;
    multiplying would do 2.2 to both."""
    generator = np.random.default_rng(1)
    wall = np.full((800, 1200, 3), 40.0) + np.linspace(0, 30, 1200)[None, :, None]
    wall = np.clip(wall + generator.normal(0, 5, wall.shape), 0, 255).astype(np.uint8)
    truth = unit(wall) ** 0.5
    result = unit(transfer_edit(wall, reduced(wall, 240), reduced(truth, 240)))

    def grain(picture: np.ndarray) -> float:
        return float((picture - cv2.GaussianBlur(picture, (0, 0), 4)).std())

    assert grain(unit(wall)) < grain(result) < 1.3 * grain(truth)


def test_a_networks_pattern_on_a_flat_wall_is_not_enlarged():
    wall = np.full((640, 960, 3), 60, np.uint8)
    checks = 0.02 * (-1) ** np.add.outer(np.arange(160) // 2, np.arange(240) // 2)[..., None]
    result = transfer_edit(
        wall, reduced(wall, 240), np.full((160, 240, 3), 0.4, np.float32) + checks
    )
    assert np.abs(unit(result) - 0.4).max() <= 0.004


def test_no_edit_gives_the_photo_back(photo):
    low = reduced(photo, 700)
    result = transfer_edit(photo, low, unit(low))
    assert np.abs(result.astype(int) - photo.astype(int)).max() <= 1


def test_strength_0_gives_the_photo_and_what_lies_between_is_mixed(photo):
    low = reduced(photo, 300), reduced(lift(unit(photo)), 300)
    np.testing.assert_array_equal(transfer_edit(photo, *low, strength=0.0), photo)
    whole, third = transfer_edit(photo, *low), transfer_edit(photo, *low, strength=1 / 3)
    inside = (whole > 0) & (whole < 255)
    mixture = photo + (whole.astype(np.float32) - photo) / 3
    assert np.abs(third - mixture)[inside].max() <= 1.01


def test_16_bits_stay_16_bits(photo):
    """A gradient of far more than 256 levels keeps them, and agrees with the edit to less than a
    step of 8 bits."""
    ramp = np.linspace(9000, 30000, 1500)[None, :, None] * np.array([1.0, 0.9, 0.8])
    deep = np.broadcast_to(ramp, (400, 1500, 3)).astype(np.uint16)
    truth = unit(deep) ** 0.8
    result = transfer_edit(deep, reduced(deep, 375), reduced(truth, 375))
    assert result.dtype == np.uint16
    assert np.abs(unit(result) - truth).max() <= 0.5 / 255
    assert len(np.unique(result[200, :, 0])) > 1400
    assert (np.diff(result[200, :, 0].astype(int)) >= 0).all()


def test_16_and_8_bits_agree(photo):
    low = reduced(photo, 300), reduced(lift(unit(photo)), 300)
    deep = transfer_edit(photo.astype(np.uint16) * 257, *low)
    assert np.abs(deep / 257 - transfer_edit(photo, *low)).max() <= 0.51


@pytest.mark.parametrize("block_rows", [1, 37, 300])
def test_blocks_do_not_show(photo, monkeypatch, block_rows):
    low = reduced(photo, 300), reduced(lift(unit(photo)), 300)
    expected = transfer_edit(photo, *low)
    monkeypatch.setattr(edit_module, "_BLOCK_ROWS", block_rows)
    difference = np.abs(transfer_edit(photo, *low).astype(int) - expected)
    # Some value in a hundred thousand lies so close to the middle of two steps that float32 may
    # round it to either.
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 1e-5


def test_a_panorama_wider_than_opencv_can_look_up_has_no_seam():
    ramp = np.linspace(40, 200, 40_000)[None, :, None]
    panorama = np.broadcast_to(ramp, (4, 40_000, 3)).astype(np.uint16) * 257
    low = cv2.resize(panorama, (2000, 2), interpolation=cv2.INTER_AREA)
    result = transfer_edit(panorama, low, unit(low) ** 0.8)
    assert np.abs(unit(result) - unit(panorama) ** 0.8).max() <= 0.01
    assert np.abs(np.diff(result[0, :, 0].astype(int))).max() <= 2 * 257


def test_memory_beyond_the_result_does_not_grow_with_the_photo():
    tall = np.full((6000, 2000, 3), 90, np.uint8)
    low = reduced(tall, 100)
    tracemalloc.start()
    try:
        transfer_edit(tall, low, unit(low))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - tall.nbytes <= 24e6  # in float32 the photo would be 144 MB


@pytest.mark.parametrize(
    ("size", "low_size"), [((1, 1), (1, 1)), ((1, 900), (1, 64)), ((900, 1), (64, 1))]
)
def test_the_smallest_and_thinnest_photos_work(size, low_size):
    low = np.full((*low_size, 3), 100, np.uint8)
    result = transfer_edit(
        np.full((*size, 3), 100, np.uint8), low, np.full((*low_size, 3), 0.5, np.float32)
    )
    assert result.shape == (*size, 3)
    assert np.abs(result.astype(int) - 127.5).max() <= 1


@pytest.mark.parametrize("value", [0, 255])
def test_colours_that_the_reduced_photo_does_not_have_stay_in_range(value):
    """A glint or a keyhole smaller than the network's pixels gets a map from its surroundings."""
    dark = np.full((300, 300, 3), 70, np.uint8)
    dark[:, 150:] = 110
    low = reduced(dark, 60)
    dark[100:102, 100:102] = value
    result = transfer_edit(dark, low, np.clip(unit(low) * 1.5, 0, 1))
    assert np.abs(result[100, 100].astype(int) - min(255, round(1.5 * value))).max() <= 8
