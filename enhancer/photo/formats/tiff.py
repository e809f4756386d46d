"""Decoding of TIFF files, which can hold nearly anything: several pages, or a RAW in disguise."""

import contextlib
import io
import logging
import math
import re
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC

from enhancer.photo import color, metadata, refusal
from enhancer.photo.formats import decoded
from enhancer.photo.formats.decoded import DecodedPhoto
from enhancer.photo.refusal import PhotoError

# It reports every oddity of a file, most of which cost nothing; what does is reported here.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

# RAW files of Canon (CR2) and Phase One (IIQ): as TIFFs they show nothing but their previews.
_RAW_SIGNATURE = re.compile(rb"II\*\0\x10\0\0\0CR|.{8}(IIII.waR|MMMMRaw)", re.DOTALL)
_ORIENTATION, _ICC_PROFILE = 274, 34675  # TIFF tags
_SENSOR_VALUES = {PHOTOMETRIC.CFA, PHOTOMETRIC.LINEAR_RAW}
_FOR_PILLOW = {PHOTOMETRIC.PALETTE, PHOTOMETRIC.SEPARATED, PHOTOMETRIC.YCBCR}
_FOR_PILLOW |= {PHOTOMETRIC.MINISWHITE}
_JPEG_INSIDE = (COMPRESSION.OJPEG, COMPRESSION.JPEG, COMPRESSION.JPEG_LOSSY)
_JPEG_TAIL_BYTES = 16  # a JPEG ends in a marker, perhaps with some padding behind it
_JPEG_XL = (COMPRESSION.JPEGXL_DNG, COMPRESSION.JPEGXL)
_LEFT_OUT = "an extra channel, such as a saved selection, was left out"


def decode(path: Path, head: bytes) -> DecodedPhoto | None:
    """Decode the largest page; None where the file holds sensor values, to be developed."""
    with tifffile.TiffFile(path) as tiff:
        pages = _pages(tiff)
        # Where every page is a preview, the sensor's values are where TIFF readers do not look.
        complete = [page for page in pages if not page.is_reduced and not page.is_mask]
        is_raw = any(page.photometric in _SENSOR_VALUES for page in pages)
        if not complete or _RAW_SIGNATURE.match(head) or is_raw:
            if not pages:
                refusal.check_size(path, tiff.pages.first.imagewidth, tiff.pages.first.imagelength)
            return None
        page = max(complete, key=_num_pixels)
        _check_storage(path, page)
        turn, profile = _orientation(page), bytes(page.tags.valueof(_ICC_PROFILE, b""))
        if page.bitspersample == 8 and page.photometric in _FOR_PILLOW and not _is_nested(page):
            # Given a path, Pillow maps some files into memory and scrambles those that lie on
            # their side.
            with open(path, "rb") as file, Image.open(file, formats=("TIFF",)) as image:
                image.seek(page.index)
                pixels, notes, turn = decoded.pixels_of(image), (), 1  # it has turned them
        else:
            pixels, notes = _with_true_alpha(_plain_pixels(path, page), page)
        if not profile and page.bitspersample == 16 and page.photometric == PHOTOMETRIC.RGB:
            # 16 bits are what editors write their wide working spaces with.
            notes += ("16 bits without a colour profile, treated as sRGB",)
        if (count := len(complete)) > 1:
            notes += (
                f"the largest of the file's {count} pages was read, the others were left out",
            )
        is_cmyk = page.photometric == PHOTOMETRIC.SEPARATED
        return DecodedPhoto(
            pixels, profile, metadata.of_tiff(path, page.offset), turn, is_cmyk, notes
        )


def holds_jpeg_xl(path: Path) -> bool:
    """Whether a RAW is compressed with what LibRaw does not know."""
    with contextlib.suppress(Exception), tifffile.TiffFile(path) as tiff:
        return any(page.compression in _JPEG_XL for page in _pages(tiff))
    return False


def holds_whole_linear_raw(path: Path) -> bool:
    """Whether each part of a linear DNG is there and can be decoded: what is black in it is black,
    such as a night, or the border of a panorama."""
    with contextlib.suppress(Exception), tifffile.TiffFile(path) as tiff:
        pages = [page for page in _pages(tiff) if page.photometric == PHOTOMETRIC.LINEAR_RAW]
        for page in pages:
            _check_segments(path, page)
            if page.compression != COMPRESSION.NONE:
                page.asarray()
        return bool(pages)
    return False


def is_raw_cut_off(path: Path) -> bool:
    """Whether a TIFF-like RAW file ends before its sensor's values; LibRaw makes them zeros."""
    with contextlib.suppress(Exception), tifffile.TiffFile(path) as tiff:
        sensors = (PHOTOMETRIC.CFA, PHOTOMETRIC.LINEAR_RAW)
        return any(_is_cut_off(page) for page in _pages(tiff) if page.photometric in sensors)
    return False


