"""What an edited copy keeps of the data that came with a photo."""

from typing import Literal, TypedDict

from enhancer.photo import exif
from enhancer.photo.io import Photo

MetadataPolicy = Literal["keep", "no-gps", "none"]
"""keep: EXIF, captions, credits and copyright. no-gps: the same without where it was taken. none: pixels only."""


class Blocks(TypedDict):
    """Arguments of `enhancer.photo.io.write_photo`."""

    exif: bytes | None
    xmp: bytes | None


def kept_metadata(photo: Photo, policy: MetadataPolicy) -> Blocks:
    """The blocks to embed in a copy of `photo`."""
    if policy == "none":
        return {"exif": None, "xmp": None}
    block = photo.exif
    if block and policy == "no-gps":
        block = exif.without_gps(block)
    return {"exif": block, "xmp": photo.xmp}  # an XMP packet of ours never holds coordinates
