"""Encoding of sRGB pixels as JPEG, PNG or TIFF, with profile and metadata, reproducibly."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
from PIL import Image

from enhancer.photo import color
from enhancer.photo import metadata as meta
from enhancer.photo.metadata import NOTHING, Metadata, exif

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
    image = Image.fromarray(_checked(pixels, np.uint8))
    buffer, profile = io.BytesIO(), color.srgb_profile()
    image.save(buffer, "JPEG", quality=quality, subsampling=0, icc_profile=profile)
    unit, x, y = metadata.density or (0, 1, 1)
    if unit == 2 and not (x == round(x) and y == round(y)):  # whole numbers only
        unit, x, y = 1, x * 2.54, y * 2.54
    segments = [(0xE0, b"JFIF\0\x01\x01" + struct.pack(">BHHxx", unit, round(x), round(y)))]
    if metadata.exif:
        segments.append((0xE1, meta.EXIF_PREFIX + metadata.exif))
    if metadata.xmp:
        segments.append((0xE1, meta.XMP_PREFIX + metadata.xmp))
    most = meta.MAX_SEGMENT_BYTES - len(meta.PHOTOSHOP_PREFIX)
    for start in range(0, len(metadata.photoshop), most):
        part = metadata.photoshop[start : start + most]
        segments.append((0xED, meta.PHOTOSHOP_PREFIX + part))
    segments += [(0xFE, comment) for _, comment in metadata.texts]
    parts = [struct.pack(">BBH", 0xFF, kind, 2 + len(part)) + part for kind, part in segments]
    return b"\xff\xd8" + b"".join(parts) + buffer.getbuffer()[_JFIF_END:]


def encode_png(pixels: np.ndarray, *, metadata: Metadata = NOTHING) -> bytes:
    """Encode uint8 or uint16 `(height, width, 3)` sRGB, full range, as PNG."""
    content = bytes(imagecodecs.png_encode(_checked(pixels, np.uint8, np.uint16), **_PNG_OPTIONS))
    chunks = [("iCCP", b"sRGB\0\0" + zlib.compress(color.srgb_profile()))]
    if metadata.density:
        unit, *density = metadata.density
        per_metre = [round(n * _PER_METRE[unit]) for n in density]
        chunks.append(("pHYs", struct.pack(">IIB", *per_metre, unit > 0)))
    if metadata.exif:
        chunks.append(("eXIf", metadata.exif))
    if metadata.xmp:
        chunks.append(("iTXt", meta.PNG_XMP + bytes(4) + metadata.xmp))
    if metadata.photoshop:  # as ImageMagick does, since there is no chunk for it
        profile = f"\niptc\n{len(metadata.photoshop):8}\n{metadata.photoshop.hex()}\n"
        chunks.append(("zTXt", b"Raw profile type iptc\0\0" + zlib.compress(profile.encode())))
    chunks += [
        _png_comment(text) if kind == "COM" else (kind, text) for kind, text in metadata.texts
    ]
    encoded = b"".join(
        len(part).to_bytes(4) + kind.encode() + part + zlib.crc32(kind.encode() + part).to_bytes(4)
        for kind, part in chunks
    )
    return content[:_PNG_HEADER_BYTES] + encoded + content[_PNG_HEADER_BYTES:]


def _png_comment(text: bytes) -> tuple[str, bytes]:
    text = text.rstrip(b"\0")
    try:
        text.decode()
        return "iTXt", b"Comment" + bytes(5) + text
    except UnicodeDecodeError:
        return "tEXt", b"Comment\0" + text


def encode_tiff(pixels: np.ndarray, *, metadata: Metadata = NOTHING) -> bytes:
    """Encode uint8 or uint16 `(height, width, 3)` sRGB, full range, as uncompressed TIFF.

    It begins with the EXIF block, in whose byte order it is written: offsets stay true.
    """
    block = metadata.exif or b"II*\0".ljust(8, b"\0")
    order = "<" if block.startswith(b"II") else ">"
    values = _checked(pixels, np.uint8, np.uint16).astype(
        pixels.dtype.newbyteorder(order), copy=False
    )
    height, width = values.shape[:2]

    def tag(kind: int, *numbers: int, count: int = 0) -> exif.Value:
        form = {3: "H", 4: "I", 5: "I"}[kind] * len(numbers)
        return kind, count or len(numbers), struct.pack(order + form, *numbers)

    tags = {256: tag(4, width), 257: tag(4, height), 258: tag(3, *[8 * values.itemsize] * 3)}
    tags |= {259: tag(3, 1), 262: tag(3, 2), 277: tag(3, 3)}  # no compression; RGB; three channels
    tags |= {278: tag(4, height), 279: tag(4, values.nbytes), 273: tag(4, 0)}  # one strip
    if metadata.density:
        unit, x, y = metadata.density
        tags[exif.X_RESOLUTION] = tag(5, round(x * 1000), 1000, count=1)
        tags[exif.Y_RESOLUTION] = tag(5, round(y * 1000), 1000, count=1)
        tags[exif.RESOLUTION_UNIT] = tag(3, unit + 1)
    contents = {exif.XMP: metadata.xmp, exif.PHOTOSHOP: metadata.photoshop}
    contents[exif.ICC_PROFILE] = color.srgb_profile()
    tags |= {number: (7, len(content), content) for number, content in contents.items() if content}
    tags[273] = tag(4, len(exif.as_tiff(block, tags)))
    return exif.as_tiff(block, tags) + values.tobytes()


def _checked(pixels: np.ndarray, *dtypes: type) -> np.ndarray:
    if pixels.dtype not in dtypes or pixels.ndim != 3 or pixels.shape[-1] != 3:
        wanted = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise ValueError(
            f"pixels must be {wanted} (height, width, 3), received {pixels.dtype} {pixels.shape}"
        )
    return np.ascontiguousarray(pixels)
