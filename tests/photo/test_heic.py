"""HEIC files say their colours in ways of their own."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from enhancer.photo.color import profile_of_code_points, to_srgb
from enhancer.photo.io import PhotoError, read_photo
from tests.helpers.photo_files import in_8_bit, picture

pillow_heif = pytest.importorskip("pillow_heif", reason="HEIC needs the extra `heic`")


def save(path, **colors):
    heif = pillow_heif.from_pillow(Image.fromarray(in_8_bit(picture())))
    buffer = io.BytesIO()
    heif.save(buffer, quality=-1, chroma=444, **colors)
    path.write_bytes(buffer.getvalue())


@pytest.mark.parametrize("points", [(12, 13), (9, 14), (9, 13), (5, 4), (11, 13)])
def test_colours_that_are_given_as_code_points(tmp_path, points):
    primaries, curve = points
    save(tmp_path / "photo.heic", color_primaries=primaries, transfer_characteristics=curve)
    profile = profile_of_code_points(*points)
    expected = to_srgb(in_8_bit(picture()), profile).astype(int)
    photo = read_photo(tmp_path / "photo.heic")
    assert np.abs(photo.pixels - expected).max() <= 8
    assert photo.notes == ()


@pytest.mark.parametrize("points", [(1, 13), (1, 1), (6, 6)])
def test_code_points_that_libraries_write_by_default_are_srgb(tmp_path, points):
    save(tmp_path / "photo.heic", color_primaries=points[0], transfer_characteristics=points[1])
    difference = read_photo(tmp_path / "photo.heic").pixels.astype(int) - in_8_bit(picture())
    assert np.abs(difference).max() <= 6


@pytest.mark.parametrize("brand", [b"mif1", b"isom", b"MiHB"])
def test_any_first_brand_will_do(tmp_path, brand):
    save(tmp_path / "photo.heic")
    whole, content = read_photo(tmp_path / "photo.heic"), (tmp_path / "photo.heic").read_bytes()
    (tmp_path / "photo.heic").write_bytes(content[:8] + brand + content[12:])
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.heic").pixels, whole.pixels)


def test_an_avif_whose_first_brand_is_general_is_called_so(tmp_path):
    brands = b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf" + bytes(64)
    (tmp_path / "photo.heic").write_bytes(brands)
    with pytest.raises(PhotoError, match="is not a photo but an AVIF picture"):
        read_photo(tmp_path / "photo.heic")


@pytest.mark.parametrize(("curve", "name"), [(16, "PQ"), (18, "HLG")])
def test_an_hdr_photo_is_refused(tmp_path, curve, name):
    save(tmp_path / "photo.hif", color_primaries=9, transfer_characteristics=curve)
    with pytest.raises(PhotoError, match=rf"is an HDR photo \({name}\)"):
        read_photo(tmp_path / "photo.hif")


def test_a_heic_that_is_called_jpg_opens(tmp_path):
    save(tmp_path / "photo.jpg")
    pixels = read_photo(tmp_path / "photo.jpg").pixels
    np.testing.assert_allclose(pixels, in_8_bit(picture()), atol=6)


def test_a_jpeg_that_is_called_heic_opens_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    Image.fromarray(in_8_bit(picture())).save(tmp_path / "photo.heic", "JPEG")
    assert read_photo(tmp_path / "photo.heic").pixels.shape == picture().shape


def test_a_cut_off_heic_is_refused(tmp_path):
    save(tmp_path / "photo.heic")
    content = (tmp_path / "photo.heic").read_bytes()
    assert read_photo(tmp_path / "photo.heic").pixels.shape == picture().shape
    for missing in (1, len(content) // 100, len(content) // 2):
        (tmp_path / "photo.heic").write_bytes(content[:-missing])
        with pytest.raises(PhotoError, match="damaged"):
            read_photo(tmp_path / "photo.heic")
