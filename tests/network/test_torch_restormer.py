"""The benchmark's PyTorch opponent against the official tensors: it must be the same network."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra `torch`)")

from benchmarks.torch_restormer import TorchRestormer  # noqa: E402
from enhancer.network.torch_weights import infer_config  # noqa: E402


@pytest.mark.parametrize("remat", [False, True])
def test_output_and_gradients_equal_the_official_implementation(remat):
    with np.load(Path(__file__).parent / "bias_free_dim8.npz") as archive:
        numbers = {name: values for name, values in archive.items() if values.dtype.kind == "f"}
    tensors = {name: torch.from_numpy(values.astype("float32")) for name, values in numbers.items()}
    weights = {
        name.removeprefix("weight/"): x for name, x in tensors.items() if name.startswith("weight/")
    }
    model = TorchRestormer(
        infer_config({name: x.numpy() for name, x in weights.items()}), remat=remat
    )
    model.load_state_dict(weights)

    output = model(tensors["input"])
    assert (output - tensors["output"]).abs().max() < 1e-6
    (output - tensors["target"]).abs().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.norm().item() == pytest.approx(
            tensors[f"grad_l2/{name}"].item(), rel=1e-4
        ), name
