"""Decoding of PNG files of 8 and 16 bits, and of WebP files."""

import zlib
from pathlib import Path

import imagecodecs
from PIL import Image

from enhancer.photo import decoded, refusal
from enhancer.photo.decoded import DecodedPhoto

_PNG_SIGNATURE_BYTES = 8
_BIT_DEPTH, _WIDTH, _HEIGHT = slice(24, 25), slice(16, 20), slice(20, 24)  # in a PNG's IHDR chunk
_WEBP_SIZE_BITS = 0x3FFF  # sides are at most 16383 pixels


def decode_png(path: Path, head: bytes) -> DecodedPhoto:
    """Decode a grey, palette or RGB PNG, with or without transparency.

    Raises:
        PhotoError: it is animated, or its size is refused.
    """
    refusal.check_size(path, int.from_bytes(head[_WIDTH]), int.from_bytes(head[_HEIGHT]))
    content = path.read_bytes()
    _check_sums(path, content)
    if head[_BIT_DEPTH] != b"\x10":
        return decoded.read_with_pillow(path, "PNG")
    # Pillow would drop the low byte. It reads everything but the pixels here.
    with Image.open(path, formats=("PNG",)) as image:
        if (num_frames := getattr(image, "n_frames", 1)) > 1:
            raise refusal.animated(path, "PNG", num_frames)
        tags = decoded.tags_of(image)
    return decoded.from_array(imagecodecs.png_decode(content), tags)


def _check_sums(path: Path, content: bytes) -> None:
    """Compare the check sums of the pixels' chunks, which Pillow does not read to the end."""
    position = _PNG_SIGNATURE_BYTES
    while position + 12 <= len(content):
        end = position + 8 + int.from_bytes(content[position : position + 4])
        kind = content[position + 4 : position + 8]
        if kind == b"IDAT" and end + 4 <= len(content):
            check_sum = int.from_bytes(content[end : end + 4])
            if zlib.crc32(memoryview(content)[position + 4 : end]) != check_sum:
                raise refusal.damaged(path, "a part of the picture was overwritten")
        elif not kind.isalpha():
            raise refusal.damaged(path, "a part of the picture is missing")
        position = end + 4
        if kind == b"IEND":
            return


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
