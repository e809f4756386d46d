"""Photos of any size come back edited at their own size."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest

from enhancer.inference.enhancer import Enhancer
from enhancer.inference.forward_pass import ForwardPass
from enhancer.inference.sizes import MARGIN, bucket, padded_size
from enhancer.network.restormer import Restormer
from enhancer.network.trained import CheckpointError
from tests.helpers.lift import photo_of
from tests.helpers.saved_run import save_run


@pytest.fixture(scope="module")
def restormer(nano) -> Restormer:
    keras.utils.set_random_seed(0)
    model = Restormer(nano)
    model.build((None, None, None, 3))
    return model


def lifted(photo: np.ndarray) -> np.ndarray:
    return np.rint((photo / 255.0) ** 0.8 * 255).astype(np.uint8)


def test_a_photo_that_fits_is_what_the_network_answers(lift):
    photo = photo_of(40, 60)
    np.testing.assert_allclose(Enhancer(lift, 64).enhance(photo).astype(int), lifted(photo), atol=1)


@pytest.mark.parametrize("size", [(300, 450), (450, 300), (257, 511)])
def test_a_larger_photo_is_edited_at_its_full_size(lift, size):
    photo = photo_of(*size)
    result = Enhancer(lift, 128).enhance(photo)
    assert (result.shape, result.dtype) == (photo.shape, np.uint8)
    difference = result.astype(int) - lifted(photo)
    assert 10 * np.log10(255**2 / np.mean(difference**2)) >= 40


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (1, 8), (1, 300), (300, 1), (2, 5000)])
def test_the_smallest_and_thinnest_photos_work(lift, size):
    assert Enhancer(lift, 64).enhance(np.full((*size, 3), 90, np.uint8)).shape == (*size, 3)


def test_the_network_sees_the_short_side_at_its_working_size_and_panoramas_bounded(
    lift, monkeypatch
):
    seen = []
    enhancer = Enhancer(lift, 100)
    answer = ForwardPass.__call__
    monkeypatch.setattr(
        ForwardPass,
        "__call__",
        lambda self, x: seen.append(x.shape[1:]) or answer(self, x),
    )
    enhancer.enhance(photo_of(200, 300))
    enhancer.enhance(photo_of(800, 200))
    enhancer.enhance(photo_of(50, 30))
    assert seen == [(*padded_size(*size), 3) for size in ((100, 150), (200, 50), (50, 30))]


def test_sizes_of_one_bucket_are_compiled_once(lift):
    enhancer = Enhancer(lift, 128)
    for size in ((98, 122), (104, 128), (97, 121), (104, 124)):
        enhancer.enhance(photo_of(*size))
    assert lift.compiled_shapes == [(1, 104 + 2 * MARGIN, 128 + 2 * MARGIN, 3)]


def test_a_second_photo_of_a_shape_compiles_nothing(lift):
    enhancer = Enhancer(lift, 64)
    enhancer.enhance(photo_of(300, 450))
    compiled = enhancer.compiled_shapes
    enhancer.enhance(photo_of(300, 450))
    enhancer.enhance(photo_of(600, 901))
    assert enhancer.compiled_shapes == compiled == ((1, 64 + 2 * MARGIN, 96 + 2 * MARGIN, 3),)


@pytest.mark.parametrize("size", [(1, 1), (100, 400), (450, 100), (2, 180), (37, 41), (500, 565)])
def test_an_enhancer_that_keeps_to_its_sizes_compiles_nothing_for_any_shape(lift, size):
    enhancer = Enhancer(lift, 64)
    enhancer.warm_up(keep_to_these=True)
    compiled = enhancer.compiled_shapes
    assert enhancer.enhance(photo_of(*size)).shape == (*size, 3)
    assert enhancer.compiled_shapes == compiled


def test_keeping_to_the_sizes_changes_no_photo_of_usual_shape(lift):
    bounded, free, photo = Enhancer(lift, 64), Enhancer(lift, 64), photo_of(200, 300)
    bounded.warm_up(keep_to_these=True)
    np.testing.assert_array_equal(bounded.enhance(photo), free.enhance(photo))


def test_after_warming_up_usual_photos_compile_nothing(lift):
    enhancer = Enhancer(lift, 64)
    progress = []
    enhancer.warm_up(lambda done, total: progress.append((done, total)))
    assert progress == [(done, 7) for done in range(8)]
    traced = len(lift.compiled_shapes)
    for short, long in [(200, 300), (240, 320), (180, 320), (200, 200), (197, 297)]:
        enhancer.enhance(photo_of(short, long))
        enhancer.enhance(photo_of(long, short))
    assert len(lift.compiled_shapes) == traced


def test_photos_of_one_bucket_pass_the_network_together(lift):
    enhancer = Enhancer(lift, 64, batch_size=2)
    photos = [photo_of(*size) for size in ((40, 60), (60, 40), (39, 59), (40, 58), (300, 450))]
    results = enhancer.enhance_many(photos)
    assert sorted(shape[0] for shape in enhancer.compiled_shapes) == [1, 1, 1, 2]
    for photo, result in zip(photos, results, strict=True):
        assert result.shape == photo.shape
        np.testing.assert_allclose(result.astype(int), lifted(photo), atol=3)


def test_the_border_is_edited_as_the_rest_is():
    """A convolution sees black beyond its picture, so the network is given a picture that goes on
    beyond the photo."""
    blur = keras.Sequential(
        [keras.layers.DepthwiseConv2D(5, padding="same", depthwise_initializer="ones")]
    )
    blur.build((None, None, None, 3))
    photo = np.full((32, 40, 3), 5, np.uint8)
    np.testing.assert_array_equal(Enhancer(blur, 64).enhance(photo), 25 * photo)


def test_sixteen_bits_stay_sixteen_bits(lift):
    photo = photo_of(300, 450).astype(np.uint16) * 257 + 100
    result = Enhancer(lift, 128).enhance(photo)
    assert (result.shape, result.dtype) == (photo.shape, np.uint16)
    difference = result / 65535 - (photo / 65535) ** 0.8
    assert 10 * np.log10(1 / np.mean(difference**2)) >= 40
    assert len(np.unique(result)) > 256


@pytest.mark.parametrize("size", [(40, 60), (300, 450)])
def test_strength_blends_photo_and_edit(lift, size):
    enhancer, photo = Enhancer(lift, 64), photo_of(*size)
    whole = enhancer.enhance(photo)
    np.testing.assert_array_equal(enhancer.enhance(photo, strength=0), photo)
    half = enhancer.enhance(photo, strength=0.5)
    np.testing.assert_allclose(half, (photo.astype(float) + whole) / 2, atol=1.01)


def test_an_edit_can_be_applied_at_several_strengths_without_the_network(lift):
    enhancer, photo = Enhancer(lift, 64), photo_of(300, 450)
    edit = enhancer.find_edit(photo)
    lift.gain.assign(0.0)
    assert edit.apply(photo).mean() > edit.apply(photo, 0.5).mean() > photo.mean()


class Tint(keras.Model):
    """An edit that tints grey."""

    def call(self, x):
        return x * keras.ops.array([0.9, 0.8, 1.0])


@pytest.mark.parametrize("size", [(48, 64), (300, 450)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_black_and_white_photo_stays_black_and_white(size, dtype):
    grey = np.repeat(photo_of(*size)[..., :1], 3, axis=-1).astype(dtype)
    grey *= dtype(np.iinfo(dtype).max // 255)
    tint = Tint()
    tint.build((None, None, None, 3))
    edited = Enhancer(tint, 64).enhance(grey)
    assert edited.mean() < 0.9 * grey.mean()
    assert np.ptp(edited, axis=-1).max() <= 1  # a step of rounding


def test_buckets_are_few_and_add_little():
    lengths = {side: bucket(side) for side in range(1, 897)}
    assert all(length % 8 == 0 and length >= side for side, length in lengths.items())
    assert all(length - side < max(8, side / 12) for side, length in lengths.items())
    assert len(set(lengths.values())) <= 50
    assert {lengths[side] for side in (512, 640, 768, 896)} == {512, 640, 768, 896}


def test_new_weights_are_used_at_the_next_call(lift):
    enhancer = Enhancer(lift, 64)
    before = enhancer.enhance(photo_of(32, 32))
    lift.gain.assign(0.5)
    np.testing.assert_allclose(enhancer.enhance(photo_of(32, 32)).astype(int), before / 2, atol=1)


def test_threads_may_share_an_enhancer(lift):
    enhancer = Enhancer(lift, 64)
    photos = [np.full((size, 2 * size, 3), size, np.uint8) for size in (20, 40, 60, 80, 100, 120)]
    with ThreadPoolExecutor(len(photos)) as pool:
        results = list(pool.map(enhancer.enhance, photos))
    for photo, result in zip(photos, results, strict=True):
        np.testing.assert_allclose(result.astype(int), lifted(photo), atol=1)


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        ("kitchen.jpg", "NumPy array, received str"),
        (np.zeros((4, 4, 3)), "uint8 or uint16, received float64"),
        (np.zeros((4, 4), np.uint8), r"\(height, width, 3\).*received \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"received \(4, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), "at least one pixel"),
    ],
)
def test_what_is_no_photo_is_refused(lift, photo, message):
    with pytest.raises(ValueError, match=message):
        Enhancer(lift, 64).enhance(photo)


def test_a_model_that_failed_in_training_is_named(lift):
    lift.gain.assign(float("nan"))
    with pytest.raises(ValueError, match="train it again"):
        Enhancer(lift, 64).enhance(photo_of(16, 16))


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan")])
def test_a_strength_that_is_no_part_of_an_edit_is_refused(lift, strength):
    with pytest.raises(ValueError, match=f"between 0 and 1, received {strength}"):
        Enhancer(lift, 64).enhance(photo_of(16, 16), strength=strength)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, restormer) -> Path:
    return save_run(tmp_path_factory.mktemp("run"), restormer, resolution=48)


@pytest.mark.parametrize("stage", ["", "finetune"])
def test_loading_a_run_or_one_of_its_stages(workdir, restormer, stage):
    enhancer = Enhancer.load(str(workdir / stage))
    assert enhancer.working_size == 48
    assert "finetune" in enhancer.description
    loaded = [np.asarray(variable) for variable in enhancer.model.trainable_variables]
    np.testing.assert_equal(
        loaded, [np.asarray(variable) for variable in restormer.trainable_variables]
    )


def test_a_folder_without_a_model_says_what_is_wanted(tmp_path):
    with pytest.raises(CheckpointError, match="holds no trained model; name the folder of a run"):
        Enhancer.load(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere does not exist"):
        Enhancer.load(tmp_path / "nowhere")


def test_a_run_that_was_stopped_before_fine_tuning_says_what_it_has(tmp_path):
    (tmp_path / "pretrain" / "checkpoints").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"no fine-tuned model \(but pretrain\)"):
        Enhancer.load(tmp_path)
