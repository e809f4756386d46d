"""An edited copy keeps EXIF, density and comments byte for byte, and nothing that describes the old
file; what cannot be kept is said."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image

from datasets import miniature
from datasets.miniature import files
from enhancer.photo.io import read_photo, write_photo
from enhancer.photo.metadata import Metadata, exif, of_raw
from tests.helpers.metadata_blocks import (
    COMMENT,
    LATIN1,
    MAKER_NOTE,
    PNG_TEXTS,
    UTF8,
    block_of,
    copied,
    full_block,
    jpeg_with,
    png_with,
    read,
    text,
    write_with_exif,
)
from tests.helpers.photo_files import KINDS, exif_block, picture, png_chunk


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
    source = exif.Block(content[:4] + struct.pack("<I", offset) + content[8:] + tail)
    moved, notes = exif.rebuilt(source.parts, frozenset())
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
    place = struct.pack("<4I", 48, 1, 51, 1)
    assert place not in content or policy == "keep"


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


@pytest.mark.parametrize(
    ("content", "suffix", "note"),
    [
        (jpeg_with((0xEB, b"JP\0\1 C2PA")), ".jpg", "data of the kind APP11 b'JP\\x00\\x01 C2PA'"),
        (jpeg_with((0xE2, b"MPF\0II*\0")), ".jpg", "further pictures in its file"),
        (png_with((b"tIME", struct.pack(">HBBBBB", 2024, 5, 6, 7, 8, 9))), ".png", "kind tIME"),
    ],
)
def test_data_that_no_copy_can_hold_are_said_to_be_left_out(tmp_path, content, suffix, note):
    (found,) = copied(tmp_path, content, suffix)[1]
    assert note in found
    assert found.endswith("left out")


@pytest.mark.parametrize("result", [".jpg", ".png", ".tif"])
def test_a_photo_that_is_turned_onto_its_side_has_its_densities_exchanged(tmp_path, result):
    inch = {282: (5, 1, struct.pack("<II", 300, 1)), 283: (5, 1, struct.pack("<II", 150, 1))}
    block = block_of("<", {274: (3, 1, struct.pack("<H", 6)), **inch, 296: (3, 1, b"\2\0")})
    source = jpeg_with((0xE1, b"Exif\0\0" + block))
    source = source[:13] + struct.pack(">BHH", 1, 300, 150) + source[18:]
    (tmp_path / f"again{result}").write_bytes(copied(tmp_path, source, ".jpg", result)[0])
    again = read_photo(tmp_path / f"again{result}").metadata
    assert again.density == pytest.approx((2, 59.06, 118.11) if result == ".png" else (1, 150, 300))
    kept = exif.Block(again.exif)
    numbers = [struct.unpack("<II", kept.value(tag)) for tag in (282, 283)]
    assert [x / y for x, y in numbers] == [150, 300]


def test_the_chosen_page_of_a_tiff_says_what_is_true_of_it(tmp_path):
    pages = [(picture()[::2, ::2], "a detail"), (picture(), "the whole")]
    with tifffile.TiffWriter(tmp_path / "photo.tif") as tiff:
        for number, (pixels, words) in enumerate(pages):
            artist = [] if number else [(315, "s", 0, "Zoe", True)]
            tags = [(270, "s", 0, words, True), *artist]
            tiff.write(pixels, photometric="rgb", extratags=tags, metadata=None)
    found = exif.Block(read_photo(tmp_path / "photo.tif").metadata.exif)
    assert found.value(270) == b"the whole\0"
    assert found.value(315) == b"Zoe\0"


def test_a_cr3_keeps_the_exif_of_its_boxes(tmp_path):
    """ISO base media boxes of a directory each, as Canon's cameras write them."""
    boxes = {
        b"CMT1": block_of("<", {271: text(b"Canon"), 33432: text(UTF8)}),
        b"CMT2": block_of("<", {36867: text(b"2024:01:02 03:04:05")}),
        b"CMT4": block_of("<", {1: text(b"N")}),
    }
    content = b"\0\0\0\x18ftypcrx \0\0\0\1crx isom"
    for kind, block in boxes.items():
        content += (8 + len(block)).to_bytes(4) + kind + block
    (tmp_path / "photo.cr3").write_bytes(content)
    found = of_raw(tmp_path / "photo.cr3", b"", is_tiff=False)
    kept = exif.Block(found.exif)
    assert kept.value(33432) == UTF8 + b"\0"
    assert kept.value(36867, exif.EXIF) == b"2024:01:02 03:04:05\0"
    assert kept.value(1, exif.GPS) == b"N\0"
    assert found.notes == ("the maker note of the CR3 was left out",)
