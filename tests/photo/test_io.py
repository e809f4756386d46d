"""Any photo becomes upright sRGB; what is written is complete, reproducible, and read by others."""

import io
import os

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from enhancer.photo import color
from enhancer.photo.encode import encode_jpeg, encode_png, encode_tiff
from enhancer.photo.io import PhotoError, read_photo, write_photo
from enhancer.photo.metadata import Metadata
from tests.helpers.photo_files import exif_block, picture


@pytest.fixture
def pixels():
    """A smooth picture, 32 x 48, whose corners all differ."""
    y, x = np.mgrid[0:32, 0:48]
    return np.stack([x * 5, y * 7, 255 - x * 3], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".tif", ".tiff"])
def test_a_written_photo_reads_back(tmp_path, pixels, suffix):
    write_photo(tmp_path / f"photo{suffix}", pixels)
    photo = read_photo(tmp_path / f"photo{suffix}")
    assert photo.pixels.dtype == np.uint8
    assert photo.notes == ()
    np.testing.assert_allclose(photo.pixels, pixels, atol=4 if "j" in suffix else 0)


def test_a_failed_write_leaves_nothing_behind(tmp_path, pixels, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_photo(tmp_path / "photo.jpg", pixels)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_stop_a_photo(tmp_path, pixels):
    Image.fromarray(pixels).save(
        tmp_path / "photo.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage"
    )
    assert read_photo(tmp_path / "photo.jpg").pixels.shape == pixels.shape


def test_transparent_parts_become_white(tmp_path, pixels):
    transparent = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    transparent[:4, :4, 3] = 0
    Image.fromarray(transparent).save(tmp_path / "photo.png")
    photo = read_photo(tmp_path / "photo.png")
    assert (photo.pixels[:4, :4] == 255).all()
    assert photo.notes == ("transparent parts shown on white",)


def test_a_png_that_is_called_jpg_opens(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", "PNG")
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.jpg").pixels, pixels)


@pytest.mark.parametrize("name", ["photo.bmp", "photo.webp"])
def test_an_unknown_suffix_is_not_written(tmp_path, name):
    with pytest.raises(PhotoError, match=f"{name} cannot be written: .* is none of"):
        write_photo(tmp_path / name, picture())
    assert list(tmp_path.iterdir()) == []


def test_a_jpeg_has_full_chroma(pixels):
    with Image.open(io.BytesIO(encode_jpeg(pixels))) as image:
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_other_readers_find_the_same_16_bits(tmp_path, suffix):
    path = tmp_path / f"photo{suffix}"
    write_photo(path, picture())
    np.testing.assert_array_equal(cv2.imread(path, cv2.IMREAD_UNCHANGED)[..., ::-1], picture())
    if suffix == ".tif":
        np.testing.assert_array_equal(tifffile.imread(path), picture())
        with tifffile.TiffFile(path) as file:
            assert bytes(file.pages.first.tags[34675].value) == color.srgb_profile()
    with Image.open(path) as image:
        image.load()  # Pillow shows the upper eight
        assert image.info["icc_profile"] == color.srgb_profile()


def test_a_jpeg_of_16_bits_is_rounded_to_8(tmp_path):
    write_photo(tmp_path / "deep.jpg", picture())
    write_photo(tmp_path / "photo.jpg", color.to_uint8(picture()))
    assert (tmp_path / "deep.jpg").read_bytes() == (tmp_path / "photo.jpg").read_bytes()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_same_photo_the_same_bytes(tmp_path, suffix, dtype):
    for name in ("a", "b"):
        write_photo(
            tmp_path / f"{name}{suffix}",
            picture().astype(dtype),
            metadata=Metadata(exif_block(1)[6:]),
        )
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_pixels_may_lie_anywhere_in_memory(tmp_path, suffix):
    for pixels in (picture()[::-1, ::2], picture()[:1, :1]):
        write_photo(tmp_path / f"photo{suffix}", pixels)
        np.testing.assert_array_equal(
            read_photo(tmp_path / f"photo{suffix}", keep_depth=True).pixels, pixels
        )


@pytest.mark.parametrize("encode", [encode_jpeg, encode_png, encode_tiff])
def test_encoding_refuses_floats_and_grey(encode):
    for wrong in (picture().astype(np.float32), picture()[..., 0]):
        with pytest.raises(ValueError, match="pixels must be uint8"):
            encode(wrong)
