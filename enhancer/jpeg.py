"""Decoding of JPEG files, with the damage noticed that decoders paint over with grey."""

import io
import re
from pathlib import Path

import simplejpeg
from PIL import Image

from enhancer import color_management, decoded_photo, refusal
from enhancer.decoded_photo import DecodedPhoto

# Some cameras fill up the last bytes; where more is left over, the decoder lost its place.
_MAX_LEFT_OVER_BYTES = 16
_LEFT_OVER = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")


def decode(path: Path) -> DecodedPhoto:
    """Decode a baseline, progressive or arithmetic JPEG: grey, YCbCr, RGB, CMYK or YCCK.

    libjpeg only warns when data is missing, and fills what it misses with grey or with rubbish.

    Raises:
        PhotoError: it is cut off or damaged, or its size is refused.
    """
    content = path.read_bytes()
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        refusal.check_size(path, image.width, image.height)
        tags = decoded_photo.tags_of(image)
        if image.mode == "CMYK":
            # Pillow knows whose CMYK values are stored inverted.
            _decode_strictly(path, content, "CMYK")
            image.load()
            return decoded_photo.from_image(image, tags)
        pixels = _decode_strictly(path, content, "RGB" if image.mode == "RGB" else "GRAY")
    if pixels.shape[-1] == 1 or (tags.profile and not color_management.is_srgb(tags.profile)):
        return decoded_photo.from_image(Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels), tags)
    return DecodedPhoto(pixels, tags.orientation, tags.exif, tags.xmp)


def _decode_strictly(path: Path, content: bytes, color_space: str):
    try:
        return simplejpeg.decode_jpeg(content, color_space, fastdct=False, fastupsample=False, strict=True)
    except ValueError as error:
        warning = str(error)
    left_over = _LEFT_OVER.match(warning)
    harmless = int(left_over[1]) <= _MAX_LEFT_OVER_BYTES if left_over else not _means_damage(warning)
    if not harmless:
        raise refusal.damaged(path, "a part of the picture is missing" if _means_damage(warning) else warning)
    return simplejpeg.decode_jpeg(content, color_space, fastdct=False, fastupsample=False, strict=False)


def _means_damage(warning: str) -> bool:
    return warning.startswith(("Corrupt JPEG data", "Premature end"))
