"""Decode one photo file to sRGB as it is stored: which decoder reads which kind of file, and what each of them needs."""

import contextlib
import dataclasses
import functools
import re
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from enhancer import color_management, exif, raw

MAX_PIXELS = 200_000_000
"""Pictures above this are refused from their header; the largest camera sensors have 150 million pixels."""

# Pillow warns above 89 megapixels, which cameras reach, and stops at twice its limit.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
RAW_SUFFIXES = raw.RAW_SUFFIXES
"""Lower-case suffixes, with the dot, of camera RAW files."""
_HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"}) | _HEIC_SUFFIXES | RAW_SUFFIXES
"""Lower-case suffixes, with the dot, of the files that `read_photo` is meant for."""

_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP")
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# RAW files of Canon (CR2) and Phase One (IIQ): as TIFFs they show nothing but their previews.
_RAW_SIGNATURE = re.compile(rb"II\*\0\x10\0\0\0CR|.{8}(IIII.waR|MMMMRaw)", re.DOTALL)
_DNG_VERSION, _ICC_PROFILE = 50706, 34675  # TIFF tags
_SENSOR_VALUES = (tifffile.PHOTOMETRIC.CFA, tifffile.PHOTOMETRIC.LINEAR_RAW)
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


class PhotoError(ValueError):
    """A file that cannot be used as a photo; the message names it, says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Decoded:
    """sRGB pixels, uint8 or uint16, with the EXIF orientation that still has to be undone."""

    pixels: np.ndarray
    orientation: int
    exif: Image.Exif | None
    notes: tuple[str, ...] = ()


def decode(path: Path, head: bytes) -> Decoded:
    """Decode a file by its content; RAW and HEIC go by the suffix too.

    Args:
        path: an existing file.
        head: its first 32 bytes.

    Raises:
        PhotoError, raw.RawError: for the faults that are recognised here.
        Exception: of any kind from the decoders, for damaged files.
    """
    if path.suffix.lower() in RAW_SUFFIXES:
        return _decode_raw(path, head)
    if head.startswith(_PNG_MAGIC) and head[24:25] == b"\x10":
        return _decode_png16(path)
    if head.startswith(_TIFF_MAGIC):
        return _decode_tiff(path, head)
    return _decode_with_pillow(path, _formats_for(path))


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


def _decode_raw(path: Path, head: bytes) -> Decoded:
    if head.startswith((b"\xff\xd8\xff", _PNG_MAGIC)):
        raise PhotoError(
            f"{path.name} holds a {'PNG' if head.startswith(_PNG_MAGIC) else 'JPEG'} picture and no RAW data. "
            "Use the camera's own file, or rename this one to what it is."
        )
    pixels = raw.develop(path, max_pixels=MAX_PIXELS)
    # LibRaw turns the picture upright itself.
    return Decoded(pixels, 1, exif.from_tiff(path) if head.startswith(_TIFF_MAGIC) else None)


def _decode_with_pillow(path: Path, formats: tuple[str, ...], *, frame: int = 0) -> Decoded:
    with Image.open(path, formats=formats) as image:
        tags = exif.from_image(image)
        if frame:
            image.seek(frame)
        if image.width * image.height > MAX_PIXELS:
            raise too_large(path)
        image.load()
        profile = image.info.get("icc_profile")
        pixels, notes = _image_to_srgb(image, profile)
    return Decoded(pixels, exif.orientation(tags), tags, notes)


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
    if alpha is not None and np.asarray(alpha).min() < 255:
        white = Image.new("RGB", image.size, "white")
        image = Image.composite(image, white, alpha)
        notes.append("transparent parts shown on white")
    return np.array(image), tuple(notes)


def _decode_png16(path: Path) -> Decoded:
    # Pillow would drop the low byte. It reads everything but the pixels here, and checks the size from the header.
    with Image.open(path, formats=("PNG",)) as image:
        if image.width * image.height > MAX_PIXELS:
            raise too_large(path)
        tags, profile = exif.from_image(image), image.info.get("icc_profile")
    return _decoded_array(imagecodecs.png_decode(path.read_bytes()), profile, tags)


def _decode_tiff(path: Path, head: bytes) -> Decoded:
    """Develop a RAW file that goes by another name, and read one page of any other TIFF."""
    with tifffile.TiffFile(path) as tiff:
        pages = _pages(tiff)
        # Where every page is a preview, the sensor's values are kept where TIFF readers do not look.
        complete = [page for page in pages if not page.is_reduced and not page.is_mask]
        if not complete or _RAW_SIGNATURE.match(head) or any(_is_raw(page) for page in pages):
            return _decode_raw(path, head)
        page = pages[0] if complete[0] is pages[0] else max(complete, key=_num_pixels)
        decoded = _decode_page(path, page)
    if len(complete) == 1:
        return decoded
    note = f"one of the file's {len(complete)} pages was read, the others were left out"
    return dataclasses.replace(decoded, notes=(*decoded.notes, note))


def _pages(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """Return the pages that hold a picture: the file's own in their order, then those nested in them."""
    pages = [tiff.pages.first]
    # A damaged link loses what follows it, not the picture that comes first.
    with contextlib.suppress(tifffile.TiffFileError):
        pages = list(tiff.pages)
    with contextlib.suppress(tifffile.TiffFileError):
        pages += [page for parent in tuple(pages) for page in parent.pages or ()]
    return [page for page in pages if isinstance(page, tifffile.TiffPage) and _num_pixels(page) and page.dataoffsets]


