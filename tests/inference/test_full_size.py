"""A retouch at a photo's full size is the edit that was trained, and small enough to keep."""

import cv2
import jax
import numpy as np
import pytest

from enhancer.config import ModelConfig
from enhancer.inference.edit_search import load_edit, save_edit
from enhancer.inference.enhancer import Enhancer
from enhancer.inference.full_size import NEUTRAL, PhotoRetouch
from enhancer.network import retouch
from enhancer.network.restormer import Restormer


@pytest.fixture
def edit() -> PhotoRetouch:
    rng = np.random.default_rng(3)
    numbers = rng.normal(0, 0.5, NEUTRAL.numbers.shape).astype("float32")
    return PhotoRetouch(numbers, rng.normal(0, 0.3, NEUTRAL.grid.shape).astype("float32"))


def room(height: int, width: int) -> np.ndarray:
    """Smooth light with edges and grain, uint8."""
    rng = np.random.default_rng(0)
    light = cv2.resize(rng.random((12, 16, 3)).astype("float32"), (width, height))
    light[: height // 3, width // 2 :] = 1
    grain = rng.normal(0, 0.02, light.shape)
    return np.rint(255 * np.clip(light + grain, 0, 1)).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(512, 640), (300, 1600)])  # in one and in two tiles a grid cell
def test_at_full_size_it_is_the_edit_that_was_trained(edit, size, dtype):
    white = np.iinfo(dtype).max
    photo = room(*size).astype(dtype) * dtype(white // 255)
    batch = retouch.Retouch(edit.numbers[None], edit.grid[None])
    expected = jax.jit(retouch.apply)(batch, photo[None].astype("float32") / white)
    difference = np.abs(edit.apply(photo) / white - np.clip(np.asarray(expected[0]), 0, 1))
    assert difference.mean() < 1.5 / 255  # half a step is rounding
    assert np.quantile(difference, 0.999) < 4 / 255


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strength_leads_from_the_photo_to_the_edit(edit, dtype):
    photo = room(40, 60).astype(dtype) * (257 if dtype is np.uint16 else 1)
    whole, half = edit.apply(photo).astype(float), edit.apply(photo, 0.5).astype(float)
    np.testing.assert_array_equal(edit.apply(photo, 0.0), photo)
    assert edit.apply(photo).dtype == dtype
    assert np.abs(half - (photo + whole) / 2).max() <= 1 + np.abs(whole - photo).max() / 200


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 900), (9, 7)])
def test_thin_photos_and_single_pixels_are_edited(edit, size):
    assert edit.apply(np.full((*size, 3), 90, np.uint8)).shape == (*size, 3)


def test_a_kept_edit_is_the_same_edit(edit, tmp_path):
    save_edit(tmp_path / "edit.npz", edit)
    photo = room(30, 50)
    np.testing.assert_array_equal(load_edit(tmp_path / "edit.npz").apply(photo), edit.apply(photo))


@pytest.fixture(scope="module")
def enhancer() -> Enhancer:
    shape = ModelConfig(4, (1, 1, 1, 1), 1, (1, 1, 1, 1), base="retouch")
    model = Restormer(shape)
    generator = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(np.asarray(variable) + generator.normal(0, 0.1, variable.shape))
    return Enhancer(model, 24, batch_size=2)


def test_one_program_serves_photos_of_all_shapes(enhancer, monkeypatch):
    traced, original = [], retouch.apply_to_planes

    def noted(*arguments):
        traced.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(retouch, "apply_to_planes", noted)
    for size in ((60, 90), (90, 60), (20, 200), (8, 8), (300, 400)):
        photo = room(*size)
        edited = enhancer.enhance(photo)
        assert (edited.shape, edited.dtype) == (photo.shape, photo.dtype)
        assert (edited != photo).any()
    assert {shape[1:] for shape in enhancer.compiled_shapes} == {(24, 24, 3)}
    assert len(traced) <= 1


def test_a_black_and_white_photo_stays_one(enhancer):
    grey = np.repeat(room(60, 90)[..., :1], 3, axis=-1)
    assert np.ptp(enhancer.enhance(grey).astype(int), axis=-1).max() <= 1


def test_photos_edited_together_are_edited_alike(enhancer):
    photos = [room(60, 90), room(50, 50), room(30, 70)]
    together = enhancer.enhance_many(photos)
    assert set(enhancer.compiled_shapes) == {(1, 24, 24, 3), (2, 24, 24, 3)}
    for photo, edited in zip(photos, together, strict=True):
        assert np.abs(edited.astype(int) - enhancer.enhance(photo)).max() <= 1
