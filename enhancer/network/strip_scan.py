"""Row strips: a few rows of a picture at a time, so that all that is computed stays in the cache.

Here are the walk over pictures, strip by strip, and what both halves of a block do on a strip:
norm, 1x1 projection, depthwise 3x3, and their gradients. For h = n W (projection) and s =
stencil(h, k): given ds on a strip, dh is the stencil of ds with the flipped kernel. It reaches one
row beyond the strip, where the contributions of neighbouring strips add up, in dn = dh Wᵀ and in dW
= nᵀ dh alike; the norm's gradient is linear in dn, so the same holds of it. dk is nine sums over
shifted products h ds.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from enhancer.network.layers import EPSILON_NORM, layer_norm, stencil
from enhancer.network.tensors import Tensor, ops

# Of the widest tensor; measured, with 1 MiB of second-level and 32 MiB of third-level cache.
FORWARD_STRIP_BYTES = 4 << 20
BACKWARD_STRIP_BYTES = 2 << 20  # several wide tensors are alive at once
# Below that, matrix products and the loop's own cost weigh more than the cache gains.
FEWEST_PIXELS = 512
MOST_BACKWARD_ROWS = 16  # the kernel's gradient is unrolled over them, which XLA must compile
FEWEST_ROWS = 8  # two more are computed for the filter's border

Norm = tuple[Tensor, ...]  # scale `(channels,)`, and bias `(channels,)` or nothing


class RowStrips:
    """A walk over pictures, strip by strip; small pictures go several to a strip.

    Args:
        shape: `(batch, height, width, channels)` of the pictures.
        widest: channels of the widest tensor that is computed from a strip.
        strip_bytes: what that tensor should take, as float32; of wide pictures more.
        most_rows: of a strip. A picture's last may reach below its edge, over zeros (`excess`).
    """

    def __init__(
        self, shape: tuple[int, ...], widest: int, strip_bytes: int, most_rows: int | None = None
    ):
        self.batch, self.height, self.width, _ = shape
        fewest = max(math.ceil(FEWEST_PIXELS / self.width), FEWEST_ROWS)
        fitting = max(strip_bytes // (4 * self.width * widest), fewest)
        self.strips_per_image = math.ceil(self.height / min(fitting, most_rows or fitting))
        self.rows = math.ceil(self.height / self.strips_per_image)
        self.excess = self.strips_per_image * self.rows - self.height
        most_images = max(1, fitting // self.height) if self.strips_per_image == 1 else 1
        divisors = (n for n in range(1, self.batch + 1) if self.batch % n == 0)
        self.images = max(n for n in divisors if n <= most_images)
        self.count = self.batch // self.images * self.strips_per_image

    def scan(self, body: Callable[[Any, Any], tuple[Any, Any]], carry: Any) -> tuple[Any, Any]:
        """`ops.scan` of `body(carry, index)` over the strips."""
        if self.count > 1:
            return ops.scan(body, carry, ops.arange(self.count, dtype="int32"))
        carry, outputs = body(carry, 0)
        return carry, None if outputs is None else outputs[None]

    def pad(self, x: Tensor) -> Tensor:
        """A border of one zero around each picture, and the excess rows."""
        return ops.pad(x, ((0, 0), (1, 1 + self.excess), (1, 1), (0, 0)))

    def pad_below(self, x: Tensor) -> Tensor:
        """The excess rows alone."""
        return ops.pad(x, ((0, 0), (0, self.excess), (0, 0), (0, 0))) if self.excess else x

    def crop(self, padded: Tensor) -> Tensor:
        """The inverse of `pad`."""
        return padded[:, 1 : 1 + self.height, 1:-1]

    def take(self, x: Tensor, index: Any, halo: int = 0) -> Tensor:
        """A strip `(images, rows + 2 halo, ...)` of `pad_below(x)`, or with halo 1 of `pad(x)`."""
        image, row = self._origin(index)
        return ops.slice(x, (image, row, 0, 0), (self.images, self.rows + 2 * halo, *x.shape[2:]))

    def add_with_halo(self, total: Tensor, part: Tensor, index: Any) -> Tensor:
        """Add a strip's `(images, rows + 2, width + 2, channels)` to a padded picture."""
        image, row = self._origin(index)
        start = (image, row, 0, 0)
        return ops.slice_update(total, start, ops.slice(total, start, part.shape) + part)

    def take_images(self, x: Tensor, index: Any) -> Tensor:
        """What `x`, one entry per picture, holds for a strip's pictures."""
        start = (self._origin(index)[0], *(0,) * (len(x.shape) - 1))
        return ops.slice(x, start, (self.images, *x.shape[1:]))

    def add_to_images(self, total: Tensor, part: Tensor, index: Any) -> Tensor:
        """Add `(images, ...)` to the entries of a strip's pictures."""
        start = (self._origin(index)[0], *(0,) * (len(total.shape) - 1))
        return ops.slice_update(total, start, self.take_images(total, index) + part)

    def join(self, strips: Tensor) -> Tensor:
        """The pictures from the strips that `scan` stacked, without the excess."""
        rows = self.strips_per_image * self.rows
        joined = ops.reshape(strips, (self.batch, rows, self.width, strips.shape[-1]))
        return joined[:, : self.height]

    def inside(self, index: Any) -> Tensor:
        """float32 `(1, rows + 2, width + 2, 1)`: 1 where a strip and its halo are inside."""
        rows = self._origin(index)[1] + ops.arange(self.rows + 2)
        in_rows = ops.logical_and(rows >= 1, rows <= self.height)
        columns = ops.arange(self.width + 2)
        in_columns = ops.logical_and(columns >= 1, columns <= self.width)
        return ops.cast(ops.logical_and(in_rows[:, None], in_columns), "float32")[None, :, :, None]

    def _origin(self, index: Any) -> tuple[Any, Any]:
        if self.strips_per_image == 1:
            return index * self.images, 0
        return index // self.strips_per_image, index % self.strips_per_image * self.rows


