# pyright: reportIndexIssue=false, reportOperatorIssue=false, reportOptionalOperand=false, reportOptionalSubscript=false, reportOptionalIterable=false, reportReturnType=false
# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false, reportOptionalMemberAccess=false, reportAttributeAccessIssue=false
# (keras.ops annotates its results so loosely, None included, that no arithmetic on them checks)
"""The feed-forward half of a Restormer block for XLA on a CPU: strip by strip, with a gradient of its own.

A processor computes these layers faster than it moves their wide tensors (3 to 5.3 times the block's channels) to memory and
back. Here every strip of rows passes through norm, projection, depthwise filter and what follows while it is in the cache,
and only narrow tensors are written. The gradients keep the half's input and nothing else, and recompute the rest in the
cache, which costs less than reading it back; so they need little memory without any rematerialisation on top.
"""

import math

import jax
from keras import KerasTensor, ops

from enhancer.network.layers import gelu, normal_cdf, stencil
from enhancer.network.row_strips import backward_strips, forward_strips
from enhancer.network.strip_filter import (
    Norm,
    add_filter_gradient,
    cast_like,
    filter_zeros,
    kernel_gradient,
    normalised_strip,
    product_over_pixels,
    spread_gradient,
)

SIMD_CHANNELS = 16  # float32 in a 512-bit register


@jax.jit  # traced once for all groups of blocks of one shape
def add_gated_feed_forward_in_strips(
    x: KerasTensor,
    norm: Norm,
    expansion: KerasTensor,
    depthwise: KerasTensor,
    projection: KerasTensor,
) -> KerasTensor:
    """`x + GDFN(norm(x))`, as `enhancer.network.layers.gated_feed_forward`.

    Args:
        x: float `(batch, height, width, channels)`.
        norm: scale and perhaps bias, float32 `(channels,)`.
        expansion: float `(channels, 2 hidden)`, the gate's half first.
        depthwise: float `(3, 3, 2 hidden)`.
        projection: float `(hidden, channels)`.

    Returns:
        Shape and dtype of `x`.
    """
    return ops.custom_gradient(_add_feed_forward)(x, norm, expansion, depthwise, projection)


def _add_feed_forward(
    x: KerasTensor,
    norm: Norm,
    expansion: KerasTensor,
    depthwise: KerasTensor,
    projection: KerasTensor,
):
    wide = 2 * _full_registers(projection.shape[0])

    def forward() -> KerasTensor:
        strips = forward_strips(x.shape, wide)
        padded = strips.pad(x)
        expand, kernel, project = _pad_hidden(expansion, depthwise, projection)

        def strip(_, index):
            rows = strips.take(padded, index, halo=1)
            projected = ops.matmul(normalised_strip(strips, rows, norm, index), expand)
            gate, content = ops.split(stencil(projected, kernel), 2, axis=-1)
            return None, rows[:, 1:-1, 1:-1] + ops.matmul(gelu(gate) * content, project)

        return strips.join(strips.scan(strip, None)[1])

    def gradient(d_output):
        strips = backward_strips(x.shape, wide)
        padded, d_below = strips.pad(x), strips.pad_below(d_output)
        expand, kernel, project = _pad_hidden(expansion, depthwise, projection)
        transposed = ops.transpose(project)

        def strip(sums, index):
            filter_sums, d_project = sums
            rows = strips.take(padded, index, halo=1)
            normalised = normalised_strip(strips, rows, norm, index)
            projected = ops.matmul(normalised, expand)
            gate, content = ops.split(stencil(projected, kernel), 2, axis=-1)
            d_rows = strips.take(d_below, index)
            d_gated = ops.matmul(d_rows, transposed)
            cdf = ops.cast(normal_cdf(gate), gate.dtype)
            activated = gate * cdf
            d_gate = d_gated * content * (cdf + gate * _normal_density(gate))
            d_filtered = ops.concatenate([d_gate, d_gated * activated], axis=-1)
            d_projected = spread_gradient(d_filtered, kernel)
            filter_sums = add_filter_gradient(
                strips,
                filter_sums,
                index,
                (rows, normalised, projected),
                (d_projected, d_filtered),
                norm,
                expand,
            )
            return (filter_sums, d_project + product_over_pixels(d_rows, activated * content)), None

        zeros = ops.zeros(transposed.shape, "float32")
        zeros_of_filter = filter_zeros(
            strips, strips.pad(d_output), norm, expand, kernel
        )  # the gradient of the `x +`
        ((d_x, d_norm, d_expand, d_kernel), d_project), _ = strips.scan(
            strip, (zeros_of_filter, zeros)
        )
        d_weights = _crop_hidden(
            (d_expand, kernel_gradient(d_kernel), ops.transpose(d_project)), projection.shape[0]
        )
        return (
            strips.crop(d_x),
            cast_like(d_norm, norm),
            *cast_like(d_weights, (expansion, depthwise, projection)),
        )

    return forward(), gradient


def _full_registers(hidden: int) -> int:
    return math.ceil(hidden / SIMD_CHANNELS) * SIMD_CHANNELS


def _pad_hidden(expansion: KerasTensor, depthwise: KerasTensor, projection: KerasTensor):
    """The weights with hidden channels of zeros, to fill up the registers; all that is computed from those is zero."""
    channels, hidden = expansion.shape[0], projection.shape[0]
    missing = _full_registers(hidden) - hidden
    expansion = ops.pad(
        ops.reshape(expansion, (channels, 2, hidden)), ((0, 0), (0, 0), (0, missing))
    )
    depthwise = ops.pad(
        ops.reshape(depthwise, (3, 3, 2, hidden)), ((0, 0), (0, 0), (0, 0), (0, missing))
    )
    return (
        ops.reshape(expansion, (channels, -1)),
        ops.reshape(depthwise, (3, 3, -1)),
        ops.pad(projection, ((0, missing), (0, 0))),
    )


def _crop_hidden(weights, hidden: int):
    """The inverse of `_pad_hidden`."""
    expansion, depthwise, projection = weights
    expansion = ops.reshape(expansion, (expansion.shape[0], 2, -1))[..., :hidden]
    depthwise = ops.reshape(depthwise, (3, 3, 2, -1))[..., :hidden]
    return (
        ops.reshape(expansion, (expansion.shape[0], -1)),
        ops.reshape(depthwise, (3, 3, -1)),
        projection[:hidden],
    )


def _normal_density(x: KerasTensor) -> KerasTensor:
    return ops.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
