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

from enhancer.network.layers import EPSILON_NORM, layer_norm, stencil
from enhancer.network.row_strips import RowStrips

Norm = tuple[KerasTensor, ...]  # scale `(channels,)`, and bias `(channels,)` or nothing
KernelSums = tuple[KerasTensor, ...]  # nine, one per offset in the kernel


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


def filter_zeros(
    strips: RowStrips, d_x: KerasTensor, norm: Norm, projection: KerasTensor, kernel: KerasTensor
):
    """Where the sums of `add_filter_gradient` start: at `d_x` for the padded input and at zero for the weights."""
    d_norm = tuple(ops.zeros(x.shape, "float32") for x in norm)
    d_kernel = tuple(
        ops.zeros((strips.images, strips.width, kernel.shape[-1]), "float32") for _ in range(9)
    )
    return d_x, d_norm, ops.zeros(projection.shape, "float32"), d_kernel


def add_filter_gradient(
    strips: RowStrips, sums, index: Any, forward, gradients, norm: Norm, projection: KerasTensor
):
    """Add what one strip contributes to the gradients of norm, 1x1 projection and depthwise 3x3.

    Args:
        strips: the walk.
        sums: of the padded input; of the norm; of the projection; of the kernel, by offset `(images, width, wide)`.
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
        _add_kernel_gradient(d_kernel, projected, d_filtered),
    )


def _add_kernel_gradient(
    sums: KernelSums, projected: KerasTensor, d_filtered: KerasTensor
) -> KernelSums:
    """Nine sums of shifted products, of the strip's rows alone: one unrolled expression runs in registers.

    A reduction of each product over all pixels would write and read it all. The columns are added once, after the last strip.
    """
    width = d_filtered.shape[2]
    projected, d_filtered = ops.cast(projected, "float32"), ops.cast(d_filtered, "float32")

    shifted = [[row[:, j : j + width] for j in range(3)] for row in ops.unstack(projected, axis=1)]
    d_rows = ops.unstack(d_filtered, axis=1)

    def at_offset(total: KerasTensor, i: int, j: int) -> KerasTensor:
        return sum((shifted[row + i][j] * d_row for row, d_row in enumerate(d_rows)), start=total)

    return tuple(at_offset(total, *divmod(offset, 3)) for offset, total in enumerate(sums))


def kernel_gradient(sums: KernelSums) -> KerasTensor:
    """`(3, 3, wide)` float32 from the sums that all strips were added to."""
    over_columns = [ops.sum(total, axis=(0, 1)) for total in sums]
    return ops.reshape(ops.stack(over_columns), (3, 3, -1))


def _layer_norm_gradient(
    x: KerasTensor, norm: Norm, d_normalised: KerasTensor
) -> tuple[KerasTensor, Norm]:
    x_dtype, x = x.dtype, ops.cast(x, "float32")
    centred = x - ops.mean(x, axis=-1, keepdims=True)
    inverse = ops.rsqrt(ops.mean(centred * centred, axis=-1, keepdims=True) + EPSILON_NORM)
    d_scale_of_pixels = d_normalised * (x if len(norm) == 1 else centred) * inverse
    # A product with the scale, because XLA runs a sum of products over the channels of each pixel 20 times slower.
    through_variance = (
        centred * inverse * (ops.matmul(d_scale_of_pixels, norm[0]) / x.shape[-1])[..., None]
    )
    d_x = inverse * (d_normalised * norm[0] - through_variance)
    d_scale = ops.sum(d_scale_of_pixels, axis=(0, 1, 2))
    if len(norm) == 1:
        return ops.cast(d_x, x_dtype), (d_scale,)
    d_x = d_x - ops.mean(d_x, axis=-1, keepdims=True)
    return ops.cast(d_x, x_dtype), (d_scale, ops.sum(d_normalised, axis=(0, 1, 2)))


def product_over_pixels(a: KerasTensor, b: KerasTensor) -> KerasTensor:
    """aᵀ b over all pixels, `(channels of a, channels of b)`, rounded as its factors are and then float32. Faster with the narrower one as `a`."""
    a, b = (ops.reshape(x, (-1, x.shape[-1])) for x in (a, b))
    return ops.cast(ops.matmul(ops.transpose(a), b), "float32")


def cast_like(
    gradients: Sequence[KerasTensor], weights: Sequence[KerasTensor]
) -> tuple[KerasTensor, ...]:
    """Float32 sums in the types of the weights that they are gradients of."""
    return tuple(
        ops.cast(gradient, weight.dtype)
        for gradient, weight in zip(gradients, weights, strict=True)
    )
