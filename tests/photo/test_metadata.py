"""An edited copy keeps what was noted about the photo byte for byte, and nothing that describes the
old file; what cannot be kept is said."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image

from datasets import miniature
from datasets.miniature import files
from enhancer.photo.io import read_photo, write_photo
from enhancer.photo.metadata import Metadata, exif, kept_metadata
from tests.helpers.photo_files import KINDS, exif_block, picture, png_chunk

UTF8, LATIN1 = "(c) Zoë Müller".encode(), "(c) Zoë Müller".encode("latin-1")
MAKER_NOTE = bytes(range(256)) * 2


def block_of(order, first=None, details=None, gps=None):
    """An EXIF block: a maker note at its end, and directories of tag -> type, count, bytes."""
    directories = {exif.GPS: gps or {}, exif.EXIF: details or {}}
    directories[exif.FIRST] = dict(first or {})
    block = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 0)
    for pointer, values in directories.items():
        if pointer and values:
            tail, offset = exif._directory(block, order, values)
            block += tail
            directories[exif.FIRST][pointer] = 4, 1, struct.pack(f"{order}I", offset)
    return exif._with_first(block, order, directories[exif.FIRST])


def text(content):
    return 2, len(content) + 1, content + b"\0"


def full_block(order, words=UTF8):
    return block_of(
        order,
        {
            271: text(b"Camera"),
            274: (3, 1, struct.pack(f"{order}H", 1)),
            33432: text(words),
            59932: (7, 6, b"odd\0\1\2"),
        },
        {
            36867: text(b"2024:01:02 03:04:05"),
            37500: (7, len(MAKER_NOTE), MAKER_NOTE),
            37510: (
                7,
                18,
                b"UNICODE\0" + "Küche".encode("utf-16-le"),
            ),
        },
        {1: text(b"N"), 2: (5, 3, struct.pack(f"{order}6I", 48, 1, 51, 1, 30, 1))},
    )


def jpeg_with(*segments, content=None):
    """A JPEG with more segments (marker, content) behind its first."""
    content = content or KINDS["JPEG"].write(picture(), None, b"")
    parts = [struct.pack(">BBH", 0xFF, kind, 2 + len(part)) + part for kind, part in segments]
    return content[:20] + b"".join(parts) + content[20:]


def png_with(*chunks):
    content = imagecodecs.png_encode(picture())
    return content[:33] + b"".join(png_chunk(*chunk) for chunk in chunks) + content[33:]


def read(block):
    tags = Image.Exif()
    tags.load(block)
    return tags, tags.get_ifd(ExifTags.IFD.Exif), tags.get_ifd(ExifTags.IFD.GPSInfo)


def copied(tmp_path, content, suffix=".jpg", result=None, policy="keep"):
    """Read a file of this content, write it, and return the result's content and its notes."""
    source, copy = tmp_path / f"photo{suffix}", tmp_path / f"copy{result or suffix}"
    source.write_bytes(content)
    photo = read_photo(source, keep_depth=True)
    notes = write_photo(copy, photo.pixels, metadata=kept_metadata(photo.metadata, policy))
    return copy.read_bytes(), notes


def write_with_exif(suffix, block):
    """The content of a file of each format that holds this block."""
    if suffix == ".png":
        return png_with((b"eXIf", block))
    if suffix == ".jpg":
        return jpeg_with((0xE1, b"Exif\0\0" + block))
    buffer = io.BytesIO()
    image = Image.fromarray(picture().astype("uint8"))
    if suffix == ".webp":
        image.save(buffer, "WEBP", exif=b"Exif\0\0" + block)
        return buffer.getvalue()
    pytest.importorskip("pillow_heif", reason="HEIC needs the extra `heic`").register_heif_opener()
    image.save(buffer, "HEIF", exif=b"Exif\0\0" + block)
    return buffer.getvalue()


@pytest.mark.parametrize("words", [UTF8, LATIN1])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".heic"])
def test_a_block_that_is_true_stays_as_it_is(tmp_path, suffix, order, words):
    """Names in any encoding, byte order, maker note, comments, odd tags."""
    block = full_block(order, words)
    content, notes = copied(tmp_path, write_with_exif(suffix, block), suffix, ".jpg")
    assert b"Exif\0\0" + block in content
    assert notes == ()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_every_written_format_holds_every_value(tmp_path, suffix, order):
    block = full_block(order)
    path = tmp_path / f"photo{suffix}"
    write_photo(path, picture(), metadata=Metadata(block))
    content = path.read_bytes()
    start = content.index(block[:4])
    written, source = exif.Block(content[start:]), exif.Block(block)
    for pointer, (_, entries) in source.directories.items():
        for entry in entries:
            if entry.tag not in source.directories:
                assert written.value(entry.tag, pointer) == source.value(entry.tag, pointer)
    # Offsets in the maker note count from the beginning.
    assert written.find(37500, exif.EXIF).start == source.find(37500, exif.EXIF).start
    np.testing.assert_array_equal(read_photo(path, keep_depth=True).pixels, picture())


