"""Decode any photo a user has to upright 8-bit sRGB, and encode the result.

The one decoder of the project: training data, evaluation, command line and demo all read photos through `read_photo`,
so that a file is seen in the same way everywhere.
"""

import dataclasses
import functools
import importlib.metadata
import io
import os
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import PIL
import rawpy
import tifffile
from PIL import Image, features

from enhancer import color_management, exif, raw

MAX_PIXELS = 200_000_000
"""Pictures above this are refused from their header; the largest camera sensors have 150 million pixels."""

RAW_SUFFIXES = raw.RAW_SUFFIXES
"""Lower-case suffixes, with the dot, of camera RAW files."""
_HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"}) | _HEIC_SUFFIXES | RAW_SUFFIXES
"""Lower-case suffixes, with the dot, of the files that `read_photo` is meant for."""

_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP")
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


class PhotoError(ValueError):
    """A file that cannot be used as a photo; the message names it, says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Photo:
    """A decoded photo."""

    pixels: np.ndarray
    """uint8 `(height, width, 3)`, sRGB, [0, 255], upright."""
    exif: bytes | None
    """EXIF block to store with an edited copy (orientation already 1), or None."""
    notes: tuple[str, ...]
    """What was done that the user should know, such as "unreadable colour profile, treated as sRGB"."""


@dataclasses.dataclass(frozen=True)
class _Decoded:
    """sRGB pixels, uint8 or uint16, with the EXIF orientation that still has to be undone."""

    pixels: np.ndarray
    orientation: int
    exif: Image.Exif | None
    notes: tuple[str, ...] = ()


def read_photo(path: str | os.PathLike) -> Photo:
    """Decode a JPEG, PNG, TIFF, WebP, HEIC (with the extra `heic`) or camera RAW file to upright 8-bit sRGB.

    What the file is, is read from its content; only RAW and HEIC go by the suffix. Transparent parts become white.

    Raises:
        PhotoError: whatever is wrong with the file, including that it is missing or a folder.
    """
    path = Path(path)
    head = _read_head(path)
    try:
        if path.suffix.lower() in RAW_SUFFIXES:
            decoded = _decode_raw(path, head)
        elif head.startswith(_PNG_MAGIC) and head[24:25] == b"\x10":
            decoded = _decode_png16(path)
        elif head.startswith(_TIFF_MAGIC):
            decoded = _decode_tiff(path)
        else:
            decoded = _decode_with_pillow(path, _formats_for(path))
        pixels = color_management.to_uint8(_upright(decoded.pixels, decoded.orientation))
        return Photo(pixels, exif.upright_block(decoded.exif, *pixels.shape[:2]), decoded.notes)
    except PhotoError:
        raise
    except raw.RawError as error:
        raise PhotoError(
            f"{path.name} {error}. Copy it from the camera again, or export it as a TIFF from your RAW converter."
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(path) from error
    except MemoryError as error:
        raise PhotoError(f"{path.name} does not fit in this computer's memory. Export it at a smaller size.") from error
    # Decoders fed with damaged files raise whatever comes up (struct.error, KeyError, zlib.error, ...).
    except Exception as error:
        raise PhotoError(
            f"{path.name} is damaged, cut off, or not a photo ({_first_line(error)}). "
            "Open it in a photo editor to check it, or copy it again."
        ) from error


def encode_jpeg(pixels: np.ndarray, *, quality: int = 95, exif: bytes | None = None) -> bytes:
    """Encode as JPEG with full chroma resolution (4:4:4) and an embedded sRGB profile. The same input, the same bytes.

    Args:
        pixels: uint8 `(height, width, 3)`, sRGB, [0, 255].
        quality: libjpeg's scale, 1 to 95.
        exif: block to embed, such as `Photo.exif`.
    """
    buffer = io.BytesIO()
    _as_image(pixels).save(
        buffer, "JPEG", quality=quality, subsampling=0, exif=exif or b"", icc_profile=color_management.srgb_profile()
    )
    return buffer.getvalue()


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
    options = {"icc_profile": color_management.srgb_profile(), "exif": exif or b""}
    match path.suffix.lower():
        case ".jpg" | ".jpeg":
            write_atomically(path, encode_jpeg(pixels, exif=exif))
            return
        case ".png":
            options["format"] = "PNG"
        case ".tif" | ".tiff":
            # Uncompressed: Pillow writes compressed TIFFs through libtiff, which cannot store the EXIF block.
            options["format"] = "TIFF"
        case suffix:
            raise PhotoError(f"{path.name} cannot be written: '{suffix}' is none of .jpg, .jpeg, .png, .tif, .tiff.")
    buffer = io.BytesIO()
    _as_image(pixels).save(buffer, **options)
    write_atomically(path, buffer.getvalue())


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
        "tifffile": tifffile.__version__,
        "libraw": ".".join(map(str, rawpy.libraw_version)),
        "opencv": cv2.__version__,
        "pillow-heif": heif,
    }


def write_atomically(path: Path, content: bytes) -> None:
    """Write under a temporary name in the same folder, then rename: a killed process leaves no torn file behind."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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


def _formats_for(path: Path) -> tuple[str, ...]:
    if path.suffix.lower() not in _HEIC_SUFFIXES:
        return _FORMATS
    if not _register_heif():
        raise PhotoError(
            f"{path.name} is a HEIC photo, and HEIC support is not installed. "
            "Install the extra `heic` (package pillow-heif), or export the photo as JPEG."
        )
    return (*_FORMATS, "HEIF")


