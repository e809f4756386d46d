"""What a camera and a retoucher make of a scene's light."""

from collections.abc import Callable

import cv2
import numpy as np

LUMA = np.array((0.2126, 0.7152, 0.0722), np.float32)
"""Of linear light, Rec. 709."""
SHOT_NOISE = 1e-4
"""Variance of the sensor's noise per unit of signal, where 1 is the sensor's full scale."""
READ_NOISE = 4e-4
"""Standard deviation of the noise in the dark, of the sensor's full scale."""


def expose(
    light: np.ndarray, rng: np.random.Generator, brightness: tuple[float, float]
) -> np.ndarray:
    """Expose linear sRGB, float32 `(height, width, 3)`, for the highlights, through a lens that
    darkens the corners: then 1 is the sensor's full scale. The brightest 3 % reach a level drawn
    from the range `brightness`; nothing is clipped."""
    vignette = 1 - rng.uniform(0.15, 0.35) * _radius(light) ** 2
    level = np.percentile(light.max(axis=-1), 97)
    return (light * vignette * (rng.uniform(*brightness) / level)).astype(np.float32)


def add_sensor_noise(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the linear signal as a sensor measures it: noisy, and clipped to [0, 1]."""
    deviation = np.sqrt(SHOT_NOISE * np.clip(signal, 0, None) + READ_NOISE**2)
    noise = rng.standard_normal(signal.shape, dtype=np.float32)
    return np.clip(signal + deviation * noise, 0, 1)


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """Apply sRGB's transfer curve (IEC 61966-2-1): linear to display values, both [0, 1]."""
    linear = np.clip(linear, 0, 1)
    curve = 1.055 * linear ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, linear * 12.92, curve).astype(np.float32)


def decode_srgb(display: np.ndarray) -> np.ndarray:
    """Undo sRGB's transfer curve: display to linear values, both [0, 1]."""
    curve = ((display + 0.055) / 1.055) ** 2.4
    return np.where(display <= 0.04045, display / 12.92, curve).astype(np.float32)


def to_uint8(display: np.ndarray) -> np.ndarray:
    """Round [0, 1] to uint8 [0, 255]."""
    return np.rint(np.clip(display, 0, 1) * 255).astype(np.uint8)


def retouch(linear: np.ndarray) -> np.ndarray:
    """Edit as FiveK's experts do: brighter midtones, contrast, colour, some light in the shadows.

    Takes an exposed scene, linear sRGB `(height, width, 3)` where 1 is full scale, and returns
    display values, sRGB, float32 [0, 1].
    """
    display = encode_srgb(linear)
    luminance = display.mean(axis=-1)
    exponent = np.clip(np.log(0.47) / np.log(float(luminance.mean())), 0.55, 1.05)
    display = display**exponent
    surroundings = cv2.GaussianBlur(display.mean(axis=-1), (0, 0), 0.05 * max(display.shape))
    display = display * (1 + 0.35 * (0.5 - surroundings))[..., None]
    return _saturate(_contrast(np.clip(display, 0, 1), 0.3), 1.22)


