"""What an edited copy keeps of the data that came with a photo: its EXIF block and an XMP packet.

EXIF is carried over but for what describes the original file. Of XMP and IPTC only what people
wrote is (captions, credits, copyright, keywords, ratings): the rest describes the file it came
from, and editors would turn or develop the copy again. Coordinates are in the EXIF block alone.

References: Adobe, XMP Specification, part 1 (2012); IPTC Photo Metadata Standard 2023.1.
"""

import contextlib
import copy
import io
import re
import struct
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Literal, TypedDict

from PIL import ExifTags, Image

MetadataPolicy = Literal["keep", "no-gps", "none"]
"""keep: EXIF, captions, credits and copyright. no-gps: the same without where it was taken. none:
pixels only."""

_MAX_BYTES = 65_000  # of one block in a JPEG
# How the original file stores its pixels, its profile, previews and metadata blocks.
_STORAGE_TAGS = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 301, 317, 318, 319, 320}
    | {322, 323, 324, 325, 330, 338, 339, 347, 513, 514, 529, 530, 531, 532, 33421, 33422}
    | {700, 33723, 34377, 34675}
)
_DNG_TAGS = range(50706, 52553)
_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
# How the original is compressed, and its colours (the interoperability index names Adobe RGB).
_STALE_DETAILS = (
    ExifTags.Base.ComponentsConfiguration,
    ExifTags.Base.CompressedBitsPerPixel,
    ExifTags.Base.ExifInteroperabilityOffset,
    ExifTags.Base.Gamma,
)
_SRGB = 1
_BIG_TIFF_MAGIC = (b"II+\0", b"MM\0+")

_RDF, _DC = "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "http://purl.org/dc/elements/1.1/"
_PHOTOSHOP, _XMP = "http://ns.adobe.com/photoshop/1.0/", "http://ns.adobe.com/xap/1.0/"
_PREFIXES = {
    _RDF: "rdf",
    _DC: "dc",
    _PHOTOSHOP: "photoshop",
    _XMP: "xmp",
    "http://ns.adobe.com/xap/1.0/rights/": "xmpRights",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://ns.useplus.org/ldf/xmp/1.0/": "plus",
    "http://ns.adobe.com/lightroom/1.0/": "lr",
}
# Of these two, the parts that people write; of Dublin Core, not the file format.
_WRITTEN = {
    _PHOTOSHOP: {"AuthorsPosition", "CaptionWriter", "City", "Country", "Credit", "DateCreated"}
    | {"Headline", "Instructions", "Source", "State", "TransmissionReference", "Urgency"},
    _XMP: {"Rating", "Label"},
}
# IPTC-IIM record 2 -> XMP property and the kind of list that it is.
_IPTC = {
    5: (_DC, "title", "Alt"),
    25: (_DC, "subject", "Bag"),
    40: (_PHOTOSHOP, "Instructions", None),
    80: (_DC, "creator", "Seq"),
    90: (_PHOTOSHOP, "City", None),
    95: (_PHOTOSHOP, "State", None),
    101: (_PHOTOSHOP, "Country", None),
    105: (_PHOTOSHOP, "Headline", None),
    110: (_PHOTOSHOP, "Credit", None),
    115: (_PHOTOSHOP, "Source", None),
    116: (_DC, "rights", "Alt"),
    120: (_DC, "description", "Alt"),
}
_IPTC_MARKER, _IPTC_RESOURCE = 0x1C, 0x0404
_XMP_TAG, _IPTC_TAG = 700, 33723  # of TIFF
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"

for _namespace, _prefix in _PREFIXES.items():
    ET.register_namespace(_prefix, _namespace)


class Blocks(TypedDict):
    """Arguments of `enhancer.photo.io.write_photo`."""

    exif: bytes | None
    xmp: bytes | None