@functools.cache
def _register_heif() -> bool:
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports]
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _decode_raw(path: Path, head: bytes) -> _Decoded:
    if head.startswith((b"\xff\xd8\xff", _PNG_MAGIC)):
        raise PhotoError(
            f"{path.name} holds a {'PNG' if head.startswith(_PNG_MAGIC) else 'JPEG'} picture and no RAW data. "
            "Use the camera's own file, or rename this one to what it is."
        )
    pixels = raw.develop(path, max_pixels=MAX_PIXELS)
    # LibRaw turns the picture upright itself.
    return _Decoded(pixels, 1, exif.from_tiff(path) if head.startswith(_TIFF_MAGIC) else None)


def _decode_with_pillow(path: Path, formats: tuple[str, ...]) -> _Decoded:
    with Image.open(path, formats=formats) as image:
        if image.width * image.height > MAX_PIXELS:
            raise _too_large(path)
        image.load()
        tags, profile = exif.from_image(image), image.info.get("icc_profile")
        pixels, notes = _image_to_srgb(image, profile)
    return _Decoded(pixels, exif.orientation(tags), tags, notes)


def _image_to_srgb(image: Image.Image, profile: bytes | None) -> tuple[np.ndarray, tuple[str, ...]]:
    notes: list[str] = []
    alpha = None
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    if image.mode in ("1", "I;16", "I;16B", "I", "F"):
        raise ValueError(f"pixels of the kind {image.mode!r}")
    if image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    if profile:
        try:
            image = color_management.image_to_srgb(image, profile)
        except color_management.ProfileError:
            notes.append("unreadable colour profile, treated as sRGB")
    elif image.mode == "CMYK":
        notes.append("CMYK without a colour profile, colours are approximate")
    image = image.convert("RGB")
    if alpha is not None and alpha.getextrema()[0] < 255:
        white = Image.new("RGB", image.size, "white")
        image = Image.composite(image, white, alpha)
        notes.append("transparent parts shown on white")
    return np.array(image), tuple(notes)


def _decode_png16(path: Path) -> _Decoded:
    # Pillow would drop the low byte. It reads everything but the pixels here, and checks the size from the header.
    with Image.open(path, formats=("PNG",)) as image:
        if image.width * image.height > MAX_PIXELS:
            raise _too_large(path)
        tags, profile = exif.from_image(image), image.info.get("icc_profile")
    return _decoded_array(imagecodecs.png_decode(path.read_bytes()), profile, tags)


def _decode_tiff(path: Path) -> _Decoded:
    """Read plain 8- and 16-bit grey and RGB through tifffile, the rest (palette, CMYK, YCbCr) through Pillow."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        if page.imagewidth * page.imagelength > MAX_PIXELS:
            raise _too_large(path)
        if page.dtype is None or page.dtype.kind not in "u" or page.bitspersample not in (8, 16):
            raise PhotoError(
                f"{path.name} stores {page.bitspersample}-bit {page.sampleformat.name.lower()} values. "
                "Export it as a TIFF with 8 or 16 bits per channel."
            )
        plain = page.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.MINISBLACK)
        if page.bitspersample == 8 and not plain:
            return _decode_with_pillow(path, ("TIFF",))
        if not plain:
            raise PhotoError(f"{path.name} is a 16-bit {page.photometric.name} TIFF. Export it as an RGB TIFF.")
        pixels = page.asarray()
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        profile_tag = page.tags.get(34675)
        profile = bytes(profile_tag.value) if profile_tag is not None else None
    return _decoded_array(pixels, profile, exif.from_tiff(path))


def _decoded_array(pixels: np.ndarray, profile: bytes | None, tags: Image.Exif | None) -> _Decoded:
    """Bring grey, grey + alpha, RGB or RGBA values, uint8 or uint16, to sRGB in their own precision."""
    notes: list[str] = []
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    channels = pixels.shape[-1]
    alpha = pixels[..., -1:] if channels in (2, 4) else None
    color = pixels[..., :3] if channels >= 3 else np.repeat(pixels[..., :1], 3, axis=-1)
    if profile:
        try:
            if channels < 3 and color_management.profile_color_space(profile) == "GRAY":
                notes.append("grey colour profile ignored")
            else:
                color = color_management.array_to_srgb(color, profile)
        except color_management.ProfileError:
            notes.append("unreadable colour profile, treated as sRGB")
    opaque = np.iinfo(pixels.dtype).max
    if alpha is not None and alpha.min() < opaque:
        share = alpha.astype(np.float32) / opaque
        color = np.rint(color * share + opaque * (1 - share)).astype(pixels.dtype)
        notes.append("transparent parts shown on white")
    return _Decoded(np.ascontiguousarray(color), exif.orientation(tags), tags, tuple(notes))


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


def _as_image(pixels: np.ndarray) -> Image.Image:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3:
        raise ValueError(f"pixels must be uint8 (height, width, 3), received {pixels.dtype} {pixels.shape}")
    return Image.fromarray(np.ascontiguousarray(pixels))


def _too_large(path: Path) -> PhotoError:
    return PhotoError(
        f"{path.name} claims more than {MAX_PIXELS / 1e6:.0f} megapixels, the limit. Export it at a smaller size."
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
