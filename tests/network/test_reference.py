"""The network against tensors of the official PyTorch implementation, computed in float64."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enhancer.network.torch_weights import restormer_from_torch, sources

EMBEDDED = Path(__file__).parent / "bias_free_dim8.npz"


def read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return dict(archive)


def part(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }


def channels_last(tensors: dict[str, np.ndarray], key: str) -> jax.Array:
    return jnp.asarray(tensors[key].transpose(0, 2, 3, 1))


def test_output_with_bias_in_the_norms_equals_the_official_implementation(shared_data):
    tensors = read(shared_data / "restormer_reference/with_bias_dim8.npz")
    model = restormer_from_torch(part(tensors, "weight/"))
    forward = jax.jit(lambda weights, x: model.stateless_call(weights, [], x)[0])
    output = forward([v.value for v in model.trainable_variables], channels_last(tensors, "input"))
    assert np.abs(output - channels_last(tensors, "output")).max() < 1e-5


def test_output_and_norms_of_gradients_equal_the_official_implementation():
    tensors = read(EMBEDDED)
    model = restormer_from_torch(part(tensors, "weight/"))
    x, target = (channels_last(tensors, key) for key in ("input", "target"))

    def loss(weights):
        output, _ = model.stateless_call(weights, [], x)
        return jnp.abs(output - target).mean(), output

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, output), gradients = step([v.value for v in model.trainable_variables])
    assert np.abs(output - channels_last(tensors, "output")).max() < 1e-5
    assert float(value) == pytest.approx(float(tensors["l1_loss"]), rel=1e-6)

    by_path = dict(zip([v.path for v in model.trainable_variables], gradients, strict=True))
    expected = part(tensors, "grad_l2/")
    for variable, keys in sources(model):
        gradient = np.asarray(by_path[variable.path])
        for key, of_block in zip(
            keys, gradient if len(gradient) == len(keys) else [gradient], strict=True
        ):
            assert np.linalg.norm(of_block) == pytest.approx(float(expected.pop(key)), rel=1e-3), (
                key
            )
    assert not expected
