"""Decoding of PNG files of 8 and 16 bits."""

from pathlib import Path

import imagecodecs
from PIL import Image

from enhancer import decoded_photo, refusal
from enhancer.decoded_photo import DecodedPhoto

_BIT_DEPTH, _WIDTH, _HEIGHT = slice(24, 25), slice(16, 20), slice(20, 24)  # in the file, of its IHDR chunk


def decode(path: Path, head: bytes) -> DecodedPhoto:
    """Decode a grey, palette or RGB PNG, with or without transparency.

    Args:
        path: an existing file.
        head: its first bytes.

    Raises:
        PhotoError: it is animated, or its size is refused.
    """
    refusal.check_size(path, int.from_bytes(head[_WIDTH]), int.from_bytes(head[_HEIGHT]))
    if head[_BIT_DEPTH] != b"\x10":
        return decoded_photo.read_with_pillow(path, "PNG")
    # Pillow would drop the low byte. It reads everything but the pixels here.
    with Image.open(path, formats=("PNG",)) as image:
        if image.n_frames > 1:  # pyright: ignore[reportAttributeAccessIssue]
            raise refusal.animated(path, "PNG", image.n_frames)  # pyright: ignore[reportAttributeAccessIssue]
        tags = decoded_photo.tags_of(image)
    return decoded_photo.from_array(imagecodecs.png_decode(path.read_bytes()), tags)