def _is_raw(page: tifffile.TiffPage) -> bool:
    return page.photometric in _SENSOR_VALUES or _DNG_VERSION in page.tags


def _num_pixels(page: tifffile.TiffPage) -> int:
    return page.imagewidth * page.imagelength


def _decode_page(path: Path, page: tifffile.TiffPage) -> Decoded:
    """Read plain 8- and 16-bit grey and RGB through tifffile, the rest (palette, CMYK, YCbCr) through Pillow."""
    if _num_pixels(page) > MAX_PIXELS:
        raise too_large(path)
    if page.dtype is None or page.dtype.kind not in "u" or page.bitspersample not in (8, 16):
        raise PhotoError(
            f"{path.name} stores {page.bitspersample}-bit {tifffile.SAMPLEFORMAT(page.sampleformat).name.lower()} values. "
            "Export it as a TIFF with 8 or 16 bits per channel."
        )
    plain = page.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.MINISBLACK)
    is_nested = len(page.treeindex) > 1  # out of Pillow's reach
    if page.bitspersample == 8 and not plain and not is_nested:
        return _decode_with_pillow(path, ("TIFF",), frame=page.index)
    if not plain:
        raise PhotoError(
            f"{path.name} is a {page.bitspersample}-bit {tifffile.PHOTOMETRIC(page.photometric).name} TIFF. "
            "Export it as an RGB TIFF."
        )
    pixels = page.asarray()
    if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, -1)
    profile_tag = page.tags.get(_ICC_PROFILE)
    profile = bytes(profile_tag.value) if profile_tag is not None else None
    decoded = _decoded_array(pixels, profile, exif.from_tiff(path))
    # 16 bits are what editors write their wide working spaces with.
    if profile is None and page.bitspersample == 16:
        note = "16 bits without a colour profile, treated as sRGB"
        return dataclasses.replace(decoded, notes=(*decoded.notes, note))
    return decoded


def _decoded_array(pixels: np.ndarray, profile: bytes | None, tags: Image.Exif | None) -> Decoded:
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
    return Decoded(np.ascontiguousarray(color), exif.orientation(tags), tags, tuple(notes))


def too_large(path: Path) -> PhotoError:
    """Say that a picture is above the limit."""
    return PhotoError(
        f"{path.name} claims more than {MAX_PIXELS / 1e6:.0f} megapixels, the limit. Export it at a smaller size."
    )
