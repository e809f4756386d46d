"""EXIF blocks, and files that hold metadata, made for a test."""

import io
import struct

import imagecodecs
import pytest
from PIL import ExifTags, Image

from enhancer.photo.io import read_photo, write_photo
from enhancer.photo.metadata import exif, kept_metadata
from tests.helpers.photo_files import KINDS, picture, png_chunk

UTF8, LATIN1 = "(c) Zoë Müller".encode(), "(c) Zoë Müller".encode("latin-1")
MAKER_NOTE = bytes(range(256)) * 2
COMMENT = "Küche nach Umbau".encode()
PNG_TEXTS = (
    (b"tEXt", b"Copyright\0" + LATIN1),
    (b"zTXt", b"Software\0\0" + bytes.fromhex("789c4b04000062 0062".replace(" ", ""))),
    (b"iTXt", b"Description\0\0\0de\0Beschreibung\0" + COMMENT),
)


def block_of(order, first=None, details=None, gps=None):
    """An EXIF block: a maker note at its end, and directories of tag -> type, count, bytes."""
    directories = {exif.GPS: gps or {}, exif.EXIF: details or {}}
    directories[exif.FIRST] = dict(first or {})
    block = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 0)
    for pointer, values in directories.items():
        if pointer and values:
            tail, offset = exif._directory(block, order, values)
            block += tail
            directories[exif.FIRST][pointer] = 4, 1, struct.pack(f"{order}I", offset)
    return exif._with_first(block, order, directories[exif.FIRST])


def text(content):
    return 2, len(content) + 1, content + b"\0"


def full_block(order, words=UTF8):
    return block_of(
        order,
        {
            271: text(b"Camera"),
            274: (3, 1, struct.pack(f"{order}H", 1)),
            33432: text(words),
            59932: (7, 6, b"odd\0\1\2"),
        },
        {
            36867: text(b"2024:01:02 03:04:05"),
            37500: (7, len(MAKER_NOTE), MAKER_NOTE),
            37510: (
                7,
                18,
                b"UNICODE\0" + "Küche".encode("utf-16-le"),
            ),
        },
        {1: text(b"N"), 2: (5, 3, struct.pack(f"{order}6I", 48, 1, 51, 1, 30, 1))},
    )


def jpeg_with(*segments, content=None):
    """A JPEG with more segments (marker, content) behind its first."""
    content = content or KINDS["JPEG"].write(picture(), None, b"")
    parts = [struct.pack(">BBH", 0xFF, kind, 2 + len(part)) + part for kind, part in segments]
    return content[:20] + b"".join(parts) + content[20:]


def png_with(*chunks):
    content = imagecodecs.png_encode(picture())
    return content[:33] + b"".join(png_chunk(*chunk) for chunk in chunks) + content[33:]


def read(block):
    tags = Image.Exif()
    tags.load(block)
    return tags, tags.get_ifd(ExifTags.IFD.Exif), tags.get_ifd(ExifTags.IFD.GPSInfo)


def copied(tmp_path, content, suffix=".jpg", result=None, policy="keep"):
    """Read a file of this content, write it, and return the result's content and its notes."""
    source, copy = tmp_path / f"photo{suffix}", tmp_path / f"copy{result or suffix}"
    source.write_bytes(content)
    photo = read_photo(source, keep_depth=True)
    notes = write_photo(copy, photo.pixels, metadata=kept_metadata(photo.metadata, policy))
    return copy.read_bytes(), notes


def write_with_exif(suffix, block):
    """The content of a file of each format that holds this block."""
    if suffix == ".png":
        return png_with((b"eXIf", block))
    if suffix == ".jpg":
        return jpeg_with((0xE1, b"Exif\0\0" + block))
    buffer = io.BytesIO()
    image = Image.fromarray(picture().astype("uint8"))
    if suffix == ".webp":
        image.save(buffer, "WEBP", exif=b"Exif\0\0" + block)
        return buffer.getvalue()
    pytest.importorskip("pillow_heif", reason="HEIC needs the extra `heic`").register_heif_opener()
    image.save(buffer, "HEIF", exif=b"Exif\0\0" + block)
    return buffer.getvalue()
