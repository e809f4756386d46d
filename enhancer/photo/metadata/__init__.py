"""What an edited copy keeps of the data that came with a photo, byte for byte.

EXIF is patched in place where it describes the original file; of XMP and Photoshop's resources,
the parts that do are cut out. What cannot go along is said in a note.
"""

import contextlib
import dataclasses
import io
import mmap
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from enhancer.photo.metadata import exif, xmp

MetadataPolicy = Literal["keep", "no-gps", "none"]
"""keep: all that people and cameras wrote. no-gps: the same without where it was taken. none:
pixels only."""

EXIF_PREFIX, XMP_PREFIX = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
PHOTOSHOP_PREFIX, PNG_XMP = b"Photoshop 3.0\0", b"XML:com.adobe.xmp\0"
MAX_SEGMENT_BYTES = 65_533  # of a part of a JPEG's header
# Photoshop's resources: thumbnails, profile, EXIF, XMP; records of IPTC that name the place.
_STALE_RESOURCE = re.compile(rb"8BIM\x04[\x09\x0c\x0f\x22\x23\x24]\0\0(.{4})", re.DOTALL)
_IPTC_PLACE = re.compile(rb"\x1c\x02[\x1a\x1b\x5a\x5c\x5f\x64\x65]([\0-\x7f].)", re.DOTALL)
_IPTC_RESOURCE = b"8BIM\x04\x04"
_PLACE_KEYWORD = re.compile(
    rb"(?i)[\w:. ]*(gps|geo|location|city|country|state|province|place|tude)"
)
_CR3_BOXES = {exif.FIRST: b"CMT1", exif.EXIF: b"CMT2", exif.GPS: b"CMT4"}
_CR3_HEAD_BYTES = 1 << 20  # previews follow
_DAMAGED_EXIF = "EXIF is damaged and was left out"


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What belongs to a photo beside its pixels."""

    exif: bytes = b""  # a TIFF structure
    xmp: bytes = b""  # a packet
    photoshop: bytes = b""
    """Photoshop's image resources, captions and credits of IPTC-IIM among them."""
    texts: tuple[tuple[str, bytes], ...] = ()
    """Comments of a JPEG ("COM"), text chunks of a PNG ("tEXt", "zTXt", "iTXt")."""
    density: tuple[int, float, float] | None = None
    """Unit (0 none, 1 inch, 2 centimetre) and pixels per unit, horizontal and vertical."""
    notes: tuple[str, ...] = ()  # what could not be kept

    @classmethod
    def of_info(cls, info: Mapping[Any, Any]) -> "Metadata":
        """What Pillow or pillow-heif found in a file."""
        found = (info.get("exif") or b"").removeprefix(EXIF_PREFIX)
        return cls(found, (info.get("xmp") or b"").removeprefix(XMP_PREFIX))

    def noting(self, *notes: str, **changes: Any) -> "Metadata":
        """A copy with changes and with notes about them."""
        return dataclasses.replace(self, notes=(*self.notes, *notes), **changes)

    @property
    def orientation(self) -> int:
        """That of EXIF, 1 to 8; 1 (upright) when there is none or it makes no sense."""
        with contextlib.suppress(ValueError):
            block = exif.Block(self.exif)
            value = block.integer(block.find(exif.ORIENTATION))
            return value if value in range(1, 9) else 1
        return 1


NOTHING = Metadata()


def kept_metadata(found: Metadata, policy: MetadataPolicy) -> Metadata:
    """What to embed in a copy of a photo that has these data (`Photo.metadata`)."""
    if policy != "no-gps":
        return found if policy == "keep" else NOTHING
    resources = bytearray(found.photoshop)
    for _, start, end in _sized(_IPTC_PLACE, found.photoshop):
        resources[start:end] = b" " * (end - start)
    notes, block = (), b""
    try:
        block = found.exif and exif.without_place(found.exif)
    except ValueError:
        notes = (_DAMAGED_EXIF,)
    kept = found.noting(
        *notes,
        exif=block,
        xmp=found.xmp and xmp.without(found.xmp, xmp.PLACE),
        photoshop=bytes(resources),
        texts=tuple(text for text in found.texts if not _PLACE_KEYWORD.match(text[1])),
    )
    words = kept.texts or kept.photoshop or xmp.WORDS.search(kept.xmp)
    if words or (kept.exif and exif.Block(kept.exif).has_words()):
        return kept.noting("captions, keywords and comments were kept, and may name the place")
    return kept


