"""Landscapes: sky with clouds, ranges of hills in the haze, a lake or a meadow, trees."""

import numpy as np

from datasets.miniature.texture import Noise, mix, ramp, rgb

_SKIES = {  # zenith, horizon, sunlight
    "noon": ((0.16, 0.34, 0.72), (0.62, 0.76, 0.92), (1.0, 0.97, 0.9)),
    "evening": ((0.20, 0.26, 0.48), (1.0, 0.56, 0.28), (1.0, 0.66, 0.38)),
    "overcast": ((0.52, 0.56, 0.62), (0.78, 0.80, 0.82), (0.8, 0.82, 0.86)),
}
_MEADOWS = ((0.10, 0.17, 0.035), (0.22, 0.19, 0.07), (0.07, 0.13, 0.04), (0.30, 0.24, 0.13))


def render_landscape(seed: int, height: int, width: int) -> np.ndarray:
    """Render a landscape, all of which the seed decides: linear sRGB light, float32
    `(height, width, 3)`, where 1 is about the sky; not clipped."""
    rng = np.random.default_rng((seed, 1))
    noise = Noise(rng)
    row, column = np.mgrid[0:height, 0:width].astype(np.float32)
    long_edge = max(height, width)  # same scale on both axes, x is about -0.5 to 0.5
    x, y = (column + 0.5 - width / 2) / long_edge, (row + 0.5) / long_edge
    bottom = height / long_edge
    horizon = bottom * rng.uniform(0.36, 0.6)
    zenith, haze, sunlight = (rgb(*color) for color in _SKIES[rng.choice(list(_SKIES))])
    sun_x = rng.uniform(-0.5, 0.5)

    picture = _sky(rng, noise, x, y, horizon, zenith, haze, sunlight, sun_x)
    num_ranges = rng.integers(2, 5)
    for index in range(num_ranges):
        nearness = (index + 1) / num_ranges
        picture = _add_range(picture, rng, noise, x, y, horizon, nearness, haze, sunlight)
    shore = horizon + rng.uniform(0.02, 0.06)
    if rng.random() < 0.4:
        picture = _add_lake(picture, noise, x, y, shore)
        shore += (bottom - shore) * rng.uniform(0.45, 0.7)
    picture = _add_meadow(picture, rng, noise, x, y, shore, bottom, sunlight)
    for _ in range(rng.integers(0, 4)):
        picture = _add_tree(picture, rng, x, y, shore, sunlight, sun_x)
    return picture.astype(np.float32)


def _sky(rng, noise, x, y, horizon, zenith, haze, sunlight, sun_x):
    elevation = np.clip((horizon - y) / max(horizon, 0.2), 0, 1)
    sky = mix(np.broadcast_to(haze, (*x.shape, 3)), zenith, elevation**0.6)
    # Clouds are seen at a flat angle: they crowd towards the horizon.
    distance = 1 / (elevation + 0.18)
    clouds = noise.octaves(x * distance * 3.2 + 9, distance * 2.6, 6, 0.55)
    cover = rng.uniform(0.44, 0.58)
    density = ramp(clouds, cover, cover + 0.2)
    lit = noise.octaves(x * distance * 3.2 + 9.25, distance * 2.6 + 0.2, 5, 0.55)
    bright = np.broadcast_to(sunlight * 1.15, sky.shape)
    cloud_color = mix(bright, sunlight * 0.62, ramp(lit, 0.4, 0.65))
    sky = mix(sky, cloud_color, density * 0.9)
    glow = np.exp(-((x - sun_x) ** 2 + (y - horizon * 0.7) ** 2) / 0.03)
    return sky + glow[..., None] * sunlight * 0.5


def _add_range(picture, rng, noise, x, y, horizon, nearness, haze, sunlight):
    """One line of hills; the farther, the bluer and paler."""
    offset, scale = rng.uniform(0, 50), 2.2 + 2.5 * (1 - nearness)
    ridge = noise.octaves(x * scale + offset, np.full_like(x, offset), 7, 0.5) - 0.5
    top = horizon + 0.03 * nearness - ridge * (0.5 - 0.25 * nearness) - 0.09 * (1 - nearness)
    if nearness > 0.6:  # tree tops along the near ridge
        top = top - 0.012 * noise.octaves(x * 90, np.full_like(x, offset), 3, 0.7)
    mask = ramp(y - top, -0.0015, 0.0015)
    u, v = (x + 0.4 * ridge) * 11 + offset, y * 14
    # Lit from the upper right.
    relief = noise.octaves(u, v, 5, 0.6) - noise.octaves(u + 0.12, v - 0.12, 5, 0.6)
    slope = np.clip(0.5 + 4.5 * relief, 0, 1)
    forest = rgb(0.045, 0.075, 0.035) * (0.45 + 1.3 * slope[..., None])
    rock = rgb(0.20, 0.17, 0.14) * (0.3 + 1.3 * slope[..., None])
    ground = mix(rock, forest, np.full_like(x, 1.0 if nearness > 0.6 else rng.uniform(0.2, 0.9)))
    depth = np.clip((y - top) / 0.15, 0, 1)
    air = (1 - nearness) * 0.7 + 0.12 * depth * (1 - nearness)
    ground = mix(ground * sunlight * 1.6, haze * 0.75, np.clip(air, 0, 0.9))
    return mix(picture, ground, mask)