def forward_strips(shape: tuple[int, ...], widest: int) -> RowStrips:
    return RowStrips(shape, widest, FORWARD_STRIP_BYTES)


def backward_strips(shape: tuple[int, ...], widest: int) -> RowStrips:
    return RowStrips(shape, widest, BACKWARD_STRIP_BYTES, MOST_BACKWARD_ROWS)


def normalised_strip(strips: RowStrips, rows: Tensor, norm: Norm, index: Any) -> Tensor:
    """The norm of a strip with its halo, 0 outside the picture."""
    normalised = layer_norm(rows, *norm)
    if len(norm) == 1:
        return normalised  # zeros stay zeros without a bias
    return normalised * ops.cast(strips.inside(index), normalised.dtype)


class FilterSums(NamedTuple):
    """Gradients of norm, 1x1 projection and depthwise 3x3, summed over the strips so far."""

    d_x: Tensor
    """Of the padded input, in its dtype; the others float32."""
    d_norm: Norm
    d_projection: Tensor
    d_kernel: tuple[Tensor, ...]
    """Nine `(images, width, wide)`, one an offset; columns are added once, after the last strip."""


def filter_zeros(
    strips: RowStrips, d_x: Tensor, norm: Norm, projection: Tensor, kernel: Tensor
) -> FilterSums:
    """The sums before the first strip; the input's begins at `d_x`."""
    d_norm = tuple(ops.zeros(x.shape, "float32") for x in norm)
    columns = (strips.images, strips.width, kernel.shape[-1])
    d_kernel = tuple(ops.zeros(columns, "float32") for _ in range(9))
    return FilterSums(d_x, d_norm, ops.zeros(projection.shape, "float32"), d_kernel)


