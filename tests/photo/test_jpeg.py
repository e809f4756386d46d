"""The rarer kinds of JPEG, and what looks like damage and is not."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

from enhancer.photo.color import srgb_profile
from enhancer.photo.io import read_photo
from tests.helpers.photo_files import KINDS, exif_block, in_8_bit, picture


def cmyk_profile():
    """An ICC profile of four inks that mix as light filters do; the smallest that is valid
    (ICC.1:2022, 10.10: lut8Type)."""
    corners = []
    for index in range(16):
        c, m, y, k = (index >> shift & 1 for shift in (3, 2, 1, 0))
        corners.append([round(235 * (1 - ink) * (1 - k)) + 10 for ink in (c, m, y)])
    lab = ImageCms.createProfile("LAB")
    colors = Image.fromarray(np.array([corners], np.uint8))
    as_lab = np.asarray(
        ImageCms.profileToProfile(colors, ImageCms.createProfile("sRGB"), lab, outputMode="LAB")
    )[0]
    clut = bytes(
        (level + 128) % 256 if axis else level
        for color in as_lab
        for axis, level in enumerate(color.tolist())
    )
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    curve = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + curve * 4 + clut + curve * 3
    table = struct.pack(">I4sII", 1, b"A2B0", 144, len(lut))
    white = struct.pack(">3i", 63190, 65536, 54061)  # D50
    header = struct.pack(
        ">I4sI4s4s4s12s4s", 144 + len(lut), b"", 0x02400000, b"prtr", b"CMYK", b"Lab ", b"", b"acsp"
    )
    return header + bytes(28) + white + bytes(48) + table + lut


def colors():
    return in_8_bit(picture())


def cmyk():
    return np.array(Image.fromarray(colors()).convert("CMYK"))


def cmyk_jpeg(kind, profile=None):
    if kind == "CMYK of Photoshop":  # stored inverted
        buffer = io.BytesIO()
        Image.fromarray(cmyk(), "CMYK").save(buffer, "JPEG", quality=97, icc_profile=profile)
        return buffer.getvalue()
    if kind == "YCCK":
        return imagecodecs.jpeg8_encode(
            255 - cmyk(), colorspace="cmyk", outcolorspace="ycck", level=97
        )
    content = imagecodecs.jpeg8_encode(cmyk(), colorspace="cmyk", outcolorspace="cmyk", level=97)
    at = content.index(b"\xff\xeeAdobe".replace(b"A", b"\0\x0eA"))
    return content[:at] + content[at + 16 :]


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
@pytest.mark.parametrize("kind", ["CMYK of Photoshop", "CMYK without Adobe's marker", "YCCK"])
def test_cmyk_is_no_negative(tmp_path, kind):
    (tmp_path / "photo.jpg").write_bytes(cmyk_jpeg(kind))
    photo = read_photo(tmp_path / "photo.jpg")
    assert photo.notes == ("CMYK without a colour profile, colours are approximate",)
    assert np.abs(photo.pixels.astype(int) - colors()).mean() < 2


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_with_a_profile_agrees_with_littlecms(tmp_path, suffix):
    profile = cmyk_profile()
    path = tmp_path / f"photo{suffix}"
    if suffix == ".jpg":
        path.write_bytes(cmyk_jpeg("CMYK of Photoshop", profile))
    else:
        Image.fromarray(cmyk(), "CMYK").save(path, icc_profile=profile)
    with Image.open(path) as image:
        image.load()
        expected = ImageCms.profileToProfile(
            image, io.BytesIO(profile), io.BytesIO(srgb_profile()), outputMode="RGB"
        )
    photo = read_photo(path)
    assert photo.notes == ()
    assert np.abs(photo.pixels.astype(int) - np.asarray(expected)).max() <= 1
    # Other colours, but not other ones altogether.
    assert 5 < np.abs(photo.pixels.astype(int) - colors()).max() < 60


def test_a_few_bytes_before_the_end_are_no_damage(tmp_path):
    content = KINDS["JPEG"].write(picture(), None, exif_block(1))
    (tmp_path / "photo.jpg").write_bytes(content)
    (tmp_path / "padded.jpg").write_bytes(content[:-2] + bytes(4) + content[-2:])
    (tmp_path / "followed.jpg").write_bytes(content + b"the maker's own data" * 99)
    for name in ("padded.jpg", "followed.jpg"):
        np.testing.assert_array_equal(
            read_photo(tmp_path / name).pixels, read_photo(tmp_path / "photo.jpg").pixels
        )


def test_what_the_fast_decoder_does_not_know_is_left_to_pillow(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ValueError(
            "tjDecompressHeader3(): Could not determine subsampling level of JPEG image"
        )

    (tmp_path / "photo.jpg").write_bytes(KINDS["JPEG"].write(picture(), None, exif_block(6)))
    expected = read_photo(tmp_path / "photo.jpg").pixels
    monkeypatch.setattr("simplejpeg.decode_jpeg", fail)
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.jpg").pixels, expected)


def test_pixels_are_those_of_pillow(tmp_path):
    for kind in ("JPEG", "JPEG, chroma at half size", "JPEG, progressive"):
        noise = np.random.default_rng(0).integers(0, 65536, (61, 83, 3), dtype=np.uint16)
        (tmp_path / "photo.jpg").write_bytes(KINDS[kind].write(noise, None, exif_block(1)))
        with Image.open(tmp_path / "photo.jpg") as image:
            np.testing.assert_array_equal(
                read_photo(tmp_path / "photo.jpg").pixels, np.asarray(image)
            )
