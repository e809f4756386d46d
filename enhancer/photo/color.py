"""Colours of any ICC profile -> sRGB, in the photo's own precision (8 or 16 bit)."""

import dataclasses
import functools
import io

import cv2
import imagecodecs
import numpy as np
from PIL import Image, ImageCms

_HEADER_DATE = slice(24, 36)  # ICC.1:2022, section 7.2: creation date and time
# LittleCMS' own default; for the matrix profiles of cameras and editors all intents give the same
# colours.
_INTENT = ImageCms.Intent.PERCEPTUAL
# LittleCMS replaces a 16-bit conversion by a coarse table, up to 22/255 off at the edge of the
# gamut; this evaluates it.
_EXACT = int(ImageCms.Flags.NOOPTIMIZE)

_BLOCK_ROWS = 64
_ENCODING_STEPS = 2**18
_MAX_TABLE_ERROR = 4096  # a part of the full range, well below half of an 8-bit level


class ProfileError(ValueError):
    """An embedded ICC profile that cannot be used for the picture that carries it."""


@functools.cache
def srgb_profile() -> bytes:
    """Return an sRGB profile with a fixed creation date: files that embed it are reproducible."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # 1 January 2000, big-endian 16-bit numbers: LittleCMS would write the moment of the call.
    profile[_HEADER_DATE] = b"".join(number.to_bytes(2, "big") for number in (2000, 1, 1, 0, 0, 0))
    return bytes(profile)


def profile_color_space(profile: bytes) -> str:
    """The profile's colour space, "RGB", "GRAY", "CMYK", ...; ProfileError if it is no profile."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
        return opened.xcolor_space.strip()  # pyright: ignore[reportAttributeAccessIssue]
    except (OSError, ImageCms.PyCMSError) as error:
        raise ProfileError(str(error)) from error


