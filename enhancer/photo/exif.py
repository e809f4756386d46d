"""The EXIF block of a photo: what can be carried over to an edited copy."""

import io
from pathlib import Path

from PIL import ExifTags, Image

# Tags that describe how the original file stores its pixels, or hold its profile and previews: wrong in a new file.
_LAYOUT_TAGS = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 301, 317, 318, 319, 320}
)
_TILE_AND_PREVIEW_TAGS = frozenset(
    {322, 323, 324, 325, 330, 338, 339, 347, 513, 514, 529, 530, 531, 532, 33421, 33422}
)
_METADATA_BLOCK_TAGS = frozenset({700, 33723, 34377, 34675})  # XMP, IPTC, Photoshop, ICC
_STORAGE_TAGS = _LAYOUT_TAGS | _TILE_AND_PREVIEW_TAGS | _METADATA_BLOCK_TAGS
_DNG_TAGS = range(50706, 52553)
_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
# What an edited copy has of its own: how it is compressed, and its colours (the interoperability index names Adobe RGB).
_STALE_DETAILS = (
    ExifTags.Base.ComponentsConfiguration,
    ExifTags.Base.CompressedBitsPerPixel,
    ExifTags.Base.ExifInteroperabilityOffset,
    ExifTags.Base.Gamma,
)
_SRGB = 1
_BIG_TIFF_MAGIC = (b"II+\0", b"MM\0+")
_MAX_BYTES = 65_000  # a JPEG's EXIF block cannot exceed 64 KiB


def from_image(image: Image.Image) -> Image.Exif | None:
    """Copy what can be carried over; call it while the image's file is open."""
    # Cameras and editors write EXIF that no library can read; the photo matters more.
    try:
        return _copy(image.getexif())
    except Exception:
        return None


def from_tiff(path: Path) -> Image.Exif | None:
    """Copy what can be carried over from a TIFF, or from a RAW format that is TIFF inside (DNG, NEF, ARW, CR2, ...)."""
    exif = Image.Exif()
    try:
        with open(path, "rb") as file:
            if (
                file.read(4) in _BIG_TIFF_MAGIC
            ):  # beyond Pillow's EXIF reader, but not beyond its TIFF reader
                with Image.open(path, formats=("TIFF",)) as image:
                    return _copy(image.getexif())
            file.seek(0)
            exif.load_from_fp(file)
            return _copy(exif)
    except Exception:
        return None


def from_jpeg(content: bytes | None) -> Image.Exif | None:
    """Copy what can be carried over from a JPEG such as a camera's preview; None without one."""
    try:
        with Image.open(io.BytesIO(content or b""), formats=("JPEG",)) as image:
            return _copy(image.getexif())
    except Exception:
        return None


def orientation(exif: Image.Exif | None) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) when there is none or it makes no sense."""
    value = exif.get(ExifTags.Base.Orientation, 1) if exif else 1
    return value if value in range(1, 9) else 1


def upright_block(exif: Image.Exif | None, height: int, width: int) -> bytes | None:
    """Serialise for an sRGB picture that has been turned upright; None when there is nothing to say or it cannot be said.

    The thumbnail, which shows the photo before the edit, is left out.

    Args:
        exif: from this module's functions.
        height, width: of the upright picture, in pixels.
    """
    if not exif:
        return None
    details = exif.get_ifd(ExifTags.IFD.Exif)
    if details:
        details[ExifTags.Base.ExifImageHeight], details[ExifTags.Base.ExifImageWidth] = (
            height,
            width,
        )
        details[ExifTags.Base.ColorSpace] = _SRGB
    exif[ExifTags.Base.Orientation] = 1
    try:
        return _serialise(exif)
    except Exception:
        return None


def without_gps(block: bytes) -> bytes:
    """Remove where a photo was taken: the GPS directory, and the maker's notes, which may repeat it in ways of their own.

    Args:
        block: such as `Photo.exif`.
    """
    exif = Image.Exif()
    exif.load(block)
    kept = _copy(exif, (ExifTags.IFD.Exif,))
    kept.get_ifd(ExifTags.IFD.Exif).pop(ExifTags.Base.MakerNote, None)
    return kept.tobytes()


def _serialise(exif: Image.Exif) -> bytes | None:
    block = exif.tobytes()
    if len(block) > _MAX_BYTES:
        exif.get_ifd(ExifTags.IFD.Exif).pop(ExifTags.Base.MakerNote, None)
        block = exif.tobytes()
    return block if len(block) <= _MAX_BYTES else None


def _copy(exif: Image.Exif, directories: tuple[ExifTags.IFD, ...] = _DIRECTORIES) -> Image.Exif:
    copy = Image.Exif()
    for tag, value in exif.items():
        if tag not in _STORAGE_TAGS and tag not in _DNG_TAGS and tag not in _DIRECTORIES:
            copy[tag] = value
    for directory in directories:
        values = {
            tag: value
            for tag, value in exif.get_ifd(directory).items()
            if tag not in _STALE_DETAILS
        }
        if values:
            copy.get_ifd(directory).update(values)
    return copy
