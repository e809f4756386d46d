"""The variants of `benchmarks.formulations` keep up with the blocks whose methods they replace."""

import jax
import numpy as np
import pytest

from benchmarks.formulations import formulated
from enhancer.network.blocks import TransformerBlocks


@pytest.mark.parametrize("formulation", ["shifted", "own-gradient", "library"])
@pytest.mark.parametrize(
    ("remat", "recomputed"), [("none", 0), ("block", 1), ("half", 2), ("dots", 1)]
)
def test_each_variant_traces_and_recomputes_as_many_pieces_of_a_block_as_it_says(
    nano, formulation, remat, recomputed
):
    with formulated(formulation, remat):
        blocks = TransformerBlocks(channels=4, num_blocks=1, num_heads=1, model=nano)
        photo = np.ones((1, 8, 8, 4), np.float32)
        text = str(jax.make_jaxpr(jax.grad(lambda x: blocks(x).sum()))(photo))
    # In a differentiated program each piece stands once, where the backward pass computes it again.
    assert text.count("prevent_cse=") == recomputed
