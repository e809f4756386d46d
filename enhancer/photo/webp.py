"""Decoding of WebP files."""

from pathlib import Path

from enhancer.photo import decoded, refusal
from enhancer.photo.decoded import DecodedPhoto

_SIZE_BITS = 0x3FFF  # sides are at most 16383 pixels


def decode(path: Path, head: bytes) -> DecodedPhoto:
    """Decode a lossy or lossless WebP, with or without transparency.

    Args:
        path: an existing file.
        head: its first bytes.

    Raises:
        PhotoError: it is animated, its end is missing, or its size is refused.
    """
    # Pillow's decoder makes room for the picture before it tells the size.
    if size := _size(head):
        refusal.check_size(path, *size)
    refusal.check_tail(path)
    return decoded.read_with_pillow(path, "WEBP")


def _size(head: bytes) -> tuple[int, int] | None:
    """Width and height of the first chunk; None when it is cut off.

    References: RFC 9649, sections 2.5 to 2.7; RFC 6386, section 9.1.
    """
    if len(head) < 30:
        return None
    match head[12:16]:
        case b"VP8X":
            return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(
                head[27:30], "little"
            ) + 1
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return (bits & _SIZE_BITS) + 1, (bits >> 14 & _SIZE_BITS) + 1
        case b"VP8 ":
            return int.from_bytes(head[26:28], "little") & _SIZE_BITS, int.from_bytes(
                head[28:30], "little"
            ) & _SIZE_BITS
    return None
