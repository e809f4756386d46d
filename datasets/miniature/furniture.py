"""What stands in a room: windows, furniture and lamps, at random but where people put them."""

import dataclasses

import numpy as np

from datasets.miniature.landscapes import render_landscape
from datasets.miniature.texture import Noise, rgb

_WALLS = ((0.72, 0.70, 0.66), (0.62, 0.66, 0.68), (0.66, 0.62, 0.52), (0.55, 0.62, 0.56))
_WALLS += ((0.78, 0.76, 0.72), (0.80, 0.79, 0.77), (0.36, 0.37, 0.40), (0.58, 0.42, 0.30))
FABRICS = ((0.10, 0.13, 0.18), (0.32, 0.29, 0.25), (0.35, 0.10, 0.07), (0.08, 0.16, 0.13))
FABRICS += ((0.52, 0.48, 0.42), (0.03, 0.03, 0.035), (0.70, 0.68, 0.65), (0.06, 0.04, 0.03))
_PAPER, _LINEN = (0.5, 0.47, 0.42), (0.72, 0.71, 0.70)
_LAMP_FOOT, _LAMP_SHADE = (0.2, 0.18, 0.15), (0.9, 0.82, 0.68)
_WOODS = ((0.28, 0.15, 0.075), (0.45, 0.30, 0.17), (0.16, 0.085, 0.045), (0.50, 0.40, 0.28))
_WOODS += ((0.045, 0.03, 0.022), (0.70, 0.69, 0.67), (0.34, 0.20, 0.12))


@dataclasses.dataclass(frozen=True)
class Box:
    """A piece of furniture in metres: x to the right, y up, z away from the viewer."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    color: tuple[float, float, float]
    texture: str = "plain"
    casts_shadow: bool = False


@dataclasses.dataclass(frozen=True)
class Window:
    """An opening in a wall; `axis` 2 is the back wall (across is x), 0 a side wall (it is z)."""

    axis: int
    wall: float
    across: tuple[float, float]
    up: tuple[float, float]

    def position(self, across: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return places on the wall as shares of the opening, from 0 to 1 inside it."""
        width, height = self.across[1] - self.across[0], self.up[1] - self.up[0]
        return (across - self.across[0]) / width, (up - self.up[0]) / height


@dataclasses.dataclass(frozen=True)
class Room:
    """A room of `low` to `high`, in metres; the viewer stands at z = 0."""

    low: np.ndarray
    high: np.ndarray
    boxes: tuple[Box, ...]
    windows: tuple[Window, ...]
    lamp: np.ndarray
    lamp_power: float
    sun: np.ndarray | None
    wall_color: np.ndarray
    wood: np.ndarray
    floor: str
    view: np.ndarray
    noise: Noise


def furnish(rng: np.random.Generator, seed: int, view_width: int) -> Room:
    """Draw a room; `view_width` is the width in pixels of what is seen through its windows."""
    half_width, ceiling, depth = rng.uniform(1.9, 2.9), rng.uniform(2.4, 2.9), rng.uniform(4.2, 6.0)
    wood = _WOODS[rng.integers(len(_WOODS))]
    fabric = FABRICS[rng.integers(len(FABRICS))]
    kind = rng.choice(["living", "bedroom", "dining"])
    side = rng.choice([-1.0, 1.0])
    windows = _place_windows(rng, half_width, ceiling, depth, side)
    furniture = {"living": _living_room, "bedroom": _bedroom, "dining": _dining_room}[kind]
    boxes = furniture(rng, half_width, depth, side, wood, fabric)
    boxes += _on_the_walls(rng, half_width, depth, side)
    sun = None
    if rng.random() < 0.55:
        sun = rgb(side * rng.uniform(0.3, 0.8), rng.uniform(0.5, 0.8), rng.uniform(0.25, 0.9))
        sun /= np.linalg.norm(sun)
    return Room(
        low=np.array((-half_width, 0, 0), np.float32),
        high=np.array((half_width, ceiling, depth), np.float32),
        boxes=tuple(boxes),
        windows=windows,
        lamp=np.array((rng.uniform(-0.4, 0.4), ceiling - 0.25, depth * 0.55), np.float32),
        lamp_power=float(rng.choice([0.0, 0.15, 0.35])),
        sun=sun,
        wall_color=np.array(_WALLS[rng.integers(len(_WALLS))], np.float32),
        wood=np.array(wood, np.float32),
        floor=str(rng.choice(["boards", "boards", "tiles", "carpet"])),
        view=render_landscape(seed + 1000, round(0.6 * view_width), view_width)
        * np.float32(rng.uniform(0.9, 1.3)),
        noise=Noise(rng),
    )


def _place_windows(rng, half_width, ceiling, depth, side) -> tuple[Window, ...]:
    sill, top = rng.choice([0.1, 0.75, 0.9]), ceiling - rng.uniform(0.25, 0.45)
    center, half = rng.uniform(-0.35, 0.35) * half_width, rng.uniform(0.5, 0.95)
    back = Window(2, depth, (center - half, center + half), (sill, top))
    start = rng.uniform(0.35, 0.5) * depth
    flank = Window(0, side * half_width, (start, start + rng.uniform(1.0, 1.7)), (sill, top))
    return {0: (back,), 1: (back, flank), 2: (flank,)}[int(rng.integers(3))]


