"""A decoded picture as its file stores it, and the way to sRGB that all formats share."""

import dataclasses
import warnings

import numpy as np
from PIL import Image

from enhancer.photo import color, refusal
from enhancer.photo.metadata import NOTHING, Metadata

# Pillow warns above 89 megapixels, which cameras reach, and stops at twice its limit.
Image.MAX_IMAGE_PIXELS = refusal.MAX_PIXELS
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)

_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}  # by Pillow's modes


@dataclasses.dataclass(frozen=True)
class DecodedPhoto:
    """Pixels, and what their file says about them."""

    pixels: np.ndarray
    """uint8 or uint16 `(height, width)` or `(height, width, channels)`, full range: grey, RGB, both
    perhaps with alpha, or CMYK."""
    profile: bytes | None = None  # without, EXIF may still name the colours
    metadata: Metadata = NOTHING
    orientation: int = 1  # of EXIF, still to be undone
    is_cmyk: bool = False
    notes: tuple[str, ...] = ()

    def in_srgb(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """The pixels as sRGB `(height, width, 3)` in their own precision, on white, and notes."""
        notes = list(self.notes)
        pixels = self.pixels if self.pixels.ndim == 3 else self.pixels[..., None]
        values, alpha = pixels, None
        if pixels.shape[-1] in (2, 4) and not self.is_cmyk:
            values, alpha = pixels[..., :-1], pixels[..., -1:]
        if profile := self.profile or color.profile_of_exif(self.metadata.exif):
            try:
                values = color.to_srgb(values, profile)
            except color.ProfileError:
                notes.append("unreadable colour profile, treated as sRGB")
        elif self.is_cmyk:
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
        return np.ascontiguousarray(values), tuple(notes)


def pixels_of(image: Image.Image) -> np.ndarray:
    """The pixels of an image of any mode, 8 bits per channel, as `DecodedPhoto` has them."""
    image.load()
    if "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode not in _CHANNELS:
        image = image.convert("RGB")
    return np.array(image)
