"""XMP packets, from which properties are cut out; what stays keeps its bytes.

References: Adobe, XMP Specification, part 1 (2012); IPTC Photo Metadata Standard 2023.1.
"""

import re
from xml.parsers import expat

# Namespace, space, name of what describes the old file, or would make programs turn, develop or
# unfold the copy again; of places; of descriptions and comments.
STALE = re.compile(
    r"http://ns\.adobe\.com/(camera-raw-settings|hdr-gain-map|xmp/note)/.*"
    r"|http://ns\.apple\.com/HDR.*|http://ns\.google\.com/photos/(?!.*/panorama/).*"
    r"|http://ns\.adobe\.com/(tiff|exif)/1\.0/ (Orientation|ColorSpace|NativeDigest|YCbCr.*"
    r"|ImageWidth|ImageLength|Pixel.Dimension|BitsPerSample|Compress.*|PhotometricInterpretation"
    r"|SamplesPerPixel|PlanarConfiguration|ComponentsConfiguration)"
    r"|.* (Thumbnails|ColorMode|ICCProfile|format)"
)
PLACE = re.compile(
    r"(?i).* \w*(GPS|Geo|Location|City|Country|State|Province|Place|Latitude|Longitude|Altitude"
    r"|Coverage|WorldRegion)\w*"
)
WORDS = re.compile(
    rb":(description|title|subject|\w*Headline|Event|Instructions|\w*Comment|\w*Keyword|TagsList)\b"
)
_TAG = re.compile(rb"""</?(?:[^<>"']|"[^"]*"|'[^']*')*>""")
_ATTRIBUTE = re.compile(rb"""\s+(?!xmlns[:=\s])[^\s=<>/]+\s*=\s*(?:"[^"]*"|'[^']*')""")


def without(packet: bytes, names: re.Pattern[str]) -> bytes:
    """Cut out the properties whose namespace and name match; ValueError where it is not XML in
    UTF-8, or has a document type, which XMP has not."""
    packet = packet.rstrip(b"\0")
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.ordered_attributes = True
    begun: list[re.Match[bytes]] = []
    parts: list[tuple[int, int]] = []

    def tag_here() -> re.Match[bytes]:
        if not (tag := _TAG.match(packet, parser.CurrentByteIndex)):
            raise ValueError("not UTF-8")
        return tag

    def begin(_: str, attributes: list[str]) -> None:
        begun.append(tag_here())
        written = _ATTRIBUTE.finditer(packet, *begun[-1].span())
        for attribute, name in zip(written, attributes[::2], strict=True):
            if names.fullmatch(name):
                parts.append(attribute.span())

    def end(name: str) -> None:
        tag = begun.pop()
        if names.fullmatch(name):
            is_empty = tag[0].endswith(b"/>")
            parts.append((tag.start(), (tag if is_empty else tag_here()).end()))

    def refuse(*_: object) -> None:
        raise ValueError("an XMP packet with a document type, which means harm")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    try:
        parser.Parse(packet, True)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from error
    kept, position = b"", 0
    for start, stop in sorted(parts):
        kept += packet[position:start]
        position = max(position, stop)
    return kept + packet[position:]
