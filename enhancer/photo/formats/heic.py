"""Decoding of HEIC files, through pillow-heif (extra `heic`)."""

from pathlib import Path

import numpy as np

from enhancer.photo import color, refusal
from enhancer.photo.formats.decoded import DecodedPhoto
from enhancer.photo.metadata import Metadata
from enhancer.photo.refusal import PhotoError

# Television's code points, which libraries wrote by default, or nothing said: sRGB is meant.
_DEFAULTS = {(1, 1), (6, 6), (2, 2)}


def decode(path: Path, *, keep_depth: bool) -> DecodedPhoto:
    """Decode the main picture of a HEIC file, to uint16 if wished and it has more than 8 bits."""
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise PhotoError(
            f"{path.name} is a HEIC photo, and HEIC support is not installed. "
            "Install the extra `heic` (package pillow-heif), or export the photo as JPEG."
        ) from error
    image = pillow_heif.open_heif(
        path.read_bytes(), convert_hdr_to_8bit=not keep_depth, hdr_to_16bit=False
    )
    refusal.check_size(path, *image.size)
    refusal.check_tail(path)
    profile, said = image.info.get("icc_profile"), image.info.get("nclx_profile")
    if said and not profile:
        code_points = int(said["color_primaries"]), int(said["transfer_characteristics"])
        if code_points not in _DEFAULTS:
            profile = color.profile_of_code_points(*code_points)
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8:  # 10 or 12 bits -> the full range of 16
        brightest = 2 ** image.info["bit_depth"] - 1
        levels = np.rint(np.arange(brightest + 1) * (65535 / brightest)).astype(np.uint16)
        pixels = levels[np.minimum(pixels, brightest)]
    return DecodedPhoto(pixels, profile, Metadata.of_info(image.info))  # libheif has turned it
