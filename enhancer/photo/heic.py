"""Decoding of HEIC files, through pillow-heif (extra `heic`)."""

import dataclasses
import functools
import io
from pathlib import Path

import numpy as np
from PIL import Image

from enhancer.photo import color, decoded, refusal
from enhancer.photo.decoded import DecodedPhoto
from enhancer.photo.refusal import PhotoError

# Television's code points, which libraries wrote by default, or nothing said: sRGB is meant.
_DEFAULTS = {(1, 1), (6, 6), (2, 2)}


def decode(path: Path, *, keep_depth: bool) -> DecodedPhoto:
    """Decode the main picture of a HEIC file, to uint16 if wished and it has more than 8 bits.

    Raises:
        PhotoError: the extra is missing or the size is refused.
        UnsupportedColorsError: the colours are those of HDR.
    """
    if not _is_installed():
        raise PhotoError(
            f"{path.name} is a HEIC photo, and HEIC support is not installed. "
            "Install the extra `heic` (package pillow-heif), or export the photo as JPEG."
        )
    content = path.read_bytes()
    # Pillow looks at the first of a file's brands only.
    content = content[:8] + b"heic" + content[12:]
    with Image.open(io.BytesIO(content), formats=("HEIF",)) as image:
        refusal.check_size(path, image.width, image.height)
        refusal.check_tail(path)
        tags = decoded.tags_of(image)
        profile, said = image.info.get("icc_profile"), image.info.get("nclx_profile")
        if said and not profile:
            code_points = int(said["color_primaries"]), int(said["transfer_characteristics"])
            if code_points not in _DEFAULTS:
                tags = dataclasses.replace(tags, profile=color.profile_of_code_points(*code_points))
        # libheif has turned the picture upright.
        tags = dataclasses.replace(tags, orientation=1)
        if keep_depth and image.info.get("bit_depth", 8) > 8:
            return decoded.from_array(_deep_pixels(content), tags)
        image.load()
        return decoded.from_image(image, tags)


@functools.cache
def _is_installed() -> bool:
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports]
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _deep_pixels(content: bytes) -> np.ndarray:
    import pillow_heif  # pyright: ignore[reportMissingImports]

    image = pillow_heif.open_heif(content, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    values = np.asarray(image)
    # 10 or 12 bits -> the full range of 16.
    brightest = 2 ** image.info["bit_depth"] - 1
    levels = np.rint(np.arange(brightest + 1) * (65535 / brightest)).astype(np.uint16)
    return levels[np.minimum(values, brightest)]
