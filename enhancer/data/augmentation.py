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

# How a published photo is spoilt: mean and spread, of stops or else of the logarithm.
EDIT_SATURATION = (0.1, 0.2)
EDIT_EXPOSURE_STOPS = (-1.3, 0.8)
EDIT_FALL_OFF_STOPS = 0.5
EDIT_WHITE_BALANCE, EDIT_WHITE_BALANCE_SPREAD = (0.08, 0.0, -0.08), 0.15
EDIT_GAMMA = (0.1, 0.2)

_BAND_ROWS = 64
_LUMA = np.array([0.2126, 0.7152, 0.0722])  # Rec. 709


def augmentations(stage: StageConfig, resolution: int) -> list[grain.transforms.RandomMap]:
    """What is done to a `Pair` in training, in this order, at a side of `resolution`."""
    changes: list[grain.transforms.RandomMap]
    strong = stage.augmentation == "strong"
    if stage.squash or not strong:
        changes = [RandomCrop(resolution, stage.min_crop_scale, stage.squash)]
    else:
        min_crop_scale = min(stage.min_crop_scale, STRONG_MIN_CROP_SCALE)
        changes = [RandomRotatedSquareCrop(resolution, min_crop_scale)]
    if stage.augmentation != "none":
        changes.append(RandomFlip())
    if strong:
        changes.append(RandomInputColour())
    if stage.random_edit_share:
        changes.append(RandomEditOfTarget(stage.random_edit_share))
    return changes


class CentreCrop(grain.transforms.Map):
    """The largest square in the middle, or with `squash` all, resized to a side of `resolution`."""

    def __init__(self, resolution: int, squash: bool = False):
        self.resolution, self.squash = resolution, squash

    def map(self, element: Pair) -> Pair:
        height, width = element.input.shape[:2]
        rows, columns = (height, width) if self.squash else (min(height, width),) * 2
        top, left = (height - rows) // 2, (width - columns) // 2
        return _cropped(element, top, left, rows, columns, self.resolution)


class RandomCrop(grain.transforms.RandomMap):
    """The same random part of both pictures, resized to a square of `resolution`.

    Its side is a uniform fraction in [min_crop_scale, 1] of the photo's short side; with `squash`
    it has so much of both sides, and the photo's aspect ratio is lost.
    """

    def __init__(self, resolution: int, min_crop_scale: float, squash: bool = False):
        self.resolution, self.min_crop_scale, self.squash = resolution, min_crop_scale, squash

    def random_map(self, element: Pair, rng: np.random.Generator) -> Pair:
        height, width = element.input.shape[:2]
        sides = (height, width) if self.squash else (min(height, width),) * 2
        scale = rng.uniform(self.min_crop_scale, 1)
        rows, columns = (max(1, round(side * scale)) for side in sides)
        top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
        return _cropped(element, top, left, rows, columns, self.resolution)


