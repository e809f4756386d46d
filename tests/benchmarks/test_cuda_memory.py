"""The variants of `benchmarks.cuda_memory` keep up with the blocks whose methods they replace."""

import jax
import numpy as np
import pytest

from enhancer.network.blocks import TransformerBlocks


@pytest.fixture
def cuda_memory(monkeypatch):
    """The module, which sets variables of the environment that must not outlast the test."""
    for name in ("JAX_PLATFORMS", "JAX_SKIP_CUDA_CONSTRAINTS_CHECK"):
        monkeypatch.setenv(name, "")
    from benchmarks import cuda_memory

    return cuda_memory


@pytest.mark.parametrize("formulation", ["shifted", "own-gradient", "library"])
@pytest.mark.parametrize(
    ("remat", "recomputed"), [("none", 0), ("block", 1), ("half", 2), ("dots", 1)]
)
def test_each_variant_traces_and_recomputes_as_many_pieces_of_a_block_as_it_says(
    cuda_memory, nano, formulation, remat, recomputed
):
    with cuda_memory.variant(formulation, remat):
        blocks = TransformerBlocks(channels=4, num_blocks=1, num_heads=1, model=nano)
        photo = np.ones((1, 8, 8, 4), np.float32)
        text = str(jax.make_jaxpr(jax.grad(lambda x: blocks(x).sum()))(photo))
    # In a differentiated program each piece stands once, where the backward pass computes it again.
    assert text.count("prevent_cse=") == recomputed
