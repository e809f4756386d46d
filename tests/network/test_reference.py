"""The network against tensors of the official PyTorch implementation, computed in float64."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enhancer.network.torch_weights import restormer_from_torch, sources

EMBEDDED = Path(__file__).parent / "bias_free_dim8.npz"


def reference(name: str, request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    embedded = EMBEDDED.with_name(f"{name}.npz")
    path = (
        embedded
        if embedded.exists()
        else request.getfixturevalue("shared_data") / f"restormer_reference/{name}.npz"
    )
    with np.load(path) as archive:
        return dict(archive)


def part(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }


@pytest.mark.parametrize("name", ["bias_free_dim8", "with_bias_dim8"])
def test_output_and_norms_of_gradients_equal_the_official_implementation(name, request):
    tensors = reference(name, request)
    model = restormer_from_torch(part(tensors, "weight/"))
    x, target = (jnp.asarray(tensors[key].transpose(0, 2, 3, 1)) for key in ("input", "target"))

    def loss(weights):
        output, _ = model.stateless_call(weights, [], x)
        return jnp.abs(output - target).mean(), output

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, output), gradients = step([v.value for v in model.trainable_variables])
    assert np.abs(np.asarray(output).transpose(0, 3, 1, 2) - tensors["output"]).max() < 1e-5
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
