"""Files of every kind that a photographer may bring, with one small picture in them."""

import dataclasses
import io
import struct
import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
import tifffile
from PIL import ExifTags, Image

from enhancer.photo import color

HEIGHT, WIDTH = 48, 64
_ROMM = [0.7347, 0.2653, 1, 0.1596, 0.8404, 1, 0.0366, 0.0001, 1]
_ADOBE = [0.64, 0.33, 1, 0.21, 0.71, 1, 0.15, 0.06, 1]
_D65, _D50 = [0.3127, 0.3290, 1.0], [0.3457, 0.3585, 1.0]
PROFILES: dict[str, bytes | None] = {
    "no profile": None,
    "sRGB": color.srgb_profile(),
    "Display P3": color.profile_of_code_points(12, 13),
    "Adobe RGB": bytes(
        imagecodecs.cms_profile("rgb", whitepoint=_D65, primaries=_ADOBE, gamma=563 / 256)
    ),
    "ProPhoto": bytes(imagecodecs.cms_profile("rgb", whitepoint=_D50, primaries=_ROMM, gamma=1.8)),
    "broken": b"no profile at all" * 20,
}
GREY_PROFILE = bytes(imagecodecs.cms_profile("gray", whitepoint=_D65, gamma=1.8))


def picture() -> np.ndarray:
    """A smooth picture whose corners all differ, uint16 `(48, 64, 3)`; no level is a multiple of
    257.

    Its colours are pale enough to lie within sRGB in whatever profile they are read.
    """
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] / np.reshape((HEIGHT, WIDTH), (2, 1, 1))
    colors = np.stack([0.47 + 0.2 * x, 0.47 + 0.15 * y, 0.62 - 0.1 * x - 0.05 * y], axis=-1)
    return np.rint(colors * 65535).astype(np.uint16) // 257 * 257 + 60


def in_8_bit(pixels: np.ndarray) -> np.ndarray:
    """Round 16 bits to 8."""
    return color.to_uint8(pixels)


def grey(pixels: np.ndarray) -> np.ndarray:
    """The green channel, which stands for the whole."""
    return np.ascontiguousarray(pixels[..., 1])


def exif_block(orientation: int) -> bytes:
    """What a camera writes: who, when, where, how, and a thumbnail's worth of stale facts."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Copyright] = "Camera", "A. Photographer"
    exif[ExifTags.Base.Orientation] = orientation
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.ISOSpeedRatings], details[ExifTags.Base.ColorSpace] = 400, 65535
    details[ExifTags.Base.ExifImageWidth], details[ExifTags.Base.ExifImageHeight] = 9, 9
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitudeRef], gps[ExifTags.GPS.GPSLatitude] = "N", (47.0, 22.0, 30.5)
    return exif.tobytes()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Length, kind, content and check sum."""
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of file."""

    write: Callable[[np.ndarray, bytes | None, bytes], bytes]
    """Encodes stored pixels `(height, width, 3)` of 16 bits, a profile and an EXIF block."""
    bits: int = 8
    tolerance: float = 1.0
    """Of 255; how far a decoded value may be from the picture."""
    is_grey: bool = False


def _pillow(
    kind: str,
    mode: str = "RGB",
    prepare: Callable[[Image.Image], Image.Image] | None = None,
    **options,
) -> Callable[[np.ndarray, bytes | None, bytes], bytes]:
    def write(pixels: np.ndarray, profile: bytes | None, exif: bytes) -> bytes:
        values = in_8_bit(pixels)
        image = Image.fromarray(grey(values) if mode.startswith("L") else values).convert(mode)
        image = prepare(image) if prepare else image
        buffer = io.BytesIO()
        image.save(
            buffer,
            kind,
            exif=_first_directory(exif) if kind == "TIFF" else exif,
            icc_profile=profile,
            **options,
        )
        return buffer.getvalue()

    return write


def _first_directory(exif: bytes) -> Image.Exif:
    """Pillow's compressed TIFFs cannot hold more."""
    whole, first = Image.Exif(), Image.Exif()
    whole.load(exif)
    for tag in (ExifTags.Base.Orientation, ExifTags.Base.Make, ExifTags.Base.Copyright):
        first[tag] = whole[tag]
    return first


def _png16(mode: str) -> Callable[[np.ndarray, bytes | None, bytes], bytes]:
    def write(pixels: np.ndarray, profile: bytes | None, exif: bytes) -> bytes:
        opaque = np.full((*pixels.shape[:2], 1), 65535, np.uint16)
        color = grey(pixels)[..., None] if mode.startswith("L") else pixels
        values = np.concatenate([color, opaque], axis=-1) if mode.endswith("A") else color
        content = imagecodecs.png_encode(values.squeeze())
        chunks = png_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
        if profile:
            chunks = png_chunk(b"iCCP", b"p\0\0" + zlib.compress(profile)) + chunks
        return content[:33] + chunks + content[33:]

    return write


def _tiff(dtype: type, *, color: str = "rgb", byteorder: str = "<", big: bool = False, **options):
    def write(pixels: np.ndarray, profile: bytes | None, exif: bytes) -> bytes:
        values = pixels.astype(dtype) if dtype is np.uint16 else in_8_bit(pixels)
        if color != "rgb":
            values = grey(values)
        if color == "miniswhite":
            values = np.iinfo(dtype).max - values
        if options.get("planarconfig") == "separate":
            values = np.moveaxis(values, -1, 0)
        tags = [
            (tag, "s", 0, value, True) if isinstance(value, str) else (tag, "H", 1, value, True)
            for tag, value in _first_directory(exif).items()
        ]
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer, byteorder=byteorder, bigtiff=big) as tiff:
            tiff.write(
                values,
                photometric=color,
                iccprofile=profile,
                extratags=tags,
                metadata=None,
                **options,
            )
        return buffer.getvalue()

    return write


