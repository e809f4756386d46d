"""State dicts become models: every hyperparameter inferred, every tensor consumed."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from enhancer.config import ModelConfig
from enhancer.restormer import Restormer
from enhancer.torch_weights import TorchWeightsError, infer_config, restormer_from_torch

REFERENCE = Path(__file__).parent / "data" / "bias_free_dim8.npz"


@pytest.fixture
def state() -> dict[str, np.ndarray]:
    with np.load(REFERENCE) as archive:
        return {key.removeprefix("weight/"): archive[key] for key in archive.files if key.startswith("weight/")}


def state_of(config: ModelConfig) -> dict[str, np.ndarray]:
    """A state dict with the official names and shapes for any configuration, filled with numbers."""
    from enhancer.torch_weights import _is_block_key, _sources

    rng = np.random.default_rng(0)
    state = {}
    for variable, keys in _sources(Restormer(config)):
        shape = tuple(variable.shape)
        for key in keys:
            own = shape[1:] if _is_block_key(key) else shape
            if key.endswith("temperature"):
                own = (*own, 1, 1)
            elif "dwconv.weight" in key:
                own = (own[2], 1, 3, 3)
            elif len(own) == 4:
                own = (own[3], own[2], own[0], own[1])
            elif len(own) == 2:
                own = (own[1], own[0], 1, 1)
            state[key] = rng.standard_normal(own).astype("float32")
    return state


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(dim=8, num_blocks=(1, 2, 1, 3), num_refinement_blocks=2, num_heads=(1, 2, 2, 4)),
        ModelConfig(dim=8, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1, norm="with_bias", conv_bias=True),
        ModelConfig(dim=16, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1, ffn_expansion_factor=2.0, channels=1),
    ],
)
def test_configuration_is_read_off_names_and_shapes(config):
    inferred = infer_config(state_of(config))
    assert dataclasses.replace(inferred, ffn_expansion_factor=0) == dataclasses.replace(config, ffn_expansion_factor=0)
    for level in range(4):
        width = config.dim * 2**level
        assert int(width * inferred.ffn_expansion_factor) == int(width * config.ffn_expansion_factor)


def test_every_tensor_of_a_state_dict_with_biases_is_used():
    config = ModelConfig(dim=8, num_blocks=(1, 2, 1, 1), num_refinement_blocks=1, norm="with_bias", conv_bias=True)
    state = state_of(config)
    model = restormer_from_torch(state)
    assert model.count_params() == sum(value.size for value in state.values())
    np.testing.assert_array_equal(
        np.asarray(model.encoder_level2.stacked["ffn_depthwise"])[1],
        state["encoder_level2.1.ffn.dwconv.weight"][:, 0].transpose(1, 2, 0),
    )


def test_data_parallel_prefix_is_accepted(state):
    assert restormer_from_torch({f"module.{key}": value for key, value in state.items()}).config.dim == 8


def test_left_over_tensor_is_named(state):
    with pytest.raises(TorchWeightsError, match=r"no part of a Restormer: skip_conv\.weight"):
        restormer_from_torch(state | {"skip_conv.weight": np.zeros((16, 8, 1, 1))})


def test_missing_tensor_is_named(state):
    del state["latent.0.ffn.dwconv.weight"]
    with pytest.raises(TorchWeightsError, match=r"lacks latent\.0\.ffn\.dwconv\.weight"):
        restormer_from_torch(state)


def test_misshapen_tensor_is_named(state):
    state["up4_3.body.0.weight"] = state["up4_3.body.0.weight"][:-4]
    with pytest.raises(TorchWeightsError, match=r"up4_3\.body\.0\.weight has shape \(124, 64, 3, 3\)"):
        restormer_from_torch(state)


def test_state_dict_of_another_network_is_refused():
    with pytest.raises(TorchWeightsError, match=r"patch_embed\.proj\.weight is missing"):
        restormer_from_torch({"conv1.weight": np.zeros((3, 3))})
