"""Encoding of sRGB pixels as JPEG, PNG or TIFF, with profile and metadata, reproducibly."""

import io
import zlib

import imagecodecs
import numpy as np
from PIL import Image, TiffImagePlugin

from enhancer.photo import color

_EXIF_PREFIX = b"Exif\0\0"
_PNG_HEADER_BYTES = 8 + 12 + 13  # signature, and the IHDR chunk
# Photos do not repeat themselves: looking for repetitions (deflate's default) takes six times as
# long and gives larger files.
_PNG_OPTIONS = {
    "level": 1,
    "strategy": imagecodecs.PNG.STRATEGY.HUFFMAN_ONLY,
    "filter": imagecodecs.PNG.FILTER.AVG,
}
_TIFF_XMP, _TIFF_ICC_PROFILE = 700, 34675
_TIFF_OFFSETS = 273


def encode_jpeg(
    pixels: np.ndarray, *, quality: int = 95, exif: bytes | None = None, xmp: bytes | None = None
) -> bytes:
    """Encode uint8 `(height, width, 3)` sRGB as JPEG with full chroma resolution (4:4:4).

    `quality` is libjpeg's, 1 to 95; `exif` and `xmp` are such as `Photo.exif` and `Photo.xmp`.
    """
    _check(pixels, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(
        buffer,
        "JPEG",
        quality=quality,
        subsampling=0,
        icc_profile=color.srgb_profile(),
        exif=exif or b"",
        xmp=xmp or b"",
    )
    return buffer.getvalue()


def encode_png(pixels: np.ndarray, *, exif: bytes | None = None, xmp: bytes | None = None) -> bytes:
    """Encode uint8 or uint16 `(height, width, 3)` sRGB, full range, as PNG."""
    _check(pixels, np.uint8, np.uint16)
    content = bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), **_PNG_OPTIONS))
    chunks = [_png_chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(color.srgb_profile()))]
    if exif:
        chunks.append(_png_chunk(b"eXIf", exif.removeprefix(_EXIF_PREFIX)))
    if xmp:
        chunks.append(_png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
    return content[:_PNG_HEADER_BYTES] + b"".join(chunks) + content[_PNG_HEADER_BYTES:]


def encode_tiff(
    pixels: np.ndarray, *, exif: bytes | None = None, xmp: bytes | None = None
) -> bytes:
    """Encode uint8 or uint16 `(height, width, 3)` sRGB, full range, as uncompressed TIFF.

    Pillow's writer knows no colours of 16 bits.
    """
    _check(pixels, np.uint8, np.uint16)
    height, width = pixels.shape[:2]
    values = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    tags = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    block = Image.Exif()
    block.load(exif or b"")
    for tag, value in block.items():
        tags[tag] = block.get_ifd(tag) or value  # directories are stored as offsets, and meant
    tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH] = width, height
    tags[TiffImagePlugin.BITSPERSAMPLE] = (8 * pixels.dtype.itemsize,) * 3
    tags[TiffImagePlugin.COMPRESSION] = 1
    tags[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = 2  # RGB
    tags[TiffImagePlugin.SAMPLESPERPIXEL] = 3
    tags[TiffImagePlugin.ROWSPERSTRIP] = height
    tags[_TIFF_OFFSETS] = 0  # behind the tags: the writer adds their length
    tags[TiffImagePlugin.STRIPBYTECOUNTS] = values.nbytes
    tags[_TIFF_ICC_PROFILE] = color.srgb_profile()
    if xmp:
        tags[_TIFF_XMP] = xmp
    buffer = io.BytesIO()
    tags.save(buffer)
    buffer.write(values.data)
    return buffer.getvalue()


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


def _check(pixels: np.ndarray, *dtypes: type) -> None:
    if pixels.dtype not in dtypes or pixels.ndim != 3 or pixels.shape[-1] != 3:
        wanted = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise ValueError(
            f"pixels must be {wanted} (height, width, 3), received {pixels.dtype} {pixels.shape}"
        )