def _heic(bits: int) -> Callable[[np.ndarray, bytes | None, bytes], bytes]:
    def write(pixels: np.ndarray, profile: bytes | None, exif: bytes) -> bytes:
        import pillow_heif

        pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
        if bits > 8:
            image = pillow_heif.from_bytes(
                "RGB;16", (pixels.shape[1], pixels.shape[0]), pixels.tobytes()
            )
        else:
            image = pillow_heif.from_pillow(Image.fromarray(in_8_bit(pixels)))
        image[0].info["icc_profile"] = profile
        image[0].info["exif"] = exif
        buffer = io.BytesIO()
        image.save(buffer, quality=-1, chroma=444)
        return buffer.getvalue()

    return write


def _with_palette(image: Image.Image) -> Image.Image:
    return image.quantize(256, dither=Image.Dither.NONE)


def _opaque(image: Image.Image) -> Image.Image:
    image.putalpha(255)
    return image


KINDS = {
    "JPEG": Kind(_pillow("JPEG", quality=97, subsampling=0), tolerance=4),
    "JPEG, chroma at half size": Kind(_pillow("JPEG", quality=97), tolerance=5),
    "JPEG, progressive": Kind(
        _pillow("JPEG", quality=97, subsampling=0, progressive=True), tolerance=4),
    "JPEG, restart markers": Kind(
        _pillow("JPEG", quality=97, subsampling=0, restart_marker_blocks=2), tolerance=4),
    "JPEG, RGB without YCbCr": Kind(_pillow("JPEG", quality=97, keep_rgb=True), tolerance=4),
    "JPEG, grey": Kind(_pillow("JPEG", "L", quality=97), tolerance=3, is_grey=True),
    "PNG": Kind(_pillow("PNG")),
    "PNG, palette": Kind(_pillow("PNG", prepare=_with_palette), tolerance=12),
    "PNG, grey": Kind(_pillow("PNG", "L"), is_grey=True),
    "PNG, grey and alpha": Kind(_pillow("PNG", "L", _opaque), is_grey=True),
    "PNG, RGB and alpha": Kind(_pillow("PNG", "RGBA")),
    "PNG, 16 bit": Kind(_png16("RGB"), bits=16),
    "PNG, 16 bit and alpha": Kind(_png16("RGBA"), bits=16),
    "PNG, 16 bit grey": Kind(_png16("L"), bits=16, is_grey=True),
    "PNG, 16 bit grey and alpha": Kind(_png16("LA"), bits=16, is_grey=True),
    "WebP": Kind(_pillow("WEBP", quality=97), tolerance=8),
    "WebP, lossless": Kind(_pillow("WEBP", lossless=True)),
    "WebP, alpha": Kind(_pillow("WEBP", "RGBA", lossless=True)),
    "TIFF": Kind(_tiff(np.uint8)),
    "TIFF, grey": Kind(_tiff(np.uint8, color="minisblack"), is_grey=True),
    "TIFF, grey negative": Kind(_tiff(np.uint8, color="miniswhite"), is_grey=True),
    "TIFF, JPEG inside": Kind(
        _tiff(np.uint8, compression="jpeg", compressionargs={"level": 97}), tolerance=5),
    "TIFF, by Pillow, LZW": Kind(_pillow("TIFF", compression="tiff_lzw")),
    "TIFF, palette": Kind(_pillow("TIFF", prepare=_with_palette), tolerance=12),
    "TIFF, 16 bit": Kind(_tiff(np.uint16), bits=16),
    "TIFF, 16 bit grey": Kind(_tiff(np.uint16, color="minisblack"), bits=16, is_grey=True),
    "TIFF, 16 bit grey negative": Kind(_tiff(np.uint16, color="miniswhite"), bits=16, is_grey=True),
    "TIFF, 16 bit planar": Kind(_tiff(np.uint16, planarconfig="separate"), bits=16),
    "TIFF, 16 bit big-endian": Kind(_tiff(np.uint16, byteorder=">"), bits=16),
    "TIFF, 16 bit tiled": Kind(_tiff(np.uint16, tile=(16, 32)), bits=16),
    "TIFF, 16 bit LZW": Kind(
        _tiff(np.uint16, compression="lzw", predictor=True, rowsperstrip=8), bits=16),
    "TIFF, 16 bit deflate, big-endian": Kind(
        _tiff(np.uint16, byteorder=">", compression="zlib", predictor=True), bits=16),
    "BigTIFF, 16 bit": Kind(_tiff(np.uint16, big=True), bits=16),
    "HEIC": Kind(_heic(8), tolerance=6),
    "HEIC, 10 bit": Kind(_heic(10), bits=16, tolerance=3),
    "HEIC, 12 bit": Kind(_heic(12), bits=16, tolerance=3),
}  # fmt: skip


def suffix_of(kind: str) -> str:
    """The suffix that files of a kind have."""
    return {"JPEG": ".jpg", "PNG": ".png", "WebP": ".webp", "HEIC": ".heic"}.get(
        kind.split(",")[0], ".tif"
    )
