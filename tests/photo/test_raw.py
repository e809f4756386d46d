"""RAW files are developed; damaged ones are refused, also those that decode without an error."""

import shutil

import numpy as np
import pytest
import tifffile

from datasets import miniature
from datasets.miniature import files
from enhancer.photo.formats import raw
from enhancer.photo.io import PhotoError, read_photo


def sensor_values(height=200, width=300):
    """A sensor's view of a dark, smooth scene with a blown-out window: the hardest case that is
    still a photo."""
    y, x = np.mgrid[0:height, 0:width]
    scene = (
        60
        + 200 * np.exp(-((x - 200) ** 2 + (y - 80) ** 2) / 4000)
        + 8000 * ((x < 60) & (y > 40) & (y < 160))
    )
    noisy = np.random.default_rng(0).normal(scene, 4)
    return np.clip(np.rint(noisy), 0, 4095).astype(np.uint16)


def noise(height, width):
    return np.random.default_rng(0).integers(0, 4096, (height, width))


def test_a_dark_photo_with_a_blown_window_is_a_photo():
    assert raw.describe_junk(sensor_values()) is None


def test_an_overexposed_photo_is_a_photo():
    values = sensor_values()
    values[:120] = values.max()
    assert raw.describe_junk(values) is None


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda values: values.fill(7), "one single value"),
        (lambda values: values[150:].fill(0), "25%"),
        (lambda values: values[100:].__setitem__(..., values[98]), "striped"),  # its last row again
        (lambda values: values[:, 200:].fill(12), "striped"),
        (lambda values: values[100:].__setitem__(..., noise(100, 300)), "noise"),
    ],
)
def test_what_a_decoder_makes_of_damage_is_recognised(damage, sentence):
    values = sensor_values()
    damage(values)
    assert sentence in raw.describe_junk(values)


def test_linear_raw_has_a_channel_axis():
    linear = np.repeat(sensor_values()[..., None], 3, axis=-1)
    assert raw.describe_junk(linear) is None
    linear[100:] = 0
    assert "empty" in raw.describe_junk(linear)


def test_real_raw_files_develop(shared_data):
    paths = sorted((shared_data / "raw/ok").iterdir())
    assert len(paths) > 5
    for path in paths:
        pixels = read_photo(path).pixels
        assert pixels.std() > 20, path.name


@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_a_raw_under_another_suffix_is_developed(tmp_path, suffix):
    path = tmp_path / "photo.dng"
    files.write_dng(path, files.mosaic_of(miniature.fivek_scene(2, 96)))
    renamed = shutil.copy(path, path.with_suffix(suffix))
    np.testing.assert_array_equal(read_photo(renamed).pixels, read_photo(path).pixels)


@pytest.mark.parametrize("missing", [1, 40, 400])
def test_a_raw_without_its_last_bytes_is_refused(tmp_path, missing):
    """LibRaw fills them with zeros, which are too few to look like damage."""
    path = tmp_path / "photo.dng"
    files.write_dng(path, files.mosaic_of(miniature.fivek_scene(2, 192)))
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(PhotoError, match=r"photo\.dng is cut off"):
        read_photo(path)


def test_nested_sensor_values_are_developed(tmp_path):
    with tifffile.TiffWriter(tmp_path / "photo.tif") as tiff:
        tiff.write(np.zeros((64, 96, 3), np.uint8), photometric="rgb", subifds=1)
        tiff.write(sensor_values(), photometric="cfa")
    assert read_photo(tmp_path / "photo.tif").pixels.shape == (200, 300, 3)


def test_a_preview_never_stands_in_for_a_raw_that_cannot_be_developed(tmp_path):
    preview = np.zeros((64, 96, 3), np.uint8)
    tifffile.imwrite(tmp_path / "alone.tif", preview, photometric="rgb", subfiletype=1)
    canon = tmp_path / "canon.tif"
    tifffile.imwrite(canon, preview, photometric="rgb")
    canon.write_bytes(b"II*\0\x10\0\0\0CR\2\0" + bytes(4) + canon.read_bytes()[8:])
    for name in ("alone", "canon"):
        with pytest.raises(
            PhotoError, match=rf"{name}\.tif is damaged, or of a kind that cannot be developed"
        ):
            read_photo(tmp_path / f"{name}.tif")


def test_a_real_raw_of_nothing_but_previews_to_tiff_readers_is_developed(shared_data, tmp_path):
    path = shared_data / "raw/ok/kodak_dc50_rawpy.KDC"
    renamed = shutil.copy(path, tmp_path / "photo.tif")
    np.testing.assert_array_equal(read_photo(renamed).pixels, read_photo(path).pixels)


