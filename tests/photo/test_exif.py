"""What an edited copy keeps of a photo's EXIF block."""

import io
import struct

import numpy as np
import pytest
from PIL import ExifTags, Image

from datasets import miniature
from datasets.miniature import files
from enhancer.photo import exif
from enhancer.photo.io import read_photo, write_photo
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
    block = exif.without_gps(noted.tobytes())
    tags, details, gps = read(block)
    assert gps == {}
    assert ExifTags.IFD.GPSInfo not in tags
    assert ExifTags.Base.MakerNote not in details
    assert b"Zurich" not in block
    assert tags[ExifTags.Base.Copyright] == "A. Photographer"
    assert details[ExifTags.Base.ISOSpeedRatings] == 400


def test_without_gps_a_block_that_has_none_stays(tmp_path):
    once = exif.without_gps(exif_block(1))
    assert exif.without_gps(once) == once


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
        tags, details, gps = (
            image.getexif(), image.getexif().get_ifd(ExifTags.IFD.Exif), image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
        )  # fmt: skip
    assert tags[ExifTags.Base.Make] == "Camera"
    assert details[ExifTags.Base.ISOSpeedRatings] == 400
    assert gps[ExifTags.GPS.GPSLatitude] == (47.0, 22.0, 30.5)
