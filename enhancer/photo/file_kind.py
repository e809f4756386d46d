"""What a file is, from its first bytes and not from its name."""

import enum
import re

HEAD_BYTES = 1024


class FileKind(enum.Enum):
    """The kinds that are decoded; all others are described in words."""

    JPEG = "JPEG"
    PNG = "PNG"
    TIFF = "TIFF"
    WEBP = "WebP"
    HEIC = "HEIC"
    RAW = "camera RAW"
    """Unlike TIFF of any kind; DNG, NEF, ARW and most others are TIFFs inside."""


_KINDS = (
    (rb"\xff\xd8\xff", FileKind.JPEG),
    (rb"\x89PNG\r\n\x1a\n", FileKind.PNG),
    (rb"RIFF....WEBP", FileKind.WEBP),
    (rb"....ftyp(heic|heix|heim|heis|hevc|hevx|hevm|hevs|mif1|msf1)", FileKind.HEIC),
    # Fujifilm, Canon (CR3, CRW), Minolta, Sigma, Olympus, Panasonic.
    (
        rb"FUJIFILMCCD-RAW|....ftypcrx |(II|MM)....HEAPCCDR|\0MRM|FOVb|IIR[OS]|MMOR|IIU\0",
        FileKind.RAW,
    ),
    (rb"II[*+]\0|MM\0[*+]", FileKind.TIFF),
)
_FILES = "a text file", "Choose the photo itself."
_EXPORT = "Export it as a JPEG, PNG or TIFF."
_NO_PHOTOS = (
    (
        rb"GIF8[79]a",
        "a GIF",
        "GIFs hold 256 colours, too few for a photo: use the original picture.",
    ),
    (rb"....ftyp(avif|avis)", "an AVIF picture, a format that is not supported", _EXPORT),
    (rb"\0\0\0\x0cJXL |\xff\x0a", "a JPEG XL picture, a format that is not supported", _EXPORT),
    (
        rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
        "a JPEG 2000 picture, a format that is not supported",
        _EXPORT,
    ),
    (rb"8BPS", "a Photoshop document, a format that is not supported", _EXPORT),
    (rb"BM.{4}\0\0\0\0", "a BMP picture, a format that is not supported", _EXPORT),
    (rb"v/1\x01|#\?RADIANCE", "an HDR picture, a format that is not supported", _EXPORT),
    (rb"\s*%PDF", "a PDF document", "Export the photo in it as a JPEG or TIFF."),
    (
        rb"%!PS|\xc5\xd0\xd3\xc6",
        "a PostScript document",
        "Export the photo in it as a JPEG or TIFF.",
    ),
    (
        rb"....(ftyp|moov|mdat|wide|free)|RIFF....AVI |\x1aE\xdf\xa3|\0\0\x01[\xb3\xba]|FLV|0&\xb2u",
        "a video",
        "Export the frame that you want as a JPEG.",
    ),
    (
        rb"PK\x03\x04|Rar!|7z\xbc\xaf|\x1f\x8b|BZh|\xfd7zXZ",
        "an archive",
        "Unpack it and choose the photos in it.",
    ),
    (
        rb"\0\x05\x16\x07",
        "the side file that macOS puts beside a photo",
        "Choose the photo of the same name.",
    ),
)
_MARKUP = (
    (rb"<svg", "an SVG drawing", "Export it as a PNG or JPEG."),
    (
        rb"<!doctype html|<html|<head|<body",
        "a web page",
        "Its link may have expired: download the photo again.",
    ),
)


def recognise(head: bytes) -> FileKind | None:
    """Return which kind of photo a file's first `HEAD_BYTES` belong to, or None."""
    for pattern, kind in _KINDS:
        if re.match(pattern, head, re.DOTALL):
            return kind
    return None


def describe_other(head: bytes) -> tuple[str, str] | None:
    """Say in words what a file is that is no photo, and what to do; None when nobody knows.

    Returns:
        Such as `("a PDF document", "Export the photo in it as a JPEG or TIFF.")`.
    """
    for pattern, name, advice in _NO_PHOTOS:
        if re.match(pattern, head, re.DOTALL):
            return name, advice
    text = head.removeprefix(b"\xef\xbb\xbf")
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = text.decode("utf-16", errors="ignore").encode()
    for pattern, name, advice in _MARKUP:
        if text.lstrip().startswith(b"<") and re.search(pattern, text, re.IGNORECASE):
            return name, advice
    try:
        # The last character may be cut in two.
        is_text = not re.search(r"[\0-\x08\x0e-\x1a]", text[:-4].decode() or text.decode())
    except UnicodeDecodeError:
        return None
    return _FILES if is_text else None
