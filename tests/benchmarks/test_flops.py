"""The paper's operations, counted by hand for one block."""

import dataclasses

from benchmarks.flops import forward_flops, train_step_flops
from enhancer.config import MODEL_SIZES


def test_one_more_refinement_block_adds_its_products():
    tiny, pixels = MODEL_SIZES["tiny"], 64**2
    larger = dataclasses.replace(tiny, num_refinement_blocks=tiny.num_refinement_blocks + 1)
    channels, hidden = 16, 42
    # Projections, filter, both products, projection.
    attention = 3 * channels**2 + 9 * 3 * channels + 2 * channels**2 + channels**2
    feed_forward = 2 * channels * hidden + 9 * 2 * hidden + hidden * channels
    added = 2 * pixels * (attention + feed_forward)
    assert forward_flops(larger, pixels) - forward_flops(tiny, pixels) == added
    assert train_step_flops(tiny, pixels) == 3 * forward_flops(tiny, pixels)
