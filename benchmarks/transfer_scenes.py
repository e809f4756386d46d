"""Large photos with edits that are known at every pixel, so that an edit transfer can be held against the truth.

All scenes are 3:2 and drawn in fractions of the photo's height, but texture, noise and the pen strokes of edges are
drawn in pixels: the network's small version of the photo cannot show them.
"""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

from datasets.miniature.camera import decode_srgb, retouch_interior

_STRIPE_ROWS = 250
_TEXTURE_TILE = 1024
FRAME_WIDTH = 0.012
"""Of the dark frame around the window, in photo heights: 48 px at 24 megapixels."""
WINDOW = (0.18, 0.62, 0.72, 1.18)
"""Top, bottom, left, right of the opening, in photo heights. The frame lies inside of it."""

_PATTERN_PERIOD = 8
_SEED = 7

Draw = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""From rows `(h, 1)` and columns `(1, w)` in photo heights, and the photo's height in pixels, to colours `(h, w, 3)` in [0, 1]."""
Edit = Callable[[np.ndarray], np.ndarray]
"""From a photo, uint8 `(H, W, 3)`, to the edited one, uint16 of the same shape, 65535 is 1."""


@dataclasses.dataclass(frozen=True)
class Scene:
    """How a photo is made and edited."""

    draw: Draw
    noise: float
    """Standard deviation, in 8-bit steps."""
    edit: Edit
    pattern: float = 0.0
    """Standard deviation, of white, of the regular pattern that a weak network leaves on everything: on the small edit, and
    not on the truth."""

    @property
    def has_window(self) -> bool:
        """Whether the window lies at `WINDOW`."""
        return self.draw is _room

    def render(self, height: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the photo, uint8, and the edited one, uint16; `height` pixels high and half as wide again."""
        width = height * 3 // 2
        photo = np.empty((height, width, 3), np.uint8)
        x = ((np.arange(width) + 0.5) / height).astype(np.float32)[None, :]
        for top in range(0, height, _STRIPE_ROWS):
            rows = np.arange(top, min(top + _STRIPE_ROWS, height))
            picture = self.draw(((rows + 0.5) / height).astype(np.float32)[:, None], x, height)
            noise = np.random.default_rng((top, _SEED)).standard_normal(
                picture.shape, dtype=np.float32
            )
            photo[rows] = np.rint(np.clip(picture + self.noise / 255 * noise, 0, 1) * 255)
        return photo, self.edit(photo)

    def small_pair(
        self, photo: np.ndarray, truth: np.ndarray, height: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what a network sees and a perfect one would make of it, float32 `(height, width, 3)` in [0, 1].

        That is the reduced truth, and not the edit of the reduced photo: a network learns from reduced pairs.
        """
        size = (round(photo.shape[1] * height / photo.shape[0]), height)
        small = [
            cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in (photo, truth)
        ]
        low_input, low_output = (
            small[0].astype(np.float32) / 255,
            small[1].astype(np.float32) / 65535,
        )
        if self.pattern:
            tile = np.random.default_rng(_SEED).standard_normal(
                (_PATTERN_PERIOD, _PATTERN_PERIOD, 3)
            )
            tile = cv2.GaussianBlur(np.tile(tile, (3, 3, 1)), (0, 0), 0.8)[
                _PATTERN_PERIOD:-_PATTERN_PERIOD, _PATTERN_PERIOD:-_PATTERN_PERIOD
            ]
            tile = (tile - tile.mean(axis=(0, 1))) * (self.pattern / tile.std())
            times = (-(-height // _PATTERN_PERIOD), -(-size[0] // _PATTERN_PERIOD), 1)
            low_output = low_output + np.tile(tile, times)[:height, : size[0]].astype(np.float32)
        return low_input, low_output


def _room(y: np.ndarray, x: np.ndarray, height: int) -> np.ndarray:
    """A dark room: a window far brighter than its frame and the wall, furniture, a floor with fine grain."""
    light = 0.10 + 0.32 * np.exp(-((x - 0.95) ** 2 + (y - 0.4) ** 2) / 0.25)
    picture = light[..., None] * np.array([1.0, 0.94, 0.84], np.float32)
    boards = 0.75 + 0.25 * np.abs(np.sin(17 * x / (0.4 + y)))
    grain = 1 + 0.25 * _texture(y, x, height)
    picture = np.where(
        (y > 0.72)[..., None], picture * [0.95, 0.66, 0.42] * (boards * grain)[..., None], picture
    )
    for top, left, bottom, right, color in (
        (0.55, 0.12, 0.86, 0.52, (0.35, 0.62, 0.80)),
        (0.62, 1.02, 0.95, 1.40, (0.95, 0.45, 0.30)),
        (0.20, 0.22, 0.38, 0.46, (1.50, 1.45, 1.30)),
        (0.24, 0.26, 0.34, 0.42, (0.50, 1.10, 0.60)),
    ):
        inside = (y >= top) & (y < bottom) & (x >= left) & (x < right)
        picture = np.where(inside[..., None], picture * np.array(color, np.float32), picture)
    top, bottom, left, right = WINDOW
    opening = (y >= top) & (y < bottom) & (x >= left) & (x < right)
    inset_y, inset_x = np.minimum(y - top, bottom - y), np.minimum(x - left, right - x)
    inset = np.minimum(
        np.minimum(inset_y, inset_x), np.abs(x - (left + right) / 2) + FRAME_WIDTH / 2
    )
    view = np.stack(
        [0.90 + 0 * inset, 0.95 - 0.1 * (y - top) + 0 * x, 0.99 - 0.5 * (y - top) + 0 * x], axis=-1
    )
    trees = (y > 0.5 + 0.03 * np.sin(40 * x) + 0.02 * np.sin(173 * x))[..., None]
    view = np.where(
        trees, [0.55, 0.68, 0.42] * (1 + 0.15 * _texture(y, x, height)[..., None]), view
    )
    frame = np.array([0.16, 0.15, 0.14], np.float32)
    return np.where(
        opening[..., None], np.where((inset < FRAME_WIDTH)[..., None], frame, view), picture
    )


def _landscape(y: np.ndarray, x: np.ndarray, height: int) -> np.ndarray:
    """Sky, and below it grass and twigs that are finer than the network's pixels."""
    sky = np.stack(
        [0.35 + 0.5 * y + 0 * x, 0.55 + 0.4 * y + 0 * x, 0.85 + 0.12 * y + 0 * x], axis=-1
    )
    texture = _texture(y, x, height)
    fine = texture + 0.6 * _texture(y, x, height // 5)
    grass = (0.32 + 0.16 * np.sin(9 * x + 14 * y) * y)[..., None] * np.array(
        [0.85, 1.0, 0.45], np.float32
    )
    picture = np.where(
        (y > 0.45 + 0.05 * np.sin(3 * x))[..., None], grass * (1 + 0.45 * fine[..., None]), sky
    )
    twigs = (np.sin(400 * x + 40 * np.sin(9 * y)) > 0.93) & (y > 0.1) & (y < 0.5) & (x > 0.9)
    return np.where(twigs[..., None], np.array([0.12, 0.10, 0.08], np.float32), picture)


def _walls(y: np.ndarray, x: np.ndarray, height: int) -> np.ndarray:
    """Nothing but slow gradients, and two flat areas."""
    light = 0.12 + 0.6 * x / 1.5 * (1 - 0.5 * y)
    picture = light[..., None] * np.array([1.0, 0.95, 0.88], np.float32)
    picture = np.where(
        ((x < 0.5) & (y < 0.5))[..., None], np.array([0.30, 0.28, 0.26], np.float32), picture
    )
    return np.where(
        ((x > 1.1) & (y > 0.6))[..., None], np.array([0.62, 0.66, 0.70], np.float32), picture
    )


def _texture(y: np.ndarray, x: np.ndarray, height: int) -> np.ndarray:
    """Noise of a few pixels' size, about [-1, 1], the same for the same pixel; one tile repeated."""
    rng = np.random.default_rng(3)
    tile = cv2.GaussianBlur(
        rng.standard_normal((_TEXTURE_TILE, _TEXTURE_TILE)).astype(np.float32), (0, 0), 1.2
    )
    tile /= 2 * tile.std()
    row, column = (y * height).astype(int) % _TEXTURE_TILE, (x * height).astype(int) % _TEXTURE_TILE
    return tile[row, column]


def _striped(edit: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]) -> Edit:
    """An edit of the colour x at the place (v, u), both in photo heights: worked out in stripes for memory's sake."""

    def edited(photo: np.ndarray) -> np.ndarray:
        height, width = photo.shape[:2]
        u = ((np.arange(width) + 0.5) / height).astype(np.float32)[None, :, None]
        truth = np.empty(photo.shape, np.uint16)
        for top in range(0, height, _STRIPE_ROWS):
            rows = slice(top, top + _STRIPE_ROWS)
            v = ((np.arange(height)[rows] + 0.5) / height).astype(np.float32)[:, None, None]
            truth[rows] = _to_uint16(edit(photo[rows].astype(np.float32) / 255, v, u))
        return truth

    return edited


def _lift_shadows(x: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    return x**0.65 * np.array([1.0, 0.99, 1.03], np.float32)


def _look(x: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """A strong one: an exposure step, contrast, blue shadows and orange lights, more colour."""
    x = 1 - (1 - np.minimum(x, 1)) ** 1.8
    x = x + 0.5 * (x * x * (3 - 2 * x) - x)
    grey = x @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    x = grey[..., None] + 1.3 * (x - grey[..., None])
    return x + 0.08 * (grey[..., None] - 0.5) * np.array([1.0, 0.1, -1.0], np.float32)


def _expert(x: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    x = x**0.85
    x = x + 0.35 * (x * x * (3 - 2 * x) - x)
    grey = x @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    return grey[..., None] + 1.22 * (x - grey[..., None])


def _dodge_and_burn(x: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Brighter to the left, darker to the right, warm below and cool above, lamps of light on top of it."""
    gain = 1.5 - 0.4 * u + 0.5 * np.exp(-((u - 0.3) ** 2 + (v - 0.7) ** 2) / 0.02)
    return x**0.9 * gain * (1 + 0.12 * (v - 0.5) * np.array([1.0, 0.0, -1.0], np.float32))


def _retouch(photo: np.ndarray) -> np.ndarray:
    """As interiors are published (`datasets.miniature.camera`): light evened out between edges, window recovered."""
    return _to_uint16(retouch_interior(decode_srgb(photo.astype(np.float32) / 255)))


def _to_uint16(x: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(x, 0, 1) * 65535).astype(np.uint16)


SCENES = {
    "window": Scene(_room, 1.5, _striped(_lift_shadows)),
    "look": Scene(_room, 1.5, _striped(_look)),
    "dodge and burn": Scene(_room, 1.5, _striped(_dodge_and_burn)),
    "retouched": Scene(_room, 1.5, _retouch),
    "high ISO": Scene(_room, 6.0, _striped(_lift_shadows)),
    "weak network": Scene(_room, 1.5, _striped(_lift_shadows), pattern=0.01),
    "landscape": Scene(_landscape, 1.0, _striped(_expert)),
    "walls": Scene(_walls, 0.5, _striped(_lift_shadows)),
}
"""By name: a pointwise edit, a strong one, one that varies over the picture, one that looks at surroundings; then what may be
hard about the photo or the network."""