@pytest.mark.parametrize("order", "<>")
def test_a_tiff_becomes_a_block_with_the_same_bytes(tmp_path, order):
    source = exif.Block(full_block(order, LATIN1))
    write_photo(tmp_path / "photo.tif", picture(), metadata=Metadata(bytes(source.content)))
    block = exif.Block(read_photo(tmp_path / "photo.tif").metadata.exif)
    assert block.order == order
    assert block.value(33432) == LATIN1 + b"\0"
    assert block.find(37500, exif.EXIF).start == source.find(37500, exif.EXIF).start
    assert block.value(37500, exif.EXIF) == MAKER_NOTE
    assert block.value(2, exif.GPS) == source.value(2, exif.GPS)
    assert not {256, 273, 34675} & {entry.tag for entry in block.directories[exif.FIRST][1]}


def test_a_maker_note_that_cannot_stay_where_it_was_is_said(tmp_path):
    block = exif._directory(bytes(90_000), "<", {37500: (7, len(MAKER_NOTE), MAKER_NOTE)})[0]
    content = b"II*\0" + bytes(89_996) + block
    tail, offset = exif._directory(content, "<", {exif.EXIF: (4, 1, struct.pack("<I", 90_000))})
    moved, notes = exif.rebuilt(
        content[:4] + struct.pack("<I", offset) + content[8:] + tail, frozenset()
    )
    assert exif.Block(moved).value(37500, exif.EXIF) == MAKER_NOTE
    assert notes == ["the maker note was moved, which programs may not understand"]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_block_of_nothing_but_pointers_is_kept(tmp_path, suffix):
    block = block_of("<", details={36867: text(b"2024:01:02 03:04:05")}, gps={1: text(b"N")})
    content, _ = copied(tmp_path, jpeg_with((0xE1, b"Exif\0\0" + block)), ".jpg", suffix)
    (tmp_path / f"again{suffix}").write_bytes(content)
    kept = exif.Block(read_photo(tmp_path / f"again{suffix}").metadata.exif)
    assert kept.value(36867, exif.EXIF) == b"2024:01:02 03:04:05\0"
    assert kept.value(1, exif.GPS) == b"N\0"


@pytest.mark.parametrize("kind", [1, 3, 4, 7])
@pytest.mark.parametrize("order", "<>")
def test_what_must_change_is_changed_where_it_stands(order, kind):
    size = {1: "B", 3: "H", 4: "I", 7: "B"}[kind]
    short, long = (struct.pack(order + form, 9) for form in "HI")
    details = {40962: (3, 1, short), 40963: (4, 1, long)}
    first = {274: (kind, 1, struct.pack(order + size, 6)), 271: text(b"Camera")}
    block = block_of(order, first, details)
    patched = exif.upright(block, 70_000, 64)
    read_again = exif.Block(patched)
    sizes = [read_again.integer(read_again.find(tag, exif.EXIF)) for tag in (40962, 40963)]
    assert (read_again.integer(read_again.find(274)), *sizes) == (1, 64, 70_000)
    assert len(patched) == len(block)
    assert sum(a != b for a, b in zip(block, patched, strict=True)) <= 12


