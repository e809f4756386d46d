"""Colours keep their appearance on the way to sRGB, in the precision they came in."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms

from enhancer.photo import color
from enhancer.photo.io import PhotoError, read_photo
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
    exact = color._transform(pixels, PROPHOTO)
    assert color._matrix_tables(PROPHOTO)
    assert np.abs(color.to_srgb(pixels, PROPHOTO).astype(int) - exact).max() <= 8


def test_a_profile_that_is_no_matrix_is_left_to_littlecms(monkeypatch):
    real = color._transform

    def twisted(pixels, profile, target=b"", dtype=""):
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
    profile = color.profile_of_code_points(12, 13)
    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=-1)
    np.testing.assert_array_equal(color.to_srgb(greys, profile), greys)
    # Linear light 0.1274, 0.5776, 0.0319 through the matrix of P3 to sRGB, by hand.
    shown = color.to_srgb(np.array([[[100, 200, 50]]], np.uint8), profile)
    np.testing.assert_allclose(shown, [[[45, 203, 0]]], atol=1)


def adobe_exif(space=65535, index="R03"):
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Camera"
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.ColorSpace] = space
    if index:
        details[ExifTags.IFD.Interop] = {1: index}
    return exif


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.webp"])
def test_adobe_rgb_by_exif_alone(tmp_path, name):
    """Data of design rule for Camera File system, 2.0: no profile, but an index "R03"."""
    options = {"quality": 100} if name != "photo.png" else {}
    options |= {"lossless": True} if name == "photo.webp" else {}
    options |= {"subsampling": 0} if name == "photo.jpg" else {}
    Image.fromarray(color_grid()).save(tmp_path / name, exif=adobe_exif(), **options)
    expected = littlecms_8_bit(color_grid(), PROFILES["Adobe RGB"])
    error = np.abs(read_photo(tmp_path / name).pixels - expected)
    assert error.max() <= (1 if name != "photo.jpg" else 60)
    assert error.mean() < 1.5
    Image.fromarray(color_grid()).save(tmp_path / name, exif=adobe_exif(1), **options)
    assert np.abs(read_photo(tmp_path / name).pixels - color_grid().astype(int)).mean() < 1.5


def test_primaries_by_exif_alone():
    exif = adobe_exif(index=None)
    exif[ExifTags.Base.PrimaryChromaticities] = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
    profile = color.profile_of_exif(exif.tobytes())
    assert profile
    expected = littlecms_8_bit(color_grid(), PROFILES["Adobe RGB"])
    assert np.abs(color.to_srgb(color_grid(), profile).astype(int) - expected).max() <= 2
    exif[ExifTags.Base.PrimaryChromaticities] = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
    assert color.profile_of_exif(exif.tobytes()) is None


P3_POINTS, P3 = bytes((12, 13, 0, 1)), color.profile_of_code_points(12, 13)
ADOBE_XY = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
P3_XY = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
SRGB_XY = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
PNG_COLORS = {
    "cICP": ({b"cICP": P3_POINTS}, P3),
    "cICP before iCCP": ({b"cICP": P3_POINTS, b"iCCP": PROPHOTO}, P3),
    "iCCP before sRGB": ({b"sRGB": b"\0", b"iCCP": PROPHOTO}, PROPHOTO),
    "sRGB before cHRM": ({b"sRGB": b"\0", b"cHRM": ADOBE_XY}, None),
    "Adobe RGB": ({b"gAMA": struct.pack(">I", 45470), b"cHRM": ADOBE_XY}, PROFILES["Adobe RGB"]),
    "P3": ({b"gAMA": struct.pack(">I", 45455), b"cHRM": P3_XY}, P3),
    "P3 without gAMA": ({b"cHRM": P3_XY}, P3),
    "sRGB by its numbers": ({b"gAMA": struct.pack(">I", 45455), b"cHRM": SRGB_XY}, None),
}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", PNG_COLORS)
def test_a_png_declares_its_colours_in_the_standards_order(tmp_path, name, bits):
    chunks, profile = PNG_COLORS[name]
    write_png(tmp_path / "photo.png", chunks, bits)
    expected = littlecms_8_bit(color_grid(), profile) if profile else color_grid().astype(int)
    photo = read_photo(tmp_path / "photo.png")
    assert photo.notes == ()
    assert np.abs(photo.pixels - expected).max() <= 2


def write_png(path, chunks, bits=8):
    grid = color_grid() if bits == 8 else color_grid().astype(np.uint16) * 257
    content = bytes(imagecodecs.png_encode(grid))
    for kind, value in chunks.items():
        value = b"p\0\0" + zlib.compress(value) if kind == b"iCCP" else value
        content = content[:33] + png_chunk(kind, value) + content[33:]
    path.write_bytes(content)


@pytest.mark.parametrize(("curve", "name"), [(16, "PQ"), (18, "HLG"), (9, "logarithmic")])
def test_hdr_is_refused_by_name_in_every_format(tmp_path, curve, name):
    write_png(tmp_path / "photo.png", {b"cICP": bytes((9, curve, 0, 1))})
    with pytest.raises(PhotoError, match=rf"photo.png is an HDR photo \({name}\)"):
        read_photo(tmp_path / "photo.png")
    profile = bytearray(PROPHOTO) + b"cicp" + bytes(4) + bytes((9, curve, 0, 1))
    profile[:4] = len(profile).to_bytes(4)
    Image.fromarray(color_grid()).save(tmp_path / "a.jpg", icc_profile=bytes(profile))
    tifffile.imwrite(tmp_path / "a.tif", color_grid(), photometric="rgb", iccprofile=bytes(profile))
    for path in (tmp_path / "a.jpg", tmp_path / "a.tif"):
        with pytest.raises(PhotoError, match=rf"is an HDR photo \({name}\)"):
            read_photo(path)


@pytest.mark.parametrize("points", [(9, 14), (1, 8), (1, 4), (5, 6), (11, 5), (22, 7)])
def test_code_points_are_converted_by_the_formulas_of_their_standard(points):
    """ITU-T H.273, tables 2 and 3: neutrals stay neutral, and mid grey is what the curve says."""
    light = {
        14: ((0.5 + 0.099) / 1.099) ** (1 / 0.45),
        6: ((0.5 + 0.099) / 1.099) ** (1 / 0.45),
        8: 0.5,
        4: 0.5**2.2,
        5: 0.5**2.8,
        7: ((0.5 + 0.1115) / 1.1115) ** (1 / 0.45),
    }[points[1]]
    expected = 65535 * (1.055 * light ** (1 / 2.4) - 0.055)
    grey = np.full((16, 16, 3), 32768, np.uint16)
    values = color.to_srgb(grey, color.profile_of_code_points(*points))
    np.testing.assert_allclose(values, expected, atol=100)


@pytest.mark.parametrize("points", [(3, 13), (1, 17)])
def test_code_points_that_are_not_known_are_refused_by_number(points):
    with pytest.raises(color.UnsupportedColorsError, match=r"of ITU-T H\.273"):
        color.profile_of_code_points(*points)