def _add_lake(picture, noise, x, y, shore):
    """Mirror what is above the shore, shaken by waves that grow towards the viewer."""
    height, width = x.shape
    long_edge = max(height, width)
    depth = np.clip(y - shore, 0, None)
    wave = noise.octaves(x * 30 / (1 + 6 * depth), 900 * depth / (0.15 + 3 * depth), 3, 0.6) - 0.5
    source_y = shore - depth * 0.8 + wave * 0.09 * depth
    source_row = np.clip(source_y * long_edge, 0, height - 1).astype(int)
    source_column = np.abs((x + wave * 0.02) * long_edge + width / 2).astype(int)
    source_column = width - 1 - np.abs(width - 1 - source_column)
    mirrored = picture[source_row, source_column] * (0.62, 0.68, 0.72)
    water = mirrored + rgb(0.004, 0.012, 0.016)
    return mix(picture, water.astype(np.float32), ramp(y - shore, -0.001, 0.001))


def _add_meadow(picture, rng, noise, x, y, start, bottom, sunlight):
    depth = np.clip((y - start) / max(bottom - start, 0.05), 0, 1)
    distance = 1 / (depth + 0.06)
    patches = noise.octaves(x * distance * 2.5, distance * 3, 5, 0.55)
    # Blades: fine across, long in depth, and coarser where they are near.
    blades = noise.octaves(x * distance * 55, distance * 9, 3, 0.8)
    kinds = rng.choice(len(_MEADOWS), 2, replace=False)
    first, second = (rgb(*_MEADOWS[index]) for index in kinds)
    ground = mix(np.broadcast_to(first, (*x.shape, 3)), second, ramp(patches, 0.35, 0.65))
    tone = (0.15 + 1.5 * blades**1.5) * (0.45 + 1.1 * patches)
    ground = ground * tone[..., None] * sunlight * 1.7
    if rng.random() < 0.5:
        ground = _add_path(ground, rng, noise, x, depth, distance)
    edge = start + 0.02 * (noise.octaves(x * 5, x * 0, 5, 0.6) - 0.5)
    return mix(picture, ground, ramp(y - edge, -0.002, 0.002))


def _add_path(ground, rng, noise, x, depth, distance):
    center = rng.uniform(-0.2, 0.2) + 0.25 * np.sin(depth * 2.2 + rng.uniform(0, 6)) * (1 - depth)
    half_width = 0.012 + 0.12 * depth
    gravel = 0.55 + 0.9 * noise.octaves(x * distance * 40, distance * 30, 4, 0.7)
    color = rgb(0.34, 0.29, 0.23) * gravel[..., None]
    ragged = 0.35 * half_width * (noise(distance * 6, x * 20) - 0.5)
    cover = ramp(np.abs(x - center) + ragged, half_width, half_width * 0.7)
    return mix(ground, color, 0.85 * cover)


def _add_tree(picture, rng, x, y, start, sunlight, sun_x):
    noise = Noise(rng)
    size = rng.uniform(0.09, 0.3)
    root_x = rng.uniform(-0.46, 0.46)
    root_y = start + 0.02 + 0.35 * size
    # The tree stands on v = 0 and is about one unit high.
    u, v = (x - root_x) / size, (root_y - y) / size
    conifer = rng.random() < 0.5
    ragged = noise.octaves(u * 9, v * 9, 4, 0.65) - 0.5
    if conifer:
        branches = 0.27 * (1.02 - v) * (0.72 + 0.28 * np.abs(np.sin(v * 26)))
        outline = branches - np.abs(u) + 0.16 * ragged * (1.05 - v)
        crown = ramp(outline, 0.0, 0.02) * (v > 0.08) * (v < 1.0)
    else:
        crown = ramp(0.4 - np.hypot(u, (v - 0.66) * 1.1) + 0.42 * ragged, 0.0, 0.03) * (v > 0.1)
    trunk = ramp(0.028 + 0.01 * (1 - v) - np.abs(u), 0, 0.008) * (v > -0.02) * (v < 0.5)
    side = np.clip(0.5 + np.sign(sun_x - root_x) * u * 1.3 + 0.5 * (v - 0.5), 0, 1)
    leaves = noise.octaves(u * 24, v * 24, 3, 0.75)
    base = rgb(0.035, 0.07, 0.028) if conifer else rgb(0.075, 0.115, 0.03)
    color = base * ((0.3 + 1.5 * leaves) * (0.35 + 1.2 * side))[..., None] * sunlight * 1.5
    shadow = np.exp(-((u + np.sign(sun_x - root_x) * 0.2) ** 2) / 0.12 - (v * 7) ** 2)
    picture = picture * (1 - 0.5 * shadow[..., None])
    picture = mix(picture, rgb(0.05, 0.038, 0.028) * sunlight, trunk)
    return mix(picture, color, crown)