@pytest.mark.parametrize(
    "damage",
    [
        lambda block: block[:40],
        lambda block: block[:60] + b"\xff" * 40 + block[100:],
        lambda block: block[:4] + b"\xff\xff\xff\0" + block[8:],
        lambda block: b"XX" + block[2:],
        lambda block: b"II+\0" + block[4:],
        lambda block: block[:10],
    ],
)
@pytest.mark.parametrize("policy", ["keep", "no-gps"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_damaged_block_is_kept_or_a_note_says_that_it_is_not(tmp_path, damage, policy):
    block = damage(full_block("<"))
    content, notes = copied(tmp_path, jpeg_with((0xE1, b"Exif\0\0" + block)), policy=policy)
    assert (b"Exif\0\0" in content) != ("EXIF is damaged and was left out" in notes)


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
    assert b"\xff\xd8\xff" not in photo.metadata.exif
    assert read(photo.metadata.exif)[0][ExifTags.Base.ISOSpeedRatings] == 400


def test_adobe_rgb_is_no_longer_what_the_tags_say(tmp_path):
    block = Image.Exif()
    block.load(exif_block(1))
    details = block.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.Gamma] = 2.2
    details[ExifTags.IFD.Interop] = {1: "R03"}
    (tmp_path / "photo.jpg").write_bytes(KINDS["JPEG"].write(picture(), None, block.tobytes()))
    _, details, _ = read(read_photo(tmp_path / "photo.jpg").metadata.exif)
    assert details[ExifTags.Base.ColorSpace] == 1
    assert ExifTags.Base.Gamma not in details
    assert ExifTags.IFD.Interop not in details


def test_a_raw_keeps_its_camera(tmp_path):
    files.write_dng(tmp_path / "photo.dng", files.mosaic_of(miniature.fivek_scene(2, 96)))
    tags, _, _ = read(read_photo(tmp_path / "photo.dng").metadata.exif)
    assert tags[ExifTags.Base.Model] == "Miniature One"
    assert 50721 not in tags  # how to develop it


def test_formats_that_are_no_tiff_give_the_exif_of_their_preview(shared_data):
    found = read_photo(shared_data / "raw/ok/canon_g2_0304.CRW").metadata
    assert read(found.exif)[0][ExifTags.Base.Make] == "Canon"
    assert "date, camera and exposure alone" in found.notes[0]


def test_a_jpeg_has_no_room_for_a_large_maker_note(tmp_path):
    block = block_of("<", {271: text(b"Camera")}, {37500: (7, 80_000, bytes(range(200)) * 400)})
    content, notes = copied(tmp_path, png_with((b"eXIf", block)), ".png", ".jpg")
    assert notes == ("the maker note, too large for a JPEG, was left out",)
    assert b"Camera" in content
    assert block in copied(tmp_path, png_with((b"eXIf", block)), ".png")[0]


COMMENT = "Küche nach Umbau".encode()
PNG_TEXTS = (
    (b"tEXt", b"Copyright\0" + LATIN1),
    (b"zTXt", b"Software\0\0" + bytes.fromhex("789c4b04000062 0062".replace(" ", ""))),
    (b"iTXt", b"Description\0\0\0de\0Beschreibung\0" + COMMENT),
)


def test_png_texts_and_density_are_kept(tmp_path):
    density = struct.pack(">IIB", 11811, 11811, 1)
    content, notes = copied(tmp_path, png_with((b"pHYs", density), *PNG_TEXTS), ".png")
    for chunk in ((b"pHYs", density), *PNG_TEXTS):
        assert png_chunk(*chunk) in content
    assert notes == ()


@pytest.mark.parametrize("unit_and_density", [(1, 300, 300), (2, 118, 118), (0, 1, 2)])
def test_jpeg_comments_and_density_are_kept(tmp_path, unit_and_density):
    source = jpeg_with((0xFE, COMMENT), (0xFE, LATIN1))
    density = struct.pack(">BHH", *unit_and_density)
    content, notes = copied(tmp_path, source[:13] + density + source[18:])
    assert content[13:18] == density
    for comment in (COMMENT, LATIN1):
        assert struct.pack(">HH", 0xFFFE, 2 + len(comment)) + comment in content
    assert notes == ()


def test_density_and_comments_go_from_format_to_format(tmp_path):
    source = jpeg_with((0xFE, COMMENT))
    source = source[:13] + struct.pack(">BHH", 1, 300, 300) + source[18:]
    content, _ = copied(tmp_path, source, ".jpg", ".png")
    assert png_chunk(b"pHYs", struct.pack(">IIB", 11811, 11811, 1)) in content
    assert png_chunk(b"iTXt", b"Comment\0\0\0\0\0" + COMMENT) in content
    content, notes = copied(tmp_path, source, ".jpg", ".tif")
    assert notes == ("comments, which this format has no place for, were left out",)
    with Image.open(io.BytesIO(content)) as image:
        assert image.info["dpi"] == (300, 300)
    assert copied(tmp_path, content, ".tif", ".jpg")[0][13:18] == struct.pack(">BHH", 1, 300, 300)
    assert copied(tmp_path, png_with(*PNG_TEXTS), ".png", ".jpg")[1] == notes


def test_a_jpegs_data_of_unknown_kind_is_said_to_be_left_out(tmp_path):
    _, notes = copied(tmp_path, jpeg_with((0xEB, b"JP\0\1 C2PA")))
    assert notes == ("data of the kind APP11 b'JP\\x00\\x01 C2PA' were left out",)


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
