"""An edited copy keeps what was noted about the photo, and nothing that describes the old file."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, PngImagePlugin

from datasets import miniature
from datasets.miniature import files
from enhancer.photo.io import read_photo, write_photo
from enhancer.photo.metadata import kept_metadata
from tests.helpers.photo_files import KINDS, exif_block, picture


def read(block):
    tags = Image.Exif()
    tags.load(block)
    return tags, tags.get_ifd(ExifTags.IFD.Exif), tags.get_ifd(ExifTags.IFD.GPSInfo)


def test_without_gps_nothing_says_where_it_was():
    noted = Image.Exif()
    noted.load(exif_block(1))
    noted.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = b"City\0Zurich"
    noted.get_ifd(ExifTags.IFD.GPSInfo)
    block = kept_metadata(noted.tobytes(), None, "no-gps")["exif"]
    tags, details, gps = read(block)
    assert gps == {}
    assert ExifTags.IFD.GPSInfo not in tags
    assert ExifTags.Base.MakerNote not in details
    assert b"Zurich" not in block
    assert tags[ExifTags.Base.Copyright] == "A. Photographer"
    assert details[ExifTags.Base.ISOSpeedRatings] == 400


def test_without_gps_a_block_that_has_none_stays():
    once = kept_metadata(exif_block(1), None, "no-gps")["exif"]
    assert kept_metadata(once, None, "no-gps")["exif"] == once


def test_the_thumbnail_of_the_unedited_photo_is_dropped(tmp_path):
    thumbnail = io.BytesIO()
    Image.new("RGB", (16, 12)).save(thumbnail, "JPEG")
    # One tag and a second directory behind it, as cameras write them.
    offset = 8 + 2 + 12 + 4
    first = struct.pack("<HHHIII", 1, ExifTags.Base.ISOSpeedRatings, 3, 1, 400, offset)
    second = struct.pack(
        "<HHHIIHHIII", 2, 513, 4, 1, offset + 30, 514, 4, 1, len(thumbnail.getvalue()), 0
    )
    block = b"Exif\0\0II*\0\x08\0\0\0" + first + second + thumbnail.getvalue()
    (tmp_path / "photo.jpg").write_bytes(KINDS["JPEG"].write(picture(), None, block))
    assert thumbnail.getvalue() in (tmp_path / "photo.jpg").read_bytes()
    with Image.open(tmp_path / "photo.jpg") as image:
        assert 513 in image.getexif().get_ifd(ExifTags.IFD.IFD1)
    photo = read_photo(tmp_path / "photo.jpg")
    assert b"\xff\xd8\xff" not in photo.exif
    assert read(photo.exif)[0][ExifTags.Base.ISOSpeedRatings] == 400


def test_adobe_rgb_is_no_longer_what_the_tags_say(tmp_path):
    block = Image.Exif()
    block.load(exif_block(1))
    details = block.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.Gamma] = 2.2
    details[ExifTags.IFD.Interop] = {1: "R03"}
    (tmp_path / "photo.jpg").write_bytes(KINDS["JPEG"].write(picture(), None, block.tobytes()))
    _, details, _ = read(read_photo(tmp_path / "photo.jpg").exif)
    assert details[ExifTags.Base.ColorSpace] == 1
    assert ExifTags.Base.Gamma not in details
    assert ExifTags.IFD.Interop not in details


def test_a_raw_keeps_its_camera(tmp_path):
    files.write_dng(tmp_path / "photo.dng", files.mosaic_of(miniature.fivek_scene(2, 96)))
    tags, _, _ = read(read_photo(tmp_path / "photo.dng").exif)
    assert tags[ExifTags.Base.Model] == "Miniature One"
    assert 50721 not in tags  # how to develop it


def test_formats_that_are_no_tiff_give_the_exif_of_their_preview(shared_data):
    tags, details, _ = read(read_photo(shared_data / "raw/ok/canon_g2_0304.CRW").exif)
    assert tags[ExifTags.Base.Make] == "Canon"
    assert details[ExifTags.Base.ExifImageWidth] == 2312


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_every_written_format_holds_the_same_block(tmp_path, suffix, dtype):
    path = tmp_path / f"photo{suffix}"
    write_photo(path, np.zeros((48, 64, 3), dtype), exif=exif_block(1))
    with Image.open(path) as image:
        tags, details, gps = read(image.getexif().tobytes())
    assert tags[ExifTags.Base.Make] == "Camera"
    assert details[ExifTags.Base.ISOSpeedRatings] == 400
    assert gps[ExifTags.GPS.GPSLatitude] == (47.0, 22.0, 30.5)


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
  exif:GPSLatitude="47,22.5N">
 <dc:format>image/x-adobe-dng</dc:format>
 <dc:description><rdf:Alt>
   <rdf:li xml:lang="x-default">Wohnzimmer &amp; Küche</rdf:li>
 </rdf:Alt></dc:description>
 <dc:subject><rdf:Bag><rdf:li>interior</rdf:li><rdf:li>window</rdf:li></rdf:Bag></dc:subject>
 <Iptc4xmpExt:LocationCreated><rdf:Bag><rdf:li rdf:parseType="Resource">
   <Iptc4xmpExt:City>Zug</Iptc4xmpExt:City><exif:GPSLongitude>8,31E</exif:GPSLongitude>
 </rdf:li></rdf:Bag></Iptc4xmpExt:LocationCreated>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()


def iptc(**records):
    numbers = {"caption": 120, "copyright": 116, "byline": 80, "keyword": 25}
    return b"".join(
        struct.pack(">BBBH", 0x1C, 2, numbers[name], len(value)) + value
        for name, values in records.items()
        for value in values
    )


def save(path, packet=None, block=None):
    image = Image.fromarray(picture().astype("uint8"))
    if path.suffix == ".jpg":
        photoshop = (
            b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(block)) + block
            if block
            else b""
        )
        path.write_bytes(KINDS["JPEG"].write(picture(), None, exif_block(1)))
        image.save(path, xmp=packet or b"")
        if photoshop:
            content = path.read_bytes()
            segment = b"\xff\xed" + struct.pack(">H", len(photoshop) + 2) + photoshop
            path.write_bytes(content[:2] + segment + content[2:])
    elif path.suffix == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", packet.decode())
        image.save(path, pnginfo=text)
    elif path.suffix == ".webp":
        image.save(path, xmp=packet)
    else:
        tags = [(700, "B", len(packet), packet, True)] if packet else []
        tags += [(33723, "B", len(block), block, True)] if block else []
        tifffile.imwrite(path, picture(), photometric="rgb", extratags=tags, metadata=None)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_what_people_wrote_is_kept(tmp_path, suffix):
    save(tmp_path / f"photo{suffix}", PACKET)
    kept = read_photo(tmp_path / f"photo{suffix}").xmp.decode()
    written = (
        "Wohnzimmer &amp; Küche",
        "interior",
        "window",
        "Haus am See",
        "<xmp:Rating>5<",
        "Zug",
    )
    for text in written:
        assert text in kept


def test_what_describes_the_old_file_is_not(tmp_path):
    save(tmp_path / "photo.jpg", PACKET)
    kept = read_photo(tmp_path / "photo.jpg").xmp.decode()
    camera_and_editor = "Orientation", "Exposure2012", "hdrgm", "CreatorTool", "ColorMode"
    for stale in (*camera_and_editor, "x-adobe-dng", "GPS", "8,31E"):
        assert stale not in kept


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_the_older_iptc_block_fills_what_xmp_lacks(tmp_path, suffix):
    block = iptc(caption=[b"not this one"], copyright=["© Müller".encode()], keyword=[b"garden"])
    block += iptc(byline=["Müller".encode("latin-1")])
    save(tmp_path / f"photo{suffix}", PACKET, block)
    kept = read_photo(tmp_path / f"photo{suffix}").xmp.decode()
    assert "© Müller" in kept
    assert "<rdf:Seq><rdf:li>Müller</rdf:li></rdf:Seq>" in kept
    assert "not this one" not in kept
    assert "garden" not in kept


def test_iptc_alone_is_enough(tmp_path):
    save(tmp_path / "photo.jpg", None, iptc(caption=[b"Kitchen"], keyword=[b"a", b"b"]))
    kept = read_photo(tmp_path / "photo.jpg").xmp.decode()
    assert "Kitchen" in kept
    assert "<rdf:li>a</rdf:li><rdf:li>b</rdf:li>" in kept


@pytest.mark.parametrize(
    "packet",
    [b"<x:xmpmeta", b"\xff\xfe\0", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', b"<a/>", bytes(99)],
)
def test_a_packet_that_says_nothing_or_means_harm_costs_nothing(tmp_path, packet):
    save(tmp_path / "photo.jpg", packet)
    assert read_photo(tmp_path / "photo.jpg").xmp is None


def test_an_iptc_block_that_is_cut_off_costs_nothing(tmp_path):
    save(tmp_path / "photo.tif", None, iptc(caption=[b"Kitchen"])[:7] + b"\x1c\2")
    assert b"Ki" in read_photo(tmp_path / "photo.tif").xmp


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_it_is_written_and_read_again(tmp_path, suffix, dtype):
    save(tmp_path / "photo.jpg", PACKET)
    photo = read_photo(tmp_path / "photo.jpg")
    copy = tmp_path / f"copy{suffix}"
    write_photo(copy, picture().astype(dtype), exif=photo.exif, xmp=photo.xmp)
    assert read_photo(copy).xmp == photo.xmp
    with Image.open(copy) as image:
        assert b"<photoshop:Headline>Haus am See<" in image.info["xmp"]
