"""Colours of any ICC profile or code points -> sRGB, in the photo's own precision (8 or 16 bit)."""

import functools
import io
import re
import struct
from typing import Any

import cv2
import imagecodecs
import numpy as np
from PIL import ExifTags, Image, ImageCms

UNREADABLE = b"unreadable"  # stands for a profile that is there and cannot be read
# LittleCMS replaces a 16-bit conversion by a coarse table, up to 22/255 off at the edge of the
# gamut; this evaluates it.
_EXACT = int(ImageCms.Flags.NOOPTIMIZE)

# White, red, green and blue (x, y) of ITU-T H.273, table 2, by code point; 2 is "unspecified".
_D65 = (0.3127, 0.3290)
_PRIMARIES = {
    1: (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06),
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (0.310, 0.316, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_PRIMARIES |= {0: _PRIMARIES[1], 2: _PRIMARIES[1], 7: _PRIMARIES[6]}
_ADOBE = (*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
# Table 3: exponent, offset, slope of the straight piece near black, and where that ends.
_SRGB_CURVE, _TV_CURVE = (2.4, 0.055, 12.92, 0.04045), (1 / 0.45, 0.099, 4.5, 0.081)
_CURVES: dict[int, tuple[float, ...]] = dict.fromkeys((0, 2, 13), _SRGB_CURVE)
_CURVES |= dict.fromkeys((1, 6, 11, 12, 14, 15), _TV_CURVE)
_CURVES |= {7: (1 / 0.45, 0.1115, 4.0, 0.0913)}
_CURVES |= {4: (2.2, 0, 1, 0), 5: (2.8, 0, 1, 0), 8: (1, 0, 1, 0)}
_HDR_CURVES = {9: "logarithmic", 10: "logarithmic", 16: "PQ", 18: "HLG"}

_BLOCK_ROWS = 64
_ENCODING_STEPS = 2**18
_MAX_TABLE_ERROR = 16  # of 65535, well below half of an 8-bit level
_LEVELS = 65536


class ProfileError(ValueError):
    """An embedded ICC profile that cannot be used for the picture that carries it."""


class UnsupportedColorsError(ValueError):
    """Colours that are not converted. The message is a clause, without the file's name."""


@functools.cache
def srgb_profile() -> bytes:
    """Return an sRGB profile with a fixed creation date: files that embed it are reproducible."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # ICC.1:2022, section 7.2; LittleCMS would write the moment of the call.
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    return bytes(profile)


@functools.lru_cache(maxsize=16)
def rgb_profile(chromaticities: tuple[float, ...], curve: tuple[float, ...]) -> bytes:
    """Return a profile of white, red, green and blue (x, y each) and a curve as in `_CURVES`;
    `UNREADABLE` for numbers that make none."""
    exponent, offset, slope, end = curve
    values = np.linspace(0, 1, 4096)
    light = np.where(values < end, values / slope, ((values + offset) / (1 + offset)) ** exponent)
    white, *primaries = ([*chromaticities[i : i + 2], 1.0] for i in range(0, 8, 2))
    options: dict[str, Any] = {"whitepoint": white, "primaries": np.ravel(primaries).tolist()}
    options |= {"gamma": exponent} if not end else {"transferfunction": light.astype(np.float32)}
    try:
        return bytes(imagecodecs.cms_profile("rgb", **options))
    except (imagecodecs.CmsError, ValueError):
        return UNREADABLE


def profile_of_code_points(primaries: int, curve: int) -> bytes:
    """Return a profile for the code points of ITU-T H.273 that HEIC and PNG declare colours with,
    unless they are those of HDR, or unknown."""
    if curve in _HDR_CURVES:
        raise UnsupportedColorsError(f"is an HDR photo ({_HDR_CURVES[curve]})")
    if curve not in _CURVES or primaries not in _PRIMARIES:
        raise UnsupportedColorsError(f"declares the colours {primaries}, {curve} of ITU-T H.273")
    return rgb_profile(_PRIMARIES[primaries], _CURVES[curve])


def profile_of_png(gamma: float, chromaticities: tuple[float, ...] | None) -> bytes:
    """Return a profile for a PNG's gAMA (such as 0.45455; 0 where it is absent) and cHRM."""
    about_srgb = not gamma or abs(gamma * 2.2 - 1) < 0.05
    if chromaticities is None or np.allclose(chromaticities, _PRIMARIES[1], atol=0.002):
        if about_srgb:  # what programs write for sRGB
            return srgb_profile()
        chromaticities = _PRIMARIES[1]
    # The standard's stand-in for sRGB's curve is written with the primaries of Display P3 too.
    is_stand_in = round(gamma * 1e5) == 45455 and not np.allclose(chromaticities, _ADOBE, atol=0.01)
    curve = _SRGB_CURVE if not gamma or is_stand_in else (1 / gamma, 0, 1, 0)
    return rgb_profile(chromaticities, curve)


def profile_of_exif(block: bytes) -> bytes | None:
    """Return the profile of a camera that says Adobe RGB, or its primaries, in EXIF alone (DCF 2.0;
    EXIF 2.32, 4.6.5); None for sRGB and where nothing is said."""
    exif = Image.Exif()
    try:
        exif.load(block)
        details, interop = exif.get_ifd(ExifTags.IFD.Exif), ExifTags.IFD.Interop
        space = details.get(ExifTags.Base.ColorSpace)
        index = exif.get_ifd(interop).get(1) if interop in details else None
        if space == 2 or (space != 1 and str(index).startswith("R03")):
            return rgb_profile(_ADOBE, (563 / 256, 0, 1, 0))
        white = exif.get(ExifTags.Base.WhitePoint, _D65)
        colors = [float(x) for x in (*white, *exif[ExifTags.Base.PrimaryChromaticities])]
        if space == 1 or len(colors) != 8 or np.allclose(colors, _PRIMARIES[1], atol=0.002):
            return None
        gamma = float(details.get(ExifTags.Base.Gamma, 2.2))
        return rgb_profile(tuple(colors), (gamma, 0, 1, 0))
    except Exception:  # absent, or of any kind: the photo matters more
        return None


def to_srgb(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    """Convert pixels to sRGB, `(height, width, 3)`, in their own precision.

    Args:
        pixels: uint8 or uint16 `(height, width, channels)`: grey, RGB or CMYK.
        profile: grey is also converted through an RGB profile.

    Raises:
        ProfileError: the profile is unreadable or describes another kind of picture.
        UnsupportedColorsError: of an HDR picture.
    """
    space, channels = _color_space(profile), pixels.shape[-1]
    if channels == 1 and space == "RGB":
        pixels, channels = np.repeat(pixels, 3, axis=-1), 3
    if channels != {"GRAY": 1, "RGB": 3, "CMYK": 4}.get(space):
        raise ProfileError(f"the profile is for {space} pictures, the picture is of another kind")
    if channels == 1:
        levels = np.arange(np.iinfo(pixels.dtype).max + 1, dtype=pixels.dtype)[None]
        return _transform(levels, profile, space="gray")[0][pixels[..., 0]]
    if channels == 3 and _is_srgb(profile):
        return pixels
    if pixels.dtype == np.uint16 and (tables := _matrix_tables(profile)):
        return _through_tables(pixels, *tables)
    return _transform(pixels, profile, space=space.lower())


def _color_space(profile: bytes) -> str:
    """The profile's colour space, "RGB", "GRAY", "CMYK", ..., unless it is of HDR."""
    try:
        opened: Any = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
    except (OSError, ImageCms.PyCMSError) as error:
        raise ProfileError(str(error)) from error
    code_points = re.search(rb"cicp\0{4}.(.)", profile[128:], re.DOTALL)
    named = re.search(r"\b(PQ|HLG)\b", opened.profile_description or "")
    if name := (named and named[1]) or (code_points and _HDR_CURVES.get(code_points[1][0])):
        raise UnsupportedColorsError(f"is an HDR photo ({name})")
    return opened.xcolor_space.strip()


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Round uint16 [0, 65535] to uint8 [0, 255]; uint8 is returned as it is."""
    is_deep = pixels.dtype == np.uint16  # 65535 = 255 * 257
    return cv2.convertScaleAbs(np.ascontiguousarray(pixels), alpha=1 / 257) if is_deep else pixels


@functools.lru_cache(maxsize=64)
def _is_srgb(profile: bytes) -> bool:
    """True when the profile changes no colour by more than one 8-bit step."""
    colors = _grid(np.uint8)
    return int(np.abs(_transform(colors, profile).astype(int) - colors).max()) <= 1


@functools.lru_cache(maxsize=16)
def _matrix_tables(profile: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Measure a profile of one curve and a matrix, as working spaces are, by asking LittleCMS,
    which takes ten times as long for a pixel; None if it is something else.

    Returns:
        Linear light of each level, float32, [0, 1]; the matrix to linear sRGB, float32 `(3, 3)`;
        sRGB's level for equal steps of light.
    """
    linear = rgb_profile(_PRIMARIES[1], (1, 0, 1, 0))
    levels = np.repeat(np.arange(_LEVELS, dtype=np.uint16)[None, :, None], 3, axis=-1)
    curve = _transform(levels, profile, linear, dtype="f4")[0, :, 1]
    curve /= curve[-1] or 1
    matrix = _transform(np.eye(3, dtype=np.uint16)[None] * 65535, profile, linear, dtype="f4")[0].T
    steps = np.linspace(0, 1, _ENCODING_STEPS, dtype=np.float32)
    grey = np.repeat(steps[None, :, None], 3, axis=-1)
    encoding = _transform(grey, linear, dtype="f4")[0, :, 1].clip(0, 1)
    tables = curve, matrix, np.rint(encoding * (_LEVELS - 1)).astype(np.uint16)
    colors = _grid(np.uint16)
    error = np.abs(_through_tables(colors, *tables) - _transform(colors, profile).astype(int))
    return tables if error.max() <= _MAX_TABLE_ERROR else None


def _through_tables(
    pixels: np.ndarray, curve: np.ndarray, matrix: np.ndarray, encoding: np.ndarray
) -> np.ndarray:
    converted, last = np.empty_like(pixels), len(encoding) - 1
    for start in range(0, len(pixels), _BLOCK_ROWS):
        light = curve[pixels[start : start + _BLOCK_ROWS]]
        steps = cv2.transform(light, matrix * last).clip(0, last, dtype=np.float32)
        converted[start : start + _BLOCK_ROWS] = encoding[np.rint(steps).astype(np.int32)]
    return converted


def _grid(dtype: type) -> np.ndarray:
    levels = np.linspace(0, np.iinfo(dtype).max, 18).round().astype(dtype)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(1, -1, 3)


def _transform(
    pixels: np.ndarray, profile: bytes, target: bytes = b"", dtype: str = "", *, space: str = "rgb"
) -> np.ndarray:
    """LittleCMS' own conversion, to sRGB by default."""
    try:
        return imagecodecs.cms_transform(
            np.ascontiguousarray(pixels),
            profile,
            target or srgb_profile(),
            colorspace=space,
            outcolorspace="rgb",
            outdtype=dtype or pixels.dtype.str,
            flags=0 if pixels.dtype == np.uint8 else _EXACT,
        )
    except (imagecodecs.CmsError, ValueError) as error:
        raise ProfileError(str(error)) from error
