"""The network's shape, sizes, padding, saving and options."""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from enhancer.config import MODEL_SIZES, ModelConfig
from enhancer.network import blocks, layers
from enhancer.network.blocks import TransformerBlocks
from enhancer.network.development import light_factors
from enhancer.network.restormer import Restormer, pixel_shuffle, pixel_unshuffle


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).random((1, height, width, 3), dtype=np.float32)


def run(model: Restormer, x: np.ndarray) -> np.ndarray:
    """The model's output, compiled as a whole: operation by operation takes many times longer."""
    weights = [v.value for v in model.trainable_variables]
    return np.asarray(jax.jit(lambda w, x: model.stateless_call(w, [], x)[0])(weights, x))


def with_random_weights(model: Restormer) -> Restormer:
    """All weights random, so that no bias or scale is left at a value that hides an error."""
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(
            variable.value + 0.1 * rng.standard_normal(variable.shape).astype("float32")
        )
    return model


def test_base_has_the_26_1_million_parameters_of_the_paper():
    assert Restormer(MODEL_SIZES["base"]).count_params() == pytest.approx(26.1e6, rel=2e-3)


@pytest.mark.parametrize(("height", "width"), [(17, 23), (3, 30), (1, 1)])
def test_any_height_and_width_come_back_in_the_same_size(nano, height, width):
    assert run(Restormer(nano), picture(height, width)).shape == (1, height, width, 3)


def test_odd_sizes_are_padded_by_reflection_and_cropped(nano):
    model, small = Restormer(nano), picture(13, 16)
    padded = np.pad(small, ((0, 0), (0, 3), (0, 0), (0, 0)), mode="reflect")
    np.testing.assert_allclose(run(model, small), run(model, padded)[:, :13], atol=1e-6)


def test_zero_output_convolution_leaves_the_input_because_of_the_global_residual(nano):
    model, x = Restormer(nano), picture(16, 16)
    model.output_conv.kernel.assign(np.zeros(model.output_conv.kernel.shape))
    np.testing.assert_array_equal(run(model, x), x)


def test_developed_network_begins_with_the_development_alone(nano):
    model, x = Restormer(dataclasses.replace(nano, base="developed")), picture(16, 16)
    expected = model.development(jnp.asarray(x), light_factors(jnp.asarray(x)))
    np.testing.assert_allclose(run(model, x), expected, atol=1e-5)


def test_part_of_a_photo_is_developed_as_the_whole_when_it_is_given_the_whole_ones_attention(nano):
    model, x = Restormer(dataclasses.replace(nano, base="developed")), picture(16, 32)
    weights = [v.value for v in model.trainable_variables]
    whole, attention = model.stateless_call(weights, [], x, return_attention=True)[0]
    part = model.stateless_call(weights, [], x[:, :, :16], attention=attention)[0]
    np.testing.assert_allclose(
        part, whole[:, :, :16], atol=1e-5
    )  # without an edit there is no neighbourhood


@pytest.mark.parametrize("options", [{"base": "auto"}, {"base": "developed", "channels": 1}])
def test_impossible_base_is_refused(nano, options):
    with pytest.raises(ValueError, match="base"):
        Restormer(dataclasses.replace(nano, **options))


@pytest.mark.parametrize(
    "options",
    [{}, {"norm": "with_bias", "conv_bias": True}, {"base": "developed"}],
    ids=["paper", "biases", "developed"],
)
def test_saved_and_loaded_model_is_identical(nano, tmp_path, options):
    model = with_random_weights(Restormer(dataclasses.replace(nano, **options), remat="block"))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.config == model.config
    assert loaded.remat == "block"
    np.testing.assert_array_equal(run(loaded, picture(9, 16)), run(model, picture(9, 16)))


@pytest.mark.parametrize("formulation", ["in strips", "for accelerators", "with biases"])
def test_a_picture_edited_with_its_own_attention_is_the_same(nano, formulation):
    """Two blocks to a group, so that the order of the maps matters."""
    shape = dataclasses.replace(
        nano, num_blocks=(2, 1, 1, 2), conv_bias=formulation == "with biases"
    )
    for_accelerators = blocks.formulated_for_accelerators
    with for_accelerators() if formulation == "for accelerators" else contextlib.nullcontext():
        model, x = with_random_weights(Restormer(shape)), picture(16, 24)
        weights = [v.value for v in model.trainable_variables]

        def call(x, **options):
            return jax.jit(lambda x: model.stateless_call(weights, [], x, **options)[0])(x)

        edited, attention = call(x, return_attention=True)
        assert attention["latent"].shape == (2, 1, 32, 32)
        np.testing.assert_allclose(edited, run(model, x), atol=1e-6)
        np.testing.assert_allclose(call(x, attention=attention), edited, atol=1e-5)


