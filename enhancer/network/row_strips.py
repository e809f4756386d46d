# pyright: reportIndexIssue=false, reportOperatorIssue=false, reportOptionalSubscript=false, reportReturnType=false, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalOperand=false
# (keras.ops annotates its results so loosely, None included, that no arithmetic on them checks)
"""Cut a batch of pictures into strips of a few rows, so that what is computed from one stays in the processor's cache."""

import math
from collections.abc import Callable
from typing import Any

from keras import KerasTensor, ops

FORWARD_STRIP_BYTES = (
    4 << 20
)  # of the widest tensor; measured, with 1 MiB of second-level and 32 MiB of third-level cache
BACKWARD_STRIP_BYTES = 2 << 20  # several wide tensors are alive at once
FEWEST_PIXELS = (
    512  # below that, matrix products and the loop's own cost weigh more than the cache gains
)
MOST_BACKWARD_ROWS = 16  # the kernel's gradient is unrolled over them, which XLA must compile
FEWEST_ROWS = 8  # two more are computed for the filter's border


class RowStrips:
    """A walk over pictures, strip by strip; small pictures go several to a strip.

    Args:
        shape: `(batch, height, width, channels)` of the pictures.
        widest: channels of the widest tensor that is computed from a strip.
        strip_bytes: what that tensor should take, as float32; of wide pictures it takes more (`FEWEST_ROWS`).
        most_rows: of a strip.

    The last strip of a picture may reach below its edge, over rows of zeros (`excess`).
    """

    def __init__(
        self, shape: tuple[int, ...], widest: int, strip_bytes: int, most_rows: int | None = None
    ):
        self.batch, self.height, self.width, _ = shape
        fitting = max(
            strip_bytes // (4 * self.width * widest),
            math.ceil(FEWEST_PIXELS / self.width),
            FEWEST_ROWS,
        )
        self.strips_per_image = math.ceil(self.height / min(fitting, most_rows or fitting))
        self.rows = math.ceil(self.height / self.strips_per_image)
        self.excess = self.strips_per_image * self.rows - self.height
        most_images = max(1, fitting // self.height) if self.strips_per_image == 1 else 1
        self.images = max(
            n for n in range(1, self.batch + 1) if self.batch % n == 0 and n <= most_images
        )
        self.count = self.batch // self.images * self.strips_per_image

    def scan(self, body: Callable[[Any, Any], tuple[Any, Any]], carry: Any) -> tuple[Any, Any]:
        """`ops.scan` of `body(carry, index)` over the strips."""
        if self.count > 1:
            return ops.scan(body, carry, ops.arange(self.count, dtype="int32"))
        carry, outputs = body(carry, 0)
        return carry, None if outputs is None else outputs[None]

    def pad(self, x: KerasTensor) -> KerasTensor:
        """A border of one zero around each picture, and the excess rows."""
        return ops.pad(x, ((0, 0), (1, 1 + self.excess), (1, 1), (0, 0)))

    def pad_below(self, x: KerasTensor) -> KerasTensor:
        """The excess rows alone."""
        return ops.pad(x, ((0, 0), (0, self.excess), (0, 0), (0, 0))) if self.excess else x

    def crop(self, padded: KerasTensor) -> KerasTensor:
        """The inverse of `pad`."""
        return padded[:, 1 : 1 + self.height, 1:-1]

    def take(self, x: KerasTensor, index: Any, halo: int = 0) -> KerasTensor:
        """A strip's rows `(images, rows + 2 halo, ...)` of `pad_below(x)`, or with halo 1 of `pad(x)`."""
        image, row = self._origin(index)
        return ops.slice(x, (image, row, 0, 0), (self.images, self.rows + 2 * halo, *x.shape[2:]))

    def add_with_halo(self, total: KerasTensor, part: KerasTensor, index: Any) -> KerasTensor:
        """Add a strip's `(images, rows + 2, width + 2, channels)` to a padded picture; neighbours overlap."""
        image, row = self._origin(index)
        start = (image, row, 0, 0)
        return ops.slice_update(total, start, ops.slice(total, start, part.shape) + part)

    def take_images(self, x: KerasTensor, index: Any) -> KerasTensor:
        """What `x`, one entry per picture, holds for a strip's pictures."""
        return ops.slice(
            x, (self._origin(index)[0], *(0,) * (len(x.shape) - 1)), (self.images, *x.shape[1:])
        )

    def add_to_images(self, total: KerasTensor, part: KerasTensor, index: Any) -> KerasTensor:
        """Add `(images, ...)` to the entries of a strip's pictures."""
        start = (self._origin(index)[0], *(0,) * (len(total.shape) - 1))
        return ops.slice_update(total, start, self.take_images(total, index) + part)

    def join(self, strips: KerasTensor) -> KerasTensor:
        """The pictures from the strips that `scan` stacked, without the excess."""
        rows = self.strips_per_image * self.rows
        return ops.reshape(strips, (self.batch, rows, self.width, strips.shape[-1]))[
            :, : self.height
        ]

    def inside(self, index: Any) -> KerasTensor:
        """1 where a strip with its halo lies in the picture, else 0: float32 `(1, rows + 2, width + 2, 1)`."""
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
    """The walk for a forward pass."""
    return RowStrips(shape, widest, FORWARD_STRIP_BYTES)


def backward_strips(shape: tuple[int, ...], widest: int) -> RowStrips:
    """The walk for a backward pass."""
    return RowStrips(shape, widest, BACKWARD_STRIP_BYTES, MOST_BACKWARD_ROWS)