def kept_metadata(exif: bytes | None, xmp: bytes | None, policy: MetadataPolicy) -> Blocks:
    """What to embed in a copy of a photo that has these blocks (`Photo.exif`, `Photo.xmp`)."""
    if policy == "none":
        return {"exif": None, "xmp": None}
    return {"exif": _without_gps(exif) if exif and policy == "no-gps" else exif, "xmp": xmp}


def of_image(image: Image.Image) -> tuple[Image.Exif | None, bytes | None]:
    """EXIF to carry over and an XMP packet, of an image whose file is open."""
    tags, iptc = Image.Exif(), b""
    # Cameras and editors write metadata that no library can read; the photo matters more.
    with contextlib.suppress(Exception):
        tags = image.getexif()
        iptc = image.info.get("photoshop", {}).get(_IPTC_RESOURCE) or _iptc_of(tags)
    return _carried(tags), _packet(image.info.get("xmp"), iptc)


def of_tiff(path: Path) -> tuple[Image.Exif | None, bytes | None]:
    """The same of a TIFF, or of a RAW that is TIFF inside (DNG, NEF, ...)."""
    with contextlib.suppress(Exception), open(path, "rb") as file:
        if file.read(4) in _BIG_TIFF_MAGIC:  # which Pillow's TIFF reader alone can read
            with Image.open(path, formats=("TIFF",)) as image:
                return of_image(image)
        file.seek(0)
        tags, packet = Image.Exif(), None
        tags.load_from_fp(file)
        with contextlib.suppress(Exception):
            packet = _packet(tags.get(_XMP_TAG), _iptc_of(tags))
        return _carried(tags), packet
    return None, None


def exif_of_jpeg(content: bytes | None) -> Image.Exif | None:
    """EXIF to carry over from a JPEG such as a camera's preview; None without one."""
    with (
        contextlib.suppress(Exception),
        Image.open(io.BytesIO(content or b""), formats=("JPEG",)) as image,
    ):
        return _carried(image.getexif())
    return None


def orientation(exif: Image.Exif | None) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) when there is none or it makes no sense."""
    value = exif.get(ExifTags.Base.Orientation, 1) if exif else 1
    return value if value in range(1, 9) else 1


def upright_exif(exif: Image.Exif | None, height: int, width: int) -> bytes | None:
    """Serialise for an sRGB picture of this size that has been turned upright; None if impossible.

    The thumbnail, which shows the photo before the edit, is left out.
    """
    if not exif:
        return None
    if details := exif.get_ifd(ExifTags.IFD.Exif):
        details[ExifTags.Base.ExifImageHeight] = height
        details[ExifTags.Base.ExifImageWidth] = width
        details[ExifTags.Base.ColorSpace] = _SRGB
    exif[ExifTags.Base.Orientation] = 1
    try:
        block = exif.tobytes()
        if len(block) > _MAX_BYTES:
            exif.get_ifd(ExifTags.IFD.Exif).pop(ExifTags.Base.MakerNote, None)
            block = exif.tobytes()
    except Exception:
        return None
    return block if len(block) <= _MAX_BYTES else None


def _without_gps(block: bytes) -> bytes:
    """Remove where a photo was taken, and the maker's notes, which may repeat it."""
    exif = Image.Exif()
    exif.load(block)
    kept = _copy(exif, (ExifTags.IFD.Exif,))
    kept.get_ifd(ExifTags.IFD.Exif).pop(ExifTags.Base.MakerNote, None)
    return kept.tobytes()


def _carried(exif: Image.Exif) -> Image.Exif | None:
    with contextlib.suppress(Exception):
        return _copy(exif)
    return None


def _copy(exif: Image.Exif, directories: tuple[ExifTags.IFD, ...] = _DIRECTORIES) -> Image.Exif:
    copied = Image.Exif()
    for tag, value in exif.items():
        if tag not in _STORAGE_TAGS and tag not in _DNG_TAGS and tag not in _DIRECTORIES:
            copied[tag] = value
    for directory in directories:
        entries = exif.get_ifd(directory).items()
        if values := {tag: value for tag, value in entries if tag not in _STALE_DETAILS}:
            copied.get_ifd(directory).update(values)
    return copied


