"""Decoding of JPEG files, with the damage noticed that decoders paint over with grey."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

from enhancer.photo import color, decoded, refusal
from enhancer.photo.decoded import DecodedPhoto

# libjpeg's warnings that say nothing about the pixels.
_HARMLESS = (
    "Unknown Adobe color transform code",
    "Warning: unknown JFIF revision",
    "Invalid SOS parameters",
)
_UNKNOWN = "Could not determine subsampling"
# Some cameras fill up the last bytes; where more is left over, the decoder lost its place.
_LEFT_OVER = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
_MAX_LEFT_OVER_BYTES = 16


def decode(path: Path) -> DecodedPhoto:
    """Decode a JPEG: grey, YCbCr, RGB, CMYK or YCCK.

    libjpeg only warns when data is missing, and fills what it misses with grey or with rubbish.

    Raises:
        PhotoError: it is cut off or damaged, or its size is refused.
    """
    content = path.read_bytes()
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        refusal.check_size(path, image.width, image.height)
        tags = decoded.tags_of(image)
        pixels = _decode_strictly(path, content, {"L": "GRAY"}.get(image.mode, image.mode))
        if pixels is None:  # Pillow reads it all
            return decoded.from_image(image, tags)
    if image.mode == "CMYK":
        # Adobe's programs store ink as light, and leave their mark in the file.
        ink = 255 - pixels if "adobe" in image.info else pixels
        return decoded.from_image(Image.frombytes("CMYK", image.size, ink.tobytes()), tags)
    if pixels.shape[-1] == 1:
        return decoded.from_image(Image.fromarray(pixels[..., 0]), tags)
    if tags.profile and not color.is_srgb(tags.profile):
        return decoded.from_image(Image.fromarray(pixels), tags)
    return DecodedPhoto(pixels, tags)


def _decode_strictly(path: Path, content: bytes, color_space: str) -> np.ndarray | None:
    """Decode to uint8 `(height, width, channels)`; None for what this decoder does not know."""
    options: dict[str, Any] = {"colorspace": color_space, "fastdct": False, "fastupsample": False}
    try:
        return simplejpeg.decode_jpeg(content, **options, strict=True)
    except ValueError as error:
        warning = str(error)
    if _UNKNOWN in warning:
        return None
    left_over = _LEFT_OVER.match(warning)
    if warning.startswith(_HARMLESS) or (left_over and int(left_over[1]) <= _MAX_LEFT_OVER_BYTES):
        return simplejpeg.decode_jpeg(content, **options, strict=False)
    raise refusal.damaged(path, f"a part of the picture is missing: {warning}")
