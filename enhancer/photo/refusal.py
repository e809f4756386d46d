"""Files that are no photos: the one place that decides before anything is decoded, and the sentence for each.

A file is refused by what it is (`check_file`) or by the size that its header claims (`check_size`). Damage that only
decoding shows is reported by the decoders.
"""

import os
import stat
from pathlib import Path

from enhancer.photo.file_kind import HEAD_BYTES
from enhancer.system.errors import EnhancerError

MAX_PIXELS = 200_000_000
"""Pictures above this are refused from their header; the largest camera sensors have 150 million pixels."""

_DISK_SECTOR_BYTES = 512  # the least that is copied or lost
_MAX_ASPECT = 100  # panoramas of a full turn stay below 20
# Drawings and white pages compress without a limit, and small ones are harmless. No real photo is near half of this.
_MIN_BITS_PER_PIXEL, _SMALL_ENOUGH_PIXELS = 0.05, 50_000_000


class PhotoError(EnhancerError, ValueError):
    """A file that cannot be used as a photo; the message names it, says why and what to do."""


def read_head(path: Path) -> bytes:
    """Return a file's first bytes, `file_kind.HEAD_BYTES` at most.

    Raises:
        PhotoError: there is no such file, it cannot be read, it is none (a folder, a pipe, a device), or it is empty.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise PhotoError(f"{path} is a folder. Name a photo in it.")
        if not stat.S_ISREG(
            status.st_mode
        ):  # opening a pipe would wait for somebody to write to it
            raise PhotoError(f"{path} is no file but a pipe, socket or device. Name a photo.")
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError as error:
        raise PhotoError(f"{path} does not exist. Check the path.") from error
    except OSError as error:
        raise PhotoError(
            f"{path} cannot be opened ({error.strerror}). Check the file and its permissions."
        ) from error
    if not head:
        raise PhotoError(f"{path.name} is empty (0 bytes). Copy it again from where it came.")
    if len(head) == HEAD_BYTES and not any(head):
        raise PhotoError(
            f"{path.name} begins with nothing but zeros: its copy failed. Copy it again from the source."
        )
    return head


def check_size(path: Path, width: int, height: int, *, bytes_per_pixel: int = 3) -> None:
    """Refuse what a header claims before anything is allocated for it.

    Args:
        path: the file, for its name and its length.
        width, height: in pixels, as the header has them.
        bytes_per_pixel: of the decoded picture; no photo has more than eight (four channels of 16 bit).

    Raises:
        PhotoError: no pixels, too many, a line, or more pixels than the file can hold.
    """
    name, num_pixels = path.name, width * height
    if width < 1 or height < 1:
        raise PhotoError(
            f"{name} has no pixels ({width} x {height}). Export it again from your photo editor."
        )
    if num_pixels > MAX_PIXELS:
        raise too_large(path, f"{num_pixels / 1e6:.0f} megapixels ({width} x {height})")
    if bytes_per_pixel > 8:
        raise PhotoError(
            f"{name} has {bytes_per_pixel} bytes per pixel, a photo 8 at most. Export it as an RGB TIFF."
        )
    if max(width, height) > _MAX_ASPECT * min(width, height):
        raise PhotoError(
            f"{name} is {width} x {height} pixels: a line and no photo. Check how it was exported."
        )
    num_bytes = path.stat().st_size
    if num_pixels > _SMALL_ENOUGH_PIXELS and num_bytes * 8 < num_pixels * _MIN_BITS_PER_PIXEL:
        raise PhotoError(
            f"{name} claims {num_pixels / 1e6:.0f} megapixels ({width} x {height}) in {-(-num_bytes // 1000)} kB, which "
            "no photo fits into. Export it again from your photo editor."
        )


def check_tail(path: Path) -> None:
    """Refuse a file of entropy-coded pixels whose end is nothing but zeros: room that was made for a copy which broke off.

    Raises:
        PhotoError: it is one.
    """
    with open(path, "rb") as file:
        file.seek(-min(_DISK_SECTOR_BYTES, path.stat().st_size), os.SEEK_END)
        if not any(file.read()):
            raise damaged(path, "its end is nothing but zeros")


def too_large(path: Path, claimed: str = "more megapixels than anyone's camera has") -> PhotoError:
    """Say that a picture is above the limit."""
    return PhotoError(
        f"{path.name} claims {claimed}; the limit is {MAX_PIXELS / 1e6:.0f} megapixels. Export it at a smaller size."
    )


def damaged(path: Path, reason: str) -> PhotoError:
    """Say that a file cannot be decoded, or only in part."""
    return PhotoError(
        f"{path.name} is damaged, cut off, or not a photo ({reason}). "
        "Open it in a photo editor to check it, or copy it again."
    )


def animated(path: Path, kind: str, num_frames: int) -> PhotoError:
    """Say that a file holds more than one moment."""
    return PhotoError(
        f"{path.name} is an animated {kind} of {num_frames} frames, and not one photo. Export the frame that you want."
    )
