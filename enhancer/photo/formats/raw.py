"""Development of camera RAW files to sRGB, and which of them are damaged without an error."""

import contextlib
import io
import os
from pathlib import Path

import cv2
import numpy as np
import rawpy
from PIL import Image

from enhancer.photo import color, refusal
from enhancer.photo.formats import tiff
from enhancer.photo.formats.decoded import DecodedPhoto
from enhancer.photo.metadata import of_raw
from enhancer.photo.refusal import PhotoError

_COMMON = frozenset(
    {".arw", ".cr2", ".cr3", ".crw", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".srw"}
)
_RARE = frozenset(
    {".3fr", ".dcr", ".erf", ".fff", ".gpr", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".raw", ".rwl"}
)
RAW_SUFFIXES = _COMMON | _RARE | {".sr2", ".srf", ".x3f"}

# Real files need more than half a bit per pixel even with lossy compression.
_MIN_BITS_PER_PIXEL = 0.1
_LARGE_PREVIEW_PIXELS = 1_000_000  # anything smaller is for the camera's screen
# A row is dead when this share of its values repeats the pixel two to the left (or above).
_DEAD_ROW_SHARE = 0.98
_MAX_SHARE = 0.05  # of a picture that may be dead or noise
_MIN_STANDARD_DEVIATION = 1.0
_NOISE_BANDS = 16


def decode(path: Path, *, is_tiff: bool, keep_depth: bool) -> DecodedPhoto:
    """Develop a RAW file: camera white balance, no automatic brightening, sRGB, upright. The result
    depends on nothing but the file and the LibRaw version."""
    preview = b""
    try:
        with rawpy.imread(os.fspath(path)) as raw:
            preview = _preview(raw)
            # The sensor is larger than the picture; in a forged file, much larger.
            sizes, num_bytes = raw.sizes, path.stat().st_size
            num_pixels = max(sizes.width * sizes.height, sizes.raw_width * sizes.raw_height)
            if num_pixels > refusal.MAX_PIXELS:
                raise refusal.too_large(path, f"{num_pixels / 1e6:.0f} megapixels")
            if num_bytes * 8 < num_pixels * _MIN_BITS_PER_PIXEL:
                claim = f"{num_bytes / 1e3:.0f} kB cannot hold {num_pixels / 1e6:.1f} megapixels"
                raise _refusal(path, f"is cut off: {claim}", preview)
            if tiff.is_raw_cut_off(path):
                raise _refusal(path, "is cut off: its last rows are missing", preview)
            pixels = raw.postprocess(
                use_camera_wb=True,
                no_auto_bright=True,
                gamma=(2.4, 12.92),
                output_color=rawpy.ColorSpace.sRGB,
                output_bps=16 if keep_depth else 8,
            )
            # Where LibRaw keeps no sensor values (some Foveon files), the picture stands in.
            sensor = raw.raw_image_visible if raw.raw_image is not None else pixels
            is_whole = tiff.holds_whole_linear_raw(path)
            junk = describe_junk(sensor, may_be_black=is_whole) or _describe_flat(pixels)
    except rawpy.LibRawError as error:
        reason = "".join(map(os.fsdecode, error.args))
        reason = f"is damaged, or of a kind that cannot be developed ({reason})"
        raise _refusal(path, reason, preview) from error
    if junk:
        raise _refusal(path, f"is damaged: {junk}", preview)
    found = of_raw(path, preview, is_tiff=is_tiff)
    # A monochrome one has a single channel. LibRaw has turned all of them upright.
    return DecodedPhoto(pixels, color.srgb_profile(), found)


def _preview(raw: rawpy.RawPy) -> bytes:
    """The JPEG for the camera's screen, if there is one."""
    with contextlib.suppress(rawpy.LibRawError, rawpy.NotSupportedError, MemoryError):
        preview = raw.extract_thumb().data
        return preview if isinstance(preview, bytes) else b""  # a bitmap is an array
    return b""


