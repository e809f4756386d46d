"""Files that are not photos: what decides before anything is decoded, and the sentence for each.

A file is refused by its first bytes and not by its name, or by the size that its header claims.
"""

import os
import re
from pathlib import Path
from typing import Literal

from enhancer.system.errors import EnhancerError

MAX_PIXELS = 200_000_000
"""Pictures above this are refused by their header; the largest sensors have 150 million pixels."""
HEAD_BYTES = 1024
_DISK_SECTOR_BYTES = 512  # the least that is copied or lost
_MAX_ASPECT = 100  # panoramas of a full turn stay below 20
# Drawings and white pages compress without a limit, and small ones are harmless.
_MIN_BITS_PER_PIXEL, _SMALL_ENOUGH_PIXELS = 0.05, 50_000_000


class PhotoError(EnhancerError):
    """A file that cannot be used as a photo; the message names it, says why and what to do."""


FileKind = Literal["JPEG", "PNG", "TIFF", "WebP", "HEIC", "RAW"]
"""The kinds that are decoded; RAW is not TIFF inside, as DNG, NEF, ARW and most others are."""

_KINDS: dict[bytes, FileKind] = {
    rb"\xff\xd8\xff": "JPEG",
    rb"\x89PNG\r\n\x1a\n": "PNG",
    rb"RIFF....WEBP": "WebP",
    rb"II[*+]\0|MM\0[*+]": "TIFF",
    # Fujifilm, Canon (CR3, CRW), Minolta, Sigma, Olympus, Panasonic.
    rb"FUJIFILMCCD-RAW|....ftypcrx |(II|MM)....HEAPCCDR|\0MRM|FOVb|IIR[OS]|MMOR|IIU\0": "RAW",
}
# Brands of ISO/IEC 23008-12, also where they are only among those that a file is compatible with.
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_HEIF, _AVIF = {b"mif1", b"msf1"}, {b"avif", b"avis"}
_EXPORT = ", a format that is not supported. Export it as a JPEG, PNG or TIFF."
_EXPORT_PHOTO = ". Export the photo in it as a JPEG or TIFF."
_EXPORT_FRAME = ". Export the frame that you want as a JPEG."
_OTHERS = {
    rb"GIF8[79]a": "a GIF. GIFs hold 256 colours, too few for a photo: use the original picture.",
    rb"\0\0\0\x0cJXL |\xff\x0a": "a JPEG XL picture" + _EXPORT,
    rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51": "a JPEG 2000 picture" + _EXPORT,
    rb"8BPS": "a Photoshop document" + _EXPORT,
    rb"BM.{4}\0\0\0\0": "a BMP picture" + _EXPORT,
    rb"v/1\x01|#\?RADIANCE": "an HDR picture" + _EXPORT,
    rb"\s*%PDF": "a PDF document" + _EXPORT_PHOTO,
    rb"%!PS|\xc5\xd0\xd3\xc6": "a PostScript document" + _EXPORT_PHOTO,
    rb"....(ftyp|moov|mdat|wide|free)|RIFF....AVI ": "a video" + _EXPORT_FRAME,
    rb"\x1aE\xdf\xa3|\0\0\x01[\xb3\xba]|FLV|0&\xb2u": "a video" + _EXPORT_FRAME,
    rb"PK\x03\x04|Rar!|7z\xbc\xaf|\x1f\x8b|BZh|\xfd7zXZ": (
        "an archive. Unpack it and choose the photos in it."
    ),
    rb"\0\x05\x16\x07": (
        "the side file that macOS puts beside a photo. Choose the photo of the same name."
    ),
    rb"(?i)\s*(?=<).*<svg": "an SVG drawing. Export it as a PNG or JPEG.",
    rb"(?i)\s*(?=<).*<(!doctype html|html|head|body)": (
        "a web page. Its link may have expired: download the photo again."
    ),
}


def recognise(head: bytes) -> FileKind | None:
    """The kind of photo that a file's first `HEAD_BYTES` belong to, or None."""
    brands = _brands(head)
    if brands & _HEIC or (brands & _HEIF and not brands & _AVIF):
        return "HEIC"
    return next((kind for start, kind in _KINDS.items() if re.match(start, head, re.DOTALL)), None)