class RandomRotatedSquareCrop(grain.transforms.RandomMap):
    """The same random square of both pictures, turned a little, resized to `resolution`.

    It is turned by up to `MAX_ROTATION_DEGREES`, and lies in the photo with all its corners. Its
    side is a uniform fraction of the photo's short side, from `min_crop_scale` to what fits.
    """

    def __init__(self, resolution: int, min_crop_scale: float):
        self.resolution, self.min_crop_scale = resolution, min_crop_scale

    def random_map(self, element: Pair, rng: np.random.Generator) -> Pair:
        height, width = element.input.shape[:2]
        short = min(height, width)
        angle = np.deg2rad(rng.uniform(-MAX_ROTATION_DEGREES, MAX_ROTATION_DEGREES))
        cos, sin = np.cos(angle), np.sin(angle)
        spread = cos + abs(sin)  # side of the upright square around the turned one
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
            # rounds positions to 1/32 pixel: a corner may be that much outside.
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
    """Change exposure, white balance, contrast and saturation of the input a little: the same
    photo, taken a little differently, should get the same edited picture. `extent` is a factor on
    how far each moves."""

    def __init__(self, extent: float = 1.0):
        self.extent = extent

    def random_map(self, element: Pair, rng: np.random.Generator) -> Pair:
        gain = 2 ** (self.extent * rng.uniform(-MAX_EXPOSURE_STOPS, MAX_EXPOSURE_STOPS))
        red, blue = 1 + self.extent * rng.uniform(-MAX_WHITE_BALANCE, MAX_WHITE_BALANCE, 2)
        contrast = 1 + self.extent * rng.uniform(-MAX_CONTRAST, MAX_CONTRAST)
        saturation = 1 + self.extent * rng.uniform(-MAX_SATURATION, MAX_SATURATION)
        linear = _to_linear(np.arange(256) / 255)[:, None] * gain * np.array([red, 1, blue])
        curves = 255 * (0.5 + contrast * (_to_srgb(linear) - 0.5))
        mixing = saturation * np.eye(3) + (1 - saturation) * _LUMA
        table = curves.astype("float32")[None]
        changed = np.empty_like(element.input)
        # Some rows at a time stay in the cache, which is four times as fast.
        for start in range(0, len(changed), _BAND_ROWS):
            rows = slice(start, start + _BAND_ROWS)
            colours = cv2.transform(cv2.LUT(element.input[rows], table), mixing)
            # Adding nothing: OpenCV then rounds and clips to uint8, fifteen times as fast as NumPy.
            nothing = cast(Any, (0, 0, 0, 0))  # a scalar, which OpenCV's type stubs do not know
            cv2.add(colours, nothing, dst=changed[rows], dtype=cv2.CV_8U)
        return element._replace(input=changed)


class RandomEditOfTarget(grain.transforms.RandomMap):
    """In a share of the pairs, make the target the input by an edit drawn at random.

    In linear light: saturation, exposure (mostly darker, as photos of rooms are), light that falls
    off to one side, white balance (mostly warmer); then a gamma. What is clipped on the way is
    lost, as in a camera.
    """

    def __init__(self, share: float):
        self.share = share

    def random_map(self, element: Pair, rng: np.random.Generator) -> Pair:
        if rng.random() >= self.share:
            return element
        height, width = element.target.shape[:2]
        saturation = np.exp(rng.normal(*EDIT_SATURATION))
        gains = np.exp(rng.normal(EDIT_WHITE_BALANCE, EDIT_WHITE_BALANCE_SPREAD))
        stops = rng.normal(*EDIT_EXPOSURE_STOPS)
        slopes = rng.normal(0, EDIT_FALL_OFF_STOPS, 2)
        gamma = np.exp(rng.normal(*EDIT_GAMMA))
        down, across = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
        light = (element.target.astype(np.float32) / 255) ** np.float32(2.2)
        luma = cv2.transform(light, _LUMA[None].astype(np.float32))[..., None]
        light = np.clip(luma + np.float32(saturation) * (light - luma), 0, 1)
        falling = 2 ** (stops + slopes[0] * down + slopes[1] * across)[..., None]
        light = np.clip(light * (falling * gains).astype(np.float32), 0, 1)
        edited = 255 * light ** np.float32(gamma / 2.2)
        return element._replace(input=np.rint(edited).astype(np.uint8))


def _cropped(pair: Pair, top: int, left: int, rows: int, columns: int, resolution: int) -> Pair:
    part = slice(top, top + rows), slice(left, left + columns)
    return _both(pair, lambda picture: _resized(picture[part], resolution))


def _both(pair: Pair, change: Callable[[np.ndarray], np.ndarray]) -> Pair:
    return pair._replace(input=change(pair.input), target=change(pair.target))


def _resized(x: np.ndarray, side: int) -> np.ndarray:
    if x.shape[:2] == (side, side):
        return np.ascontiguousarray(x)
    method = cv2.INTER_AREA if side < min(x.shape[:2]) else cv2.INTER_CUBIC
    return cv2.resize(x, (side, side), interpolation=method)


def _to_linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light from 0 on to sRGB, continued above 1 by the same curve."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
