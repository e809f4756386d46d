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
_NOTHING = Metadata()


def encode_jpeg(pixels: np.ndarray, *, quality: int = 95, metadata: Metadata = _NOTHING) -> bytes:
    """Encode uint8 `(height, width, 3)` sRGB as JPEG with full chroma resolution (4:4:4).

    `quality` is libjpeg's, 1 to 95; `metadata` is such as `enhancer.photo.metadata.fitted` gives.
    """
    _check(pixels, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(
        buffer,
        "JPEG",
        quality=quality,
        subsampling=0,
        icc_profile=color.srgb_profile(),
    )
    content, segments = buffer.getvalue(), _jfif(*(metadata.density or (0, 1, 1)))
    if metadata.exif:
        segments += _segment(0xE1, EXIF_PREFIX + metadata.exif)
    if metadata.xmp:
        segments += _segment(0xE1, XMP_PREFIX + metadata.xmp)
    most = MAX_SEGMENT_BYTES - len(PHOTOSHOP_PREFIX)
    for start in range(0, len(metadata.photoshop), most):
        segments += _segment(0xED, PHOTOSHOP_PREFIX + metadata.photoshop[start : start + most])
    for _, comment in metadata.texts:
        segments += _segment(0xFE, comment)
    return content[:2] + segments + content[_JFIF_END:]


def encode_png(pixels: np.ndarray, *, metadata: Metadata = _NOTHING) -> bytes:
    """Encode uint8 or uint16 `(height, width, 3)` sRGB, full range, as PNG."""
    _check(pixels, np.uint8, np.uint16)
    content = bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), **_PNG_OPTIONS))
    chunks = [_png_chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(color.srgb_profile()))]
    if metadata.density:
        unit, *density = metadata.density
        pixels = (round(n * _PER_METRE[unit]) for n in density)
        chunks.append(_png_chunk(b"pHYs", struct.pack(">IIB", *pixels, unit > 0)))
    if metadata.exif:
        chunks.append(_png_chunk(b"eXIf", metadata.exif))
    if metadata.xmp:
        chunks.append(_png_chunk(b"iTXt", PNG_XMP + bytes(4) + metadata.xmp))
    if metadata.photoshop:  # as ImageMagick does, since there is no chunk for it
        profile = f"\niptc\n{len(metadata.photoshop):8}\n{metadata.photoshop.hex()}\n".encode()
        text = b"Raw profile type iptc\0\0" + zlib.compress(profile)
        chunks.append(_png_chunk(b"zTXt", text))
    for kind, text in metadata.texts:
        chunks.append(_png_comment(text) if kind == "COM" else _png_chunk(kind.encode(), text))
    return content[:_PNG_HEADER_BYTES] + b"".join(chunks) + content[_PNG_HEADER_BYTES:]


def encode_tiff(pixels: np.ndarray, *, metadata: Metadata = _NOTHING) -> bytes:
    """Encode uint8 or uint16 `(height, width, 3)` sRGB, full range, as uncompressed TIFF.

    It begins with the EXIF block, in whose byte order it is written: offsets stay true.
    """
    _check(pixels, np.uint8, np.uint16)
    height, width = pixels.shape[:2]
    block = metadata.exif or b"II*\0".ljust(8, b"\0")
    order = "<" if block.startswith(b"II") else ">"
    values = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder(order))
    depth = 8 * pixels.dtype.itemsize
    numbers: dict[int, tuple[str, tuple[int, ...]]] = {
        256: ("I", (width,)),
        257: ("I", (height,)),
        258: ("H", (depth, depth, depth)),
        259: ("H", (1,)),  # no compression
        262: ("H", (2,)),  # RGB
        273: ("I", (0,)),  # one strip, behind the tags
        277: ("H", (3,)),
        278: ("I", (height,)),
        279: ("I", (values.nbytes,)),
    }
    if metadata.density:
        unit, x, y = metadata.density
        numbers[exif.X_RESOLUTION] = "II", (round(x * 1000), 1000)
        numbers[exif.Y_RESOLUTION] = "II", (round(y * 1000), 1000)
        numbers[exif.RESOLUTION_UNIT] = "H", (unit + 1,)
    kinds = {"H": 3, "I": 4, "II": 5}
    tags: dict[int, exif.Value] = {
        tag: (
            kinds[kind],
            len(n) // len(kind),
            struct.pack(order + kind * (len(n) // len(kind)), *n),
        )
        for tag, (kind, n) in numbers.items()
    }
    blocks = {exif.XMP: metadata.xmp, exif.PHOTOSHOP: metadata.photoshop}
    for tag, content in {**blocks, exif.ICC_PROFILE: color.srgb_profile()}.items():
        if content:
            tags[tag] = 7 if tag == exif.ICC_PROFILE else 1, len(content), content
    start = len(exif.as_tiff(block, tags))
    tags[273] = 4, 1, struct.pack(f"{order}I", start)
    return exif.as_tiff(block, tags) + values.tobytes()


def _jfif(unit: int, x: float, y: float) -> bytes:
    if unit == 2 and not (x == round(x) and y == round(y)):  # whole numbers only
        unit, x, y = 1, x * 2.54, y * 2.54
    return _segment(0xE0, struct.pack(">5sHBHHH", b"JFIF", 0x101, unit, round(x), round(y), 0))


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


def _png_comment(text: bytes) -> bytes:
    text = text.rstrip(b"\0")
    try:
        text.decode()
    except UnicodeDecodeError:
        return _png_chunk(b"tEXt", b"Comment\0" + text)
    return _png_chunk(b"iTXt", b"Comment" + bytes(5) + text)


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


def _check(pixels: np.ndarray, *dtypes: type) -> None:
    if pixels.dtype not in dtypes or pixels.ndim != 3 or pixels.shape[-1] != 3:
        wanted = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise ValueError(
            f"pixels must be {wanted} (height, width, 3), received {pixels.dtype} {pixels.shape}"
        )