def _pages(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """The pages that hold a picture: the file's own in their order, then those nested in them."""
    pages = [tiff.pages.first]
    # A damaged link loses what follows it, not the picture that comes first.
    with contextlib.suppress(tifffile.TiffFileError):
        pages = list(tiff.pages)
    with contextlib.suppress(tifffile.TiffFileError):
        pages += [page for parent in tuple(pages) for page in parent.pages or ()]
    return [
        page
        for page in pages
        if isinstance(page, tifffile.TiffPage) and _num_pixels(page) and page.dataoffsets
    ]


def _num_pixels(page: tifffile.TiffPage) -> int:
    return page.imagewidth * page.imagelength


def _is_nested(page: tifffile.TiffPage) -> bool:
    return len(page.treeindex) > 1


def _orientation(page: tifffile.TiffPage) -> int:
    """It belongs to each page, but those nested in one are turned with that."""
    first = page.parent.pages.first if _is_nested(page) else page
    turn = page.tags.valueof(_ORIENTATION) or first.tags.valueof(_ORIENTATION)
    return turn if turn in range(1, 9) else 1


def _check_storage(path: Path, page: tifffile.TiffPage) -> None:
    """Refuse, before it is decoded, what is not a photo or would take more memory than one."""
    refusal.check_size(path, page.imagewidth, page.imagelength)
    bits = page.bitspersample
    if page.dtype is not None and page.dtype.kind == "f":
        raise color.UnsupportedColorsError(
            f"is an HDR photo (floating-point values of {bits} bits)"
        )
    if page.dtype is None or page.dtype.kind not in "u" or bits not in (8, 16):
        kind = tifffile.SAMPLEFORMAT(page.sampleformat).name.lower()
        raise PhotoError(
            f"{path.name} stores {bits}-bit {kind} values. "
            "Export it as a TIFF with 8 or 16 bits per channel."
        )
    num_bytes = page.samplesperpixel * page.imagedepth * page.dtype.itemsize
    if num_bytes > 8:  # four channels of 16 bits
        raise PhotoError(
            f"{path.name} has {num_bytes} bytes per pixel, a photo 8 at most. "
            "Export it as an RGB TIFF."
        )
    if page.is_tiled:
        refusal.check_size(path, page.tilewidth, page.tilelength * page.tiledepth)
    _check_segments(path, page)
    if page.compression in _JPEG_INSIDE:
        # The JPEGs inside have sizes of their own, for which their decoder allocates.
        most_pixels = max(2 * math.prod(page.chunks), 2**20)
        segments = page.parent.filehandle.read_segments(page.dataoffsets, page.databytecounts)
        for content in (segment if isinstance(segment, bytes) else b"" for segment, _ in segments):
            if not any(content[-_JPEG_TAIL_BYTES:]):
                raise refusal.damaged(path, "a part of the picture is missing")
            with Image.open(io.BytesIO(content), formats=("JPEG",)) as part:
                if part.width * part.height > most_pixels:
                    raise refusal.damaged(path, "its parts are larger than the whole picture")


def _check_segments(path: Path, page: tifffile.TiffPage) -> None:
    if 0 in page.databytecounts or _is_cut_off(page):
        raise refusal.damaged(path, "a part of the picture is missing")


def _is_cut_off(page: tifffile.TiffPage) -> bool:
    parts = zip(page.dataoffsets, page.databytecounts, strict=False)
    return max(offset + size for offset, size in parts) > page.parent.filehandle.size


def _plain_pixels(path: Path, page: tifffile.TiffPage) -> np.ndarray:
    """Grey, RGB, and their extra channels."""
    is_negative = page.bitspersample == 16 and page.photometric == PHOTOMETRIC.MINISWHITE
    if page.photometric not in (PHOTOMETRIC.RGB, PHOTOMETRIC.MINISBLACK) and not is_negative:
        raise PhotoError(
            f"{path.name} is a {PHOTOMETRIC(page.photometric).name} TIFF of "
            f"{page.bitspersample} bits per channel. Export it as an RGB TIFF."
        )
    pixels = page.asarray()
    if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, -1)
    return np.iinfo(pixels.dtype).max - pixels if is_negative else pixels


def _with_true_alpha(
    pixels: np.ndarray, page: tifffile.TiffPage
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Drop what is not transparency (editors store selections there), and unpremultiply it."""
    num_colors = 3 if page.photometric == PHOTOMETRIC.RGB else 1
    if pixels.ndim < 3 or pixels.shape[-1] <= num_colors:
        return pixels, ()
    kind = page.extrasamples[0] if page.extrasamples else EXTRASAMPLE.UNSPECIFIED
    if kind == EXTRASAMPLE.UNSPECIFIED:
        return pixels[..., :num_colors], (_LEFT_OUT,)
    notes = (_LEFT_OUT,) if pixels.shape[-1] > num_colors + 1 else ()
    pixels = pixels[..., : num_colors + 1]
    if kind == EXTRASAMPLE.ASSOCALPHA:
        opaque = np.iinfo(pixels.dtype).max
        alpha = pixels[..., -1:]
        colors = pixels[..., :-1].astype(np.float32) * opaque / np.maximum(alpha, 1)
        colors = np.rint(colors.clip(0, opaque)).astype(pixels.dtype)
        pixels = np.concatenate([colors, alpha], axis=-1)
    return pixels, notes
