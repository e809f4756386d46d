"""A retouch applied to a photo at its full size: `enhancer.network.retouch.apply`, for 24 MP.

Nothing is enlarged but smooth things: the guided filter's coefficients, of the photo reduced to
`GUIDE_SIDE`, and the bilateral grid. The pixels pass in tiles through one program, whatever the
photo's size.

Reference: He and Sun, "Fast Guided Filter", arXiv 1505.00996.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from enhancer.inference.edit import WHITE, check_strength, in_threads
from enhancer.network import retouch as form
from enhancer.system.compiler import compiler_options

GUIDE_SIDE = 512
"""Of the square in which the guided filter's coefficients are computed; its window has a radius of
ten pixels."""
STOP = 0.5
"""What a number for exposure changes by for about one stop, in a picture that is neither dark nor
bright."""
WARMTH = 0.4
"""What gains change by at most; of red over blue that is 27 %."""
_TILE = 256
"""Pixels of a tile's side: its planes stay in the processor's cache."""


@dataclasses.dataclass(frozen=True)
class PhotoRetouch:
    """How one photo is retouched: small enough to keep, to change, and to apply again."""

    numbers: np.ndarray
    """float32 `(NUM_NUMBERS,)`: see `enhancer.network.retouch`."""
    grid: np.ndarray
    """float32 `(GRID_SIDE, GRID_SIDE, GRID_LEVELS, NUM_LOCAL)`."""

    def without_colour(self) -> "PhotoRetouch":
        """The same for a black-and-white photo, which stays one."""
        numbers, grid = self.numbers.copy(), self.grid.copy()
        numbers[form.GAINS] = 0
        grid[..., form.GAINS] = 0
        return PhotoRetouch(numbers, grid)

    def adjusted(self, stops: float, warmth: float) -> "PhotoRetouch":
        """The same, brighter by about so many stops, and in [-1, 1] bluer or more yellow. What is
        white stays white."""
        numbers = self.numbers.copy()
        numbers[form.EXPOSURE] += STOP * stops
        numbers[form.GAINS] += WARMTH * warmth * np.array([1, 0, -1], np.float32)
        return dataclasses.replace(self, numbers=numbers)

    def apply(self, photo: np.ndarray, strength: float = 1.0) -> np.ndarray:
        """Edit a photo, uint8 or uint16 `(H, W, 3)` sRGB, keeping both.
        A `strength` of 0 gives the photo itself, 1 the whole edit."""
        check_strength(strength)
        height, width = photo.shape[:2]
        guide = _guide(photo)
        row_weights, column_tiles = form.grid_weights(height), list(_column_tiles(width))
        program = _program()
        result = np.empty_like(photo)

        def retouch_rows(top: int) -> None:
            rows = slice(top, min(top + _TILE, height))
            filtered = [_enlarged(plane, rows, height, width) for plane in guide]
            # What the grid holds at these rows: (column of the grid, channel, level, row).
            knots = np.einsum("yi,ijlc->jcly", row_weights[rows], self.grid, optimize=True)
            knots = np.pad(knots, [(0, 0)] * 3 + [(0, _TILE - knots.shape[-1])])
            # Reused for all tiles: a smaller one leaves values beyond its edge, which are cut off.
            pixels = np.zeros((_TILE, _TILE, 3), photo.dtype)
            coefficients = np.zeros((2, _TILE, _TILE), np.float32)
            place = np.zeros(_TILE, np.float32)
            for left, columns, places in column_tiles:
                part = photo[rows, columns]
                inside = tuple(slice(0, side) for side in part.shape[:2])
                pixels[inside] = part
                place[inside[1]] = places
                for k, plane in enumerate(filtered):
                    coefficients[k][inside] = plane[:, columns]
                edited = program(
                    cv2.split(pixels),
                    coefficients,
                    knots[left : left + 2],
                    place,
                    self.numbers,
                    np.float32(strength),
                )
                result[rows, columns] = cv2.merge([np.asarray(plane) for plane in edited])[inside]

        in_threads(retouch_rows, range(0, height, _TILE))
        return result


NEUTRAL = PhotoRetouch(
    np.zeros(form.NUM_NUMBERS, np.float32),
    np.zeros((form.GRID_SIDE, form.GRID_SIDE, form.GRID_LEVELS, form.NUM_LOCAL), np.float32),
)
"""Leaves a photo almost as it is."""


@functools.cache
def _program() -> Any:
    return jax.jit(_retouch, compiler_options=compiler_options())


def _retouch(
    photo: Sequence[jax.Array],
    guide: jax.Array,
    knots: jax.Array,
    place: jax.Array,
    numbers: jax.Array,
    strength: jax.Array,
) -> list[jax.Array]:
    """Retouch a tile.

    Args:
        photo: red, green and blue, uint8 or uint16 `(rows, columns)` each.
        guide: the guided filter's slope and offset, float32 `(2, rows, columns)`.
        knots: what the grid holds on the left and on the right of all columns, float32
            `(2, NUM_LOCAL, GRID_LEVELS, rows)`.
        place: of the columns between these two, float32 `(columns,)`, [0, 1].
        numbers, strength: float32 `(NUM_NUMBERS,)` and `()`.

    Returns:
        The same of the edited tile. One array of all three would make XLA compute them in one loop,
        eighty times as slow.
    """
    white = WHITE[np.dtype(photo[0].dtype)]
    planes = [plane.astype("float32") / white for plane in photo]
    log_level = jnp.log(form.greatest(planes) + form.DARKEST)
    detail = log_level - (guide[0] * log_level + guide[1])
    at_pixels = [
        [
            (low[:, None] + place * (high - low)[:, None])[None]
            for low, high in zip(*levels, strict=True)
        ]
        for levels in zip(*knots, strict=True)
    ]
    batch = [plane[None] for plane in planes]
    edited = form.apply_to_planes(numbers[None], at_pixels, batch, detail[None])
    blended = [x + strength * (y[0] - x) for x, y in zip(planes, edited, strict=True)]
    return [jnp.rint(jnp.minimum(x, 1) * white).astype(photo[0].dtype) for x in blended]


def _column_tiles(width: int) -> Iterator[tuple[int, slice, np.ndarray]]:
    """Cut the columns of a photo where the grid has knots, and again where they are too many.

    Yields the knot to the left, the columns, and where each lies between that knot and the next,
    float32 in [0, 1].
    """
    place = np.linspace(0, form.GRID_SIDE - 1, width, dtype=np.float32)
    knot = np.minimum(place.astype(int), form.GRID_SIDE - 2)
    for left in range(form.GRID_SIDE - 1):
        first, last = np.searchsorted(knot, [left, left + 1])
        for start in range(first, last, _TILE):
            columns = slice(start, min(start + _TILE, last))
            yield left, columns, place[columns] - np.float32(left)


def _guide(photo: np.ndarray) -> list[np.ndarray]:
    """The guided filter's slope and offset for log max(R, G, B), float32 `GUIDE_SIDE` squares."""
    small = fitted(photo, GUIDE_SIDE).astype(np.float32) / np.float32(WHITE[photo.dtype])
    log_level = np.log(small.max(axis=-1) + np.float32(form.DARKEST))
    radius = round(form.WINDOW * GUIDE_SIDE)

    def box(plane: np.ndarray) -> np.ndarray:
        return cv2.blur(plane, (2 * radius + 1, 2 * radius + 1))

    mean = box(log_level)
    variance = np.maximum(box(log_level * log_level) - mean * mean, 0)
    slope = variance / (variance + np.float32(form.EPSILON))
    return [box(slope), box(mean - slope * mean)]


def fitted(photo: np.ndarray, side: int) -> np.ndarray:
    """A photo, uint8 or uint16 `(H, W, 3)`, squashed into a square of `side` pixels."""
    shrinks = min(photo.shape[:2]) >= side
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(photo, (side, side), interpolation=method)


def _enlarged(plane: np.ndarray, strip: slice, height: int, width: int) -> np.ndarray:
    """Rows `strip` of what a square plane is when enlarged to the photo, bilinear."""
    side = len(plane)
    place = (np.arange(strip.start, strip.stop) + 0.5) * side / height - 0.5
    above = np.clip(np.floor(place).astype(int), 0, side - 2)
    weight = np.clip(place - above, 0, 1).astype(np.float32)[:, None]
    lines = plane[above] + weight * (plane[above + 1] - plane[above])
    return cv2.resize(lines, (width, len(lines)), interpolation=cv2.INTER_LINEAR)