def _refusal(path: Path, reason: str, preview: bytes) -> PhotoError:
    if tiff.holds_jpeg_xl(path):
        return PhotoError(
            f"{path.name} is compressed with JPEG XL, which is not supported. Convert it to a DNG "
            "without that, or export a TIFF from your RAW converter."
        )
    # The camera's own rendering looks unlike ours: it is never passed off as the photo.
    advice = "Copy it from the camera again"
    with contextlib.suppress(Exception):  # it may be damaged too
        width, height = Image.open(io.BytesIO(preview), formats=("JPEG",)).size
        if width * height >= _LARGE_PREVIEW_PIXELS:
            advice = (
                f"The camera's own JPEG in it, {width} x {height} pixels, was not used: "
                "extract it with a photo viewer"
            )
    return PhotoError(f"{path.name} {reason}. {advice}, or export a TIFF from your RAW converter.")


def describe_junk(sensor: np.ndarray, *, may_be_black: bool = False) -> str | None:
    """Say what is wrong when sensor values cannot be those of a photo.

    Damaged files often decode without an error, to constant bands, to repeated rows (a decoder that
    lost its place repeats its prediction) or to noise. A real sensor is noisy even in the dark, so
    its rows never repeat exactly, except where they are overexposed or black to the last pixel but
    a few; and no photo is as rough as noise is.

    Args:
        sensor: undeveloped values, `(height, width)` for a mosaic or `(height, width, channels)`.
        may_be_black: areas of nothing but zeros are not damage, since the file is whole.
    """
    sensor = sensor.reshape(*sensor.shape[:2], -1)
    height, width = sensor.shape[:2]
    if height < 16 or width < 16:
        return f"it holds {width}x{height} pixels"
    brightest = sensor.max()
    if brightest == sensor.min():
        return "the whole picture has one single value"
    both_ways = sensor, sensor.transpose(1, 0, 2)
    if (dead := max(_dead_share(it, brightest, may_be_black) for it in both_ways)) > _MAX_SHARE:
        return f"{dead:.0%} of the picture is an empty or striped area"
    if (noisy := _noise_share(sensor)) > _MAX_SHARE:
        return f"{noisy:.0%} of the picture is noise"
    return None


def _dead_share(sensor: np.ndarray, brightest: np.generic, may_be_black: bool) -> float:
    """Share of rows that are empty, or constant or repeat the one two above where they are neither
    overexposed nor black."""
    exposed = (sensor != brightest) & (sensor != 0)
    dead_left = _is_dead(sensor[:, 2:] == sensor[:, :-2], exposed[:, 2:])
    dead_above = _is_dead(sensor[2:] == sensor[:-2], exposed[2:])
    empty = 0.0 if may_be_black else (sensor == 0).all(axis=(1, 2)).mean()
    return float(max(dead_left.mean(), dead_above.mean()) + empty)


def _is_dead(repeats: np.ndarray, exposed: np.ndarray) -> np.ndarray:
    """Whether nearly all pixels of a row that could differ repeat; bool `(height,)`."""
    counts = exposed.reshape(len(exposed), -1).sum(axis=1)
    repeated = (repeats & exposed).reshape(len(exposed), -1).sum(axis=1)
    # A handful of pixels beside a blown-out sky proves nothing.
    enough = counts > 0.1 * exposed[0].size
    return enough & (repeated > _DEAD_ROW_SHARE * counts)


def _noise_share(sensor: np.ndarray) -> float:
    """Share of bands where neighbours of one colour differ strongly, as any two pixels do."""
    # Every fourth row is enough for a statistic and keeps 50 megapixels cheap.
    values = sensor[::4].astype(np.float32)
    value_range = float(values.max() - values.min())
    noisy = 0
    for band in np.array_split(values, _NOISE_BANDS):
        difference = band[:, 2:] - band[:, :-2]
        variance = float(band.var(axis=(0, 1)).mean())
        correlation = 1 - 0.5 * float((difference**2).mean()) / max(variance, 1e-9)
        noisy += correlation < 0.2 and float(np.abs(difference).mean()) > 0.15 * value_range
    return noisy / _NOISE_BANDS


def _describe_flat(pixels: np.ndarray) -> str | None:
    """A picture without any structure once noise is averaged away, such as one uniform grey."""
    scale = min(1.0, 128 / max(pixels.shape[:2]))
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    deviation = small.std(axis=(0, 1)).max() / (257 if pixels.dtype == np.uint16 else 1)
    return "it develops to one uniform colour" if deviation < _MIN_STANDARD_DEVIATION else None
