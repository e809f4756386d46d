"""State dicts become models: every hyperparameter inferred, every tensor consumed."""

import dataclasses
from pathlib import Path

import jax
import keras
import numpy as np
import pytest

from enhancer.network.restormer import Restormer
from enhancer.network.torch_weights import TorchWeightsError, restormer_from_torch
from tests.helpers import numpy_restormer

REFERENCE = Path(__file__).parent / "bias_free_dim8.npz"


@pytest.fixture
def state() -> dict[str, np.ndarray]:
    with np.load(REFERENCE) as archive:
        return {
            key.removeprefix("weight/"): archive[key]
            for key in archive.files
            if key.startswith("weight/")
        }


def run(model: Restormer, x: np.ndarray) -> np.ndarray:
    weights = [v.value for v in model.trainable_variables]
    output = jax.jit(lambda w, x: model.stateless_call(w, [], x)[0])(
        weights, x.transpose(0, 2, 3, 1).astype("float32")
    )
    return np.asarray(output).transpose(0, 3, 1, 2)


def shape(dim, num_blocks, num_heads, ffn_expansion_factor):
    return {
        "dim": dim,
        "num_blocks": num_blocks,
        "num_heads": num_heads,
        "ffn_expansion_factor": ffn_expansion_factor,
    }


@pytest.mark.parametrize(
    ("bias", "with_bias_norm", "shape"),
    [
        (True, False, shape(12, (1, 2, 1, 3), (1, 2, 4, 8), 2.66)),
        (False, True, shape(6, (2, 1, 3, 1), (2, 3, 4, 6), 1.37)),
    ],
)
def test_state_dict_becomes_the_network_it_describes(bias, with_bias_norm, shape):
    """All hyperparameters are inferred, all tensors used; the output is that of the formulas."""
    state = numpy_restormer.random_state(
        **shape, num_refinement_blocks=2, bias=bias, with_bias_norm=with_bias_norm, channels=3
    )
    model = restormer_from_torch(state)
    assert dataclasses.asdict(model.config) == {
        **shape,
        "base": "photo",
        "num_refinement_blocks": 2,
        "conv_bias": bias,
        "norm": "with_bias" if with_bias_norm else "bias_free",
        "channels": 3,
        "ffn_expansion_factor": model.config.ffn_expansion_factor,
    }
    assert model.count_params() == sum(value.size for value in state.values())
    x = np.random.default_rng(1).random((1, 3, 16, 24))
    expected = numpy_restormer.forward(state, x)
    assert np.abs(expected - x).max() > 0.05  # an edit is compared, not the residual alone
    np.testing.assert_allclose(run(model, x), expected, atol=1e-5)


def test_grey_network_is_understood():
    state = numpy_restormer.random_state(
        4, (1, 1, 1, 1), 1, (1, 1, 1, 1), 2.0, False, False, channels=1
    )
    assert restormer_from_torch(state).config.channels == 1


@pytest.mark.parametrize("before", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_data_parallel_and_compiled_networks_are_accepted(state, before):
    prefixed = {f"{before}{key}": value for key, value in state.items()}
    assert restormer_from_torch(prefixed).config.dim == 8


def test_left_over_tensor_is_named(state):
    with pytest.raises(TorchWeightsError, match=r"no part of a Restormer: skip_conv\.weight"):
        restormer_from_torch(state | {"skip_conv.weight": np.zeros((16, 8, 1, 1))})


def test_missing_tensor_is_named(state):
    del state["latent.0.ffn.dwconv.weight"]
    with pytest.raises(TorchWeightsError, match=r"lacks latent\.0\.ffn\.dwconv\.weight"):
        restormer_from_torch(state)


def test_misshapen_tensor_is_named(state):
    state["up4_3.body.0.weight"] = state["up4_3.body.0.weight"][:-4]
    with pytest.raises(
        TorchWeightsError,
        match=r"up4_3\.body\.0\.weight has shape \(124, 64, 3, 3\).*wants \(128, 64, 3, 3\)",
    ):
        restormer_from_torch(state)


def test_state_dict_of_another_network_is_refused():
    with pytest.raises(TorchWeightsError, match=r"patch_embed\.proj\.weight is missing"):
        restormer_from_torch({"conv1.weight": np.zeros((3, 3))})


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("latent.0.attn.qkv.weight", (192, 64, 3, 3)),
        ("latent.0.ffn.dwconv.weight", (340, 2, 3, 3)),
        ("decoder_level1.0.attn.temperature", (1, 2, 1)),
    ],
)
def test_kernel_of_another_size_is_refused_and_not_cut(state, key, shape):
    with pytest.raises(TorchWeightsError, match=key.replace(".", r"\.")):
        restormer_from_torch(state | {key: np.zeros(shape, "float32")})


@pytest.mark.parametrize(
    "replacement",
    [
        {"encoder_level1.0.norm1.body.weight": np.zeros(0)},
        {"output.weight": np.full((3, 16, 3, 3), np.nan)},
        {"output.weight": np.full((3, 16, 3, 3), None)},
        {7: np.zeros(1)},
    ],
)
def test_what_is_no_parameter_is_refused_in_a_sentence(state, replacement):
    with pytest.raises(TorchWeightsError):
        restormer_from_torch(state | replacement)


def test_model_computes_in_float32_under_any_global_policy(state):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert restormer_from_torch(state).compute_dtype == "float32"
    finally:
        keras.config.set_dtype_policy("float32")
