"""Floating-point operations of a Restormer as its paper states it, whatever a program makes of it.

Counted are the multiply-adds of convolutions and matrix products, two operations each; norms,
activations and the softmax are not. Rewritings that save work (the attention folded into the
projection) or repeat it (rematerialisation) do not change the count.

Reference: Restormer (Zamir et al., CVPR 2022), figure 2 and sections 3.1 and 3.2.
"""

from enhancer.config import ModelConfig


def forward_flops(model: ModelConfig, pixels: int) -> int:
    """Operations of one forward pass over `pixels` pixels in all, on sides that are multiples of
    8."""
    dim, counts, on_level = model.dim, model.num_blocks, [pixels // 4**level for level in range(4)]
    blocks = (  # number, channels, level
        *((counts[level], dim * 2**level, level) for level in range(4)),
        (counts[2], 4 * dim, 2),
        (counts[1], 2 * dim, 1),
        (counts[0], 2 * dim, 0),
        (model.num_refinement_blocks, 2 * dim, 0),
    )
    convolutions = (  # kernel area, channels in, channels out, level
        (9, model.embedded_channels, dim, 0),
        (9, dim, dim // 2, 0),
        (9, 2 * dim, dim, 1),
        (9, 4 * dim, 2 * dim, 2),
        (9, 8 * dim, 16 * dim, 3),
        (1, 8 * dim, 4 * dim, 2),
        (9, 4 * dim, 8 * dim, 2),
        (1, 4 * dim, 2 * dim, 1),
        (9, 2 * dim, 4 * dim, 1),
        (9, 2 * dim, model.channels, 0),
    )
    multiply_adds = sum(
        number * _block_multiply_adds(model, channels, level) * on_level[level]
        for number, channels, level in blocks
    )
    multiply_adds += sum(
        area * channels_in * channels_out * on_level[level]
        for area, channels_in, channels_out, level in convolutions
    )
    return 2 * multiply_adds


def train_step_flops(model: ModelConfig, pixels: int) -> int:
    """Operations of forward and backward pass: for each product two more, for inputs and
    weights."""
    return 3 * forward_flops(model, pixels)


def _block_multiply_adds(model: ModelConfig, channels: int, level: int) -> int:
    """Of one transformer block, per pixel of its level."""
    hidden = int(channels * model.ffn_expansion_factor)
    heads = model.num_heads[level]
    attention = 3 * channels**2 + 9 * 3 * channels + 2 * channels**2 // heads + channels**2
    feed_forward = 2 * channels * hidden + 9 * 2 * hidden + hidden * channels
    return attention + feed_forward