def _living_room(rng, half_width, depth, side, wood, fabric) -> list[Box]:
    wall = -side * half_width
    inner, start, end = wall + side * 0.9, depth * 0.45, depth * 0.45 + rng.uniform(1.6, 2.2)
    x = sorted((wall + side * 0.04, inner))
    back_x = sorted((wall + side * 0.04, wall + side * 0.28))
    table = rng.uniform(-0.15, 0.25) * half_width + side * 0.35
    top = (table - 0.35, table + 0.35)
    boxes = [
        _box(x, (0.08, 0.42), (start, end), fabric, "fabric", True),
        _box(back_x, (0.4, 0.86), (start, end), fabric, "fabric", True),
        _box(x, (0.1, 0.62), (start - 0.18, start), fabric, "fabric"),
        _box(x, (0.1, 0.62), (end, end + 0.18), fabric, "fabric"),
        _box(top, (0.36, 0.41), (start + 0.2, start + 1.3), wood, "wood", True),
        _box((table - 0.15, table + 0.12), (0.41, 0.45), (start + 0.5, start + 0.75), _PAPER),
        *_legs(top, (start + 0.2, start + 1.3), 0.36, wood),
    ]
    cushion = tuple(rng.uniform(0.15, 0.6, 3))
    across = (min(back_x[1], inner), max(back_x[1], inner))
    boxes.append(_box(across, (0.42, 0.78), (end - 0.5, end - 0.36), cushion, "fabric"))
    return boxes + _shelf(rng, side * half_width * 0.55, depth, wood)


def _bedroom(rng, half_width, depth, side, wood, fabric) -> list[Box]:
    center = -side * half_width * 0.25
    head, foot = depth - 0.06, depth - 2.15
    stand = center + side * 1.1

    def across(middle, half):
        return middle - half, middle + half

    lying = (0.55, 0.72), (head - 0.55, head - 0.15)
    pillows = [
        _box((left, left + 0.6), *lying, _LINEN, "fabric") for left in (center - 0.7, center + 0.1)
    ]
    return [
        _box(across(center, 0.85), (0.0, 0.3), (foot, head), wood, "wood", True),
        _box(across(center, 0.82), (0.3, 0.55), (foot + 0.04, head), _LINEN, "fabric", True),
        _box(across(center, 0.84), (0.32, 0.58), (foot + 0.02, head - 0.95), fabric, "fabric"),
        _box(across(center, 0.9), (0.3, 1.15), (head, depth), wood, "wood", True),
        *pillows,
        _box(across(stand, 0.22), (0.0, 0.5), (head - 0.4, head), wood, "wood", True),
        _box(across(stand, 0.03), (0.5, 0.72), (head - 0.22, head - 0.16), _LAMP_FOOT),
        _box(across(stand, 0.13), (0.72, 0.96), (head - 0.32, head - 0.06), _LAMP_SHADE),
    ]


def _dining_room(rng, half_width, depth, side, wood, fabric) -> list[Box]:
    center, start, end = -side * half_width * 0.1, depth * 0.48, depth * 0.48 + 1.7
    top = (center - 0.5, center + 0.5)
    boxes = [_box(top, (0.72, 0.77), (start, end), wood, "wood", True)]
    boxes += _legs(top, (start, end), 0.72, wood)
    for z in (start + 0.2, end - 0.65):
        for toward in (-1, 1):
            x = sorted((center + toward * 0.62, center + toward * 1.02))
            rest = sorted((center + toward * 0.97, center + toward * 1.02))
            boxes.append(_box(x, (0.42, 0.47), (z, z + 0.42), fabric, "fabric", True))
            boxes.append(_box(rest, (0.47, 0.95), (z, z + 0.42), wood, "wood"))
            boxes += _legs(x, (z, z + 0.42), 0.42, wood)
    vase = tuple(rng.uniform(0.2, 0.7, 3))
    along = (start + 0.7, start + 0.88)
    boxes.append(_box((center - 0.09, center + 0.09), (0.77, 1.0), along, vase))
    return boxes + _shelf(rng, -side * half_width * 0.6, depth, wood)


def _box(x, y, z, color, texture="plain", casts_shadow=False) -> Box:
    """A box from its extents on the three axes."""
    return Box((x[0], y[0], z[0]), (x[1], y[1], z[1]), color, texture, casts_shadow)


def _legs(x, z, top, wood) -> list[Box]:
    return [
        _box((left, left + 0.05), (0, top), (near, near + 0.05), wood, "wood")
        for left in (x[0], x[1] - 0.05)
        for near in (z[0], z[1] - 0.05)
    ]


def _shelf(rng, center, depth, wood) -> list[Box]:
    """A sideboard with things on it, against the back wall."""
    top = rng.uniform(0.55, 0.85)
    extent = (center - 0.6, center + 0.6), (0.08, top), (depth - 0.42, depth)
    boxes = [_box(*extent, wood, "drawers", True)]
    x = center - 0.5
    while x < center + 0.4:
        size = rng.uniform(0.06, 0.18)
        color = tuple(rng.uniform(0.08, 0.7, 3))
        up = (top, top + rng.uniform(0.08, 0.4))
        boxes.append(_box((x, x + size), up, (depth - 0.28, depth - 0.12), color))
        x += size + rng.uniform(0.03, 0.25)
    return boxes


def _on_the_walls(rng, half_width, depth, side) -> list[Box]:
    wall, z = -side * half_width, depth * 0.3
    boxes = []
    if rng.random() < 0.4:  # a television, which is black
        x, near = sorted((wall, wall + side * 0.05)), depth * rng.uniform(0.45, 0.6)
        boxes.append(_box(x, (0.8, 1.5), (near, near + 1.2), (0.012, 0.012, 0.014)))
        return boxes
    for _ in range(rng.integers(1, 3)):
        width, height = rng.uniform(0.45, 0.9), rng.uniform(0.4, 0.7)
        x, color = sorted((wall, wall + side * 0.035)), tuple(rng.uniform(0.2, 0.7, 3))
        boxes.append(_box(x, (1.35, 1.35 + height), (z, z + width), color, "picture"))
        z += width + rng.uniform(0.5, 1.2)
    return boxes
