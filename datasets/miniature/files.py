"""Write the two kinds of files that FiveK consists of: RAW (DNG) and 16-bit ProPhoto TIFF."""

import functools
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

# XYZ of white point D65 -> linear sRGB, IEC 61966-2-1.
_XYZ_TO_SRGB = np.array(
    ((3.2406, -1.5372, -0.4986), (-0.9689, 1.8758, 0.0415), (0.0557, -0.2040, 1.0570))
)
# Linear sRGB -> linear ProPhoto (ROMM, ISO 22028-2), adapted from D65 to D50 with Bradford.
_SRGB_TO_PROPHOTO = np.array(
    ((0.52927, 0.33006, 0.14067), (0.09837, 0.87347, 0.02816), (0.01688, 0.11767, 0.86545)),
    np.float32,
)
NEUTRAL = (0.52, 1.0, 0.66)
"""What the sensor's red, green and blue pixels measure of white: the camera's white balance."""
_BLACK_LEVEL, _WHITE_LEVEL = 256, 16383
_DATE = slice(24, 36)  # of an ICC profile


def write_dng(path: Path, mosaic: np.ndarray, *, orientation: int = 1) -> None:
    """Write sensor values (see `mosaic_of`: float `(height, width)`, [0, 1] of full scale, filtered
    RGGB) as an uncompressed 16-bit DNG, with the EXIF orientation in which the camera was held."""
    values = np.rint(_BLACK_LEVEL + mosaic * (_WHITE_LEVEL - _BLACK_LEVEL)).astype(np.uint16)
    # A sensor that measures linear sRGB, apart from its white balance.
    color_matrix = _rationals(np.diag(NEUTRAL) @ _XYZ_TO_SRGB)
    tags = [
        (271, "s", 0, "Miniature", True),  # Make
        (272, "s", 0, "Miniature One", True),  # Model
        (274, "H", 1, orientation, True),
        (33421, "H", 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, "B", 4, bytes((0, 1, 1, 2)), True),  # CFAPattern: R G / G B
        (50706, "B", 4, bytes((1, 4, 0, 0)), True),  # DNGVersion
        (50707, "B", 4, bytes((1, 1, 0, 0)), True),  # DNGBackwardVersion
        (50708, "s", 0, "Miniature One", True),  # UniqueCameraModel
        (50714, "H", 1, _BLACK_LEVEL, True),
        (50717, "H", 1, _WHITE_LEVEL, True),
        (50721, "2i", 9, color_matrix, True),  # ColorMatrix1
        (50728, "2I", 3, _rationals(np.array(NEUTRAL)), True),  # AsShotNeutral
        (50778, "H", 1, 21, True),  # CalibrationIlluminant1: D65
    ]
    tifffile.imwrite(path, values, photometric="cfa", extratags=tags, metadata=None, software=False)


def mosaic_of(linear: np.ndarray) -> np.ndarray:
    """Return what a sensor with filter RGGB and white balance `NEUTRAL` measures of linear sRGB:
    `(height, width)` of `(height, width, 3)`."""
    measured = linear * np.array(NEUTRAL, np.float32)
    mosaic = measured[..., 1].copy()
    mosaic[0::2, 0::2] = measured[0::2, 0::2, 0]
    mosaic[1::2, 1::2] = measured[1::2, 1::2, 2]
    return mosaic


def write_prophoto_tiff(path: Path, linear: np.ndarray) -> None:
    """Write linear sRGB, `(height, width, 3)`, [0, 1], as a 16-bit TIFF in ProPhoto RGB with its
    profile embedded."""
    values = np.clip(linear @ _SRGB_TO_PROPHOTO.T, 0, 1) ** (1 / 1.8)
    tifffile.imwrite(
        path,
        np.rint(values * 65535).astype(np.uint16),
        photometric="rgb",
        compression="adobe_deflate",
        predictor=True,
        metadata=None,
        software=False,
        iccprofile=prophoto_profile(),
    )


@functools.cache
def prophoto_profile() -> bytes:
    """Return an ICC profile of ProPhoto RGB: gamma 1.8, white point D50."""
    profile = bytearray(
        imagecodecs.cms_profile(
            "rgb",
            whitepoint=[0.3457, 0.3585, 1.0],
            primaries=[0.7347, 0.2653, 1.0, 0.1596, 0.8404, 1.0, 0.0366, 0.0001, 1.0],
            gamma=1.8,
        )
    )
    # LittleCMS writes the moment of the call, and the files have to be the same on every run.
    profile[_DATE] = b"".join(number.to_bytes(2, "big") for number in (2000, 1, 1, 0, 0, 0))
    return bytes(profile)


def _rationals(values: np.ndarray) -> tuple[int, ...]:
    """TIFF rationals: numerator, denominator, numerator, ..."""
    million = 1_000_000
    return tuple(number for value in values.ravel() for number in (round(value * million), million))