def interior_pair(
    light: np.ndarray, rng: np.random.Generator, taste: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A room as a camera on automatic takes it, and as an editor publishes it.

    How bright, warm, contrasty and noisy each is, is drawn so that many pairs have the spread of
    real ones: what the camera's meter and white balance leave, and what editors disagree about.

    Args:
        light: linear sRGB, float32 `(height, width, 3)`, not clipped.
        rng, taste: draw what the camera does, and what the editor does.

    Returns:
        Before and after, display values in sRGB, float32 [0, 1].
    """
    vignette = 1 - rng.uniform(0, 0.45) * _radius(light) ** 2
    warmth, tint = np.clip(rng.normal(0.1, 0.1), -0.1, 0.35), rng.normal(0, 0.02)
    cast = np.array((1 + warmth, 1 + tint, 1 - 1.05 * warmth), np.float32)
    before = _photograph(light * vignette * cast, rng)
    left = vignette ** taste.uniform(0.2, 0.9) * cast ** taste.uniform(0.05, 0.55)
    return before, _publish(np.clip(light * left, 1e-5, None), taste)


def _radius(light: np.ndarray) -> np.ndarray:
    """Distance from the middle, 1 in the corners: float32 `(height, width, 1)`."""
    height, width = light.shape[:2]
    row, column = np.mgrid[0:height, 0:width].astype(np.float32)
    radius = np.hypot(row - height / 2, column - width / 2) / np.hypot(height, width) * 2
    return radius[..., None]


def _photograph(scene: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a meter, a noisy sensor and a camera's contrast make of linear light."""
    wanted = float(np.clip(rng.normal(0.385, 0.11), 0.15, 0.62))
    if rng.random() < 0.25:  # exposed for the room: windows are blown
        wanted = rng.uniform(0.5, 0.72)
    contrast, black = rng.uniform(0.2, 1.0), rng.uniform(0, 0.03)
    noise = rng.uniform(0, 1) ** 2 * 3e-4

    def develop(light: np.ndarray) -> np.ndarray:
        return _contrast(np.clip((encode_srgb(light) - black) / (1 - black), 0, 1), contrast)

    linear = scene * _exposure(lambda factor: develop(scene[::5, ::5] * factor), wanted)
    deviation = np.sqrt(noise * np.clip(linear, 0, 1) + (2 * noise) ** 2)
    linear = linear + deviation * rng.standard_normal(linear.shape, dtype=np.float32)
    return _saturate(develop(linear), rng.uniform(0.95, 1.2))


def _publish(scene: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light made even between edges, shadows lifted, the view kept; bright, and nearly neutral."""
    light = np.log(scene @ LUMA + 1e-4).astype(np.float32)
    radius = max(2, round(rng.uniform(0.04, 0.1) * scene.shape[1]))
    base = _smooth_between_edges(light, radius, epsilon=0.1)
    middle, evenness = np.median(base), rng.uniform(0.5, 0.85)
    even = middle + evenness * (base - middle) + rng.uniform(1.0, 1.15) * (light - base)
    scene = scene * np.exp(even - light)[..., None]
    wanted = float(np.clip(rng.normal(0.62, 0.055), 0.47, 0.76))
    contrast, black = rng.uniform(0.1, 1.1), rng.uniform(0, 0.14)
    white = 1 - 0.12 * rng.uniform() ** 3

    def develop(light: np.ndarray) -> np.ndarray:
        greatest = light.max(axis=-1, keepdims=True)
        shoulder = np.sqrt(1.25 / (1 + greatest**2))  # keeps colours; twice full scale is white
        display = encode_srgb(light * shoulder)
        return white * _contrast(np.clip((display - black) / (1 - black), 0, 1), contrast)

    scene = scene * _exposure(lambda factor: develop(scene[::5, ::5] * factor), wanted)
    return _saturate(develop(scene), rng.uniform(0.85, 1.2))


def _exposure(developed: Callable[[float], np.ndarray], wanted: float) -> np.float32:
    """The factor with which what is developed has the wanted mean, by bisection in stops."""
    low, high = -7.0, 8.0
    for _ in range(18):
        middle = (low + high) / 2
        low, high = (middle, high) if developed(2**middle).mean() < wanted else (low, middle)
    return np.float32(2**low)


def _contrast(display: np.ndarray, amount: float) -> np.ndarray:
    """An S-curve that keeps black and white."""
    return display + amount * (display * display * (3 - 2 * display) - display)


def _smooth_between_edges(image: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Guided filter (He et al., ECCV 2010) of a picture by itself: no halos at window frames."""
    window = (2 * radius + 1, 2 * radius + 1)
    mean = cv2.blur(image, window)
    variance = cv2.blur(image * image, window) - mean * mean
    slope = variance / (variance + epsilon)
    return cv2.blur(slope, window) * image + cv2.blur(mean - slope * mean, window)


def _saturate(display: np.ndarray, amount: float) -> np.ndarray:
    grey = display @ np.array((0.3, 0.59, 0.11), np.float32)
    return np.clip(grey[..., None] + amount * (display - grey[..., None]), 0, 1).astype(np.float32)
