"""Tile by tile, a network answers as it would to the whole photo."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from enhancer.inference.tiled_inference import TiledInference
from enhancer.inference.tiles import edit_in_tiles
from enhancer.network.restormer import Restormer

REACH = 69
"""How far a pixel of `NANO` sees, in pixels: the radius of every 3x3 filter on the way, times the reduction of its level."""
REACH_OF_FOLDED_PIXELS = REACH + 7


@pytest.fixture(scope="module")
def network(nano) -> Restormer:
    """A network whose attention differs from photo to photo: at the temperatures that a training starts with it hardly does."""
    keras.utils.set_random_seed(0)
    model = Restormer(nano)
    for variable in model.trainable_variables:
        if "temperature" in variable.path:
            variable.assign(5 * variable.value)
    model.output_conv.kernel.assign(model.output_conv.kernel.value / 2)  # no pixel is clipped
    return model


@pytest.fixture(scope="module")
def tiled(network) -> TiledInference:
    return TiledInference(network)


def photo_of(height: int, width: int, dtype=np.uint16) -> np.ndarray:
    """Dark on the left, bright on the right, so that parts of it have other statistics than the whole."""
    rng = np.random.default_rng(1)
    light = np.linspace(0.1, 0.9, width)[:, None] * np.array([1.0, 0.8, 0.6])
    return (
        (light + rng.normal(0, 0.03, (height, width, 3))).clip(0, 1) * np.iinfo(dtype).max
    ).astype(dtype)


def untiled_answer(network: Restormer, photo: np.ndarray, context: int = 0) -> np.ndarray:
    """What the network makes of the whole photo at once, in the photo's type; with `context` the photo is continued by reflection."""
    peak = np.iinfo(photo.dtype).max
    weights = [variable.value for variable in network.trainable_variables]
    x = (photo[None] / peak).astype("float32")

    @jax.jit
    def answer(x):
        if not context:
            return network.stateless_call(weights, [], x)[0][0]
        _, attention = network.stateless_call(weights, [], x, return_attention=True)[0]
        margins = ((0, 0), (context, context), (context, context), (0, 0))
        continued = jnp.pad(x, margins, mode="reflect")
        edited = network.stateless_call(weights, [], continued, attention=attention)[0]
        return edited[0, context:-context, context:-context]

    return np.rint(np.clip(answer(x), 0, 1) * peak).astype(photo.dtype)


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Absolute, in levels of 255."""
    return np.abs(a.astype(float) - b) / (np.iinfo(a.dtype).max / 255)


def test_with_an_overlap_as_wide_as_the_network_sees_nothing_differs_from_the_untiled_network(
    network, tiled
):
    """A quarter of the overlap is context."""
    photo, overlap = photo_of(80, 900), 4 * (REACH_OF_FOLDED_PIXELS // 8 + 1) * 8
    edited = tiled.enhance(photo, photo, tile=2 * overlap, overlap=overlap)
    untiled = untiled_answer(network, photo, context=overlap // 4)
    assert difference(untiled, photo).mean() > 5  # there is something to get wrong
    np.testing.assert_allclose(edited.astype(int), untiled, atol=2)  # of 65535


def test_a_small_overlap_leaves_no_seam_where_tiles_with_statistics_of_their_own_leave_one(
    network, tiled
):
    photo = photo_of(120, 248)
    untiled = untiled_answer(network, photo, context=8)
    shared = tiled.enhance(photo, photo, tile=64, overlap=32)
    weights = [variable.value for variable in network.trainable_variables]
    alone = jax.jit(lambda x: network.stateless_call(weights, [], x)[0])
    naive = edit_in_tiles(photo, lambda x: np.asarray(alone(x)), tile=64, overlap=32)
    assert difference(naive, untiled).max() > 10
    assert difference(shared, untiled).max() < difference(naive, untiled).max() / 10
    assert difference(shared, untiled).mean() < 0.1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_one_tile_without_overlap_is_the_network_itself(network, tiled, dtype):
    photo = photo_of(13, 21, dtype)
    edited = tiled.enhance(photo, photo, overlap=0)
    assert edited.dtype == dtype
    np.testing.assert_allclose(edited.astype(int), untiled_answer(network, photo), atol=1)


def test_the_look_at_the_whole_photo_may_be_of_any_type(tiled):
    photo = photo_of(16, 24, np.uint8)
    looks = (photo, photo.astype(np.uint16) * 257, photo.astype(np.float32) / 255)
    first, *others = (tiled.enhance(photo, look) for look in looks)
    for other in others:
        np.testing.assert_array_equal(first, other)


def test_photos_of_several_sizes_share_one_compilation(network):
    tiled, low_input = TiledInference(network), photo_of(16, 24)
    progress = []
    for size in ((56, 72), (62, 57), (93, 56)):
        photo = photo_of(*size)
        tiled.enhance(
            photo,
            low_input,
            tile=64,
            overlap=16,
            batch=2,
            on_progress=lambda *now: progress.append(now),
        )
    assert progress == [(2, 2), (2, 4), (4, 4), (2, 2)]
    assert tiled._edit._cache_size() == 1


def test_new_weights_are_used_at_the_next_call(nano):
    model = Restormer(nano)
    tiled, photo = TiledInference(model), photo_of(16, 24)
    assert not np.array_equal(tiled.enhance(photo, photo), photo)
    model.output_conv.kernel.assign(np.zeros(model.output_conv.kernel.shape))
    np.testing.assert_array_equal(tiled.enhance(photo, photo), photo)


def test_a_model_that_failed_in_training_is_named(nano):
    model = Restormer(nano)
    model.output_conv.kernel.assign(np.full(model.output_conv.kernel.shape, np.nan))
    with pytest.raises(ValueError, match="train it again"):
        TiledInference(model).enhance(photo_of(16, 24), photo_of(16, 24))


def test_a_network_without_channel_attention_is_refused():
    with pytest.raises(ValueError, match="attention of a Restormer, received a Sequential"):
        TiledInference(keras.Sequential([keras.layers.Dense(3)]))
