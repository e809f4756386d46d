"""The network's shape, sizes, padding, saving and options."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from enhancer.config import MODEL_SIZES, ModelConfig
from enhancer.network import blocks, layers
from enhancer.network.blocks import TransformerBlocks
from enhancer.network.restormer import Restormer, _reflect, pixel_shuffle, pixel_unshuffle
from enhancer.network.retouch import NUM_NUMBERS


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).random((1, height, width, 3), dtype=np.float32)


@functools.cache
def _program(config: ModelConfig, remat: str, dtype: str):
    """Compiled as a whole, once for all networks of a shape."""
    model = Restormer(config, remat=remat, dtype=dtype)
    return jax.jit(lambda weights, x: model.stateless_call(weights, [], x)[0])


def run(model: Restormer, x: np.ndarray) -> np.ndarray:
    program = _program(model.config, model.remat, model.dtype_policy.name)
    return np.asarray(program([v.value for v in model.trainable_variables], x))


def with_random_weights(model: Restormer) -> Restormer:
    """All weights random, so that no bias or scale is left at a value that hides an error."""
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        noise = rng.standard_normal(variable.shape).astype("float32")
        variable.assign(variable.value + 0.1 * noise)
    return model


def test_base_has_the_26_1_million_parameters_of_the_paper():
    assert Restormer(MODEL_SIZES["base"]).count_params() == pytest.approx(26.1e6, rel=2e-3)


def test_odd_sizes_are_padded_by_reflection_and_cropped(nano):
    model, small = Restormer(nano), picture(13, 15)
    padded = np.pad(small, ((0, 0), (0, 3), (0, 1), (0, 0)), mode="reflect")
    assert run(model, small).shape == small.shape
    np.testing.assert_allclose(run(model, small), run(model, padded)[:, :13, :15], atol=1e-6)


@pytest.mark.parametrize("length", [1, 3, 8, 17])
def test_any_length_is_padded_to_a_multiple_of_eight(length):
    x = np.arange(length, dtype="float32").reshape(1, length, 1, 1)
    padded = np.asarray(_reflect(x, 1))
    assert padded.shape[1] % 8 == 0
    np.testing.assert_array_equal(padded[:, :length], x)
    if length > 1:
        np.testing.assert_array_equal(padded[:, length : length + 1], x[:, -2:-1][:, : -length % 8])


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_zero_output_convolution_leaves_the_input_to_the_bit(nano, dtype):
    """Near white bfloat16's neighbours are 1/256 apart: the photo itself must never be rounded."""
    model, x = Restormer(nano, dtype=dtype), picture(16, 16)
    assert np.abs(np.asarray(jnp.asarray(x).astype("bfloat16")) - x).max() > 0.4 / 255
    model.output_conv.kernel.assign(np.zeros(model.output_conv.kernel.shape))
    np.testing.assert_array_equal(run(model, x), x)


def test_retouching_network_begins_with_one_edit_for_all_places(nano):
    model = Restormer(dataclasses.replace(nano, base="retouch"))
    answer = jax.jit(lambda w, x: model.stateless_call(w, [], x, retouch_only=True)[0])
    found = answer([v.value for v in model.trainable_variables], picture(16, 24))
    assert found.numbers.shape == (1, NUM_NUMBERS)
    assert not np.any(found.grid)


@pytest.mark.parametrize(
    "options",
    [{}, {"norm": "with_bias", "conv_bias": True}, {"base": "retouch"}],
    ids=["paper", "biases", "retouch"],
)
def test_saved_and_loaded_model_is_identical(nano, tmp_path, options):
    model = with_random_weights(Restormer(dataclasses.replace(nano, **options), remat="block"))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.config == model.config
    assert loaded.remat == "block"
    assert model.weights
    for a, b in zip(loaded.weights, model.weights, strict=True):
        assert a.path == b.path
        np.testing.assert_array_equal(a, b)


