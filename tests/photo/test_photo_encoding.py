"""16 bits stay 16 bits in files that every reader understands."""

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from enhancer.photo import color, encode
from enhancer.photo.io import PhotoError, read_photo, write_photo
from tests.helpers.photo_files import exif_block, picture


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
        write_photo(tmp_path / f"{name}{suffix}", picture().astype(dtype), exif=exif_block(1))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_pixels_may_lie_anywhere_in_memory(tmp_path, suffix):
    for pixels in (picture()[::-1, ::2], picture()[:1, :1]):
        write_photo(tmp_path / f"photo{suffix}", pixels)
        np.testing.assert_array_equal(
            read_photo(tmp_path / f"photo{suffix}", keep_depth=True).pixels, pixels
        )


@pytest.mark.parametrize("encode", [encode.encode_png, encode.encode_tiff])
def test_encoding_refuses_floats_and_grey(encode):
    for wrong in (picture().astype(np.float32), picture()[..., 0]):
        with pytest.raises(ValueError, match="pixels must be uint8 or uint16"):
            encode(wrong)


def test_a_refused_suffix_leaves_nothing_behind(tmp_path):
    with pytest.raises(PhotoError, match="is none of"):
        write_photo(tmp_path / "photo.webp", picture())
    assert list(tmp_path.iterdir()) == []
