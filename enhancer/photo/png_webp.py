"""Decoding of PNG files of all depths, and of WebP files."""

import dataclasses
import io
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import imagecodecs
from PIL import Image, PngImagePlugin

from enhancer.photo import color, decoded, refusal
from enhancer.photo.decoded import DecodedPhoto, Tags

PngImagePlugin.MAX_TEXT_CHUNK = 2**24  # Pillow's own limit is below the XMP of some retouchers

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_WIDTH, _HEIGHT = slice(16, 20), slice(20, 24)  # in a PNG's IHDR chunk
_OF_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_NO_DATA = bytes(4) + b"IDAT" + zlib.crc32(b"IDAT").to_bytes(4)
_MOST_PROFILE_BYTES = 2**24
_WEBP_SIZE_BITS = 0x3FFF  # sides are at most 16383 pixels


class _Chunk(NamedTuple):
    kind: bytes
    content: memoryview
    whole: memoryview
    """With its length, kind and check sum."""


def decode_png(path: Path, head: bytes) -> DecodedPhoto:
    """Decode a PNG of any kind, with or without transparency.

    Raises:
        PhotoError: it is animated or damaged, or its size is refused.
        UnsupportedColorsError: the colours are those of HDR.
    """
    refusal.check_size(path, int.from_bytes(head[_WIDTH]), int.from_bytes(head[_HEIGHT]))
    chunks, notes = _chunks(path, path.read_bytes())
    contents = {chunk.kind: bytes(chunk.content) for chunk in chunks if chunk.kind != b"IDAT"}
    num_frames = int.from_bytes(contents.get(b"acTL", b"")[:4])
    if num_frames > 1:
        raise refusal.animated(path, "PNG", num_frames)
    profile = _profile(contents)
    try:
        # Pillow reads what stands before the pixels, libpng nothing but them.
        header = b"".join(chunk.whole for chunk in chunks if chunk.kind not in (b"IDAT", b"IEND"))
        with Image.open(io.BytesIO(_SIGNATURE + header + _NO_DATA), formats=("PNG",)) as image:
            # Pillow would look for EXIF behind the pixels, where none is left.
            raw = image.info.get("Raw profile type exif", "").split("\n")[3:]
            image.info.setdefault("exif", bytes.fromhex("".join(raw)))
            tags = decoded.tags_of(image)
    except (OSError, SyntaxError, ValueError):
        tags, notes = Tags(), (*notes, "its metadata could not be read and were left out")
    tags = dataclasses.replace(tags, profile=profile or tags.profile)
    needed = b"".join([_SIGNATURE, *(c.whole for c in chunks if c.kind in _OF_PIXELS)])
    pixels = imagecodecs.png_decode(needed)
    return decoded.from_array(pixels, tags).noting(*notes)


def _chunks(path: Path, content: bytes) -> tuple[list[_Chunk], tuple[str, ...]]:
    """Split a PNG, and leave out what is damaged and not needed for its pixels."""
    view, position, chunks, notes = memoryview(content), len(_SIGNATURE), [], {}
    while position + 12 <= len(content):
        end = position + 8 + int.from_bytes(content[position : position + 4])
        kind = content[position + 4 : position + 8]
        if not kind.isalpha():
            raise refusal.damaged(path, "a part of the picture is missing")
        is_whole = zlib.crc32(view[position + 4 : end]) == int.from_bytes(content[end : end + 4])
        if is_whole or (kind == b"IDAT" and end + 4 > len(content)):
            chunks.append(_Chunk(kind, view[position + 8 : end], view[position : end + 4]))
        elif kind[:1].isupper():
            raise refusal.damaged(path, "a part of the picture was overwritten")
        else:
            notes[f"a damaged part of its metadata ({kind.decode()}) was left out"] = None
        position = end + 4
        if kind == b"IEND":
            break
    return chunks, tuple(notes)


def _profile(chunks: dict[bytes, bytes]) -> bytes | None:
    """The colours that a PNG declares, None if it does not (PNG, third edition, 4.3: in this
    order)."""
    if len(points := chunks.get(b"cICP", b"")) == 4:
        if points[3] != 1:
            raise color.UnsupportedColorsError("declares the narrow range of television")
        return color.profile_of_code_points(points[0], points[1])
    if b"iCCP" in chunks:
        packed = chunks[b"iCCP"].partition(b"\0")[2][1:]
        try:
            return zlib.decompressobj().decompress(packed, _MOST_PROFILE_BYTES)
        except zlib.error:
            return color.UNREADABLE
    if b"sRGB" in chunks:
        return color.srgb_profile()
    gamma = int.from_bytes(chunks.get(b"gAMA", b"")) / 1e5
    numbers = chunks.get(b"cHRM", b"")
    chromaticities = struct.unpack(">8I", numbers) if len(numbers) == 32 else None
    if not gamma and not chromaticities:
        return None
    return color.profile_of_png(gamma, chromaticities and tuple(n / 1e5 for n in chromaticities))


def decode_webp(path: Path, head: bytes) -> DecodedPhoto:
    """Decode a lossy or lossless WebP, with or without transparency.

    Raises:
        PhotoError: it is animated, its end is missing, or its size is refused.
    """
    # Pillow's decoder makes room for the picture before it tells the size.
    if size := _webp_size(head):
        refusal.check_size(path, *size)
    refusal.check_tail(path)
    return decoded.read_with_pillow(path, "WEBP")


def _webp_size(head: bytes) -> tuple[int, int] | None:
    """Width and height of the first chunk; None when it is cut off.

    References: RFC 9649, sections 2.5 to 2.7; RFC 6386, section 9.1.
    """

    def number(start: int, end: int) -> int:
        return int.from_bytes(head[start:end], "little")

    if len(head) < 30:
        return None
    match head[12:16]:
        case b"VP8X":
            return number(24, 27) + 1, number(27, 30) + 1
        case b"VP8L":
            bits = number(21, 25)
            return (bits & _WEBP_SIZE_BITS) + 1, (bits >> 14 & _WEBP_SIZE_BITS) + 1
        case b"VP8 ":
            return number(26, 28) & _WEBP_SIZE_BITS, number(28, 30) & _WEBP_SIZE_BITS
    return None