def image_to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert an 8-bit Pillow image of mode RGB, L or CMYK to sRGB, as an RGB image.

    L is also converted through an RGB profile.

    Raises:
        ProfileError: the profile is unreadable or describes another kind of picture.
    """
    space = profile_color_space(profile)
    if space == "RGB" and image.mode in ("RGB", "L"):
        image = image.convert("RGB")
        if is_srgb(profile):
            return image
    elif (space, image.mode) not in (("GRAY", "L"), ("CMYK", "CMYK")):
        raise ProfileError(f"the profile is for {space} pictures, the picture is {image.mode}")
    try:
        converted = ImageCms.profileToProfile(
            image,
            io.BytesIO(profile),
            io.BytesIO(srgb_profile()),
            renderingIntent=_INTENT,
            outputMode="RGB",
        )
    except (OSError, ImageCms.PyCMSError) as error:
        raise ProfileError(str(error)) from error
    if converted is None:
        raise ProfileError("no conversion to sRGB")
    return converted


def array_to_srgb(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    """Convert RGB pixels, uint8 or uint16 `(height, width, 3)`, to sRGB in their own precision.

    Raises:
        ProfileError: the profile is unreadable or not for RGB pictures.
    """
    space = profile_color_space(profile)
    if space != "RGB":
        raise ProfileError(f"the profile is for {space} pictures, the picture is RGB")
    if is_srgb(profile):
        return pixels
    if tables := _matrix_tables(profile, pixels.dtype.str):
        return tables.convert(pixels)
    return _transform(pixels, profile, srgb_profile(), pixels.dtype.str)


def grey_to_srgb(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    """Convert grey pixels, uint8 or uint16 `(height, width)`, to sRGB `(height, width, 3)`.

    Raises:
        ProfileError: the profile cannot be used.
    """
    levels = np.arange(np.iinfo(pixels.dtype).max + 1, dtype=pixels.dtype)
    table = _transform(levels[None], profile, srgb_profile(), pixels.dtype.str, colorspace="gray")
    return table[0][pixels]


@dataclasses.dataclass(frozen=True)
class _MatrixTables:
    """A profile of a curve per channel and a matrix, as working spaces have.

    LittleCMS takes seven times as long as this for a 16-bit pixel.
    """

    curves: np.ndarray  # linear light of each level, float32 `(3, levels)`, [0, 1]
    matrix: np.ndarray  # to linear sRGB, float32 `(3, 4)`; the last column is a black pixel's
    encoding: np.ndarray  # level of each of `len - 1` equal steps of linear light

    def convert(self, pixels: np.ndarray) -> np.ndarray:
        converted = np.empty(pixels.shape, pixels.dtype)
        last = len(self.encoding) - 1
        for start in range(0, len(pixels), _BLOCK_ROWS):
            block = pixels[start : start + _BLOCK_ROWS]
            light = np.stack([curve[block[..., c]] for c, curve in enumerate(self.curves)], axis=-1)
            steps = cv2.transform(light, self.matrix * last).clip(0, last, dtype=np.float32)
            steps = np.rint(steps, out=steps).astype(np.int32)
            converted[start : start + _BLOCK_ROWS] = self.encoding[steps]
        return converted


@functools.lru_cache(maxsize=16)
def _matrix_tables(profile: bytes, dtype: str) -> _MatrixTables | None:
    """Measure a profile's curves and matrix by asking LittleCMS; None if it has something else."""
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    ramps = np.zeros((3, len(levels), 3), dtype)
    for channel in range(3):
        ramps[channel, :, channel] = levels
    light = _transform(ramps, profile, _linear_srgb_profile(), "f4")
    black = light[0, 0]
    columns = light[:, -1] - black  # of the matrix, one for each channel
    strongest = np.abs(columns).argmax(axis=1)
    pairs = [(c, k) for c, k in enumerate(strongest) if columns[c, k]]
    curves = [(light[c, :, k] - black[k]) / columns[c, k] for c, k in pairs]
    if len(curves) < 3 or not np.isfinite(curves).all():
        return None
    matrix = np.concatenate([columns.T, black[:, None]], axis=1)
    steps = np.linspace(0, 1, _ENCODING_STEPS, dtype=np.float32)
    grey = np.repeat(steps[:, None], 3, axis=1)[None]
    encoding = _transform(grey, _linear_srgb_profile(), srgb_profile(), "f4")[0, :, 1].clip(0, 1)
    encoding = np.rint(encoding * levels[-1]).astype(dtype)
    tables = _MatrixTables(np.array(curves, np.float32), matrix.astype(np.float32), encoding)
    grid = np.linspace(0, levels[-1], 18).round().astype(dtype)
    colors = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1).reshape(1, -1, 3)
    exact = _transform(colors, profile, srgb_profile(), dtype)
    error = np.abs(tables.convert(colors).astype(int) - exact).max()
    return tables if error <= max(1, int(levels[-1]) // _MAX_TABLE_ERROR) else None


def _transform(
    pixels: np.ndarray, profile: bytes, target: bytes, dtype: str, *, colorspace: str = "rgb"
) -> np.ndarray:
    try:
        return imagecodecs.cms_transform(
            np.ascontiguousarray(pixels),
            profile,
            target,
            colorspace=colorspace,
            outcolorspace="rgb",
            outdtype=dtype,
            intent=int(_INTENT),
            flags=_EXACT,
        )
    except (imagecodecs.CmsError, ValueError) as error:
        raise ProfileError(str(error)) from error


@functools.cache
def _linear_srgb_profile() -> bytes:
    return imagecodecs.cms_profile(
        "rgb",
        whitepoint=[0.3127, 0.3290, 1.0],
        primaries=[0.64, 0.33, 1.0, 0.30, 0.60, 1.0, 0.15, 0.06, 1.0],
        gamma=1.0,
    )


@functools.cache
def display_p3_profile() -> bytes:
    """Return the telephones' profile: Display P3 (SMPTE EG 432-1), D65, sRGB's curve."""
    values = np.linspace(0, 1, 4096)
    curve = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return bytes(
        imagecodecs.cms_profile(
            "rgb",
            whitepoint=[0.3127, 0.3290, 1.0],
            primaries=[0.680, 0.320, 1.0, 0.265, 0.690, 1.0, 0.150, 0.060, 1.0],
            transferfunction=curve.astype(np.float32),
        )
    )


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Round uint16 [0, 65535] to uint8 [0, 255]; uint8 is returned as it is."""
    if pixels.dtype == np.uint8:
        return pixels
    # 65535 = 255 * 257: rounding to the nearest, in integers and by rows to spare memory.
    rounded = np.empty(pixels.shape, np.uint8)
    for row, values in enumerate(pixels):
        rounded[row] = (values.astype(np.uint32) + 128) // 257
    return rounded


@functools.lru_cache(maxsize=64)
def is_srgb(profile: bytes) -> bool:
    """True when the profile changes no colour by more than one 8-bit step."""
    levels = np.linspace(0, 255, 18).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(1, -1, 3)
    image = Image.fromarray(grid)
    try:
        converted = ImageCms.profileToProfile(
            image, io.BytesIO(profile), io.BytesIO(srgb_profile()), renderingIntent=_INTENT
        )
    except (OSError, ImageCms.PyCMSError):
        return False
    return int(np.abs(np.asarray(converted).astype(int) - grid).max()) <= 1