def of_tiff(path: Path, page: int = 0) -> Metadata:
    """What a TIFF says about the page whose directory lies there, or a RAW that is TIFF inside."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            source = exif.Block(content, page)
            block, notes = exif.rebuilt(source.parts, exif.OF_A_FILE)
        except (ValueError, struct.error):
            return Metadata(notes=(_DAMAGED_EXIF,))
        resources, iptc = source.value(exif.PHOTOSHOP), source.value(exif.IPTC)
        if iptc and _IPTC_RESOURCE not in resources:
            resources += _IPTC_RESOURCE + struct.pack(">HI", 0, len(iptc)) + iptc
            resources += bytes(len(iptc) % 2)
        return Metadata(block, source.value(exif.XMP), resources, notes=tuple(notes))


def of_raw(path: Path, preview: bytes, *, is_tiff: bool) -> Metadata:
    """The same of a camera's RAW, whose preview holds the EXIF where the file does not."""
    found = of_tiff(path) if is_tiff else _of_cr3(path)
    if not found.exif:
        with contextlib.suppress(Exception):
            image = Image.open(io.BytesIO(preview), formats=("JPEG",))
            found = dataclasses.replace(found, exif=Metadata.of_info(image.info).exif)
    if b"dcraw v9" in found.exif:  # which LibRaw puts together
        return found.noting("of its metadata, date, camera and exposure alone could be kept")
    return found if found.exif else found.noting("no EXIF was found in it")


def _of_cr3(path: Path) -> Metadata:
    """What Canon's CR3 says, each of whose directories lies in a box of its own."""
    with open(path, "rb") as file:
        head = file.read(_CR3_HEAD_BYTES)
    parts = {}
    with contextlib.suppress(ValueError):
        for pointer, kind in _CR3_BOXES.items() if head[4:12] == b"ftypcrx " else ():
            start = head.index(kind)
            end = start - 4 + int.from_bytes(head[start - 4 : start])
            parts[pointer] = exif.Block(head[start + 4 : end]).parts[exif.FIRST]
    if not parts:
        return NOTHING
    block, notes = exif.rebuilt(parts, exif.OF_A_FILE)
    return Metadata(block, notes=(*notes, "the maker note of the CR3 was left out"))


def upright(found: Metadata, height: int, width: int) -> Metadata:
    """Make true for an sRGB picture of this size that has been turned upright."""
    notes, block, packet, density = [], b"", found.xmp, found.density
    if density and found.orientation >= 5:
        density = density[0], density[2], density[1]
    try:
        if found.exif:
            block = exif.upright(found.exif, height, width)
            packet = packet or exif.Block(found.exif).value(exif.XMP)
            density = density or _density_of(exif.Block(block))
    except (ValueError, struct.error):
        notes.append(_DAMAGED_EXIF)
    try:
        packet = packet and xmp.without(packet, xmp.STALE)
    except ValueError:
        packet = b""
        notes.append("XMP is damaged and was left out")
    resources, position = b"", 0
    for start, _, end in _sized(_STALE_RESOURCE, found.photoshop):
        resources += found.photoshop[position:start]
        position = end + end % 2
    resources += found.photoshop[position:]
    return found.noting(*notes, exif=block, xmp=packet, photoshop=resources, density=density)


def fitted(found: Metadata, suffix: str) -> Metadata:
    """What a file of this suffix has room for, with notes about the rest."""
    is_jpeg, is_png = suffix in (".jpg", ".jpeg"), suffix == ".png"
    if is_jpeg and len(found.exif) > exif.MAX_BYTES:
        block, _ = exif.rebuilt(exif.Block(found.exif).parts, exif.MAKER_NOTES)
        block, what = (block, "maker note") if len(block) <= exif.MAX_BYTES else (b"", "EXIF")
        found = found.noting(f"the {what}, too large for a JPEG, was left out", exif=block)
    if is_jpeg and len(found.xmp) > MAX_SEGMENT_BYTES - len(XMP_PREFIX):
        found = found.noting("XMP, too large for a JPEG, was left out", xmp=b"")
    texts = tuple(text for text in found.texts if is_png or (is_jpeg and text[0] == "COM"))
    if len(texts) < len(found.texts):
        found = found.noting(
            "comments, which this format has no place for, were left out", texts=texts
        )
    return found


def _density_of(block: exif.Block) -> tuple[int, float, float] | None:
    unit = block.integer(block.find(exif.RESOLUTION_UNIT))
    values = [block.value(tag) for tag in (exif.X_RESOLUTION, exif.Y_RESOLUTION)]
    if unit not in (2, 3) or any(len(value) != 8 or not any(value[4:]) for value in values):
        return None
    (a, b), (c, d) = (struct.unpack(f"{block.order}II", value) for value in values)
    return unit - 1, a / b, c / d


def _sized(pattern: re.Pattern[bytes], block: bytes) -> Iterator[tuple[int, int, int]]:
    """Where each match begins and ends, and what it says the length of which it holds."""
    for match in pattern.finditer(block):
        yield match.start(), match.end(), min(len(block), match.end() + int.from_bytes(match[1]))
