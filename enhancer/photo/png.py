"""Decoding of PNG files of 8 and 16 bits."""

import zlib
from pathlib import Path

import imagecodecs
from PIL import Image

from enhancer.photo import decoded, refusal
from enhancer.photo.decoded import DecodedPhoto

_SIGNATURE_BYTES = 8
_BIT_DEPTH, _WIDTH, _HEIGHT = (
    slice(24, 25),
    slice(16, 20),
    slice(20, 24),
)  # in the file, of its IHDR chunk


def decode(path: Path, head: bytes) -> DecodedPhoto:
    """Decode a grey, palette or RGB PNG, with or without transparency.

    Args:
        path: an existing file.
        head: its first bytes.

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
        if image.n_frames > 1:  # pyright: ignore[reportAttributeAccessIssue]
            raise refusal.animated(path, "PNG", image.n_frames)  # pyright: ignore[reportAttributeAccessIssue]
        tags = decoded.tags_of(image)
    return decoded.from_array(imagecodecs.png_decode(content), tags)


def _check_sums(path: Path, content: bytes) -> None:
    """Compare the check sums of the pixels' chunks, which Pillow does not read to the end."""
    position = _SIGNATURE_BYTES
    while position + 12 <= len(content):
        length = int.from_bytes(content[position : position + 4])
        end = position + 8 + length
        kind = content[position + 4 : position + 8]
        if kind == b"IDAT" and end + 4 <= len(content):
            if zlib.crc32(memoryview(content)[position + 4 : end]) != int.from_bytes(
                content[end : end + 4]
            ):
                raise refusal.damaged(path, "a part of the picture was overwritten")
        elif not kind.isalpha():
            raise refusal.damaged(path, "a part of the picture is missing")
        position = end + 4
        if kind == b"IEND":
            return