def test_junk_is_recognised_without_the_file_size(shared_data, monkeypatch):
    monkeypatch.setattr(raw, "_MIN_BITS_PER_PIXEL", 0)
    monkeypatch.setattr(raw.tiff, "is_raw_cut_off", lambda path: False)
    paths = sorted((shared_data / "raw/decodes_to_junk").iterdir())
    assert paths
    for path in paths:
        with pytest.raises(PhotoError, match="damaged"):
            read_photo(path)


@pytest.mark.parametrize(
    "name", ["nikon_d1.NEF", "colorchart_bayer.dng", "kodak_dc120_P003909.KDC"]
)
@pytest.mark.parametrize("fill", ["zeros", "noise"])
def test_a_raw_with_a_destroyed_middle_is_refused(shared_data, tmp_path, name, fill):
    content = bytearray((shared_data / "raw/ok" / name).read_bytes())
    third = len(content) // 3
    noise = np.random.default_rng(0).integers(0, 256, third, dtype=np.uint8).tobytes()
    content[third : 2 * third] = bytes(third) if fill == "zeros" else noise
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PhotoError, match="damaged"):
        read_photo(tmp_path / name)


def write_linear_dng(path, values, compression=None):
    """What raw developers, panoramas and monochrome cameras write."""
    number = [1, 1] * 3
    tags = [
        (271, "s", 0, "Leica", True),
        (272, "s", 0, "M", True),
        (50706, "B", 4, bytes((1, 4, 0, 0)), True),
        (50708, "s", 0, "Test M", True),
        (50717, "I", 1, 65535, True),
        (50778, "H", 1, 21, True),
    ]
    if values.ndim == 3:
        matrix = [3240600, -1537200, -498600, -968900, 1875800, 41500, 55700, -204000, 1057000]
        pairs = [number for value in matrix for number in (value, 1_000_000)]
        tags += [(50721, "2i", 9, pairs, True), (50728, "2I", 3, number, True)]
    kind = "rgb" if values.ndim == 3 else "minisblack"
    options = {"photometric": kind, "extratags": tags, "metadata": None}
    tifffile.imwrite(path, values, compression=compression, **options)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages.first.tags["PhotometricInterpretation"].overwrite(34892)


def linear():
    y, x = np.mgrid[0:120, 0:160]
    scene = np.random.default_rng(0).normal(9000 + 120 * x + 90 * y, 60)
    return np.repeat(scene.astype(np.uint16).reshape(120, 160, 1), 3, axis=-1)


def test_a_dark_or_bordered_linear_dng_is_a_photo(tmp_path):
    """A night that was crushed to black, and a panorama's empty border: a real sensor has noise,
    a finished DNG need not."""
    for name, black in (("night", np.s_[:60]), ("border", np.s_[:, :40])):
        values = linear()
        values[black] = 0
        write_linear_dng(tmp_path / f"{name}.dng", values)
        pixels = read_photo(tmp_path / f"{name}.dng").pixels
        assert pixels.shape == (120, 160, 3)
        assert pixels[black].mean() < 12
        assert pixels[70:, 50:].mean() > 100


def test_a_linear_dng_that_was_cut_off_is_refused(tmp_path):
    values = linear()
    values[:30] = 0
    write_linear_dng(tmp_path / "whole.dng", values)
    content = (tmp_path / "whole.dng").read_bytes()
    for share in (0.5, 0.9, 0.99):
        (tmp_path / "cut.dng").write_bytes(content[: int(share * len(content))])
        with pytest.raises(PhotoError, match=r"damaged|cut off"):
            read_photo(tmp_path / "cut.dng")


@pytest.mark.parametrize("keep_depth", [False, True])
def test_a_monochrome_raw_has_three_equal_channels(tmp_path, keep_depth):
    write_linear_dng(tmp_path / "photo.dng", linear()[..., 0])
    pixels = read_photo(tmp_path / "photo.dng", keep_depth=keep_depth).pixels
    assert pixels.shape == (120, 160, 3)
    np.testing.assert_array_equal(pixels[..., 0], pixels[..., 2])
    assert pixels.std() > 10


def test_a_dark_sensor_with_pixels_of_exact_zero_is_a_photo():
    values = np.random.default_rng(0).normal(-6, 4, (200, 300)).clip(0).astype(np.uint16)
    values[150:, 100:200] += 900 + np.random.default_rng(1).integers(0, 40, (50, 100), np.uint16)
    assert (values == 0).mean() > 0.8
    assert raw.describe_junk(values) is None


def test_a_dng_that_is_compressed_with_jpeg_xl_is_called_so(tmp_path):
    write_linear_dng(tmp_path / "photo.dng", linear(), "zlib")
    with tifffile.TiffFile(tmp_path / "photo.dng", mode="r+") as file:
        file.pages.first.tags["Compression"].overwrite(52546)
    with pytest.raises(PhotoError, match=r"photo\.dng is compressed with JPEG XL"):
        read_photo(tmp_path / "photo.dng")
