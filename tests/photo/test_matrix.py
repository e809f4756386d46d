"""Every kind of file x every orientation x every profile -> upright sRGB of the right size, depth
and colours, tags kept."""

import imagecodecs
import numpy as np
import pytest
from PIL import ExifTags, Image

from datasets import miniature
from datasets.miniature import files
from enhancer.photo import color
from enhancer.photo.io import read_photo, write_photo
from tests.helpers.photo_files import (
    HEIGHT,
    KINDS,
    PROFILES,
    WIDTH,
    exif_block,
    grey,
    in_8_bit,
    picture,
    suffix_of,
)

# How the stored picture is turned so that each EXIF orientation makes it upright again (EXIF 2.32,
# 4.6.4 A).
STORED = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p, -1),
}


def true_colors(pixels, profile, *, is_grey):
    """What LittleCMS makes of the picture, of 255, computed in floating point."""
    values = pixels / 65535
    if is_grey:
        values = np.repeat(grey(values)[..., None], 3, axis=-1)
    if profile in (None, PROFILES["broken"]):
        return values * 255
    return 255 * imagecodecs.cms_transform(
        values.astype(np.float32),
        profile,
        color.srgb_profile(),
        colorspace="rgb",
        outcolorspace="rgb",
        outdtype="f4",
        flags=0x0100,
    ).clip(0, 1)


@pytest.mark.parametrize("profile_name", PROFILES)
@pytest.mark.parametrize("kind_name", KINDS)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_every_kind_in_every_orientation_and_profile(tmp_path, kind_name, profile_name):
    if kind_name.startswith("HEIC"):
        pytest.importorskip("pillow_heif", reason="HEIC needs the extra `heic`")
        if profile_name == "broken":
            pytest.skip("pillow-heif writes no broken profile")
    kind, profile = KINDS[kind_name], PROFILES[profile_name]
    stored = picture() if kind.bits > 8 else in_8_bit(picture()).astype(np.uint16) * 257
    expected = true_colors(stored, profile, is_grey=kind.is_grey)
    path = tmp_path / f"photo{suffix_of(kind_name)}"
    for orientation, turn in STORED.items():
        path.write_bytes(
            kind.write(np.ascontiguousarray(turn(stored)), profile, exif_block(orientation))
        )
        photo = read_photo(path, keep_depth=True)
        assert photo.pixels.dtype == (np.uint16 if kind.bits > 8 else np.uint8)
        assert photo.pixels.shape == (HEIGHT, WIDTH, 3), orientation
        assert photo.notes == _expected_notes(kind_name, profile_name)
        values = photo.pixels / (257 if kind.bits > 8 else 1)
        # A step of ProPhoto, whose colours lie far apart, is up to two of sRGB.
        stretch = 2 if profile_name == "ProPhoto" and kind.tolerance > 1 else 1
        assert np.abs(values - expected).max() <= kind.tolerance * stretch, orientation
        assert np.abs((values - expected).mean(axis=(0, 1))).max() < 1, orientation
        tags = Image.Exif()
        tags.load(photo.metadata.exif)
        assert tags[ExifTags.Base.Orientation] == 1
        assert tags[ExifTags.Base.Make] == "Camera"
        assert tags[ExifTags.Base.Copyright] == "A. Photographer"


def _expected_notes(kind_name, profile_name):
    if profile_name == "broken":
        return ("unreadable colour profile, treated as sRGB",)
    # Editors write their wide working spaces with 16 bits; who leaves the profile away has lost the
    # colours.
    is_deep_tiff = "TIFF, 16 bit" in kind_name and "grey" not in kind_name
    lost = is_deep_tiff and profile_name == "no profile"
    return ("16 bits without a colour profile, treated as sRGB",) if lost else ()


@pytest.mark.parametrize("kind_name", [name for name, kind in KINDS.items() if kind.bits > 8])
def test_16_bits_are_really_16_and_round_to_the_default(tmp_path, kind_name):
    if kind_name.startswith("HEIC"):
        pytest.importorskip("pillow_heif", reason="HEIC needs the extra `heic`")
    path = tmp_path / f"photo{suffix_of(kind_name)}"
    path.write_bytes(KINDS[kind_name].write(picture(), None, exif_block(1)))
    deep, default = read_photo(path, keep_depth=True).pixels, read_photo(path).pixels
    assert default.dtype == np.uint8
    assert (deep % 257 != 0).any()
    # HEIC's own decoder cuts the low bits off where the others are rounded.
    assert np.abs(deep / 257 - default).max() <= (1 if kind_name.startswith("HEIC") else 0.5)


@pytest.mark.parametrize("orientation", STORED)
def test_raw_in_every_orientation(tmp_path, orientation):
    scene = miniature.fivek_scene(2, 96)
    files.write_dng(tmp_path / "upright.dng", files.mosaic_of(scene))
    files.write_dng(tmp_path / "turned.dng", files.mosaic_of(scene), orientation=orientation)
    upright = read_photo(tmp_path / "upright.dng", keep_depth=True)
    turned = read_photo(tmp_path / "turned.dng", keep_depth=True)
    assert upright.pixels.dtype == turned.pixels.dtype == np.uint16
    inverse = STORED[{6: 8, 8: 6}.get(orientation, orientation)]
    np.testing.assert_array_equal(turned.pixels, inverse(upright.pixels))
    tags = Image.Exif()
    tags.load(turned.metadata.exif)
    assert tags[ExifTags.Base.Orientation] == 1
    assert np.abs(turned.pixels / 257 - read_photo(tmp_path / "turned.dng").pixels).max() <= 1


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("kind_name", ["JPEG", "PNG, 16 bit"])
def test_what_is_written_of_it(tmp_path, kind_name, suffix):
    """The copy of a photo that was held upright, in Adobe RGB, with a position: 8 or 16 bits, sRGB,
    all tags true."""
    source = tmp_path / f"photo{suffix_of(kind_name)}"
    stored = np.ascontiguousarray(STORED[6](picture()))
    source.write_bytes(KINDS[kind_name].write(stored, PROFILES["Adobe RGB"], exif_block(6)))
    photo = read_photo(source, keep_depth=True)
    copy = tmp_path / f"copy{suffix}"
    write_photo(copy, photo.pixels, metadata=photo.metadata)
    again = read_photo(copy, keep_depth=True)
    assert again.pixels.dtype == (np.uint8 if suffix == ".jpg" else photo.pixels.dtype)
    scale = 257 if photo.pixels.dtype == np.uint16 else 1
    scale_of_copy = 257 if again.pixels.dtype == np.uint16 else 1
    difference = np.abs(again.pixels / scale_of_copy - photo.pixels / scale)
    assert difference.max() <= (4 if suffix == ".jpg" else 0)
    with Image.open(copy) as image:
        assert image.size == (WIDTH, HEIGHT)
        assert image.info["icc_profile"] == color.srgb_profile()
        tags = image.getexif()
        assert tags[ExifTags.Base.Orientation] == 1
        details, gps = tags.get_ifd(ExifTags.IFD.Exif), tags.get_ifd(ExifTags.IFD.GPSInfo)
        size = details[ExifTags.Base.ExifImageWidth], details[ExifTags.Base.ExifImageHeight]
        assert (*size, details[ExifTags.Base.ColorSpace]) == (WIDTH, HEIGHT, 1)
        assert details[ExifTags.Base.ISOSpeedRatings] == 400
        assert gps[ExifTags.GPS.GPSLatitude] == (47.0, 22.0, 30.5)
