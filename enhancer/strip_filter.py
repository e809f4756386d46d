# pyright: reportIndexIssue=false, reportOperatorIssue=false, reportOptionalOperand=false, reportOptionalSubscript=false, reportOptionalIterable=false, reportReturnType=false
# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false, reportOptionalMemberAccess=false, reportAttributeAccessIssue=false, reportCallIssue=false
# (keras.ops annotates its results so loosely, None included, that no arithmetic on them checks)
"""The part that both halves of a block share, on one strip of rows: norm, 1x1 projection, depthwise 3x3, and their gradients.

For h = n W (projection) and s = stencil(h, k): given ds on a strip, dh is the stencil of ds with the flipped kernel. It reaches
one row beyond the strip, where the contributions of neighbouring strips add up, in dn = dh Wᵀ and in dW = nᵀ dh alike; the
norm's gradient is linear in dn, so the same holds of it. dk is nine sums over shifted products h ds.
"""

from collections.abc import Sequence
from typing import Any

from keras import KerasTensor, ops

from enhancer.layers import EPSILON_NORM, layer_norm, stencil
from enhancer.row_strips import RowStrips

UNROLLED_ROWS = 8

Norm = tuple[KerasTensor, ...]  # scale `(channels,)`, and bias `(channels,)` or nothing


def normalised_strip(strips: RowStrips, rows: KerasTensor, norm: Norm, index: Any) -> KerasTensor:
    """The norm of a strip with its halo, 0 outside the picture: `(images, rows + 2, width + 2, channels)`."""
    normalised = layer_norm(rows, *norm)
    if len(norm) == 1:
        return normalised  # zeros stay zeros without a bias
    return normalised * ops.cast(strips.inside(index), normalised.dtype)


def spread_gradient(d_filtered: KerasTensor, kernel: KerasTensor) -> KerasTensor:
    """What a strip contributes to the gradient of the stencil's input, its halo included."""
    surrounded = ops.pad(d_filtered, ((0, 0), (2, 2), (2, 2), (0, 0)))
    return stencil(surrounded, ops.flip(kernel, axis=(0, 1)))


def filter_zeros(d_x: KerasTensor, norm: Norm, projection: KerasTensor, kernel: KerasTensor):
    """Where the sums of `add_filter_gradient` start: at `d_x` for the padded input and at zero for the weights."""
    d_norm = tuple(ops.zeros(x.shape, "float32") for x in norm)
    return d_x, d_norm, ops.zeros(projection.shape, "float32"), ops.zeros((9, kernel.shape[-1]), "float32")


def add_filter_gradient(strips: RowStrips, sums, index: Any, forward, gradients, norm: Norm, projection: KerasTensor):
    """Add what one strip contributes to the gradients of norm, 1x1 projection and depthwise 3x3.

    Args:
        strips: the walk.
        sums: of the padded input; of the norm; of the projection; of the kernel `(9, wide)`.
        index: of the strip.
        forward: the strip with its halo as it came, after the norm, after the projection.
        gradients: of the projection's output on the strip and its halo; of the filter's output on the strip.
        norm, projection: the weights.
    """
    d_x, d_norm, d_projection, d_kernel = sums
    rows, normalised, projected = forward
    d_projected, d_filtered = gradients
    d_normalised = ops.cast(ops.matmul(d_projected, ops.transpose(projection)), "float32")
    if len(norm) == 2:
        d_normalised = d_normalised * strips.inside(index)
    # The norm's gradient is linear in the upstream one, so it too can be taken before neighbouring strips are added.
    d_rows, d_norm_of_strip = _layer_norm_gradient(rows, norm, d_normalised)
    return (
        strips.add_with_halo(d_x, d_rows, index),
        tuple(total + part for total, part in zip(d_norm, d_norm_of_strip, strict=True)),
        d_projection + product_over_pixels(normalised, d_projected),
        d_kernel + _kernel_gradient(projected, d_filtered),
    )


def _kernel_gradient(projected: KerasTensor, d_filtered: KerasTensor) -> KerasTensor:
    """Nine sums of shifted products, float32 `(9, channels)`.

    Rows are added in an unrolled expression first, which XLA runs in registers, and pixels of the one row that is left
    after that: a plain reduction of each product would write and read all of it.
    """
    _, rows, width, _ = d_filtered.shape
    projected, d_filtered = ops.cast(projected, "float32"), ops.cast(d_filtered, "float32")
    sums_of_rows = sum(
        ops.stack(
            [
                sum(projected[:, row + i, j : j + width] * d_filtered[:, row] for row in some_rows)
                for i in range(3)
                for j in range(3)
            ]
        )
        for some_rows in (range(top, min(top + UNROLLED_ROWS, rows)) for top in range(0, rows, UNROLLED_ROWS))
    )
    return ops.sum(sums_of_rows, axis=(1, 2))


def _layer_norm_gradient(x: KerasTensor, norm: Norm, d_normalised: KerasTensor) -> tuple[KerasTensor, Norm]:
    x_dtype, x = x.dtype, ops.cast(x, "float32")
    centred = x - ops.mean(x, axis=-1, keepdims=True)
    inverse = ops.rsqrt(ops.mean(centred * centred, axis=-1, keepdims=True) + EPSILON_NORM)
    numerator = x if len(norm) == 1 else centred
    scaled = d_normalised * norm[0]
    through_variance = centred * inverse * inverse * ops.mean(scaled * numerator, axis=-1, keepdims=True)
    d_x = inverse * (scaled - through_variance)
    d_scale = ops.sum(d_normalised * numerator * inverse, axis=(0, 1, 2))
    if len(norm) == 1:
        return ops.cast(d_x, x_dtype), (d_scale,)
    d_x = d_x - ops.mean(d_x, axis=-1, keepdims=True)
    return ops.cast(d_x, x_dtype), (d_scale, ops.sum(d_normalised, axis=(0, 1, 2)))


def product_over_pixels(a: KerasTensor, b: KerasTensor) -> KerasTensor:
    """aᵀ b over all pixels, float32 `(channels of a, channels of b)`. XLA transposes `a`: give it the narrower one."""
    a, b = (ops.reshape(x, (-1, x.shape[-1])) for x in (a, b))
    return ops.cast(ops.matmul(ops.transpose(a), b), "float32")


def cast_like(gradients: Sequence[KerasTensor], weights: Sequence[KerasTensor]) -> tuple[KerasTensor, ...]:
    """Float32 sums in the types of the weights that they are gradients of."""
    return tuple(ops.cast(gradient, weight.dtype) for gradient, weight in zip(gradients, weights, strict=True))
