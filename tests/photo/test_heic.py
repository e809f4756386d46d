"""HEIC files say their colours in ways of their own."""

import io

import numpy as np
import pytest
from PIL import Image

from enhancer.photo.color import display_p3_profile, to_srgb
from enhancer.photo.io import PhotoError, read_photo
from tests.helpers.photo_files import in_8_bit, picture

pillow_heif = pytest.importorskip("pillow_heif", reason="HEIC needs the extra `heic`")


def save(path, **colors):
    heif = pillow_heif.from_pillow(Image.fromarray(in_8_bit(picture())))
    buffer = io.BytesIO()
    heif.save(buffer, quality=-1, chroma=444, **colors)
    path.write_bytes(buffer.getvalue())


def test_display_p3_without_an_icc_profile(tmp_path):
    save(tmp_path / "photo.heic", color_primaries=12, transfer_characteristics=13)
    expected = to_srgb(in_8_bit(picture()), display_p3_profile()).astype(int)
    assert np.abs(read_photo(tmp_path / "photo.heic").pixels - expected).max() <= 6
    assert np.abs(expected - in_8_bit(picture())).max() > 6


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
    monkeypatch.setattr("enhancer.photo.heic._is_installed", lambda: False)
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
