"""Encoding of sRGB pixels as JPEG, PNG or TIFF, with profile and metadata, reproducibly."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
from PIL import Image

from enhancer.photo import color
from enhancer.photo.metadata import (
    EXIF_PREFIX,
    MAX_SEGMENT_BYTES,
    NOTHING,
    PHOTOSHOP_PREFIX,
    PNG_XMP,
    XMP_PREFIX,
    Metadata,
    exif,
)

_JFIF_END = 20  # where the first segment of a JPEG ends
_PNG_HEADER_BYTES = 8 + 12 + 13  # signature, and the IHDR chunk
_PER_METRE = 1, 1 / 0.0254, 100  # units of density: none, inches, centimetres
# Photos do not repeat themselves: looking for repetitions (deflate's default) takes six times as
# long and gives larger files.
_PNG_OPTIONS = {
    "level": 1,
    "strategy": imagecodecs.PNG.STRATEGY.HUFFMAN_ONLY,
    "filter": imagecodecs.PNG.FILTER.AVG,
}


def encode_jpeg(pixels: np.ndarray, *, quality: int = 95, metadata: Metadata = NOTHING) -> bytes:
    """Encode uint8 `(height, width, 3)` sRGB as JPEG with full chroma resolution (4:4:4).

    `quality` is libjpeg's, 1 to 95; `metadata` is such as `enhancer.photo.metadata.fitted` gives.
    """
    _check(pixels, np.uint8)
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    profile = color.srgb_profile()
    image.save(buffer, "JPEG", quality=quality, subsampling=0, icc_profile=profile)
    unit, x, y = metadata.density or (0, 1, 1)
    if unit == 2 and not (x == round(x) and y == round(y)):  # whole numbers only
        unit, x, y = 1, x * 2.54, y * 2.54
    density = struct.pack(">BHH", unit, round(x), round(y))
    segments = [(0xE0, b"JFIF\0\x01\x01" + density + bytes(2))]
    if metadata.exif:
        segments.append((0xE1, EXIF_PREFIX + metadata.exif))
    if metadata.xmp:
        segments.append((0xE1, XMP_PREFIX + metadata.xmp))
    most = MAX_SEGMENT_BYTES - len(PHOTOSHOP_PREFIX)
    starts = range(0, len(metadata.photoshop), most)
    segments += [(0xED, PHOTOSHOP_PREFIX + metadata.photoshop[i : i + most]) for i in starts]
    segments += [(0xFE, comment) for _, comment in metadata.texts]
    parts = [struct.pack(">BBH", 0xFF, kind, 2 + len(part)) + part for kind, part in segments]
    return b"\xff\xd8" + b"".join(parts) + buffer.getbuffer()[_JFIF_END:]


def encode_png(pixels: np.ndarray, *, metadata: Metadata = NOTHING) -> bytes:
    """Encode uint8 or uint16 `(height, width, 3)` sRGB, full range, as PNG."""
    _check(pixels, np.uint8, np.uint16)
    content = bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), **_PNG_OPTIONS))
    chunks = [(b"iCCP", b"sRGB\0\0" + zlib.compress(color.srgb_profile()))]
    if metadata.density:
        unit, *density = metadata.density
        per_metre = [round(n * _PER_METRE[unit]) for n in density]
        chunks.append((b"pHYs", struct.pack(">IIB", *per_metre, unit > 0)))
    if metadata.exif:
        chunks.append((b"eXIf", metadata.exif))
    if metadata.xmp:
        chunks.append((b"iTXt", PNG_XMP + bytes(4) + metadata.xmp))
    if metadata.photoshop:  # as ImageMagick does, since there is no chunk for it
        profile = f"\niptc\n{len(metadata.photoshop):8}\n{metadata.photoshop.hex()}\n"
        chunks.append((b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(profile.encode())))
    for kind, text in metadata.texts:
        if kind == "COM":
            kind, text = "iTXt", b"Comment" + bytes(5) + text.rstrip(b"\0")
            if not _is_utf8(text):
                kind, text = "tEXt", text.replace(bytes(5), b"\0")
        chunks.append((kind.encode(), text))
    encoded = [
        len(chunk).to_bytes(4) + kind + chunk + zlib.crc32(kind + chunk).to_bytes(4)
        for kind, chunk in chunks
    ]
    return content[:_PNG_HEADER_BYTES] + b"".join(encoded) + content[_PNG_HEADER_BYTES:]


def encode_tiff(pixels: np.ndarray, *, metadata: Metadata = NOTHING) -> bytes:
    """Encode uint8 or uint16 `(height, width, 3)` sRGB, full range, as uncompressed TIFF.

    It begins with the EXIF block, in whose byte order it is written: offsets stay true.
    """
    _check(pixels, np.uint8, np.uint16)
    height, width = pixels.shape[:2]
    block = metadata.exif or b"II*\0".ljust(8, b"\0")
    order = "<" if block.startswith(b"II") else ">"
    values = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder(order))

    def tag(kind: int, *numbers: int, count: int = 0) -> exif.Value:
        form = {3: "H", 4: "I", 5: "I"}[kind] * len(numbers)
        return kind, count or len(numbers), struct.pack(order + form, *numbers)

    tags = {256: tag(4, width), 257: tag(4, height), 258: tag(3, *[8 * values.itemsize] * 3)}
    tags |= {259: tag(3, 1), 262: tag(3, 2), 277: tag(3, 3)}  # no compression; RGB; three channels
    tags |= {278: tag(4, height), 279: tag(4, values.nbytes), 273: tag(4, 0)}  # one strip
    if metadata.density:
        unit, *density = metadata.density
        for number, value in zip((exif.X_RESOLUTION, exif.Y_RESOLUTION), density, strict=True):
            tags[number] = tag(5, round(value * 1000), 1000, count=1)
        tags[exif.RESOLUTION_UNIT] = tag(3, unit + 1)
    contents = {exif.XMP: metadata.xmp, exif.PHOTOSHOP: metadata.photoshop}
    contents[exif.ICC_PROFILE] = color.srgb_profile()
    tags |= {number: (7, len(content), content) for number, content in contents.items() if content}
    tags[273] = tag(4, len(exif.as_tiff(block, tags)))
    return exif.as_tiff(block, tags) + values.tobytes()


def _is_utf8(text: bytes) -> bool:
    try:
        return bool(text.decode())
    except UnicodeDecodeError:
        return False


def _check(pixels: np.ndarray, *dtypes: type) -> None:
    if pixels.dtype not in dtypes or pixels.ndim != 3 or pixels.shape[-1] != 3:
        wanted = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise ValueError(
            f"pixels must be {wanted} (height, width, 3), received {pixels.dtype} {pixels.shape}"
        )