def test_rematerialised_blocks_change_no_gradient(nano):
    def gradients(remat):
        keras.utils.set_random_seed(0)
        blocks = TransformerBlocks(4, 2, 1, nano, remat=remat)
        blocks.build((None, None, None, 4))
        weights = [v.value for v in blocks.trainable_variables]
        x = np.random.default_rng(0).random((1, 8, 8, 4), dtype="float32")
        gradient = jax.grad(lambda w: (blocks.stateless_call(w, [], x)[0] ** 2).sum())
        assert ("prevent_cse" in str(jax.make_jaxpr(gradient)(weights))) == (remat == "block")
        return jax.jit(gradient)(weights)

    for a, b in zip(gradients("none"), gradients("block"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_strips_and_plain_layers_are_one_network(nano):
    """Two blocks to a group, so that their order matters."""
    shape = dataclasses.replace(nano, num_blocks=(2, 1, 1, 2))
    in_strips, x = with_random_weights(Restormer(shape)), picture(16, 24)
    expected = run(in_strips, x)
    with blocks.formulated_for_accelerators():
        plain = Restormer(shape)
        weights = [v.value for v in in_strips.trainable_variables]
        edited = jax.jit(lambda w, x: plain.stateless_call(w, [], x)[0])(weights, x)
    assert np.abs(expected - x).max() > 0.05
    np.testing.assert_allclose(edited, expected, atol=1e-5)


def test_same_seed_gives_the_same_weights(nano):
    def weights():
        keras.utils.set_random_seed(3)
        return Restormer(nano).get_weights()

    for a, b in zip(weights(), weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_projection_bias_stays_off_the_zero_border():
    """With biases the fast formulation must still project with bias, then pad, then filter."""
    rng = np.random.default_rng(2)
    shapes = ((1, 5, 6, 3), (3, 4), (3, 3, 4))
    x, projection, kernel = (rng.standard_normal(shape).astype("float32") for shape in shapes)
    bias, kernel_bias = rng.standard_normal((2, 4)).astype("float32")
    padded = np.pad(x @ projection + bias, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = kernel_bias + sum(
        padded[:, i : i + 5, j : j + 6] * kernel[i, j] for i in range(3) for j in range(3)
    )
    found = layers.projected_depthwise(x, projection, kernel, bias, kernel_bias)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_pixel_shuffle_undoes_pixel_unshuffle():
    x = picture(4, 6)
    np.testing.assert_array_equal(pixel_shuffle(pixel_unshuffle(x)), x)


def test_mixed_precision_keeps_weights_in_float32_and_stays_close(nano):
    full, mixed = Restormer(nano), Restormer(nano, dtype="mixed_bfloat16")
    mixed.set_weights(full.get_weights())
    assert {v.dtype for v in mixed.trainable_variables} == {"float32"}
    output = run(mixed, picture(16, 16))
    assert output.dtype == "float32"
    np.testing.assert_allclose(output, run(full, picture(16, 16)), atol=0.05)


def test_mixed_precision_does_not_round_norms_and_temperatures(nano, monkeypatch):
    """1.001 is 1 in bfloat16."""
    model, seen = Restormer(nano, dtype="mixed_bfloat16"), []

    def record(name, position):
        original = getattr(blocks, name)

        def recording(*arguments):
            seen.extend(jax.tree.leaves(arguments[position]))
            return original(*arguments)

        monkeypatch.setattr(blocks, name, recording)

    record("attention_statistics_in_strips", 1)
    record("add_gated_feed_forward_in_strips", 1)
    record("folded_attention", 3)
    weights = [v.value for v in model.trainable_variables]
    jax.eval_shape(lambda w: model.stateless_call(w, [], picture(16, 16))[0], weights)
    assert len(seen) >= 3 * 8  # groups of blocks
    assert {x.dtype for x in seen} == {jnp.dtype("float32")}


@pytest.mark.parametrize("shape", [(2, 6, 5, 3), (1, 1, 1, 3)])
def test_unfolded_convolution_equals_the_library_convolution(shape):
    rng = np.random.default_rng(0)
    x, kernel = (rng.standard_normal(s).astype("float32") for s in (shape, (3, 3, 3, 4)))
    expected = keras.ops.conv(x, kernel, padding="same")
    np.testing.assert_allclose(layers.unfolded_convolution(x, kernel), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 5}, "dim must be even"),
        ({"num_heads": (3, 1, 1, 1)}, "3 heads do not divide 4 channels"),
        ({"num_blocks": (0, 1, 1, 1)}, "num_blocks must lie in"),
        ({"num_blocks": (1, 1, 1)}, "four levels"),
        ({"norm": "BiasFree"}, "norm must be"),
        ({"base": "auto"}, "base must be"),
        ({"base": "retouch", "channels": 1}, "base 'retouch' takes 3 channels"),
    ],
)
def test_impossible_shapes_are_refused(nano, change, message):
    with pytest.raises(ValueError, match=message):
        Restormer(dataclasses.replace(nano, **change))


def test_symbolic_inputs_of_unknown_size_make_a_functional_model(nano):
    model, symbolic = Restormer(nano), keras.Input((None, None, 3))
    functional = keras.Model(symbolic, model(symbolic))
    assert functional.output_shape == (None, None, None, 3)
    x, weights = picture(16, 16), [v.value for v in functional.trainable_variables]
    predicted = jax.jit(lambda weights, x: functional.stateless_call(weights, [], x)[0])(weights, x)
    np.testing.assert_allclose(predicted, run(model, x), atol=1e-6)
