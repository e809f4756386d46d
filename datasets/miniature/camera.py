"""What a camera and a retoucher make of a scene's light."""

import cv2
import numpy as np

SHOT_NOISE = 1e-4
"""Variance of the sensor's noise per unit of signal, where 1 is the sensor's full scale."""
READ_NOISE = 4e-4
"""Standard deviation of the noise in the dark, of the sensor's full scale."""


def expose(
    light: np.ndarray, rng: np.random.Generator, brightness: tuple[float, float]
) -> np.ndarray:
    """Expose for the highlights, through a lens that darkens the corners.

    Args:
        light: linear sRGB, float32 `(height, width, 3)`, not clipped.
        rng: draws the exposure and the vignette.
        brightness: range for the level that the brightest 3 % reach; 1 clips.

    Returns:
        Linear sRGB of the same shape, where 1 is the sensor's full scale; not clipped.
    """
    height, width = light.shape[:2]
    row, column = np.mgrid[0:height, 0:width].astype(np.float32)
    radius = np.hypot(row - height / 2, column - width / 2) / np.hypot(height, width) * 2
    vignette = 1 - rng.uniform(0.15, 0.35) * radius**2
    level = np.percentile(light.max(axis=-1), 97)
    return (light * vignette[..., None] * (rng.uniform(*brightness) / level)).astype(np.float32)


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

    Args:
        linear: the exposed scene, linear sRGB `(height, width, 3)`, 1 is full scale.

    Returns:
        Display values, sRGB, float32 [0, 1].
    """
    display = encode_srgb(linear)
    luminance = display.mean(axis=-1)
    exponent = np.clip(np.log(0.47) / np.log(float(luminance.mean())), 0.55, 1.05)
    display = display**exponent
    surroundings = cv2.GaussianBlur(display.mean(axis=-1), (0, 0), 0.05 * max(display.shape))
    display = display * (1 + 0.35 * (0.5 - surroundings))[..., None]
    display = np.clip(display, 0, 1)
    display = display + 0.3 * (display * display * (3 - 2 * display) - display)
    return _saturate(display, 1.22)


def retouch_interior(linear: np.ndarray) -> np.ndarray:
    """Edit as interiors are published: shadows lifted, window recovered, neutral, bright and even.

    Args, Returns: as `retouch`.
    """
    middle = linear[(linear.max(axis=-1) < 0.7)]
    cast = middle.mean(axis=0) / middle.mean()
    linear = linear / cast**0.8
    luminance = linear @ np.array((0.21, 0.72, 0.07), np.float32)
    light = np.log(np.clip(luminance, 1e-4, None)).astype(np.float32)
    base = _smooth_between_edges(light, radius=max(2, round(0.06 * max(light.shape))), epsilon=0.08)
    pivot = np.log(0.26)
    even = pivot + 0.42 * (base - pivot) + 1.12 * (light - base)
    linear = linear * np.exp(even - light)[..., None]
    linear = linear * (0.3 / np.median(linear.mean(axis=-1)))
    return _saturate(encode_srgb(linear / (1 + 0.18 * linear**2)), 1.15)


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
