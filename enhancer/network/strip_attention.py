# pyright: reportIndexIssue=false, reportOperatorIssue=false, reportOptionalOperand=false, reportOptionalSubscript=false, reportOptionalIterable=false, reportReturnType=false
# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false, reportOptionalMemberAccess=false, reportAttributeAccessIssue=false
# (keras.ops annotates its results so loosely, None included, that no arithmetic on them checks)
"""What the attention half of a Restormer block computes from the pictures, for XLA on a CPU: strip by strip, with its own gradient.

`enhancer.network.strip_feed_forward` says why.
"""

from typing import Any

import jax
from keras import KerasTensor, ops

from enhancer.network.layers import stencil
from enhancer.network.row_strips import RowStrips, backward_strips, forward_strips
from enhancer.network.strip_filter import (
    Norm,
    add_filter_gradient,
    cast_like,
    filter_zeros,
    kernel_gradient,
    normalised_strip,
    spread_gradient,
)


@jax.jit  # traced once for all groups of blocks of one shape
def attention_statistics_in_strips(
    x: KerasTensor, norm: Norm, qkv: KerasTensor, depthwise: KerasTensor
) -> tuple[KerasTensor, KerasTensor, KerasTensor, KerasTensor]:
    """What transposed attention needs of the pictures: one walk over `x` gives the sums over all pixels, and the value.

    Args:
        x: float `(batch, height, width, channels)`.
        norm: scale and perhaps bias, float32 `(channels,)`.
        qkv: float `(channels, 3 channels)`.
        depthwise: float `(3, 3, 3 channels)`.

    Returns:
        Gram matrix of query and key, float32 `(batch, channels, channels)`; their squared norms, float32 `(batch, channels)` each;
        the value, shape and dtype of `x`.
    """
    return ops.custom_gradient(_attention_statistics)(x, norm, qkv, depthwise)


def _attention_statistics(x: KerasTensor, norm: Norm, qkv: KerasTensor, depthwise: KerasTensor):
    batch, _, _, channels = x.shape
    query_and_key = 2 * channels

    def per_image(rows: KerasTensor) -> KerasTensor:
        return ops.reshape(rows, (rows.shape[0], -1, rows.shape[-1]))

    def without_excess(strips: RowStrips, rows: KerasTensor, index: Any) -> KerasTensor:
        # The filter reaches one row below the picture, which must not count.
        return (
            rows * ops.cast(strips.inside(index)[:, 1:-1, 1:-1], rows.dtype)
            if strips.excess
            else rows
        )

    def forward():
        strips = forward_strips(x.shape, 3 * channels)
        padded = strips.pad(x)

        def strip(sums, index):
            gram, squares = sums
            normalised = normalised_strip(strips, strips.take(padded, index, halo=1), norm, index)
            filtered = stencil(ops.matmul(normalised, qkv), depthwise)
            query, key, value = ops.split(without_excess(strips, filtered, index), 3, axis=-1)
            query, key = per_image(query), per_image(key)
            # Not a product with a transposed query: XLA on a CPU would copy it, which takes as long as the product.
            products = ops.cast(ops.einsum("bpc,bpd->bcd", query, key), "float32")
            of_strip = ops.concatenate(
                [_squares_over_pixels(query), _squares_over_pixels(key)], axis=-1
            )
            return (
                strips.add_to_images(gram, products, index),
                strips.add_to_images(squares, of_strip, index),
            ), value

        zeros = (
            ops.zeros((batch, channels, channels), "float32"),
            ops.zeros((batch, query_and_key), "float32"),
        )
        (gram, squares), value = strips.scan(strip, zeros)
        return gram, squares[:, :channels], squares[:, channels:], strips.join(value)

    def gradient(upstream):
        d_gram, d_query_squares, d_key_squares, d_value = upstream
        strips = backward_strips(x.shape, 3 * channels)
        padded, d_value = strips.pad(x), strips.pad_below(d_value)
        d_key_of_query = ops.cast(d_gram, x.dtype)
        d_query_of_key = ops.transpose(d_key_of_query, (0, 2, 1))

        def strip(filter_sums, index):
            rows = strips.take(padded, index, halo=1)
            normalised = normalised_strip(strips, rows, norm, index)
            projected = ops.matmul(normalised, qkv)
            filtered = stencil(projected[..., :query_and_key], depthwise[..., :query_and_key])
            query, key = ops.split(without_excess(strips, filtered, index), 2, axis=-1)
            shape = query.shape
            query, key = per_image(query), per_image(key)

            def scaled(x, d_squares):
                return x * ops.cast(2 * strips.take_images(d_squares, index)[:, None], x.dtype)

            d_query = ops.matmul(key, strips.take_images(d_query_of_key, index)) + scaled(
                query, d_query_squares
            )
            d_key = ops.matmul(query, strips.take_images(d_key_of_query, index)) + scaled(
                key, d_key_squares
            )
            d_filtered = ops.concatenate(
                [
                    ops.reshape(d_query, shape),
                    ops.reshape(d_key, shape),
                    strips.take(d_value, index),
                ],
                axis=-1,
            )
            d_projected = spread_gradient(d_filtered, depthwise)
            filter_sums = add_filter_gradient(
                strips,
                filter_sums,
                index,
                (rows, normalised, projected),
                (d_projected, d_filtered),
                norm,
                qkv,
            )
            return filter_sums, None

        zeros_of_filter = filter_zeros(strips, ops.zeros_like(padded), norm, qkv, depthwise)
        (d_x, d_norm, d_qkv, d_kernel), _ = strips.scan(strip, zeros_of_filter)
        d_weights = (d_qkv, kernel_gradient(d_kernel))
        return (strips.crop(d_x), cast_like(d_norm, norm), *cast_like(d_weights, (qkv, depthwise)))

    return forward(), gradient


def _squares_over_pixels(x: KerasTensor) -> KerasTensor:
    wide = ops.cast(x, "float32")
    return ops.sum(wide * wide, axis=1)
