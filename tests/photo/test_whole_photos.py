"""A photo is refused when a pixel is missing, and not because a decoder grumbles."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from enhancer.photo.io import PhotoError, read_photo
from tests.helpers.photo_files import KINDS, PROFILES, exif_block, in_8_bit, picture, png_chunk

SAMSUNG = b"\0\0\1\x0a\x0e\0\0\0Image_UTC_Data1234567890123SEFHj\0\0\0\1\0\0\0SEFT"
NO_END = ("its end marker is missing, and no part of the picture is",)
MISNUMBERED = ("its colour profile is stored in misnumbered parts, and was used",)


def jpeg(kind="JPEG"):
    return KINDS[kind].write(picture(), None, exif_block(1))


def before(marker, junk, content):
    at = content.index(marker)
    return content[:at] + junk + content[at:]


def icc_segment(number, count, part):
    content = b"ICC_PROFILE\0" + bytes((number, count)) + part
    return b"\xff\xe2" + struct.pack(">H", len(content) + 2) + content


def read(tmp_path, content, suffix=".jpg"):
    path = tmp_path / f"photo{suffix}"
    path.write_bytes(content)
    return read_photo(path, keep_depth=True)


@pytest.mark.parametrize("kind", ["JPEG", "JPEG, progressive", "JPEG, grey"])
@pytest.mark.parametrize("rest", [b"", bytes(700), b"\xff" * 700, SAMSUNG])
def test_a_jpeg_without_an_end_is_whole_when_no_pixel_is_missing(tmp_path, kind, rest):
    whole = jpeg(kind)
    photo = read(tmp_path, whole[:-2] + rest)
    assert photo.notes == NO_END
    np.testing.assert_array_equal(photo.pixels, read(tmp_path, whole).pixels)


@pytest.mark.parametrize("kind", ["JPEG", "JPEG, progressive", "JPEG, grey"])
@pytest.mark.parametrize("rest", [b"", bytes(700), b"\xff" * 700, SAMSUNG])
def test_a_jpeg_without_an_end_that_lacks_a_pixel_is_refused(tmp_path, kind, rest):
    whole = jpeg(kind)
    for missing in (12, len(whole) // 20):
        with pytest.raises(PhotoError, match="a part of the picture is missing"):
            read(tmp_path, whole[:-missing] + rest)


def test_a_progressive_jpeg_that_lacks_its_last_scans_is_refused(tmp_path):
    whole = jpeg("JPEG, progressive")
    with pytest.raises(PhotoError, match="its last scans"):
        read(tmp_path, whole[: whole.rindex(b"\xff\xda")])


@pytest.mark.parametrize("marker", [b"\xff\xdb", b"\xff\xc0", b"\xff\xc4", b"\xff\xda"])
@pytest.mark.parametrize("junk", [bytes(2), bytes(18), b"\x12\x34\x56"])
def test_junk_between_the_headers_of_a_jpeg_costs_no_pixel(tmp_path, marker, junk):
    photo = read(tmp_path, before(marker, junk, jpeg()))
    np.testing.assert_array_equal(photo.pixels, read(tmp_path, jpeg()).pixels)
    assert photo.notes == ()


def test_zeros_between_scans_and_before_the_end_cost_no_pixel(tmp_path):
    whole = jpeg("JPEG, progressive")
    at = whole.rindex(b"\xff\xc4")
    content = whole[:at] + bytes(99) + whole[at:-2] + bytes(99) + whole[-2:]
    np.testing.assert_array_equal(read(tmp_path, content).pixels, read(tmp_path, whole).pixels)


@pytest.mark.parametrize("numbers", [(0, 0), (3, 2), (1, 2)])
def test_a_whole_profile_in_a_misnumbered_part_is_used(tmp_path, numbers):
    profile = PROFILES["Adobe RGB"]
    right = read(tmp_path, before(b"\xff\xdb", icc_segment(1, 1, profile), jpeg()))
    photo = read(tmp_path, before(b"\xff\xdb", icc_segment(*numbers, profile), jpeg()))
    assert photo.notes == MISNUMBERED
    np.testing.assert_array_equal(photo.pixels, right.pixels)
    assert np.abs(photo.pixels.astype(int) - read(tmp_path, jpeg()).pixels).max() > 5


def test_a_profile_that_is_there_twice_is_used_and_one_with_a_lost_part_is_named(tmp_path):
    profile = PROFILES["Adobe RGB"]
    right = read(tmp_path, before(b"\xff\xdb", icc_segment(1, 1, profile), jpeg()))
    twice = read(tmp_path, before(b"\xff\xdb", icc_segment(1, 1, profile) * 2, jpeg()))
    np.testing.assert_array_equal(twice.pixels, right.pixels)
    lost = read(tmp_path, before(b"\xff\xdb", icc_segment(1, 2, profile[:300]), jpeg()))
    assert lost.notes == ("unreadable colour profile, treated as sRGB",)
    np.testing.assert_array_equal(lost.pixels, read(tmp_path, jpeg()).pixels)


def test_rare_kinds_of_jpeg_are_called_what_they_are(tmp_path):
    deep = imagecodecs.jpeg8_encode(np.full((16, 16, 3), 2000, np.uint16), bitspersample=12)
    for content, name in (
        (deep, "is a JPEG of 12 bits per channel, which is not supported"),
        (jpeg().replace(b"\xff\xc0", b"\xff\xc3"), "is a lossless JPEG"),
    ):
        with pytest.raises(PhotoError, match=name):
            read(tmp_path, content)


def test_a_damaged_text_of_a_png_costs_no_pixel_and_is_mentioned(tmp_path):
    content = KINDS["PNG"].write(picture(), None, exif_block(1))
    text = bytearray(png_chunk(b"tEXt", b"Comment\0hello"))
    text[-1] ^= 1
    photo = read(tmp_path, content[:33] + bytes(text) + content[33:], ".png")
    np.testing.assert_array_equal(photo.pixels, in_8_bit(picture()))
    assert photo.notes == ("a damaged part of its metadata (tEXt) was left out",)
    damaged = bytearray(content)
    damaged[content.index(b"IDAT") + 9] ^= 1
    with pytest.raises(PhotoError, match="was overwritten"):
        read(tmp_path, bytes(damaged), ".png")


def test_a_png_of_one_bit_is_black_and_white(tmp_path):
    values = in_8_bit(picture())[..., 0] > 140
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    shown = read(tmp_path, buffer.getvalue(), ".png").pixels
    np.testing.assert_array_equal(shown, np.repeat(values[..., None] * np.uint8(255), 3, axis=-1))


@pytest.mark.parametrize("kind", [b"iTXt", b"zTXt"])
def test_a_png_with_large_metadata_is_read(tmp_path, kind):
    content = KINDS["PNG"].write(picture(), None, exif_block(1))
    head = b"XML:com.adobe.xmp\0\1\0\0\0" if kind == b"iTXt" else b"Comment\0\0"
    text = png_chunk(kind, head + zlib.compress(b"many brush strokes " * 200_000))
    pixels = read(tmp_path, content[:33] + text + content[33:], ".png").pixels
    np.testing.assert_array_equal(pixels, in_8_bit(picture()))
