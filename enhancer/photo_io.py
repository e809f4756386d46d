"""Decode any photo a user has to upright 8-bit sRGB, and encode the result.

The one decoder of the project: training data, evaluation, command line and demo all read photos through `read_photo`,
so that a file is seen in the same way everywhere.
"""

import dataclasses
import importlib.metadata
import io
import os
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import PIL
import rawpy
from PIL import Image, UnidentifiedImageError, features

from enhancer import color_management, exif, photo_decoding, raw
from enhancer.atomic_file import write_atomically
from enhancer.photo_decoding import MAX_PIXELS, PHOTO_SUFFIXES, RAW_SUFFIXES, PhotoError

__all__ = [
    "MAX_PIXELS",
    "PHOTO_SUFFIXES",
    "RAW_SUFFIXES",
    "Photo",
    "PhotoError",
    "decoder_versions",
    "encode_jpeg",
    "read_photo",
    "write_photo",
]


@dataclasses.dataclass(frozen=True)
class Photo:
    """A decoded photo."""

    pixels: np.ndarray
    """uint8 `(height, width, 3)`, sRGB, [0, 255], upright."""
    exif: bytes | None
    """EXIF block to store with an edited copy (orientation already 1), or None."""
    notes: tuple[str, ...]
    """What was done that the user should know, such as "unreadable colour profile, treated as sRGB"."""


def read_photo(path: str | os.PathLike, *, keep_depth: bool = False) -> Photo:
    """Decode a JPEG, PNG, TIFF, WebP, HEIC (with the extra `heic`) or camera RAW file to upright 8-bit sRGB.

    What the file is, is read from its content; RAW and HEIC go by the suffix too. Transparent parts become white.

    Raises:
        PhotoError: whatever is wrong with the file, including that it is missing or a folder.
    """
    path = Path(path)
    head = _read_head(path)
    try:
        decoded = photo_decoding.decode(path, head)
        pixels = color_management.to_uint8(_upright(decoded.pixels, decoded.orientation))
        return Photo(pixels, exif.upright_block(decoded.exif, *pixels.shape[:2]), decoded.notes)
    except PhotoError:
        raise
    except raw.RawError as error:
        raise PhotoError(
            f"{path.name} {error}. Copy it from the camera again, or export it as a TIFF from your RAW converter."
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise photo_decoding.too_large(path) from error
    except MemoryError as error:
        raise PhotoError(f"{path.name} does not fit in this computer's memory. Export it at a smaller size.") from error
    # Decoders fed with damaged files raise whatever comes up (struct.error, KeyError, zlib.error, ...).
    except Exception as error:
        raise PhotoError(
            f"{path.name} is damaged, cut off, or not a photo ({_reason(error)}). "
            "Open it in a photo editor to check it, or copy it again."
        ) from error


def encode_jpeg(pixels: np.ndarray, *, quality: int = 95, exif: bytes | None = None) -> bytes:
    """Encode as JPEG with full chroma resolution (4:4:4) and an embedded sRGB profile. The same input, the same bytes.

    Args:
        pixels: uint8 `(height, width, 3)`, sRGB, [0, 255].
        quality: libjpeg's scale, 1 to 95.
        exif: block to embed, such as `Photo.exif`.
    """
    return _encode(pixels, "JPEG", exif, quality=quality, subsampling=0)


def write_photo(path: str | os.PathLike, pixels: np.ndarray, *, exif: bytes | None = None) -> None:
    """Write an sRGB photo; the file appears complete or not at all.

    Args:
        path: ends in .jpg, .jpeg, .png, .tif or .tiff, which decides the format (JPEG at quality 95, 4:4:4).
        pixels: uint8 `(height, width, 3)`, sRGB, [0, 255].
        exif: block to embed, such as `Photo.exif`.

    Raises:
        PhotoError: the suffix is none of these.
    """
    path = Path(path)
    match path.suffix.lower():
        case ".jpg" | ".jpeg":
            content = encode_jpeg(pixels, exif=exif)
        case ".png":
            content = _encode(pixels, "PNG", exif)
        case ".tif" | ".tiff":
            # Uncompressed: Pillow writes compressed TIFFs through libtiff, which cannot store the EXIF block.
            content = _encode(pixels, "TIFF", exif)
        case suffix:
            raise PhotoError(f"{path.name} cannot be written: '{suffix}' is none of .jpg, .jpeg, .png, .tif, .tiff.")
    write_atomically(path, content)


def decoder_versions() -> dict[str, str]:
    """Return the versions of everything that can change a decoded or encoded pixel, by library name."""
    try:
        heif = importlib.metadata.version("pillow-heif")
    except importlib.metadata.PackageNotFoundError:
        heif = "not installed"
    return {
        "pillow": PIL.__version__,
        "libjpeg": features.version("libjpeg_turbo") or features.version("jpg") or "unknown",
        "littlecms": features.version("littlecms2") or "unknown",
        "imagecodecs": imagecodecs.__version__,
        "tifffile": importlib.metadata.version("tifffile"),
        "libraw": ".".join(map(str, rawpy.libraw_version)),
        "opencv": cv2.__version__,
        "pillow-heif": heif,
    }


def _read_head(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            head = file.read(32)
    except FileNotFoundError as error:
        raise PhotoError(f"{path} does not exist. Check the path.") from error
    except IsADirectoryError as error:
        raise PhotoError(f"{path} is a folder. Name a photo in it.") from error
    except OSError as error:
        raise PhotoError(f"{path} cannot be opened ({error.strerror}). Check the file and its permissions.") from error
    if not head:
        raise PhotoError(f"{path.name} is empty (0 bytes). Copy it again from where it came.")
    return head


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo the EXIF orientation, 1 to 8."""
    match orientation:
        case 2:
            pixels = pixels[:, ::-1]
        case 3:
            pixels = pixels[::-1, ::-1]
        case 4:
            pixels = pixels[::-1]
        case 5:
            pixels = pixels.transpose(1, 0, 2)
        case 6:
            pixels = np.rot90(pixels, -1)
        case 7:
            pixels = pixels[::-1, ::-1].transpose(1, 0, 2)
        case 8:
            pixels = np.rot90(pixels)
    return np.ascontiguousarray(pixels)


def _encode(pixels: np.ndarray, kind: str, exif_block: bytes | None, **options: int) -> bytes:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3:
        raise ValueError(f"pixels must be uint8 (height, width, 3), received {pixels.dtype} {pixels.shape}")
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(
        buffer, kind, exif=exif_block or b"", icc_profile=color_management.srgb_profile(), **options
    )
    return buffer.getvalue()


def _reason(error: Exception) -> str:
    # Its text repeats the path, and the message that this goes into names the file.
    if isinstance(error, UnidentifiedImageError):
        return "its content is of no known picture format"
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
