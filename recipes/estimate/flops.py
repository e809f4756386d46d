"""Floating-point operations of a Restormer as its paper states it, whatever a program makes of it.

Counted are the multiply-adds of convolutions and matrix products, two operations each; norms, activations and the softmax
are not. Rewritings that save work (the attention folded into the projection) or repeat it (rematerialisation) do not change
the count, so that "fraction of peak" compares programs by what they achieve.

Reference: Restormer (Zamir et al., CVPR 2022), figure 2 and sections 3.1 and 3.2.
"""

from enhancer.config import ModelConfig


def forward_flops(model: ModelConfig, pixels: int) -> int:
    """Operations of one forward pass over `pixels` pixels in all, on sides that are multiples of 8."""
    dim = model.dim
    convolutions = (  # kernel area, channels in, channels out, level
        (9, model.embedded_channels, dim, 1),
        (9, dim, dim // 2, 1),
        (9, 2 * dim, dim, 2),
        (9, 4 * dim, 2 * dim, 3),
        (9, 8 * dim, 16 * dim, 4),
        (1, 8 * dim, 4 * dim, 3),
        (9, 4 * dim, 8 * dim, 3),
        (1, 4 * dim, 2 * dim, 2),
        (9, 2 * dim, 4 * dim, 2),
        (9, 2 * dim, model.channels, 1),
    )
    multiply_adds = sum(
        number * _block_multiply_adds(model, channels, level) * _pixels_on(level, pixels)
        for number, channels, level in _groups(model)
    )
    multiply_adds += sum(
        area * channels_in * channels_out * _pixels_on(level, pixels)
        for area, channels_in, channels_out, level in convolutions
    )
    return 2 * multiply_adds


def train_step_flops(model: ModelConfig, pixels: int) -> int:
    """Operations of forward and backward pass: where the one has a product, the other has two, for inputs and weights."""
    return 3 * forward_flops(model, pixels)


def features_per_pixel(model: ModelConfig) -> float:
    """Numbers that the transformer blocks hand on, in all, per pixel of the photo: what the memory traffic of a step grows with."""
    return sum(number * channels / 4 ** (level - 1) for number, channels, level in _groups(model))


def _groups(model: ModelConfig) -> tuple[tuple[int, int, int], ...]:
    """Blocks, channels and level of each group of transformer blocks."""
    dim, counts = model.dim, model.num_blocks
    return (
        (counts[0], dim, 1),
        (counts[1], 2 * dim, 2),
        (counts[2], 4 * dim, 3),
        (counts[3], 8 * dim, 4),
        (counts[2], 4 * dim, 3),
        (counts[1], 2 * dim, 2),
        (counts[0], 2 * dim, 1),
        (model.num_refinement_blocks, 2 * dim, 1),
    )


def _block_multiply_adds(model: ModelConfig, channels: int, level: int) -> int:
    """Of one transformer block, per pixel of its level."""
    hidden = int(channels * model.ffn_expansion_factor)
    heads = model.num_heads[level - 1]
    attention = 3 * channels**2 + 9 * 3 * channels + 2 * channels**2 // heads + channels**2
    feed_forward = 2 * channels * hidden + 9 * 2 * hidden + hidden * channels
    return attention + feed_forward


def _pixels_on(level: int, pixels: int) -> int:
    return pixels // 4 ** (level - 1)
