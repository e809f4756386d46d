"""Colours keep their appearance on the way to sRGB, in the precision they came in."""

import io
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from enhancer.photo import color
from enhancer.photo.io import read_photo
from tests.helpers.photo_files import GREY_PROFILE, PROFILES, png_chunk

PROPHOTO = PROFILES["ProPhoto"]


def littlecms_8_bit(pixels, profile):
    """LittleCMS' own conversion of 8-bit pixels, the reference."""
    image, srgb = Image.fromarray(pixels), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, io.BytesIO(profile), srgb, outputMode="RGB")
    return np.asarray(converted).astype(int)


def color_grid():
    levels = np.linspace(0, 255, 12).astype(np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(36, 48, 3)


def test_prophoto_16_bit_agrees_with_littlecms(tmp_path):
    grid = color_grid()
    tifffile.imwrite(
        tmp_path / "photo.tif", grid.astype(np.uint16) * 257, photometric="rgb", iccprofile=PROPHOTO
    )
    photo = read_photo(tmp_path / "photo.tif")
    assert photo.notes == ()
    assert np.abs(photo.pixels - littlecms_8_bit(grid, PROPHOTO)).max() <= 1


def test_prophoto_neutrals_stay_neutral(tmp_path):
    ramp = np.repeat(np.arange(0, 65536, 257, dtype=np.uint16)[None, :, None], 3, axis=-1).repeat(
        16, axis=0
    )
    tifffile.imwrite(tmp_path / "ramp.tif", ramp, photometric="rgb", iccprofile=PROPHOTO)
    values = read_photo(tmp_path / "ramp.tif").pixels[0].astype(int)
    assert np.ptp(values, axis=-1).max() <= 1
    assert (np.diff(values[:, 1]) >= 0).all()
    assert values[0].max() == 0
    assert values[-1].min() == 255


def test_16_bit_stays_16_bit():
    values = color.to_srgb(color_grid().astype(np.uint16) * 257, PROPHOTO)
    assert values.dtype == np.uint16
    assert len(np.unique(values % 257)) > 100


def test_8_bit_are_converted(tmp_path):
    Image.fromarray(color_grid()).save(tmp_path / "photo.png", icc_profile=PROPHOTO)
    expected = littlecms_8_bit(color_grid(), PROPHOTO)
    assert np.abs(read_photo(tmp_path / "photo.png").pixels - expected).max() <= 1


@pytest.mark.parametrize("bits", [8, 16])
def test_a_junk_profile_is_named_and_ignored(tmp_path, bits):
    values = color_grid() if bits == 8 else color_grid().astype(np.uint16) * 257
    tifffile.imwrite(
        tmp_path / "photo.tif", values, photometric="rgb", iccprofile=b"no profile at all" * 20
    )
    photo = read_photo(tmp_path / "photo.tif")
    assert photo.notes == ("unreadable colour profile, treated as sRGB",)
    np.testing.assert_array_equal(photo.pixels, color_grid())


def test_a_grey_picture_may_carry_an_rgb_profile(tmp_path):
    Image.fromarray(color_grid()[..., 0]).save(tmp_path / "grey.png", icc_profile=PROPHOTO)
    values = read_photo(tmp_path / "grey.png").pixels.astype(int)
    assert np.ptp(values, axis=-1).max() <= 1


def test_the_srgb_profile_is_reproducible():
    first = color.srgb_profile()
    color.srgb_profile.cache_clear()
    assert color.srgb_profile() == first


def test_curves_and_a_matrix_give_what_littlecms_gives_pixel_by_pixel():
    pixels = np.random.default_rng(0).integers(0, 65536, (70, 80, 3), dtype=np.uint16)
    exact = color._transform(pixels, PROPHOTO, color.srgb_profile())
    assert color._matrix_tables(PROPHOTO)
    assert np.abs(color.to_srgb(pixels, PROPHOTO).astype(int) - exact).max() <= 8


def test_a_profile_that_is_no_matrix_is_left_to_littlecms(monkeypatch):
    real = color._transform

    def twisted(pixels, profile, target, dtype=""):
        """As if the profile mixed its channels in another way than a matrix does."""
        converted = real(pixels, profile, target, dtype)
        return converted if dtype else converted[..., ::-1]

    color._matrix_tables.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(color, "_transform", twisted)
        assert color._matrix_tables(PROPHOTO) is None
    color._matrix_tables.cache_clear()


@pytest.mark.parametrize("name", ["photo.png", "deep.png", "photo.tif", "deep.tif", "photo.jpg"])
def test_a_grey_profile_is_applied_in_every_format(tmp_path, name):
    ramp = np.tile(np.arange(40, 240, 4, dtype=np.uint8), (32, 1))
    path, deep = tmp_path / name, ramp.astype(np.uint16) * 257
    if name == "deep.png":
        content = imagecodecs.png_encode(deep)
        profile = png_chunk(b"iCCP", b"p\0\0" + zlib.compress(GREY_PROFILE))
        path.write_bytes(content[:33] + profile + content[33:])
    elif path.suffix == ".tif":
        values = deep if name.startswith("deep") else ramp
        tifffile.imwrite(path, values, photometric="minisblack", iccprofile=GREY_PROFILE)
    else:
        quality = {"quality": 100} if path.suffix == ".jpg" else {}
        Image.fromarray(ramp).save(path, icc_profile=GREY_PROFILE, **quality)
    photo = read_photo(path)
    expected = littlecms_8_bit(ramp, GREY_PROFILE)
    assert photo.notes == ()
    assert np.abs(photo.pixels.astype(int) - expected).max() <= 1
    assert np.abs(expected[..., 0].astype(int) - ramp).max() > 5


def test_display_p3_red_is_redder_than_srgb_can_show():
    profile = color.display_p3_profile()
    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=-1)
    np.testing.assert_array_equal(color.to_srgb(greys, profile), greys)
    # Linear light 0.1274, 0.5776, 0.0319 through the matrix of P3 to sRGB, by hand.
    shown = color.to_srgb(np.array([[[100, 200, 50]]], np.uint8), profile)
    np.testing.assert_allclose(shown, [[[45, 203, 0]]], atol=1)
