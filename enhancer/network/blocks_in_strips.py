"""Both halves of a Restormer block for XLA on a CPU: by row strips, with gradients of their own.

A processor computes these layers faster than it moves their wide tensors (3 to 5.3 times the
block's channels) to memory and back. Here every strip of rows passes through norm, projection,
depthwise filter and what follows while it is in the cache, and only narrow tensors are written. The
gradients keep the half's input alone and recompute the rest, which costs less than reading it back.
"""

import math
from typing import Any

import jax

from enhancer.network.layers import gelu, normal_cdf, stencil
from enhancer.network.strip_scan import (
    Norm,
    RowStrips,
    add_filter_gradient,
    backward_strips,
    cast_like,
    filter_zeros,
    forward_strips,
    kernel_gradient,
    normalised_strip,
    product_over_pixels,
)
from enhancer.network.tensors import Tensor, ops

SIMD_CHANNELS = 16  # float32 in a 512-bit register


@jax.jit  # traced once for all groups of blocks of one shape
def attention_statistics_in_strips(
    x: Tensor, norm: Norm, qkv: Tensor, depthwise: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What transposed attention needs of the pictures, from one walk over them.

    Args:
        x: float `(batch, height, width, channels)`.
        norm: scale and perhaps bias, float32 `(channels,)`.
        qkv, depthwise: float `(channels, 3 channels)`, `(3, 3, 3 channels)`.

    Returns:
        As `enhancer.network.layers.attention_statistics`, then the value, shape and dtype of `x`.
    """
    return ops.custom_gradient(_attention_statistics)(x, norm, qkv, depthwise)


def _attention_statistics(x: Tensor, norm: Norm, qkv: Tensor, depthwise: Tensor):
    batch, _, _, channels = x.shape
    query_and_key = 2 * channels

    def per_image(rows: Tensor) -> Tensor:
        return ops.reshape(rows, (rows.shape[0], -1, rows.shape[-1]))

    def squares_over_pixels(x: Tensor) -> Tensor:
        wide = ops.cast(x, "float32")
        return ops.sum(wide * wide, axis=1)

    def without_excess(strips: RowStrips, rows: Tensor, index: Any) -> Tensor:
        # The filter reaches one row below the picture, which must not count.
        if not strips.excess:
            return rows
        return rows * ops.cast(strips.inside(index)[:, 1:-1, 1:-1], rows.dtype)

    def forward():
        strips = forward_strips(x.shape, 3 * channels)
        padded = strips.pad(x)

        def strip(sums, index):
            gram, squares = sums
            normalised = normalised_strip(strips, strips.take(padded, index, halo=1), norm, index)
            filtered = stencil(ops.matmul(normalised, qkv), depthwise)
            query, key, value = ops.split(without_excess(strips, filtered, index), 3, axis=-1)
            query, key = per_image(query), per_image(key)
            # XLA on a CPU would copy a transposed query, which takes as long as the product.
            products = ops.cast(ops.einsum("bpc,bpd->bcd", query, key), "float32")
            both = ops.concatenate([squares_over_pixels(query), squares_over_pixels(key)], axis=-1)
            gram = strips.add_to_images(gram, products, index)
            return (gram, strips.add_to_images(squares, both, index)), value

        gram = ops.zeros((batch, channels, channels), "float32")
        squares = ops.zeros((batch, query_and_key), "float32")
        (gram, squares), value = strips.scan(strip, (gram, squares))
        return gram, squares[:, :channels], squares[:, channels:], strips.join(value)

    def gradient(upstream):
        d_gram, d_query_squares, d_key_squares, d_value = upstream
        strips = backward_strips(x.shape, 3 * channels)
        padded, d_value = strips.pad(x), strips.pad_below(d_value)
        d_key_of_query = ops.cast(d_gram, x.dtype)
        d_query_of_key = ops.transpose(d_key_of_query, (0, 2, 1))

        def strip(sums, index):
            rows = strips.take(padded, index, halo=1)
            normalised = normalised_strip(strips, rows, norm, index)
            projected = ops.matmul(normalised, qkv)
            filtered = stencil(projected[..., :query_and_key], depthwise[..., :query_and_key])
            query, key = ops.split(without_excess(strips, filtered, index), 2, axis=-1)
            shape = query.shape
            query, key = per_image(query), per_image(key)

            def d_one(other, d_of_other, own, d_squares):
                through_gram = ops.matmul(other, strips.take_images(d_of_other, index))
                factors = 2 * strips.take_images(d_squares, index)[:, None]
                return through_gram + own * ops.cast(factors, own.dtype)

            d_query = d_one(key, d_query_of_key, query, d_query_squares)
            d_key = d_one(query, d_key_of_query, key, d_key_squares)
            d_query, d_key = ops.reshape(d_query, shape), ops.reshape(d_key, shape)
            d_filtered = ops.concatenate([d_query, d_key, strips.take(d_value, index)], axis=-1)
            forward = (rows, normalised, projected)
            return add_filter_gradient(
                strips, sums, index, forward, d_filtered, norm, qkv, depthwise
            ), None

        zeros = filter_zeros(strips, ops.zeros_like(padded), norm, qkv, depthwise)
        (d_x, d_norm, d_qkv, d_kernel), _ = strips.scan(strip, zeros)
        d_weights = (d_qkv, kernel_gradient(d_kernel))
        return strips.crop(d_x), cast_like(d_norm, norm), *cast_like(d_weights, (qkv, depthwise))

    return forward(), gradient


@jax.jit
def add_gated_feed_forward_in_strips(
    x: Tensor, norm: Norm, expansion: Tensor, depthwise: Tensor, projection: Tensor
) -> Tensor:
    """`x + GDFN(norm(x))` in shape and dtype of `x`; the weights are those of
    `enhancer.network.layers.gated_feed_forward`, and of the norm scale and perhaps bias."""
    return ops.custom_gradient(_add_feed_forward)(x, norm, expansion, depthwise, projection)


def _add_feed_forward(
    x: Tensor, norm: Norm, expansion: Tensor, depthwise: Tensor, projection: Tensor
):
    hidden = projection.shape[0]
    missing = -hidden % SIMD_CHANNELS
    wide = 2 * (hidden + missing)

    def forward() -> Tensor:
        strips = forward_strips(x.shape, wide)
        padded = strips.pad(x)
        expand, kernel, project = _pad_hidden(expansion, depthwise, projection, missing)

        def strip(_, index):
            rows = strips.take(padded, index, halo=1)
            projected = ops.matmul(normalised_strip(strips, rows, norm, index), expand)
            gate, content = ops.split(stencil(projected, kernel), 2, axis=-1)
            return None, rows[:, 1:-1, 1:-1] + ops.matmul(gelu(gate) * content, project)

        return strips.join(strips.scan(strip, None)[1])

    def gradient(d_output):
        strips = backward_strips(x.shape, wide)
        padded, d_below = strips.pad(x), strips.pad_below(d_output)
        expand, kernel, project = _pad_hidden(expansion, depthwise, projection, missing)
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
            forward = (rows, normalised, projected)
            filter_sums = add_filter_gradient(
                strips, filter_sums, index, forward, d_filtered, norm, expand, kernel
            )
            return (filter_sums, d_project + product_over_pixels(d_rows, activated * content)), None

        zeros = ops.zeros(transposed.shape, "float32")
        # The input's sum begins at the gradient of the `x +`.
        of_filter = filter_zeros(strips, strips.pad(d_output), norm, expand, kernel)
        (sums, d_project), _ = strips.scan(strip, (of_filter, zeros))
        d_weights = _crop_hidden(
            sums.d_projection, kernel_gradient(sums.d_kernel), ops.transpose(d_project), hidden
        )
        weights = (expansion, depthwise, projection)
        return strips.crop(sums.d_x), cast_like(sums.d_norm, norm), *cast_like(d_weights, weights)

    return forward(), gradient


def _pad_hidden(expansion: Tensor, depthwise: Tensor, projection: Tensor, missing: int):
    """The weights with hidden channels of zeros, to fill up the registers."""
    hidden, channels = projection.shape
    expansion = ops.reshape(expansion, (channels, 2, hidden))
    expansion = ops.pad(expansion, ((0, 0), (0, 0), (0, missing)))
    depthwise = ops.reshape(depthwise, (3, 3, 2, hidden))
    depthwise = ops.pad(depthwise, ((0, 0), (0, 0), (0, 0), (0, missing)))
    return (
        ops.reshape(expansion, (channels, -1)),
        ops.reshape(depthwise, (3, 3, -1)),
        ops.pad(projection, ((0, missing), (0, 0))),
    )


def _crop_hidden(expansion: Tensor, depthwise: Tensor, projection: Tensor, hidden: int):
    """The inverse of `_pad_hidden`."""
    expansion = ops.reshape(expansion, (expansion.shape[0], 2, -1))[..., :hidden]
    depthwise = ops.reshape(depthwise, (3, 3, 2, -1))[..., :hidden]
    return (
        ops.reshape(expansion, (expansion.shape[0], -1)),
        ops.reshape(depthwise, (3, 3, -1)),
        projection[:hidden],
    )


def _normal_density(x: Tensor) -> Tensor:
    return ops.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