def add_filter_gradient(
    strips: RowStrips,
    sums: FilterSums,
    index: Any,
    forward: tuple[Tensor, Tensor, Tensor],
    d_filtered: Tensor,
    norm: Norm,
    projection: Tensor,
    kernel: Tensor,
) -> FilterSums:
    """Add what one strip contributes.

    `forward` is the strip with its halo as it came, after the norm, and after the projection;
    `d_filtered` the gradient of the filter's output on the strip.
    """
    rows, normalised, projected = forward
    # What the strip contributes to the gradient of the filter's input, its halo included.
    surrounded = ops.pad(d_filtered, ((0, 0), (2, 2), (2, 2), (0, 0)))
    d_projected = stencil(surrounded, ops.flip(kernel, axis=(0, 1)))
    d_normalised = ops.cast(ops.matmul(d_projected, ops.transpose(projection)), "float32")
    if len(norm) == 2:
        d_normalised = d_normalised * strips.inside(index)
    # The norm's gradient is linear: it can be taken before those of neighbours are added.
    d_rows, d_norm = _layer_norm_gradient(rows, norm, d_normalised)
    return FilterSums(
        strips.add_with_halo(sums.d_x, d_rows, index),
        tuple(total + part for total, part in zip(sums.d_norm, d_norm, strict=True)),
        sums.d_projection + product_over_pixels(normalised, d_projected),
        _add_kernel_gradient(sums.d_kernel, projected, d_filtered),
    )


def _add_kernel_gradient(
    sums: tuple[Tensor, ...], projected: Tensor, d_filtered: Tensor
) -> tuple[Tensor, ...]:
    """Nine sums of shifted products over a strip's rows, unrolled to run in registers: a reduction
    of each product over all pixels would write and read it all."""
    width = d_filtered.shape[2]
    projected, d_filtered = ops.cast(projected, "float32"), ops.cast(d_filtered, "float32")
    shifted = [[row[:, j : j + width] for j in range(3)] for row in ops.unstack(projected, axis=1)]
    d_rows = ops.unstack(d_filtered, axis=1)

    def at_offset(total: Tensor, i: int, j: int) -> Tensor:
        return sum((shifted[row + i][j] * d_row for row, d_row in enumerate(d_rows)), start=total)

    return tuple(at_offset(total, *divmod(offset, 3)) for offset, total in enumerate(sums))


def kernel_gradient(sums: tuple[Tensor, ...]) -> Tensor:
    """`(3, 3, wide)` float32 from the sums that all strips were added to."""
    return ops.reshape(ops.sum(ops.stack(sums), axis=(1, 2)), (3, 3, -1))


def _layer_norm_gradient(x: Tensor, norm: Norm, d_normalised: Tensor) -> tuple[Tensor, Norm]:
    x_dtype, x = x.dtype, ops.cast(x, "float32")
    centred = x - ops.mean(x, axis=-1, keepdims=True)
    inverse = ops.rsqrt(ops.mean(centred * centred, axis=-1, keepdims=True) + EPSILON_NORM)
    d_scale_of_pixels = d_normalised * (x if len(norm) == 1 else centred) * inverse
    normalised = centred * inverse
    # XLA runs a sum of products over each pixel's channels 20 times slower than a matrix product.
    products = ops.matmul(d_scale_of_pixels, norm[0]) / x.shape[-1]
    through_variance = normalised * products[..., None]
    d_x = inverse * (d_normalised * norm[0] - through_variance)
    d_scale = ops.sum(d_scale_of_pixels, axis=(0, 1, 2))
    if len(norm) == 1:
        return ops.cast(d_x, x_dtype), (d_scale,)
    d_x = d_x - ops.mean(d_x, axis=-1, keepdims=True)
    return ops.cast(d_x, x_dtype), (d_scale, ops.sum(d_normalised, axis=(0, 1, 2)))


def product_over_pixels(a: Tensor, b: Tensor) -> Tensor:
    """aᵀ b over all pixels, float32 `(channels of a, channels of b)`; faster with `a` narrower."""
    a, b = (ops.reshape(x, (-1, x.shape[-1])) for x in (a, b))
    return ops.cast(ops.matmul(ops.transpose(a), b), "float32")


def cast_like(gradients: Sequence[Tensor], weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Float32 sums in the types of the weights that they are gradients of."""
    pairs = zip(gradients, weights, strict=True)
    return tuple(ops.cast(gradient, weight.dtype) for gradient, weight in pairs)
