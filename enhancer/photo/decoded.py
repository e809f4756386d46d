"""A decoded picture on its way to sRGB: what every file format's decoder ends with."""

import contextlib
import dataclasses
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from enhancer.photo import color, metadata, refusal
from enhancer.photo.metadata import Metadata

# Pillow warns above 89 megapixels, which cameras reach, and stops at twice its limit.
Image.MAX_IMAGE_PIXELS = refusal.MAX_PIXELS
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)

_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}  # by Pillow's modes


@dataclasses.dataclass(frozen=True)
class Tags:
    """What a file says about its photo beside the pixels."""

    profile: bytes | None = None
    metadata: Metadata = Metadata()
    orientation: int = 1
    """Of EXIF, still to be undone."""


@dataclasses.dataclass(frozen=True)
class DecodedPhoto:
    """sRGB pixels, uint8 or uint16, not turned upright yet."""

    pixels: np.ndarray
    tags: Tags
    notes: tuple[str, ...] = ()

    def noting(self, *notes: str) -> "DecodedPhoto":
        """The same with more notes."""
        return dataclasses.replace(self, notes=(*self.notes, *notes))


def tags_of(image: Image.Image) -> Tags:
    """Copy what belongs to a photo from an image whose file is open."""
    profile = image.info.get("icc_profile")
    if not profile:
        with contextlib.suppress(Exception):  # of broken EXIF
            profile = color.profile_of_exif(image.getexif())
    found = metadata.of_image(image)
    return Tags(profile, found, metadata.orientation(found))


def read_with_pillow(path: Path, kind: str, *, frame: int = 0) -> DecodedPhoto:
    """Decode the 8-bit picture number `frame` of a file that Pillow calls a `kind`.

    Raises:
        PhotoError: it is animated, or its size is refused.
    """
    # Given a path, Pillow maps some TIFFs into memory and scrambles those that lie on their side.
    with open(path, "rb") as file, Image.open(file, formats=(kind,)) as image:
        if kind == "WEBP" and (num_frames := getattr(image, "n_frames", 1)) > 1:
            raise refusal.animated(path, "WebP", num_frames)
        tags = tags_of(image)
        if frame:
            image.seek(frame)
        refusal.check_size(path, image.width, image.height)
        image.load()
        turn = 1 if kind == "TIFF" else tags.orientation  # Pillow has turned a TIFF upright
        profile = image.info.get("icc_profile") or (None if frame else tags.profile)
        return from_image(image, dataclasses.replace(tags, profile=profile, orientation=turn))


def from_image(image: Image.Image, tags: Tags) -> DecodedPhoto:
    """Bring a loaded image of 8 bits per channel, of any mode, to sRGB."""
    if "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode not in _CHANNELS:
        image = image.convert("RGB")
    return from_array(np.array(image), tags, is_cmyk=image.mode == "CMYK")


def from_array(pixels: np.ndarray, tags: Tags, *, is_cmyk: bool = False) -> DecodedPhoto:
    """Bring grey, grey + alpha, RGB, RGBA or CMYK, uint8 or uint16, to sRGB in their own
    precision."""
    notes: list[str] = []
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    channels, alpha = pixels.shape[-1], None
    if channels in (2, 4) and not is_cmyk:
        values, alpha = pixels[..., :-1], pixels[..., -1:]
    else:
        values = pixels
    if tags.profile:
        try:
            values = color.to_srgb(values, tags.profile)
        except color.ProfileError:
            notes.append("unreadable colour profile, treated as sRGB")
    elif is_cmyk:
        notes.append("CMYK without a colour profile, colours are approximate")
    if values.shape[-1] == 4:
        values = np.array(Image.fromarray(values, "CMYK").convert("RGB"))
    elif values.shape[-1] == 1:
        values = np.repeat(values, 3, axis=-1)
    opaque = np.iinfo(pixels.dtype).max
    if alpha is not None and alpha.min() < opaque:
        share = alpha.astype(np.float32) / opaque
        values = np.rint(values * share + opaque * (1 - share)).astype(pixels.dtype)
        notes.append("transparent parts shown on white")
    return DecodedPhoto(np.ascontiguousarray(values), tags, tuple(notes))
