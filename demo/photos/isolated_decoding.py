"""Read an uploaded photo so that no file can take the server down.

JPEG and 8-bit PNG, whose size is known from the header and whose decoders are as well tested as
decoders get, are read here. Everything else (camera RAW, HEIC, TIFF, WebP, 16-bit PNG, files of
unknown content) is read by a process of its own, whose memory and time are limited, and which may
die.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from demo.photos.limits import Limits
from enhancer.photo.io import RAW_SUFFIXES, Photo, PhotoError, read_photo
from enhancer.photo.metadata import Metadata

_PLAIN = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG"}
_DECODER = "import sys; from demo.photos.decoder_process import main; sys.exit(main())"
_PACKAGES = Path(__file__).resolve().parents[2]


def read_upload(path: Path, limits: Limits) -> Photo:
    """Decode a photo at its own depth, see `enhancer.photo.io.read_photo`.

    Raises:
        PhotoError: whatever is wrong with the file, or that it exceeds `limits`.
    """
    size = _size_of_plain(path)
    if size is None:
        return _read_in_process(path, limits)
    if size[0] * size[1] > limits.megapixels * 1e6:
        raise PhotoError(
            f"{path.name} has {size[0]} × {size[1]} pixels, and this server takes at most "
            f"{limits.megapixels} megapixels. Export it at a smaller size."
        )
    return read_photo(path, keep_depth=True)


def _size_of_plain(path: Path) -> tuple[int, int] | None:
    """Width and height from the header of a JPEG or 8-bit PNG; None for everything else."""
    with open(path, "rb") as file:
        head = file.read(32)
    is_deep_png = head.startswith(b"\x89PNG") and head[24:25] == b"\x10"
    if is_deep_png or path.suffix.lower() in RAW_SUFFIXES or not head.startswith(tuple(_PLAIN)):
        return None
    try:
        with Image.open(path, formats=tuple(_PLAIN.values())) as image:
            return image.size
    except Exception:  # Pillow raises whatever comes up
        return None


def _read_in_process(path: Path, limits: Limits) -> Photo:
    request = {
        "path": str(path),
        "bytes": limits.decoder_megabytes * 1_000_000,
        "seconds": limits.decoder_seconds,
        "pixels": limits.megapixels * 1_000_000,
    }
    try:
        decoder = subprocess.run(
            [sys.executable, "-c", _DECODER],
            input=json.dumps(request).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            timeout=limits.decoder_seconds,
            start_new_session=True,  # Ctrl-C is for the server, which finishes the photo in hand
        )
    except subprocess.TimeoutExpired:
        raise PhotoError(
            f"{path.name} was not decoded within {limits.decoder_seconds} seconds, the limit. "
            "Export it as a JPEG or TIFF from your photo editor."
        ) from None
    if decoder.returncode != 0:
        raise PhotoError(
            f"{path.name} could not be decoded: its decoder was stopped, because it crashed or "
            "needed more memory than this server allows. Export it as a JPEG from your editor."
        )
    return _photo_of(decoder.stdout, path)


def _photo_of(output: bytes, path: Path) -> Photo:
    line, pixels = output.split(b"\n", 1)
    header = json.loads(line)
    if header.get("no_memory"):
        raise PhotoError(
            f"{path.name} needs more memory to decode than this server allows. "
            "Export it at a smaller size, or as a JPEG."
        )
    if "problem" in header:
        raise PhotoError(header["problem"])
    found = header["metadata"]
    for name in ("exif", "xmp", "photoshop"):
        found[name] = found[name].encode("latin-1")
    found["texts"] = tuple((kind, text.encode("latin-1")) for kind, text in found["texts"])
    found["density"] = found["density"] and tuple(found["density"])
    found["notes"] = tuple(found["notes"])
    array = np.frombuffer(pixels, header["dtype"]).reshape(header["shape"])
    return Photo(array, Metadata(**found), tuple(header["notes"]))


def _environment() -> dict[str, str]:
    # One thread each: thread stacks and arenas are what fills an address space first.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")
    search_path = os.pathsep.join([str(_PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])])
    # What decodes files of strangers is told no passwords.
    public = {name: value for name, value in os.environ.items() if "PASSWORD" not in name}
    return {**public, **threads, "PYTHONPATH": search_path}
