"""Captions, credits, copyright, keywords and ratings of a photo: what an edited copy keeps of its XMP and IPTC data.

Only what people wrote about the photo is carried over. The rest of an XMP packet describes the file it came from (its
orientation, the settings of its RAW converter, gain maps, its history), and would be wrong in another one: editors
would turn or develop the copy again. The packet that is made never holds coordinates; those are in the EXIF block.

References: Adobe, XMP Specification, part 1 (2012); IPTC Photo Metadata Standard 2023.1.
"""

import contextlib
import copy
import re
import struct
import xml.etree.ElementTree as ET
from pathlib import Path

from PIL import Image

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
    _PHOTOSHOP: {
        "AuthorsPosition",
        "CaptionWriter",
        "City",
        "Country",
        "Credit",
        "DateCreated",
        "Headline",
    }
    | {"Instructions", "Source", "State", "TransmissionReference", "Urgency"},
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
_MAX_BYTES = 65_000  # of one block in a JPEG

for _namespace, _prefix in _PREFIXES.items():
    ET.register_namespace(_prefix, _namespace)


def from_image(image: Image.Image) -> bytes | None:
    """Return the packet for an edited copy of an image whose file is open; None when nobody wrote anything."""
    # Metadata that nobody can read is no reason to refuse a photo.
    try:
        iptc = image.info.get("photoshop", {}).get(_IPTC_RESOURCE) or _iptc_of(image.getexif())
    except Exception:
        iptc = b""
    return _packet(image.info.get("xmp"), iptc)


def from_tiff(path: Path) -> bytes | None:
    """Return the packet for an edited copy of a TIFF, or of a RAW file that is TIFF inside."""
    with contextlib.suppress(Exception), open(path, "rb") as file:
        tags = Image.Exif()
        tags.load_from_fp(file)
        return _packet(tags.get(_XMP_TAG), _iptc_of(tags))
    return None


def _iptc_of(tags: Image.Exif) -> bytes:
    iptc = tags.get(_IPTC_TAG, b"")
    if isinstance(iptc, bytes):
        return iptc
    # Photoshop declares the bytes to be 32-bit numbers.
    return struct.pack(f"{tags.endian}{len(iptc)}I", *iptc)


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
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        + ET.tostring(rdf, encoding="unicode").encode()
        + b"</x:xmpmeta>"
    )
    packet = (
        b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        + packet
        + b'<?xpacket end="w"?>'
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


def _is_written(name: str) -> bool:
    namespace, _, local = name.removeprefix("{").partition("}")
    if namespace in _WRITTEN:
        return local in _WRITTEN[namespace]
    return namespace in _PREFIXES and namespace != _RDF and name != f"{{{_DC}}}format"


def _known_parts(element: ET.Element) -> ET.Element:
    """Copy an element without parts of unknown meaning, coordinates among them."""
    element = copy.deepcopy(element)
    for parent in list(element.iter()):
        for child in list(parent):
            if child.tag.removeprefix("{").partition("}")[0] not in _PREFIXES:
                parent.remove(child)
        for name in list(parent.attrib):
            if name != _LANGUAGE and name.removeprefix("{").partition("}")[0] not in _PREFIXES:
                del parent.attrib[name]
    return element


def _add_iptc(records: dict[int, list[bytes]], written: ET.Element) -> None:
    """Add what the older IPTC block says and XMP does not."""
    for number, (namespace, local, kind) in _IPTC.items():
        name = f"{{{namespace}}}{local}"
        texts = [_decode(value) for value in records.get(number, ())]
        if not texts or written.find(name) is not None:
            continue
        element = ET.SubElement(written, name)
        if kind is None:
            element.text = texts[0]
            continue
        array = ET.SubElement(element, f"{{{_RDF}}}{kind}")
        for text in texts:
            item = ET.SubElement(
                array, f"{{{_RDF}}}li", {_LANGUAGE: "x-default"} if kind == "Alt" else {}
            )
            item.text = text


def _decode(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return re.sub(r"[\0-\x08\x0b\x0c\x0e-\x1f]", "", text)  # not allowed in XML
