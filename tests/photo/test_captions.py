"""An edited copy keeps XMP and IPTC byte for byte, but for what describes the old file, and without
GPS but for the place."""

import io
import struct

import pytest
import tifffile
from PIL import Image

from enhancer.photo.io import read_photo
from enhancer.photo.metadata import Metadata, exif, kept_metadata
from tests.helpers.metadata_blocks import (
    LATIN1,
    MAKER_NOTE,
    PNG_TEXTS,
    UTF8,
    block_of,
    copied,
    full_block,
    jpeg_with,
    png_with,
    text,
)
from tests.helpers.photo_files import picture, png_chunk

PACKET = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
  xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
  xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
  xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
  xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
  xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"
  tiff:Orientation="6" crs:Exposure2012="+3.00" hdrgm:Version="1.0" xmp:Rating="5"
  xmp:CreatorTool="Lightroom" photoshop:Headline="Haus am See" photoshop:ColorMode="3"
  photoshop:City="Zürich" exif:GPSLatitude="47,22.5N">
 <dc:format>image/x-adobe-dng</dc:format>
 <dc:description><rdf:Alt>
   <rdf:li xml:lang="x-default">Wohnzimmer &amp; Küche > Bad</rdf:li>
 </rdf:Alt></dc:description>
 <crs:ToneCurve><rdf:Seq><rdf:li a="/>">0, 0</rdf:li><rdf:li/></rdf:Seq></crs:ToneCurve><crs:A/>
 <Iptc4xmpExt:LocationCreated><rdf:Bag><rdf:li rdf:parseType="Resource">
   <Iptc4xmpExt:City>Zug</Iptc4xmpExt:City><exif:GPSLongitude>8,31E</exif:GPSLongitude>
 </rdf:li></rdf:Bag></Iptc4xmpExt:LocationCreated>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".replace(" a=", " crs:a=").encode()
STALE = (
    b' tiff:Orientation="6"', b' crs:Exposure2012="+3.00"', b' hdrgm:Version="1.0"',
    b' photoshop:ColorMode="3"', b"<dc:format>image/x-adobe-dng</dc:format>", b"<crs:A/>",
    PACKET[PACKET.index(b"<crs:ToneCurve>") : PACKET.index(b"<crs:A/>")],
)  # fmt: skip


def without(packet, *parts):
    for part in parts:
        packet = packet.replace(b"\n  " + part.lstrip() if part.startswith(b" tiff") else part, b"")
    return packet


def iptc(**records):
    numbers = {"caption": 120, "copyright": 116, "city": 90, "country": 101}
    return b"".join(
        struct.pack(">BBBH", 0x1C, 2, numbers[name], len(value)) + value
        for name, value in records.items()
    )


def resource(number, content):
    head = struct.pack(">4sHHI", b"8BIM", number, 0, len(content))
    return head + content + bytes(len(content) % 2)


def with_blocks(suffix, packet=None, block=None):
    """The content of a file of each format with an XMP packet, and an IPTC block."""
    if suffix == ".jpg":
        segments = [(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet)] if packet else []
        if block:
            segments.append((0xED, b"Photoshop 3.0\0" + resource(0x0404, block)))
        return jpeg_with(*segments)
    if suffix == ".png":
        return png_with((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet))
    buffer = io.BytesIO()
    if suffix == ".webp":
        Image.fromarray(picture().astype("uint8")).save(buffer, "WEBP", xmp=packet)
    else:
        tags = [(700, "B", len(packet), packet, True)] if packet else []
        tags += [(33723, "B", len(block), block, True)] if block else []
        tifffile.imwrite(buffer, picture(), photometric="rgb", extratags=tags, metadata=None)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_xmp_is_kept_but_for_what_describes_the_old_file(tmp_path, suffix):
    result = ".jpg" if suffix == ".webp" else suffix
    content, notes = copied(tmp_path, with_blocks(suffix, PACKET), suffix, result)
    assert without(PACKET, *STALE) in content
    assert notes == ()


