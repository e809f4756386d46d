"""A retouch applied to a photo at its full size: `enhancer.network.retouch.apply`, for 24 MP.

Nothing is enlarged but smooth things: the guided filter's coefficients, of the photo reduced to
`GUIDE_SIDE`, and the bilateral grid. NumPy and OpenCV do it in strips that stay in the processor's
cache, several at a time; XLA on a CPU takes several times as long.

Reference: He and Sun, "Fast Guided Filter", arXiv 1505.00996.
"""

import dataclasses
from typing import Any

import cv2
import numpy as np

from enhancer.inference.edit import WHITE, check_strength, in_threads
from enhancer.network import retouch as form

GUIDE_SIDE = 512
"""Of the square in which the guided filter's coefficients are computed; its window has a radius of
ten pixels."""
STOP = 0.5
"""What a number for exposure changes by for about one stop, in a picture that is neither dark nor
bright."""
WARMTH = 0.4
"""What gains change by at most; of red over blue that is 27 %."""
_STRIP_PIXELS = 48 << 10  # measured: fewer and NumPy's calls count, more and caches overflow
_TABLE_SIZE = 4096


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
        table = _tone_table(self.numbers)
        rows, columns = form.grid_weights(height), form.grid_weights(width).T.copy()
        result = np.empty_like(photo)
        strip_rows = max(1, _STRIP_PIXELS // width)

        def retouch_strip(top: int) -> None:
            strip = slice(top, min(top + strip_rows, height))
            filtered = [_enlarged(plane, strip, height, width) for plane in guide]
            # (channel, level, row, column): a channel's level is contiguous.
            at_rows = np.einsum("yi,ijlc->clyj", rows[strip], self.grid, optimize=True)
            local = np.ascontiguousarray(at_rows) @ columns
            _retouch(photo[strip], filtered, self.numbers, local, table, strength, result[strip])

        in_threads(retouch_strip, range(0, height, strip_rows))
        return result


def _retouch(
    strip: np.ndarray,
    guide: list[np.ndarray],
    numbers: np.ndarray,
    local: np.ndarray,
    table: np.ndarray,
    strength: float,
    result: np.ndarray,
) -> None:
    """Retouch some rows into `result`; step by step as in `enhancer.network.retouch.apply`."""
    white = np.float32(WHITE[strip.dtype])
    photo = [np.multiply(strip[..., c], 1 / white, dtype=np.float32) for c in range(3)]
    log_level = np.log(_greatest(photo) + np.float32(form.DARKEST))
    detail = np.exp(log_level - (guide[0] * log_level + guide[1]))
    planes = [np.minimum(plane / detail, 1) for plane in photo]

    depth = _greatest(planes) * np.float32(form.GRID_LEVELS - 1)
    gains_and_exposure = [np.full_like(depth, numbers[c]) for c in range(form.NUM_LOCAL)]
    for k in range(form.GRID_LEVELS):
        hat = np.maximum(1 - np.abs(depth - np.float32(k)), 0)
        for c, total in enumerate(gains_and_exposure):
            total += hat * local[c, k]
    below_white = 1 - depth / np.float32(form.GRID_LEVELS - 1)
    below_white = np.clip(below_white / np.float32(form.FADE_WIDTH), 0, 1)
    fade = np.float32(form.SCALE) * below_white * below_white * (3 - 2 * below_white)
    gains = gains_and_exposure[form.GAINS]
    largest = _greatest(gains)
    planes = [
        plane * np.exp(fade * (gain - largest)) for plane, gain in zip(planes, gains, strict=True)
    ]

    level = np.clip(_greatest(planes), np.float32(1e-4), 1)
    exposed = np.exp(np.log(level) * np.exp(-gains_and_exposure[form.EXPOSURE]))
    toned = table[(exposed * np.float32(_TABLE_SIZE - 1) + np.float32(0.5)).astype(np.int32)]
    ratio = np.minimum(toned / level, np.float32(form.MAX_RATIO))
    planes = [plane * ratio for plane in planes]

    weighted = (np.float32(w) * plane for w, plane in zip(form.LUMA, planes, strict=True))
    luma: Any = sum(weighted)
    saturation = np.exp(np.float32(form.SCALE) * numbers[form.SATURATION])
    for c, plane in enumerate(planes):
        edited = np.clip(luma + (plane - luma) * saturation, 0, 1) * detail
        if strength < 1.0:
            edited = photo[c] + np.float32(strength) * (edited - photo[c])
        result[..., c] = np.rint(np.minimum(edited, 1) * white)


def _greatest(planes: list[np.ndarray]) -> np.ndarray:
    return np.maximum(np.maximum(planes[0], planes[1]), planes[2])


def _tone_table(numbers: np.ndarray) -> np.ndarray:
    """The tone curve at `_TABLE_SIZE` evenly spaced points of [0, 1], float32."""
    steps = np.asarray(form.curve_steps(numbers[None]))[0]
    knots = np.linspace(0, 1, form.NUM_STEPS + 1)
    curve = np.concatenate([[0], np.cumsum(steps)])
    return np.interp(np.linspace(0, 1, _TABLE_SIZE), knots, curve).astype(np.float32)


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
