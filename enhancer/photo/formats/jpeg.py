"""Decoding of JPEG files. The test of damage is whether a pixel is missing: decoders grumble about
much else, and paint over with grey what they miss."""

import io
import re
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from enhancer.photo import color, refusal
from enhancer.photo.formats import decoded
from enhancer.photo.formats.decoded import DecodedPhoto
from enhancer.photo.metadata import EXIF_PREFIX, PHOTOSHOP_PREFIX, XMP_PREFIX, Metadata
from enhancer.photo.refusal import PhotoError

_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL, _READ = {0xC0, 0xC1, 0xC9}, {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
_SCAN, _END, _JFIF, _ICC, _ADOBE, _COMMENT = 0xDA, 0xD9, 0xE0, 0xE2, 0xEE, 0xFE
# Tables (Huffman, arithmetic, quantization, restarts), and what is only about the picture.
_TABLES, _ABOUT = {0xC4, 0xCC, 0xDB, 0xDD}, {*range(0xE0, 0xF0), _COMMENT}
_NO_END = "its end marker is missing, and no part of the picture is"
_PLAIN_JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"
_STORED = re.compile(rb"JFIF|JFXX|Adobe|ICC_PROFILE|Ducky")  # how a JPEG is stored
_MARKER = re.compile(rb"\xff+([^\0\xff])")
_AFTER_DATA = re.compile(rb"\xff+([^\0\xff\xd0-\xd7])")  # stuffed bytes and restarts are data
_STUFFED = re.compile(rb"(?:\xff\0)*")
# What telephones put behind their pictures, also behind those without an end: Samsung's own data,
# and videos.
_TRAILER = re.compile(rb"\0\0..[^\0]\0\0\0[A-Z][A-Za-z_]{3}|....ftyp", re.DOTALL)
# Some cameras fill up the last bytes; where more is left over, the decoder lost its place.
_LEFT_OVER = re.compile(r"Corrupt JPEG data: (\d|1[0-6]) extraneous bytes before marker 0xd9")


class _Segment(NamedTuple):
    marker: int
    content: bytes
    data: bytes = b""  # behind the header of a scan


def decode(path: Path) -> DecodedPhoto:
    """Decode a JPEG: grey, YCbCr, RGB, CMYK or YCCK."""
    content = path.read_bytes()
    header, start = _header(content)
    frame = next((part for part in header if part.marker in _FRAMES), _Segment(0, b""))
    if len(frame.content) < 6 or header[-1].marker != _SCAN:
        raise refusal.damaged(path, "its header is cut off")
    bits, height, width, channels = struct.unpack_from(">BHHB", frame.content)
    refusal.check_size(path, width, height)
    if bits != 8 or frame.marker not in _READ:
        kind = f"a JPEG of {bits} bits per channel" if bits != 8 else "a lossless JPEG"
        raise PhotoError(
            f"{path.name} is {kind}, which is not supported. Export it as a JPEG of 8 bits, or as "
            "a TIFF."
        )
    profile, notes = _profile(header)
    found = _metadata(header)
    color_space = {1: "GRAY", 4: "CMYK"}.get(channels, "RGB")
    options: dict[str, Any] = {"colorspace": color_space, "fastdct": False, "fastupsample": False}
    try:
        pixels = simplejpeg.decode_jpeg(content, **options, strict=True)
    except ValueError as error:
        if "Could not determine subsampling" in str(error):  # Pillow can
            with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
                pixels = decoded.pixels_of(image)
                return DecodedPhoto(pixels, profile, found, found.orientation, channels == 4, notes)
        pixels, has_end = _decode_mended(path, content, header, start, options)
        notes += () if has_end else (_NO_END,)
    if channels == 4 and any(map(_is_by_adobe, header)):
        pixels = 255 - pixels  # Adobe's programs store ink as light, and leave their mark
    return DecodedPhoto(pixels, profile, found, found.orientation, channels == 4, notes)


def _header(content: bytes) -> tuple[list[_Segment], int]:
    """The segments up to the first scan's, and where they end."""
    segments, position = [], 2
    while found := _MARKER.search(content, position):
        marker, position = found[1][0], found.end()
        part, end = _part(content, position)
        if marker in _TABLES | _ABOUT | _FRAMES | {_SCAN} and end >= position + 2:
            segments.append(_Segment(marker, part))
            position = end
        if marker in (_SCAN, _END):
            break
    return segments, position


def _part(content: bytes, start: int) -> tuple[bytes, int]:
    """What stands behind a marker, and where it ends."""
    end = start + int.from_bytes(content[start : start + 2])
    return content[start + 2 : end], end


def _metadata(header: list[_Segment]) -> Metadata:
    exif = packet = resources = b""
    density, texts, notes = None, [], {}
    for marker, content, _ in header:
        if marker == _COMMENT:
            texts.append(("COM", content))
        elif content.startswith(EXIF_PREFIX):
            exif += content.removeprefix(EXIF_PREFIX)
        elif content.startswith(XMP_PREFIX):
            packet = content.removeprefix(XMP_PREFIX)
        elif content.startswith(PHOTOSHOP_PREFIX):
            resources += content.removeprefix(PHOTOSHOP_PREFIX)
        elif marker == _JFIF and content.startswith(b"JFIF\0") and len(content) >= 12:
            density = struct.unpack_from(">BHH", content, 7)
        elif content.startswith(b"MPF\0"):
            notes["further pictures in its file, such as previews, were left out"] = None
        elif marker in _ABOUT and not _STORED.match(content):
            notes[f"data of the kind APP{marker & 15} {content[:20]!r} were left out"] = None
    return Metadata(exif, packet, resources, tuple(texts), density, tuple(notes))


def _profile(header: list[_Segment]) -> tuple[bytes | None, tuple[str, ...]]:
    name = b"ICC_PROFILE\0"
    parts = [s.content[12:] for s in header if s.marker == _ICC and s.content.startswith(name)]
    if not parts:
        return None, ()
    parts.sort(key=lambda part: part[0])
    if [tuple(part[:2]) for part in parts] == [(i + 1, len(parts)) for i in range(len(parts))]:
        return b"".join(part[2:] for part in parts), ()
    # Numbered wrongly, or there twice. It is used if it is as long as it says.
    profile = b"".join(dict.fromkeys(part[2:] for part in parts))
    if int.from_bytes(profile[:4]) != len(profile) or profile[36:40] != b"acsp":
        return color.UNREADABLE, ()
    return profile, ("its colour profile is stored in misnumbered parts, and was used",)


def _decode_mended(
    path: Path, content: bytes, header: list[_Segment], start: int, options: dict[str, Any]
) -> tuple[np.ndarray, bool]:
    """Pixels of a JPEG that the decoder grumbles about, and whether it has an end. Without all
    that is not the picture, what the decoder says is about that."""
    segments, has_end = _picture(content, header, start)
    content, warning = b"\xff\xd8", ""
    for marker, part, data in segments:
        content += struct.pack(">BBH", 0xFF, marker, 2 + len(part)) + part + data
    for _ in range(2):
        try:
            pixels = simplejpeg.decode_jpeg(content + b"\xff\xd9", **options, strict=True)
            break
        except ValueError as error:
            warning, left_over = str(error), _LEFT_OVER.match(str(error))
            content = content[: -int(left_over[1])] if left_over else content
    else:
        raise refusal.damaged(path, f"a part of the picture is missing: {warning}")
    if not _is_complete(segments):
        raise refusal.damaged(path, "a part of the picture is missing: its last scans")
    return pixels, has_end


def _picture(content: bytes, header: list[_Segment], start: int) -> tuple[list[_Segment], bool]:
    """The tables and scans that the pixels need; and whether the file has an end."""
    segments = []
    for part in header:
        if part.marker == _JFIF and part.content.startswith(b"JFIF\0"):
            segments.append(part._replace(content=_PLAIN_JFIF))
        elif _is_by_adobe(part):  # of its ways to store colours, what is unknown is taken for 2
            transform = bytes(min(number, 2) for number in part.content[11:12])
            segments.append(part._replace(content=part.content[:11] + transform))
        elif part.marker not in _ABOUT:
            segments.append(part)
    is_sequential = any(part.marker in _SEQUENTIAL for part in header)
    while True:
        found = _AFTER_DATA.search(content, start)
        data = content[start : found.start() if found else None]
        if trailer := _TRAILER.search(data):
            data = data[: trailer.start()]
        # Fill bytes go, but for those that stand for 255 in the data.
        kept = data.rstrip(b"\0\xff")
        scan = segments[-1]._replace(data=kept + _STUFFED.findall(data, len(kept))[0])
        if is_sequential:  # some programs write nonsense here
            scan = scan._replace(content=scan.content[:-3] + b"\0\x3f\0")
        segments[-1] = scan
        while found and found[1][0] in _TABLES | _ABOUT:
            table, end = _part(content, found.end())
            if found[1][0] in _TABLES:
                segments.append(_Segment(found[1][0], table))
            found = _AFTER_DATA.search(content, end)
        if not found or found[1][0] != _SCAN:
            return segments, bool(found and found[1][0] == _END)
        part, start = _part(content, found.end())
        segments.append(_Segment(_SCAN, part))


def _is_by_adobe(part: _Segment) -> bool:
    return part.marker == _ADOBE and part.content.startswith(b"Adobe")


def _is_complete(segments: list[_Segment]) -> bool:
    """Whether the scans hold all bits of every coefficient (ITU-T T.81, G.1.1.1)."""
    frame = next(part.content for part in segments if part.marker in _FRAMES)
    missing = {(component, k) for component in frame[6::3] for k in range(64)}
    for scan in (part.content for part in segments if part.marker == _SCAN):
        first, last, bits = scan[-3:]
        if bits & 15 == 0:
            missing -= {(c, k) for c in scan[1:-3:2] for k in range(first, last + 1)}
    return not missing
