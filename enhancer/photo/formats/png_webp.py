"""Decoding of PNG files of all depths, and of WebP files."""

import contextlib
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import imagecodecs
from PIL import Image

from enhancer.photo import color, refusal
from enhancer.photo.formats import decoded
from enhancer.photo.formats.decoded import DecodedPhoto
from enhancer.photo.metadata import EXIF_PREFIX, PHOTOSHOP_PREFIX, PNG_XMP, XMP_PREFIX, Metadata

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_OF_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
# Chunks about colours and pixels, and Apple's, which says where these lie.
_STORED = {b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"mDCV", b"cLLI", b"sBIT", b"bKGD", b"tRNS"}
_STORED |= {b"hIST", b"sPLT", b"pHYs", b"acTL", b"fcTL", b"fdAT", b"iDOT"}
_MOST_UNPACKED_BYTES = 2**24


class _Chunk(NamedTuple):
    kind: bytes
    content: memoryview
    whole: memoryview  # with its length, kind and check sum


def decode_png(path: Path, head: bytes) -> DecodedPhoto:
    """Decode a PNG of any kind, with or without transparency."""
    refusal.check_size(path, *struct.unpack_from(">II", head.ljust(24, b"\0"), 16))
    chunks, notes = _chunks(path, path.read_bytes())
    about = [(c.kind, bytes(c.content)) for c in chunks if c.kind != b"IDAT"]
    num_frames = int.from_bytes(dict(about).get(b"acTL", b"")[:4])
    if num_frames > 1:
        raise refusal.animated(path, "PNG", num_frames)
    profile, found = _profile(dict(about)), _metadata(about)
    # libpng sees nothing but the pixels.
    needed = b"".join([_SIGNATURE, *(c.whole for c in chunks if c.kind in _OF_PIXELS)])
    pixels = imagecodecs.png_decode(needed)
    return DecodedPhoto(pixels, profile, found, found.orientation, notes=notes)


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


def _metadata(chunks: Iterable[tuple[bytes, bytes]]) -> Metadata:
    exif = packet = resources = b""
    density, texts, notes = None, [], {}
    for kind, content in chunks:
        if kind == b"eXIf":
            exif = content.removeprefix(EXIF_PREFIX)
        elif kind == b"pHYs" and len(content) == 9:
            x, y, is_metre = struct.unpack(">IIB", content)
            density = (2, x / 100, y / 100) if is_metre else (0, x, y)
        elif kind == b"iTXt" and content.startswith(PNG_XMP):
            is_packed = content[len(PNG_XMP) :].startswith(b"\1")
            _, _, text = content[len(PNG_XMP) + 2 :].partition(b"\0")[2].partition(b"\0")
            packet = _unpacked(text) if is_packed else text
        elif content.startswith(b"Raw profile type ") and kind in (b"tEXt", b"zTXt"):
            hidden = _hidden_block(content)  # of ImageMagick, older than eXIf
            if hidden.startswith((EXIF_PREFIX, b"II*\0", b"MM\0*")):
                exif = exif or hidden.removeprefix(EXIF_PREFIX)
            elif b"<x:xmpmeta" in hidden:
                packet = packet or hidden.removeprefix(XMP_PREFIX)
            elif b"8BIM" in hidden:
                resources += hidden.removeprefix(PHOTOSHOP_PREFIX)
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            texts.append((kind.decode(), content))
        elif kind[:1].islower() and kind not in _STORED:
            notes[f"data of the kind {kind.decode()} were left out"] = None
    return Metadata(exif, packet, resources, tuple(texts), density, tuple(notes))


def _hidden_block(text: bytes) -> bytes:
    """What a text chunk "Raw profile type ..." stands for, in hexadecimal."""
    _, _, digits = text.partition(b"\0")
    digits = _unpacked(digits[1:]) if digits.startswith(b"\0") else digits
    with contextlib.suppress(ValueError, IndexError):
        return bytes.fromhex(digits.split(b"\n", 3)[3].decode())
    return b""


def _unpacked(content: bytes) -> bytes:
    """What was compressed, as far as it is not damaged or too large."""
    with contextlib.suppress(zlib.error):
        return zlib.decompressobj().decompress(content, _MOST_UNPACKED_BYTES)
    return b""


def _profile(chunks: dict[bytes, bytes]) -> bytes | None:
    """The colours that a PNG declares, in the standard's order (third edition, 4.3), if it does."""
    if len(points := chunks.get(b"cICP", b"")) == 4:
        if points[3] != 1:
            raise color.UnsupportedColorsError("declares the narrow range of television")
        return color.profile_of_code_points(points[0], points[1])
    if b"iCCP" in chunks:
        return _unpacked(chunks[b"iCCP"].partition(b"\0")[2][1:]) or color.UNREADABLE
    if b"sRGB" in chunks:
        return color.srgb_profile()
    gamma = int.from_bytes(chunks.get(b"gAMA", b"")) / 1e5
    numbers = chunks.get(b"cHRM", b"")
    chromaticities = struct.unpack(">8I", numbers) if len(numbers) == 32 else None
    if not gamma and not chromaticities:
        return None
    return color.profile_of_png(gamma, chromaticities and tuple(n / 1e5 for n in chromaticities))


def decode_webp(path: Path) -> DecodedPhoto:
    """Decode a lossy or lossless WebP, with or without transparency."""
    refusal.check_tail(path)
    with Image.open(path, formats=("WEBP",)) as image:
        refusal.check_size(path, *image.size)
        if (num_frames := getattr(image, "n_frames", 1)) > 1:
            raise refusal.animated(path, "WebP", num_frames)
        found = Metadata.of_info(image.info)
        pixels, profile = decoded.pixels_of(image), image.info.get("icc_profile")
        return DecodedPhoto(pixels, profile, found, found.orientation)
