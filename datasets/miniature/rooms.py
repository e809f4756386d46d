"""Interiors through a wide-angle lens: a bright window, light that falls off, furniture."""

import functools

import cv2
import numpy as np

from datasets.miniature.furniture import FABRICS, Box, Room, furnish
from datasets.miniature.texture import mix, ramp, rgb

_WHITE = rgb(0.75, 0.74, 0.72)
_DAYLIGHT = rgb(0.92, 0.99, 1.12)
_SUNLIGHT = rgb(1.1, 0.98, 0.8)
_LAMPLIGHT = rgb(1.25, 0.85, 0.48)


def render_room(seed: int, height: int, width: int) -> np.ndarray:
    """Render a furnished room, all of which the seed decides: linear sRGB light, float32
    `(height, width, 3)`, where the view outside is about 1; not clipped."""
    rng = np.random.default_rng((seed, 2))
    room = furnish(rng, seed, view_width=max(160, width // 2))
    across = rng.uniform(-0.5, 0.5) * room.high[0]
    eye = np.array((across, rng.uniform(1.15, 1.5), 0.25), np.float32)
    rays = _camera_rays(rng, height, width)
    points, axis, index = _trace(room, eye, rays)
    inward = -np.sign(_along(rays, axis))
    light = _daylight(room, points, axis, inward) + _lamplight(room, points, axis, inward)
    light += _indirect(room, points, axis, index)
    picture = _surface_color(room, points, axis, index) * light
    picture += _floor_reflection(room, points, rays, axis, index)
    return _look_out(room, picture, points, axis, index).astype(np.float32)


def _camera_rays(rng, height, width) -> np.ndarray:
    """Unit directions, float32 `(height, width, 3)`, of a lens of about 85 degrees, held level."""
    row, column = np.mgrid[0:height, 0:width].astype(np.float32)
    focal = max(height, width) / 2 / np.tan(np.radians(rng.uniform(38, 44)))
    x, y = (column + 0.5 - width / 2) / focal, (height * rng.uniform(0.44, 0.5) - row - 0.5) / focal
    yaw = np.radians(rng.uniform(-16, 16))
    cos, sin = np.cos(yaw), np.sin(yaw)
    rays = np.stack([x * cos + sin, y, cos - x * sin], axis=-1)
    return (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).astype(np.float32)


def _trace(room: Room, eye, rays):
    """First hits: points `(height, width, 3)`, axis of the normal, index of the box (-1: room)."""
    inverse = _inverse(rays)
    high, low = room.high - eye, room.low - eye
    to_walls = [np.where(inverse[i] > 0, high[i], low[i]) * inverse[i] for i in range(3)]
    distance = functools.reduce(np.minimum, to_walls)
    axis = _which(to_walls, distance)
    index = np.full(distance.shape, -1)
    for number, box in enumerate(room.boxes):
        near, entry, leave = _slabs(box, eye, inverse)
        hit = (entry > 0.05) & (entry < leave) & (entry < distance)
        if hit.any():
            distance = np.where(hit, entry, distance)
            axis = np.where(hit, _which(near, entry), axis)
            index = np.where(hit, number, index)
    return eye + rays * distance[..., None], axis, index


def _along(vectors, axis) -> np.ndarray:
    """The component of each vector on its own axis."""
    return np.take_along_axis(vectors, axis[..., None], -1)[..., 0]


def _inverse(rays) -> list[np.ndarray]:
    """Reciprocal components, each contiguous: reductions over a last axis of three are slow."""
    safe = np.where(np.abs(rays) < 1e-6, np.float32(1e-6), rays)
    return [1 / safe[..., i] for i in range(3)]


def _which(components, value) -> np.ndarray:
    """The axis whose component is the value."""
    return np.where(components[0] == value, 0, np.where(components[1] == value, 1, 2))


def _slabs(box: Box, origin, inverse):
    """Where rays enter a box's three pairs of planes, and enter and leave the box itself."""
    first = [(np.float32(box.low[i]) - origin[i]) * inverse[i] for i in range(3)]
    second = [(np.float32(box.high[i]) - origin[i]) * inverse[i] for i in range(3)]
    near = [np.minimum(a, b) for a, b in zip(first, second, strict=True)]
    far = [np.maximum(a, b) for a, b in zip(first, second, strict=True)]
    return near, functools.reduce(np.maximum, near), functools.reduce(np.minimum, far)


def _in_shadow(room: Room, points, rays) -> np.ndarray:
    """Whether furniture lies within one ray's length of the points."""
    inverse, origin = _inverse(rays), [np.ascontiguousarray(points[..., i]) for i in range(3)]
    shadow = np.zeros(points.shape[:-1], bool)
    for box in room.boxes:
        if box.casts_shadow:
            _, entry, leave = _slabs(box, origin, inverse)
            shadow |= (entry < leave) & (leave > 0.02) & (entry < 0.98) & (entry > 0.004)
    return shadow


def _surface_color(room: Room, points, axis, index) -> np.ndarray:
    x, y, z = np.moveaxis(points, -1, 0)
    noise = room.noise
    across = np.where(axis == 0, z, x)
    paint = room.wall_color * (0.93 + 0.14 * noise.octaves(across * 3, y * 3, 5, 0.7))[..., None]
    skirting = (y < 0.11)[..., None]
    color = np.where(skirting | (axis == 1)[..., None], _WHITE, paint)
    color = np.where(((axis == 1) & (y < 0.01))[..., None], _floor_color(room, x, z), color)
    for number, box in enumerate(room.boxes):
        mask = index == number
        if mask.any():
            color[mask] = _box_color(room, box, points[mask], axis[mask])
    return color


def _floor_color(room: Room, x, z) -> np.ndarray:
    noise = room.noise
    if room.floor == "carpet":
        pile = 0.7 + 0.6 * noise.octaves(x * 25, z * 25, 3, 0.8)
        return rgb(0.42, 0.37, 0.31) * pile[..., None]
    if room.floor == "boards":
        board = np.floor(x / 0.16)
        along = z + 3 * noise.per_cell(board)
        tone = 0.65 + 0.5 * noise.per_cell(board, 5 + np.floor(along / 1.3).astype(int))
        grain = 0.75 + 0.5 * noise.octaves(x * 38, along * 2.2, 3, 0.7)
        gap = ramp(np.abs(x / 0.16 - board - 0.5), 0.5, 0.46)
        color = room.wood * (tone * grain * (0.45 + 0.55 * gap))[..., None]
    else:
        u, v = x / 0.45, z / 0.45
        tone = 0.85 + 0.2 * noise.per_cell(np.floor(u) + 9 * np.floor(v))
        marble = 0.8 + 0.4 * noise.octaves(x * 4, z * 4, 6, 0.6)
        from_middle = np.maximum(np.abs(u - np.floor(u) - 0.5), np.abs(v - np.floor(v) - 0.5))
        joint = ramp(from_middle, 0.5, 0.475)
        color = rgb(0.52, 0.49, 0.45) * (tone * marble * (0.55 + 0.45 * joint))[..., None]
    middle = room.high[2] * 0.6
    rug = np.maximum(np.abs(x) - 0.9 * room.high[0] * 0.6, np.abs(z - middle) - 1.0)
    stripes = 0.6 + 0.4 * np.sign(np.sin(rug * 45)) * (np.abs(rug + 0.2) < 0.12)
    weave = (0.75 + 0.5 * noise.octaves(x * 40, z * 40, 2)) * stripes
    fabric = FABRICS[int(room.wood[0] * 100) % len(FABRICS)]
    return np.where((rug < 0)[..., None], rgb(*fabric) * 1.3 * weave[..., None], color)


def _box_color(room: Room, box: Box, points, axis) -> np.ndarray:
    noise = room.noise
    local = points - np.array(box.low, np.float32)
    u = np.where(axis == 0, local[..., 2], local[..., 0])
    v = np.where(axis == 1, local[..., 2], local[..., 1])
    color = np.broadcast_to(rgb(*box.color), points.shape)
    if box.texture == "fabric":
        folds = 0.8 + 0.25 * noise.octaves(u * 6, v * 6, 3) + 0.2 * noise(u * 90, v * 90)
        return color * folds[..., None]
    if box.texture in ("wood", "drawers"):
        color = color * (0.7 + 0.6 * noise.octaves(u * 4, v * 30, 4, 0.7))[..., None]
        if box.texture == "drawers":
            gap = ramp(np.minimum(np.abs(u % 0.4 - 0.2), 0.5) - 0.2, 0, -0.012)
            gap = gap * ramp(np.abs(v % 0.28 - 0.14), 0.14, 0.128)
            color = color * np.where(axis == 1, 1, 0.4 + 0.6 * gap)[..., None]
        return color
    if box.texture == "picture":
        size = np.array(box.high) - np.array(box.low)
        border = np.minimum(np.minimum(u, size[2] - u), np.minimum(v, size[1] - v))
        paint = noise.octaves(u * 5 + box.low[2] * 9, v * 5, 5)
        art = mix(color, rgb(*box.color[::-1]), ramp(paint, 0.35, 0.65))
        art = art * (0.6 + 0.8 * noise(u * 12, v * 12))[..., None]
        art = np.where((border < 0.09)[..., None], _WHITE, art)
        return np.where((border < 0.03)[..., None], room.wood * 0.5, art)
    return color


def _daylight(room: Room, points, axis, inward) -> np.ndarray:
    """Light of the sky through the windows, and patches of sun."""
    total = np.zeros(points.shape[:-1], np.float32)
    for window in room.windows:
        across, up = window.across, window.up
        area = (across[1] - across[0]) * (up[1] - up[0])
        samples = [(a, u) for a in (0.2, 0.5, 0.8) for u in (0.25, 0.75)]
        for a, u in samples:
            center = np.empty(3, np.float32)
            center[window.axis] = window.wall
            center[2 - window.axis] = across[0] + a * (across[1] - across[0])
            center[1] = up[0] + u * (up[1] - up[0])
            rays = center - points
            squared = np.einsum("...i,...i", rays, rays) + np.float32(0.15)
            facing = _along(rays, axis) * inward
            slant = np.abs(rays[..., window.axis])
            light = np.clip(facing, 0, None) * slant / squared**2 * (area / np.pi / len(samples))
            total += np.where(_in_shadow(room, points, rays), 0, light)
    light = total[..., None] * _DAYLIGHT * 1.5
    if room.sun is not None:
        light = light + _sunlit(room, room.sun, points, axis, inward)[..., None] * _SUNLIGHT * 2.2
    return light


def _sunlit(room: Room, sun, points, axis, inward) -> np.ndarray:
    lit = np.zeros(points.shape[:-1], bool)
    for window in room.windows:
        step = (window.wall - points[..., window.axis]) / sun[window.axis]
        across = points[..., 2 - window.axis] + step * sun[2 - window.axis]
        up = points[..., 1] + step * sun[1]
        u, v = window.position(across, up)
        inside = (step > 0.05) & _glass(u, v)
        lit |= inside & ~_in_shadow(room, points, step[..., None] * sun)
    return lit * np.clip(sun[axis] * inward, 0, 1)


def _glass(u, v) -> np.ndarray:
    """True on a window's panes, False on its frame; u and v run from 0 to 1 over the opening."""
    pane = (np.abs(u - 0.5) < 0.46) & (np.abs(v - 0.5) < 0.47)
    return pane & (np.abs(u - 0.5) > 0.02) & (np.abs(v - 0.66) > 0.012)


def _lamplight(room: Room, points, axis, inward) -> np.ndarray:
    rays = room.lamp - points
    squared = np.einsum("...i,...i", rays, rays) + np.float32(0.1)
    facing = np.clip(_along(rays, axis) * inward / np.sqrt(squared), 0.15, None)
    return (facing / squared)[..., None] * _LAMPLIGHT * room.lamp_power


def _indirect(room: Room, points, axis, index) -> np.ndarray:
    """Light from all sides, less of it where surfaces meet and under furniture."""
    x, y, z = np.moveaxis(points, -1, 0)
    gaps = np.stack(
        [x - room.low[0], room.high[0] - x, y, room.high[1] - y, room.high[2] - z], axis=-1
    )
    gaps = np.sort(np.where(gaps < 0.005, 9, gaps), axis=-1)
    openness = (1 - 0.55 * np.exp(-gaps[..., 0] / 0.25)) * (1 - 0.35 * np.exp(-gaps[..., 1] / 0.35))
    floor = (index < 0) & (axis == 1) & (y < 0.01)
    for box in room.boxes:
        if box.casts_shadow and box.low[1] < 0.5:
            outside_x = np.maximum(np.maximum(box.low[0] - x, x - box.high[0]), 0)
            outside_z = np.maximum(np.maximum(box.low[2] - z, z - box.high[2]), 0)
            near = np.exp(-np.hypot(outside_x, outside_z) / (0.1 + 0.35 * box.low[1]))
            openness *= np.where(floor, 1 - (0.75 - box.low[1] * 0.6) * near, 1)
    window = room.windows[0]
    center = np.array((window.wall, 0, np.mean(window.across)), np.float32)
    center = center if window.axis == 0 else center[::-1]
    away = np.hypot(x - center[0], z - center[2])
    strength = 0.035 + 0.12 * np.exp(-away / 2.2)
    return (openness * strength)[..., None] * (0.55 + 0.45 * room.wall_color) * _DAYLIGHT**0.5


def _floor_reflection(room: Room, points, rays, axis, index) -> np.ndarray:
    """Windows mirrored, softly, in a polished floor."""
    if room.floor == "carpet":
        return np.zeros_like(points)
    floor = (index < 0) & (axis == 1) & (points[..., 1] < 0.01)
    glow = np.zeros(points.shape[:-1], np.float32)
    for window in room.windows:
        direction = np.where(np.abs(rays[..., window.axis]) < 1e-3, 1e-3, rays[..., window.axis])
        step = (window.wall - points[..., window.axis]) / direction
        across = points[..., 2 - window.axis] + step * rays[..., 2 - window.axis]
        up = -step * rays[..., 1]
        soft = 0.12 + 0.05 * np.clip(step, 0, 6)
        beside = np.abs(across - np.mean(window.across)) - np.ptp(window.across) / 2
        above = np.abs(up - np.mean(window.up)) - np.ptp(window.up) / 2
        inside = ramp(beside, soft, -soft) * ramp(above, 2 * soft, -2 * soft)
        glow += np.where(step > 0, inside, 0)
    fresnel = 0.03 + 0.5 * (1 - np.abs(rays[..., 1])) ** 5
    return (np.where(floor, glow * fresnel, 0))[..., None] * _DAYLIGHT * 0.5


def _look_out(room: Room, picture, points, axis, index) -> np.ndarray:
    """Put the view into the windows, with frame and reveal, and a glow around them."""
    for window in room.windows:
        on_wall = (index < 0) & (axis == window.axis)
        on_wall &= np.abs(points[..., window.axis] - window.wall) < 0.01
        u, v = window.position(points[..., 2 - window.axis], points[..., 1])
        opening = on_wall & (np.abs(u - 0.5) < 0.5) & (np.abs(v - 0.5) < 0.5)
        height, width = room.view.shape[:2]
        column = (u * width - 0.5).astype(np.float32)
        row = ((1 - v) * height - 0.5).astype(np.float32)
        view = cv2.remap(room.view, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        frame = rgb(0.17, 0.175, 0.18) * (1 + picture * 1.5)
        scene = np.where(_glass(u, v)[..., None], view, frame)
        picture = np.where(opening[..., None], scene, picture)
    if room.lamp_power:
        glow = np.exp(-((points - room.lamp) ** 2).sum(-1) / 0.02)
        picture = picture + glow[..., None] * _LAMPLIGHT
    return picture
