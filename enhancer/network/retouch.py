"""A photo's edit as a few bounded numbers: it cannot harm lamps, ceilings and windows.

A network with this base answers not with a picture but with how to retouch one, at any size:

1. The logarithm of max(R, G, B) is split into a smooth base, by a guided filter, and the detail on
   it. All that follows edits the base.
2. White balance: a gain for each channel, the largest of the three 1, so that nothing is clipped.
   They fade to 1 towards white, so that what was blown stays neutral.
3. Exposure: a gamma of max(R, G, B), which keeps black black and white white.
4. A tone curve of max(R, G, B) that rises everywhere and ends near white. All channels are
   multiplied by the same ratio, so that neutral stays neutral.
5. Saturation.
6. The detail is put back.

The gains and the exposure are sums: a number for the whole photo, and a coarse bilateral grid over
place and brightness, into which the network's answers are averaged.

`enhancer.inference.full_size` does the same to photos at their full size.

References:
    He, Sun and Tang, "Guided Image Filtering", ECCV 2010.
    Gharbi et al., "Deep Bilateral Learning for Real-Time Image Enhancement", SIGGRAPH 2017.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from enhancer.network.tensors import Tensor, ops

NUM_STEPS = 12
"""Straight pieces of the tone curve, of equal width."""
GAINS, EXPOSURE, STEPS, END, SATURATION = slice(0, 3), 3, slice(4, 4 + NUM_STEPS), 16, 17
"""Where a photo's numbers stand."""
NUM_NUMBERS = 18
NUM_LOCAL = 4
"""Answers at a pixel of what the network sees: gains and exposure, to be added to the photo's."""
GRID_SIDE, GRID_LEVELS = 6, 6
NUM_BINS = 8
"""Of the histograms of R, G, B and their maximum, which the numbers are predicted from."""

EVIDENCE = 0.02
"""Share of a grid cell's pixels that weighs as much as the whole photo's numbers."""
WINDOW = 0.02
"""Radius of the guided filter's window, in sides of the photo."""
EPSILON = 0.2
"""Variance of the logarithm of light from which on an edge belongs to the base."""
DARKEST = 0.02
"""Added to light before its logarithm is taken."""
SCALE = 0.3
"""Gains and saturation are exponentials of so much of a number."""
FADE_WIDTH = 0.14
"""How far below white gains begin to fade."""
LEAST_RISE = 0.15
"""Of a piece of the tone curve, relative to a straight line's (before the curve's end is set)."""
WHITE_FROM = 0.92
"""What the tone curve leaves of white, at least."""
MAX_RATIO = 16.0
"""By which light is multiplied, at most: noise is not lifted without bound."""
LUMA = (0.2126, 0.7152, 0.0722)  # Rec. 709


class Retouch(NamedTuple):
    """How to retouch photos. Unbounded; zeros leave a photo almost as it is."""

    numbers: Tensor
    """Of the whole photo, float32 `(batch, NUM_NUMBERS)`."""
    grid: Tensor
    """Gains and exposure to add, float32 `(batch, GRID_SIDE, GRID_SIDE, GRID_LEVELS, NUM_LOCAL)`:
    rows, columns, levels of brightness from black to white."""


def features(latent: Tensor, photos: Tensor) -> Tensor:
    """What a photo's numbers are predicted from: its pooled latent and its histograms.

    Args:
        latent: `(batch, h, w, channels)`.
        photos: float32 `(batch, height, width, 3)`, [0, 1].

    Returns:
        float32 `(batch, 2 * channels + 4 * NUM_BINS)`.
    """
    latent = ops.cast(latent, "float32")
    planes = [*(photos[..., c] for c in range(3)), ops.max(photos, axis=-1)]
    histograms = [2 * ops.mean(_hats(ops.sqrt(plane), NUM_BINS), axis=(1, 2)) for plane in planes]
    pooled = [ops.mean(latent, axis=(1, 2)), ops.max(latent, axis=(1, 2))]
    return ops.concatenate([*pooled, *histograms], axis=-1)


def splat(local: Tensor, photos: Tensor) -> Tensor:
    """Average answers at pixels into bilateral grids, `Retouch.grid`.

    A cell without pixels holds zeros, one with few of them a part of its mean.

    Args:
        local: float32 `(batch, height, width, NUM_LOCAL)`.
        photos: what the answers are to, float32 `(batch, height, width, 3)`, [0, 1].
    """
    height, width = photos.shape[1:3]
    rows, columns = grid_weights(height), grid_weights(width)
    answers = ops.concatenate([local, ops.ones_like(local[..., :1])], axis=-1)
    levels = _hats(ops.max(photos, axis=-1), GRID_LEVELS)
    cells = ops.einsum("yi,byxl,byxc->bixlc", rows, levels, answers)
    cells = ops.einsum("xj,bixlc->bijlc", columns, cells)
    pixels = np.outer(rows.sum(axis=0), columns.sum(axis=0))[None, :, :, None, None]
    return cells[..., :-1] / (cells[..., -1:] + EVIDENCE * pixels)


def apply(retouch: Retouch, photos: Tensor) -> Tensor:
    """Retouch photos, float32 `(batch, height, width, 3)` in [0, 1].
    The same shape, [0, 1] and, where detail lies on white, a little above."""
    height, width = photos.shape[1:3]
    planes = [photos[..., c] for c in range(3)]
    weights = grid_weights(height), grid_weights(width)
    local = [_at_pixels(retouch.grid[..., c], *weights) for c in range(NUM_LOCAL)]
    detail = _detail(greatest(planes))
    return ops.stack(apply_to_planes(retouch.numbers, local, planes, detail), axis=-1)


