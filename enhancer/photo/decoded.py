"""A decoded picture on its way to sRGB: what every file format's decoder ends with."""

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

_FLAT_MODES = ("1", "I;16", "I;16B", "I", "F")  # not of 8 bits: Pillow cannot convert them truly
_ON_WHITE = "transparent parts shown on white"
_NO_PROFILE = "unreadable colour profile, treated as sRGB"


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


def tags_of(image: Image.Image) -> Tags:
    """Copy what belongs to a photo from an image whose file is open."""
    found = metadata.of_image(image)
    return Tags(image.info.get("icc_profile"), found, metadata.orientation(found))


def read_with_pillow(path: Path, kind: str, *, frame: int = 0) -> DecodedPhoto:
    """Decode the 8-bit picture number `frame` of a file that Pillow calls a `kind`.

    Raises:
        PhotoError: it is animated, or its size is refused.
    """
    # Given a path, Pillow maps some TIFFs into memory and scrambles those that lie on their side.
    with open(path, "rb") as file, Image.open(file, formats=(kind,)) as image:
        num_frames = getattr(image, "n_frames", 1)
        if kind in ("PNG", "WEBP") and num_frames > 1:
            raise refusal.animated(path, "WebP" if kind == "WEBP" else kind, num_frames)
        tags = tags_of(image)
        if frame:
            image.seek(frame)
        refusal.check_size(path, image.width, image.height)
        image.load()
        turn = 1 if kind == "TIFF" else tags.orientation  # Pillow has turned a TIFF upright
        profile = image.info.get("icc_profile")
        return from_image(image, dataclasses.replace(tags, profile=profile, orientation=turn))


def from_image(image: Image.Image, tags: Tags) -> DecodedPhoto:
    """Bring a loaded image of 8 bits per channel, of any mode, to sRGB."""
    notes: list[str] = []
    alpha = None
    if "A" in image.getbands() or "transparency" in image.info:
        is_grey = image.mode == "LA"
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.getchannel("R") if is_grey else image
    if image.mode in _FLAT_MODES:
        raise ValueError(f"pixels of the kind {image.mode!r}")
    if image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    if tags.profile:
        try:
            image = color.image_to_srgb(image, tags.profile)
        except color.ProfileError:
            notes.append(_NO_PROFILE)
    elif image.mode == "CMYK":
        notes.append("CMYK without a colour profile, colours are approximate")
    image = image.convert("RGB")
    if alpha is not None and np.asarray(alpha).min() < 255:
        white = Image.new("RGB", image.size, "white")
        image = Image.composite(image, white, alpha)
        notes.append(_ON_WHITE)
    return DecodedPhoto(np.array(image), tags, tuple(notes))


def from_array(pixels: np.ndarray, tags: Tags) -> DecodedPhoto:
    """Bring grey, grey + alpha, RGB or RGBA, uint8 or uint16, to sRGB in their own precision."""
    notes: list[str] = []
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    channels = pixels.shape[-1]
    alpha = pixels[..., -1:] if channels in (2, 4) else None
    values = pixels[..., :3] if channels >= 3 else np.repeat(pixels[..., :1], 3, axis=-1)
    if tags.profile:
        try:
            if channels < 3 and color.profile_color_space(tags.profile) == "GRAY":
                values = color.grey_to_srgb(pixels[..., 0], tags.profile)
            else:
                values = color.array_to_srgb(values, tags.profile)
        except color.ProfileError:
            notes.append(_NO_PROFILE)
    opaque = np.iinfo(pixels.dtype).max
    if alpha is not None and alpha.min() < opaque:
        share = alpha.astype(np.float32) / opaque
        values = np.rint(values * share + opaque * (1 - share)).astype(pixels.dtype)
        notes.append(_ON_WHITE)
    return DecodedPhoto(np.ascontiguousarray(values), tags, tuple(notes))
