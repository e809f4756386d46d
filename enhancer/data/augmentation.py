"""What is cut from a pair and changed at random, so that input and target keep fitting."""

from collections.abc import Callable
from typing import Any, cast

import cv2
import grain
import numpy as np

from enhancer.config import StageConfig
from enhancer.data.pairs import Pair

STRONG_MIN_CROP_SCALE = 0.5  # of the photo's short side
MAX_ROTATION_DEGREES = 3.0
# How far the input's colours move, either way. An edit that is to be learned is larger than this.
MAX_EXPOSURE_STOPS = 0.5
MAX_CONTRAST = 0.1  # relative, around mid-grey
MAX_SATURATION = 0.15  # relative
MAX_WHITE_BALANCE = 0.15  # relative gain of red and of blue, in linear light

_BAND_ROWS = 64
_LUMA = np.array([0.2126, 0.7152, 0.0722])  # Rec. 709


def augmentations(stage: StageConfig, resolution: int) -> list[grain.transforms.RandomMap]:
    """What `stage.augmentation` does to a `Pair`, in this order, at a side of `resolution`."""
    if stage.augmentation == "none":
        return [RandomSquareCrop(resolution, stage.min_crop_scale)]
    if stage.augmentation == "flip":
        return [RandomSquareCrop(resolution, stage.min_crop_scale), RandomFlip()]
    min_crop_scale = min(stage.min_crop_scale, STRONG_MIN_CROP_SCALE)
    return [RandomRotatedSquareCrop(resolution, min_crop_scale), RandomFlip(), RandomInputColour()]


class CentreSquareCrop(grain.transforms.Map):
    """The largest square in the middle of both pictures, resized to `resolution`."""

    def __init__(self, resolution: int):
        self.resolution = resolution

    def map(self, element: Pair) -> Pair:
        height, width = element.input.shape[:2]
        side = min(height, width)
        return _cropped(element, (height - side) // 2, (width - side) // 2, side, self.resolution)


class RandomSquareCrop(grain.transforms.RandomMap):
    """The same random square of both pictures, resized to `resolution`: nothing is ever squashed.

    The square's side is a uniform fraction in [min_crop_scale, 1] of the photo's short side.
    """

    def __init__(self, resolution: int, min_crop_scale: float):
        self.resolution, self.min_crop_scale = resolution, min_crop_scale

    def random_map(self, element: Pair, rng: np.random.Generator) -> Pair:
        height, width = element.input.shape[:2]
        side = max(1, round(min(height, width) * rng.uniform(self.min_crop_scale, 1)))
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        return _cropped(element, top, left, side, self.resolution)


class RandomRotatedSquareCrop(grain.transforms.RandomMap):
    """The same random square of both pictures, turned a little, resized to `resolution`.

    It is turned by up to `MAX_ROTATION_DEGREES`. The square lies in the photo with all its corners,
    so that no pixel is made up. Its side is a uniform fraction of the photo's short side, from
    `min_crop_scale` to what fits at the angle (0.95 at 3 degrees).
    """

    def __init__(self, resolution: int, min_crop_scale: float):
        self.resolution, self.min_crop_scale = resolution, min_crop_scale

    def random_map(self, element: Pair, rng: np.random.Generator) -> Pair:
        height, width = element.input.shape[:2]
        short = min(height, width)
        angle = np.deg2rad(rng.uniform(-MAX_ROTATION_DEGREES, MAX_ROTATION_DEGREES))
        cos, sin = np.cos(angle), np.sin(angle)
        # Side of the upright square around the turned one, relative to its own.
        spread = cos + abs(sin)
        # Distances are between the centres of pixels, of which a side of n pixels spans n - 1.
        largest = (short - 1) / spread + 1
        scale = rng.uniform(min(self.min_crop_scale, largest / short), largest / short)
        side = max(1, min(round(short * scale), int(largest)))
        middle = (side - 1) / 2
        reach = middle * spread
        x, y = rng.uniform(reach, width - 1 - reach), rng.uniform(reach, height - 1 - reach)
        to_photo = np.array(
            [[cos, -sin, x - (cos - sin) * middle], [sin, cos, y - (sin + cos) * middle]],
        )

        def crop(picture: np.ndarray) -> np.ndarray:
            # Turned at the photo's own scale: shrinking in the same step would skip pixels. OpenCV
            # rounds positions to 1/32 pixel, which may put a corner that much outside; the
            # outermost pixels are repeated there.
            turned = cv2.warpAffine(
                picture,
                to_photo,
                (side, side),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
            return _resized(turned, self.resolution)

        return _both(element, crop)


class RandomFlip(grain.transforms.RandomMap):
    """Mirror half of the pairs left to right, input and target together."""

    def random_map(self, element: Pair, rng: np.random.Generator) -> Pair:
        if rng.random() < 0.5:
            return element
        return _both(element, lambda picture: np.ascontiguousarray(picture[:, ::-1]))


class RandomInputColour(grain.transforms.RandomMap):
    """Change exposure, white balance, contrast and saturation of the input a little.

    The target stays: the same photo, taken a little differently, should get the same edited
    picture.
    """

    def random_map(self, element: Pair, rng: np.random.Generator) -> Pair:
        gain = 2 ** rng.uniform(-MAX_EXPOSURE_STOPS, MAX_EXPOSURE_STOPS)
        red, blue = 1 + rng.uniform(-MAX_WHITE_BALANCE, MAX_WHITE_BALANCE, 2)
        contrast = 1 + rng.uniform(-MAX_CONTRAST, MAX_CONTRAST)
        saturation = 1 + rng.uniform(-MAX_SATURATION, MAX_SATURATION)
        linear = _to_linear(np.arange(256) / 255)[:, None] * gain * np.array([red, 1, blue])
        curves = 255 * (0.5 + contrast * (_to_srgb(linear) - 0.5))
        # Each row: from RGB to one colour.
        mixing = saturation * np.eye(3) + (1 - saturation) * _LUMA
        table = curves.astype("float32")[None]
        changed = np.empty_like(element.input)
        # Some rows at a time, whose float colours stay in the cache: four times as fast as all at
        # once.
        for start in range(0, len(changed), _BAND_ROWS):
            rows = slice(start, start + _BAND_ROWS)
            colours = cv2.transform(cv2.LUT(element.input[rows], table), mixing)
            # Adding nothing: OpenCV then rounds and clips to uint8, fifteen times as fast as NumPy.
            nothing = cast(Any, (0, 0, 0, 0))  # a scalar, which OpenCV's type stubs do not know
            cv2.add(colours, nothing, dst=changed[rows], dtype=cv2.CV_8U)
        return element._replace(input=changed)


def _cropped(pair: Pair, top: int, left: int, side: int, resolution: int) -> Pair:
    rows, columns = slice(top, top + side), slice(left, left + side)
    return _both(pair, lambda picture: _resized(picture[rows, columns], resolution))


def _both(pair: Pair, change: Callable[[np.ndarray], np.ndarray]) -> Pair:
    return pair._replace(input=change(pair.input), target=change(pair.target))


def _resized(x: np.ndarray, side: int) -> np.ndarray:
    if x.shape[:2] == (side, side):
        return np.ascontiguousarray(x)
    method = cv2.INTER_AREA if side < len(x) else cv2.INTER_CUBIC
    return cv2.resize(x, (side, side), interpolation=method)


def _to_linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light from 0 on to sRGB, continued above 1 by the same curve."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