@pytest.mark.parametrize("result", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_iptc_is_kept_in_every_format(tmp_path, suffix, result):
    block = iptc(caption=UTF8, copyright=LATIN1, city=b"Zug")
    content, notes = copied(tmp_path, with_blocks(suffix, None, block), suffix, result)
    (tmp_path / f"again{result}").write_bytes(content)
    kept = read_photo(tmp_path / f"again{result}").metadata.photoshop
    assert resource(0x0404, block) == kept
    assert notes == ()


def test_photoshops_thumbnail_of_the_unedited_photo_is_dropped(tmp_path):
    block = resource(0x0404, iptc(caption=UTF8))
    odd = resource(0x040C, b"\xff\xd8\xff thumbnail")
    resources = b"Photoshop 3.0\0" + odd + block + odd + resource(0x03ED, b"density.")
    content, _ = copied(tmp_path, jpeg_with((0xED, resources)))
    assert b"Photoshop 3.0\0" + block + resource(0x03ED, b"density.") in content
    assert b"thumbnail" not in content


@pytest.mark.parametrize(
    "packet",
    [b"<x:xmpmeta", b"\xff\xfe\0", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', bytes(99)],
)
def test_a_packet_that_is_damaged_or_means_harm_is_said_to_be_left_out(tmp_path, packet):
    content, notes = copied(tmp_path, with_blocks(".jpg", packet))
    assert packet not in content
    assert notes == ("XMP is damaged and was left out",)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_without_gps_nothing_says_where_it_was(tmp_path, suffix):
    block = iptc(caption=b"Kitchen", city=b"Zollikon", country=b"Switzerland")
    source = jpeg_with(
        (0xE1, b"Exif\0\0" + full_block("<")),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + PACKET),
        (0xED, b"Photoshop 3.0\0" + resource(0x0404, block)),
    )
    content, notes = copied(tmp_path, source, ".jpg", suffix, policy="no-gps")
    for word in (b"Zug", b"8,31E", b"47,22", "Zürich".encode(), b"Zollikon", b"Switzerland"):
        assert word not in content
    (tmp_path / f"again{suffix}").write_bytes(content)
    found = read_photo(tmp_path / f"again{suffix}").metadata
    kept = exif.Block(found.exif)
    assert not kept.find(exif.GPS)
    assert struct.pack("<6I", 48, 1, 51, 1, 30, 1) not in content
    assert MAKER_NOTE not in content  # it may repeat the place
    assert kept.value(33432) == UTF8 + b"\0"
    assert "Küche".encode() in found.xmp
    assert b"Kitchen" in found.photoshop
    assert notes == ("captions, keywords and comments were kept, and may name the place",)


def test_without_gps_png_texts_that_name_the_place_go(tmp_path):
    place = (b"tEXt", b"exif:GPSLatitude\x0047"), (b"tEXt", b"Location\0Zug")
    content, notes = copied(tmp_path, png_with(*place, *PNG_TEXTS), ".png", policy="no-gps")
    assert b"Zug" not in content
    assert b"GPS" not in content
    assert png_chunk(*PNG_TEXTS[0]) in content
    assert notes == ("captions, keywords and comments were kept, and may name the place",)


def test_without_gps_a_block_that_has_none_stays():
    block = block_of(">", {271: text(b"Camera")})
    assert kept_metadata(Metadata(block), "no-gps") == Metadata(block)
    assert kept_metadata(Metadata(block), "none") == Metadata()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_without_gps_nothing_is_left_of_a_block_that_has_nothing_else(tmp_path, suffix):
    block = block_of("<", gps={1: text(b"N")})
    source = jpeg_with((0xE1, b"Exif\0\0" + block))
    content, notes = copied(tmp_path, source, ".jpg", suffix, policy="no-gps")
    assert notes == ()
    (tmp_path / f"again{suffix}").write_bytes(content)
    assert not read_photo(tmp_path / f"again{suffix}").metadata.notes


def test_blocks_that_older_programs_hide_in_png_texts_are_found(tmp_path):
    block = full_block("<")
    lines = f"\nexif\n{len(block) + 6:8}\n{(b'Exif' + bytes(2) + block).hex()}\n".encode()
    content, _ = copied(tmp_path, png_with((b"tEXt", b"Raw profile type exif\0" + lines)), ".png")
    assert png_chunk(b"eXIf", block) in content
    assert b"Raw profile" not in content
