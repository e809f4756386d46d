"""Decode any photo a user has to upright sRGB of 8 or 16 bits, and write the result.

Preparation, command line and demo all read photos through `read_photo`, so that a file is seen in
the same way everywhere. (Training reads the JPEGs that preparation wrote with OpenCV.)
"""

import contextlib
import dataclasses
import importlib.metadata
import os
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import PIL
import rawpy
from PIL import Image, UnidentifiedImageError, features

from enhancer.photo import color, encode, refusal
from enhancer.photo.encode import encode_jpeg as encode_jpeg
from enhancer.photo.formats import heic, jpeg, png_webp, raw, tiff
from enhancer.photo.formats.decoded import DecodedPhoto
from enhancer.photo.formats.raw import RAW_SUFFIXES as RAW_SUFFIXES
from enhancer.photo.metadata import NOTHING, Metadata, fitted, upright
from enhancer.photo.refusal import PhotoError as PhotoError
from enhancer.system.files import write_atomically

PHOTO_SUFFIXES = RAW_SUFFIXES | frozenset(
    {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".heic", ".heif", ".hif"}
)
"""Lower-case suffixes, with the dot, of the files that `read_photo` is meant for."""

_UNKNOWN = "its content is of no known picture format"


@dataclasses.dataclass(frozen=True)
class Photo:
    """A decoded photo."""

    pixels: np.ndarray
    """uint8 or (see `read_photo`) uint16 `(height, width, 3)`, sRGB, full range, upright."""
    metadata: Metadata
    """What to store with an edited copy (orientation already 1)."""
    notes: tuple[str, ...]
    """What was done that the user should know, such as "transparent parts shown on white"."""


def read_photo(path: str | os.PathLike, *, keep_depth: bool = False) -> Photo:
    """Decode a JPEG, PNG, TIFF, WebP, HEIC (extra `heic`) or camera RAW file to upright sRGB.

    What the file is, is read from its content; RAW goes by the suffix too. Transparent parts become
    white. With `keep_depth` files of more than 8 bits per channel (PNG and TIFF of 16, HEIC of 10
    or 12, every RAW) give uint16.

    Raises:
        PhotoError: whatever is wrong with the file, including that it is missing or a folder.
    """
    path = Path(path)
    try:
        decoded = _decode(path, refusal.read_head(path), keep_depth=keep_depth)
        pixels, notes = decoded.in_srgb()
        pixels = pixels if keep_depth else color.to_uint8(pixels)
        pixels = _upright(pixels, decoded.orientation)
        return Photo(pixels, upright(decoded.metadata, *pixels.shape[:2]), notes)
    except PhotoError:
        raise
    except color.UnsupportedColorsError as error:
        raise PhotoError(
            f"{path.name} {error}, which is not supported. Export it as a JPEG or TIFF in sRGB "
            "with 8 or 16 bits per channel, or set the camera to SDR."
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise refusal.too_large(path) from error
    except MemoryError as error:
        raise PhotoError(
            f"{path.name} does not fit in this computer's memory. Export it at a smaller size."
        ) from error
    except UnidentifiedImageError as error:  # its text repeats the path
        raise refusal.damaged(path, _UNKNOWN) from error
    # Decoders fed with damaged files raise whatever comes up (struct.error, KeyError, ...).
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise refusal.damaged(path, reason) from error


def write_photo(
    path: str | os.PathLike, pixels: np.ndarray, *, metadata: Metadata = NOTHING
) -> tuple[str, ...]:
    """Write an sRGB photo, tagged as such; the file appears complete or not at all.

    Args:
        path: its suffix decides: JPEG (.jpg, .jpeg; quality 95, 4:4:4), to whose 8 bits 16 are
            rounded; PNG and TIFF (.tif, .tiff) keep 16.
        pixels: uint8 or uint16 `(height, width, 3)`, sRGB, full range.
        metadata: what to embed, such as `Photo.metadata`.

    Returns:
        What of `metadata` could not be kept.

    Raises:
        PhotoError: another suffix.
    """
    path, suffix = Path(path), Path(path).suffix.lower()
    metadata = fitted(metadata, suffix)
    match suffix:
        case ".jpg" | ".jpeg":
            content = encode_jpeg(color.to_uint8(pixels), metadata=metadata)
        case ".png":
            content = encode.encode_png(pixels, metadata=metadata)
        case ".tif" | ".tiff":
            content = encode.encode_tiff(pixels, metadata=metadata)
        case _:
            raise PhotoError(
                f"{path.name} cannot be written: '{suffix}' is none of .jpg, .jpeg, .png, .tif, "
                ".tiff."
            )
    write_atomically(path, content)
    return metadata.notes


def decoder_versions() -> dict[str, str]:
    """Versions, by library, of everything that can change a decoded or encoded pixel."""
    versions = {
        "pillow": PIL.__version__,
        "libjpeg": features.version("libjpeg_turbo") or features.version("jpg") or "unknown",
        "simplejpeg": importlib.metadata.version("simplejpeg"),
        "littlecms": features.version("littlecms2") or "unknown",
        "imagecodecs": imagecodecs.__version__,
        "tifffile": importlib.metadata.version("tifffile"),
        "libraw": ".".join(map(str, rawpy.libraw_version)),
        "opencv": cv2.__version__,
        "pillow-heif": "not installed",
    }
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        versions["pillow-heif"] = importlib.metadata.version("pillow-heif")
    return versions


def _decode(path: Path, head: bytes, *, keep_depth: bool) -> DecodedPhoto:
    """Decode a file by its content; camera RAW goes by the suffix too."""
    kind = refusal.recognise(head)
    if kind is None and (other := refusal.describe_other(head)):
        raise PhotoError(f"{path.name} is not a photo but {other}")
    # What is finished in a DNG says so. The previews of older cameras' files do not.
    suffix, is_tiff = path.suffix.lower(), kind == "TIFF"
    if kind == "RAW" or (suffix in RAW_SUFFIXES and not (suffix == ".dng" and is_tiff)):
        if kind not in ("RAW", "TIFF", None):
            raise PhotoError(
                f"{path.name} holds a {kind} picture and no RAW data. "
                "Use the camera's own file, or rename this one to what it is."
            )
        return raw.decode(path, is_tiff=is_tiff, keep_depth=keep_depth)
    match kind:
        case "JPEG":
            return jpeg.decode(path)
        case "PNG":
            return png_webp.decode_png(path, head)
        case "TIFF":
            finished = tiff.decode(path, head)
            return finished or raw.decode(path, is_tiff=True, keep_depth=keep_depth)
        case "WebP":
            return png_webp.decode_webp(path)
        case "HEIC":
            return heic.decode(path, keep_depth=keep_depth)
    raise refusal.damaged(path, _UNKNOWN)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo the EXIF orientation, 1 to 8: transposed from 5 on, and mirrored."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])