def test_with_a_given_attention_a_pixel_depends_on_its_neighbourhood_alone(nano):
    model = with_random_weights(Restormer(nano))
    weights = [v.value for v in model.trainable_variables]
    near = picture(16, 160)
    far = near.copy()
    far[:, :, 120:] = 0.9
    _, attention = jax.jit(
        lambda x: model.stateless_call(weights, [], x, return_attention=True)[0]
    )(near)
    local = jax.jit(lambda x: model.stateless_call(weights, [], x, attention=attention)[0])
    np.testing.assert_array_equal(local(far)[:, :, :40], local(near)[:, :, :40])
    assert np.abs(run(model, far) - run(model, near))[:, :, :40].max() > 1e-4


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


def test_same_seed_gives_the_same_weights(nano):
    def weights():
        keras.utils.set_random_seed(3)
        return Restormer(nano).get_weights()

    for a, b in zip(weights(), weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_projection_bias_stays_off_the_zero_border(nano):
    """With biases the fast formulation must still equal: project with bias, then zero-pad, then filter."""
    rng = np.random.default_rng(2)
    x, projection, kernel = (
        rng.standard_normal(s).astype("float32") for s in ((1, 5, 6, 3), (3, 4), (3, 3, 4))
    )
    bias, kernel_bias = rng.standard_normal((2, 4)).astype("float32")
    padded = np.pad(x @ projection + bias, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = (
        sum(padded[:, i : i + 5, j : j + 6] * kernel[i, j] for i in range(3) for j in range(3))
        + kernel_bias
    )
    np.testing.assert_allclose(
        layers.projected_depthwise(x, projection, kernel, bias, kernel_bias), expected, atol=1e-5
    )


def test_pixel_shuffle_undoes_pixel_unshuffle():
    x = picture(4, 6)
    np.testing.assert_array_equal(pixel_shuffle(pixel_unshuffle(x)), x)


def test_mixed_precision_keeps_weights_in_float32_and_stays_close(nano):
    full = Restormer(nano)
    mixed = Restormer(nano, dtype="mixed_bfloat16")
    mixed.set_weights(full.get_weights())
    assert {v.dtype for v in mixed.trainable_variables} == {"float32"}
    output = run(mixed, picture(16, 16))
    assert output.dtype == "float32"
    np.testing.assert_allclose(output, run(full, picture(16, 16)), atol=0.05)


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="3 heads do not divide 4 channels"):
        Restormer(ModelConfig(dim=4, num_blocks=(1, 1, 1, 1), num_heads=(3, 1, 1, 1)))


@pytest.mark.parametrize("shape", [(2, 6, 5, 3), (1, 1, 1, 3)])
def test_unfolded_convolution_equals_the_library_convolution(shape):
    rng = np.random.default_rng(0)
    x, kernel = (rng.standard_normal(s).astype("float32") for s in (shape, (3, 3, 3, 4)))
    np.testing.assert_allclose(
        layers.unfolded_convolution(x, kernel), keras.ops.conv(x, kernel, padding="same"), atol=1e-5
    )


def test_mixed_precision_does_not_round_norms_and_temperatures(nano, monkeypatch):
    """1.001 is 1 in bfloat16."""
    model = Restormer(nano, dtype="mixed_bfloat16")
    seen = []

    def record(name, positions):
        original = getattr(blocks, name)

        def recording(*arguments):
            seen.extend(
                leaf for position in positions for leaf in jax.tree.leaves(arguments[position])
            )
            return original(*arguments)

        monkeypatch.setattr(blocks, name, recording)

    record("attention_statistics_in_strips", [1])
    record("add_gated_feed_forward_in_strips", [1])
    record("folded_attention", [3])
    run(model, picture(16, 16))
    assert len(seen) >= 3 * 8  # groups of blocks
    assert {x.dtype for x in seen} == {jnp.dtype("float32")}


def test_mixed_precision_does_not_round_the_photo(nano):
    """With an edit of zero the photo comes back exactly, though it has more bits than bfloat16."""
    model = Restormer(nano, dtype="mixed_bfloat16")
    model.output_conv.kernel.assign(np.zeros(model.output_conv.kernel.shape))
    np.testing.assert_array_equal(run(model, picture(16, 16)), picture(16, 16))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 5}, "dim must be even"),
        ({"num_heads": (0, 1, 1, 1)}, "at least once"),
        ({"num_blocks": (1, 1, 1)}, "four levels"),
        ({"norm": "BiasFree"}, "norm must be"),
    ],
)
def test_impossible_shapes_are_refused(nano, change, message):
    with pytest.raises(ValueError, match=message):
        Restormer(dataclasses.replace(nano, **change))


def test_symbolic_inputs_of_unknown_size_make_a_functional_model(nano):
    model, symbolic = Restormer(nano), keras.Input((None, None, 3))
    functional = keras.Model(symbolic, model(symbolic))
    assert functional.output_shape == (None, None, None, 3)
    np.testing.assert_allclose(
        functional.predict(picture(9, 8), verbose=0), run(model, picture(9, 8)), atol=1e-6
    )