def apply_to_planes(
    numbers: Tensor, local: Sequence[Sequence[Tensor]], planes: Sequence[Tensor], detail: Tensor
) -> list[Tensor]:
    """Retouch each pixel by itself, once what depends on those around it is known.

    Args:
        numbers: `Retouch.numbers`.
        local: for each of `NUM_LOCAL`, for each of `GRID_LEVELS`, what the grid holds at the
            pixels' places, float32 `(batch, height, width)`.
        planes: red, green and blue, float32 `(batch, height, width)` each, [0, 1].
        detail: what is to be kept of the logarithm of their greatest, `(batch, height, width)`.

    Returns:
        The edited planes.
    """
    planes = [ops.minimum(plane * ops.exp(-detail), 1.0) for plane in planes]
    level = greatest(planes)
    n = numbers[:, None, None, :]
    depth = level * (GRID_LEVELS - 1)
    hats = [ops.maximum(1 - ops.abs(depth - k), 0.0) for k in range(GRID_LEVELS)]
    gains_and_exposure = [
        n[..., c] + sum(hat * at_pixels for hat, at_pixels in zip(hats, local[c], strict=True))
        for c in range(NUM_LOCAL)
    ]
    below_white = ops.clip((1 - level) / FADE_WIDTH, 0, 1)
    fade = SCALE * below_white * below_white * (3 - 2 * below_white)
    gains = gains_and_exposure[GAINS]
    largest = greatest(gains)
    planes = [
        plane * ops.exp(fade * (gain - largest)) for plane, gain in zip(planes, gains, strict=True)
    ]

    level = ops.clip(greatest(planes), 1e-4, 1.0)
    exposed = NUM_STEPS * ops.exp(ops.log(level) * ops.exp(-gains_and_exposure[EXPOSURE]))
    steps = curve_steps(numbers)[:, None, None, :]
    toned = sum(steps[..., k] * ops.clip(exposed - k, 0, 1) for k in range(NUM_STEPS))
    ratio = ops.minimum(toned / level, MAX_RATIO)
    planes = [plane * ratio for plane in planes]

    luma = sum(weight * plane for weight, plane in zip(LUMA, planes, strict=True))
    saturation = ops.exp(SCALE * n[..., SATURATION])
    planes = [ops.clip(luma + (plane - luma) * saturation, 0.0, 1.0) for plane in planes]
    return [plane * ops.exp(detail) for plane in planes]


def curve_steps(numbers: Any) -> Any:
    """How far each piece of the curves rises, `(batch, NUM_NUMBERS)` to `(batch, NUM_STEPS)`."""
    rises = LEAST_RISE + ops.softplus(0.5 * numbers[:, STEPS] + 0.54)  # 1.15 where it is 0
    end = WHITE_FROM + (1 - WHITE_FROM) * ops.sigmoid(numbers[:, END, None] + 2)
    return rises / ops.sum(rises, axis=-1, keepdims=True) * end


def grid_weights(length: int) -> np.ndarray:
    """How much each of `GRID_SIDE` knots, the outer ones on the outermost pixels, counts at the
    pixels of a side, float32 `(length, GRID_SIDE)`."""
    place = np.linspace(0, GRID_SIDE - 1, length, dtype=np.float32)[:, None]
    return np.maximum(1 - np.abs(place - np.arange(GRID_SIDE, dtype=np.float32)), 0)


def greatest(planes: Sequence[Tensor]) -> Tensor:
    """The greatest of three planes at each pixel."""
    return ops.maximum(ops.maximum(planes[0], planes[1]), planes[2])


def _hats(x: Tensor, number: int) -> Tensor:
    """How much each of `number` knots in [0, 1] counts at x, `(...)` to `(..., number)`."""
    knots = np.arange(number, dtype="float32")
    return ops.maximum(1 - ops.abs(ops.clip(x, 0, 1)[..., None] * (number - 1) - knots), 0.0)


def _at_pixels(grid: Tensor, rows: np.ndarray, columns: np.ndarray) -> list[Tensor]:
    """One channel of the grid at all pixels, `(b, i, j, l)` to a `(b, h, w)` for each level."""
    at_rows = ops.einsum("yi,bijl->blyj", rows, grid)
    at_pixels = ops.einsum("blyj,xj->blyx", at_rows, columns)
    return [at_pixels[:, k] for k in range(GRID_LEVELS)]


def _detail(level: Tensor) -> Tensor:
    """What a guided filter takes from the logarithm of a level, `(b, h, w)`."""
    log_level = ops.log(level + DARKEST)
    mean = _box(log_level)
    variance = ops.maximum(_box(log_level * log_level) - mean * mean, 0.0)
    slope = variance / (variance + EPSILON)
    return log_level - (_box(slope) * log_level + _box(mean - slope * mean))


def _box(x: Tensor) -> Tensor:
    """The mean over each pixel's window, reflected at the borders, `(b, h, w)`."""
    for axis in (1, 2):
        length = x.shape[axis]
        radius = max(1, round(WINDOW * length))
        index = np.pad(np.arange(length), radius, mode="reflect" if length > radius else "edge")
        window = [1, 1]
        window[axis - 1] = 2 * radius + 1
        x = ops.take(x, index, axis=axis)[..., None]
        x = ops.average_pool(x, tuple(window), strides=1, padding="valid")[..., 0]
    return x