def describe_other(head: bytes) -> str | None:
    """What a file is that is not a photo, and what to do about it; None when nobody knows."""
    if _brands(head) & _AVIF:
        return "an AVIF picture" + _EXPORT
    text = head.removeprefix(b"\xef\xbb\xbf")
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = text.decode("utf-16", errors="ignore").encode()
    for start, sentence in _OTHERS.items():
        if re.match(start, text, re.DOTALL):
            return sentence
    try:  # the last character may be cut in two
        is_text = not re.search(r"[\0-\x08\x0e-\x1a]", text[:-4].decode() or text.decode())
    except UnicodeDecodeError:
        return None
    return "a text file. Choose the photo itself." if is_text else None


def _brands(head: bytes) -> set[bytes]:
    """The kinds of file that an ISO base media file says it is."""
    box = head[8 : int.from_bytes(head[:4])] if head[4:8] == b"ftyp" else b""
    return {box[start : start + 4] for start in range(0, len(box), 4)}


def read_head(path: Path) -> bytes:
    """A file's first bytes, unless it cannot be read, is empty, or a folder, pipe or device."""
    try:
        if path.is_dir():
            raise PhotoError(f"{path} is a folder. Name a photo in it.")
        if path.exists() and not path.is_file():  # opening a pipe would wait for a writer
            raise PhotoError(f"{path} is not a file but a pipe, socket or device. Name a photo.")
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError as error:
        raise PhotoError(f"{path} does not exist. Check the path.") from error
    except OSError as error:
        raise PhotoError(
            f"{path} cannot be opened ({error.strerror}). Check the file and its permissions."
        ) from error
    if any(head) or 0 < len(head) < HEAD_BYTES:
        return head
    what = "begins with nothing but zeros: its copy failed" if head else "is empty (0 bytes)"
    raise PhotoError(f"{path.name} {what}. Copy it again from where it came.")


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse what a header claims, in pixels, before anything is allocated for it."""
    num_pixels, num_bytes = width * height, path.stat().st_size
    size, claim = f"{width} x {height}", f"{num_pixels / 1e6:.0f} megapixels ({width} x {height})"
    if width < 1 or height < 1:
        problem = f"has no pixels ({size}). Export it again from your photo editor"
    elif num_pixels > MAX_PIXELS:
        raise too_large(path, claim)
    elif max(width, height) > _MAX_ASPECT * min(width, height):
        problem = f"is {size} pixels: a line and not a photo. Check how it was exported"
    elif num_pixels > _SMALL_ENOUGH_PIXELS and num_bytes * 8 < num_pixels * _MIN_BITS_PER_PIXEL:
        problem = (
            f"claims {claim} in {-(-num_bytes // 1000)} kB, which no photo fits into. "
            "Export it again from your photo editor"
        )
    else:
        return
    raise PhotoError(f"{path.name} {problem}.")


def check_tail(path: Path) -> None:
    """Refuse compressed pixels that end in zeros: the rest of a copy that broke off."""
    with open(path, "rb") as file:
        file.seek(-min(_DISK_SECTOR_BYTES, path.stat().st_size), os.SEEK_END)
        if not any(file.read()):
            raise damaged(path, "its end is nothing but zeros")


def too_large(path: Path, claimed: str = "too many megapixels") -> PhotoError:
    return PhotoError(
        f"{path.name} claims {claimed}; the limit is {MAX_PIXELS / 1e6:.0f} megapixels. "
        "Export it at a smaller size."
    )


def damaged(path: Path, reason: str) -> PhotoError:
    return PhotoError(
        f"{path.name} is damaged, cut off, or not a photo ({reason}). "
        "Open it in a photo editor to check it, or copy it again."
    )


def animated(path: Path, kind: str, num_frames: int) -> PhotoError:
    return PhotoError(
        f"{path.name} is an animated {kind} of {num_frames} frames, and not one photo. "
        "Export the frame that you want."
    )