def _iptc_of(tags: Image.Exif) -> bytes:
    iptc = tags.get(_IPTC_TAG, b"")
    # Photoshop declares the bytes to be 32-bit numbers.
    return iptc if isinstance(iptc, bytes) else struct.pack(f"{tags.endian}{len(iptc)}I", *iptc)


def _iptc_records(block: bytes) -> dict[int, list[bytes]]:
    """Split an IPTC-IIM block into the values of record 2, by their number."""
    records: dict[int, list[bytes]] = {}
    position = 0
    while position + 5 <= len(block) and block[position] == _IPTC_MARKER:
        record, number, length = struct.unpack_from(">BBH", block, position + 1)
        position += 5
        if record == 2:
            records.setdefault(number, []).append(block[position : position + length])
        position += length
    return records


def _packet(source: bytes | str | None, iptc: bytes) -> bytes | None:
    written = ET.Element(f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""})
    with contextlib.suppress(ET.ParseError, ValueError, TypeError):
        _copy_written(_parse(source), written)
    _add_iptc(_iptc_records(iptc), written)
    if not len(written):
        return None
    rdf = ET.Element(f"{{{_RDF}}}RDF")
    rdf.append(written)
    packet = (
        b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        + ET.tostring(rdf, encoding="unicode").encode()
        + b'</x:xmpmeta><?xpacket end="w"?>'
    )
    return packet if len(packet) <= _MAX_BYTES else None


def _parse(source: bytes | str | None) -> ET.Element:
    text = source.encode() if isinstance(source, str) else bytes(source or b"")
    # XMP has no document type; what defines entities means harm.
    if re.search(rb"<!(DOCTYPE|ENTITY)", text):
        raise ValueError("an XMP packet with a document type")
    return ET.fromstring(text.strip(b"\0 \r\n\t"))


def _copy_written(packet: ET.Element, written: ET.Element) -> None:
    for description in packet.iter(f"{{{_RDF}}}Description"):
        for name, value in description.attrib.items():  # the short form of simple properties
            if _is_written(name) and written.find(name) is None:
                ET.SubElement(written, name).text = value
        for element in description:
            if _is_written(element.tag) and written.find(element.tag) is None:
                written.append(_known_parts(element))


def _namespace_of(name: str) -> str:
    return name.removeprefix("{").partition("}")[0]


def _is_written(name: str) -> bool:
    namespace = _namespace_of(name)
    if namespace in _WRITTEN:
        return name.rpartition("}")[2] in _WRITTEN[namespace]
    return namespace in _PREFIXES and namespace != _RDF and name != f"{{{_DC}}}format"


def _known_parts(element: ET.Element) -> ET.Element:
    """Copy an element without parts of unknown meaning, coordinates among them."""
    element = copy.deepcopy(element)
    for parent in list(element.iter()):
        for child in list(parent):
            if _namespace_of(child.tag) not in _PREFIXES:
                parent.remove(child)
        for name in list(parent.attrib):
            if name != _LANGUAGE and _namespace_of(name) not in _PREFIXES:
                del parent.attrib[name]
    return element


def _add_iptc(records: dict[int, list[bytes]], written: ET.Element) -> None:
    """Add what the older IPTC block says and XMP does not."""
    for number, (namespace, local, kind) in _IPTC.items():
        name = f"{{{namespace}}}{local}"
        texts = [_text(value) for value in records.get(number, ())]
        if not texts or written.find(name) is not None:
            continue
        element = ET.SubElement(written, name)
        if kind is None:
            element.text = texts[0]
            continue
        array = ET.SubElement(element, f"{{{_RDF}}}{kind}")
        language = {_LANGUAGE: "x-default"} if kind == "Alt" else {}
        for text in texts:
            ET.SubElement(array, f"{{{_RDF}}}li", language).text = text


def _text(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return re.sub(r"[\0-\x08\x0b\x0c\x0e-\x1f]", "", text)  # not allowed in XML
