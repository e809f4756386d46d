"""Whatever file a user brings becomes upright 8-bit sRGB, or a sentence that says what is wrong with it."""

import io
import os
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image

from enhancer.photo import io as photo_io
from enhancer.photo.io import PhotoError, encode_jpeg, read_photo, write_photo

ORIENTATION = ExifTags.Base.Orientation


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


def test_a_written_photo_carries_an_srgb_profile(tmp_path, pixels):
    for name in ("photo.jpg", "photo.png", "photo.tif"):
        write_photo(tmp_path / name, pixels)
        with Image.open(tmp_path / name) as image:
            assert image.info["icc_profile"]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_written_photo_carries_exif(tmp_path, pixels, suffix):
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "D70"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 400
    write_photo(tmp_path / f"photo{suffix}", pixels, exif=exif.tobytes())
    with Image.open(tmp_path / f"photo{suffix}") as image:
        assert image.getexif()[ExifTags.Base.Model] == "D70"
        assert image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] == 400


def test_an_unknown_suffix_is_not_written(tmp_path, pixels):
    with pytest.raises(PhotoError, match=r"photo\.bmp cannot be written"):
        write_photo(tmp_path / "photo.bmp", pixels)


def test_a_failed_write_leaves_nothing_behind(tmp_path, pixels, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_photo(tmp_path / "photo.jpg", pixels)
    assert list(tmp_path.iterdir()) == []


def test_encoding_is_deterministic_and_full_chroma(pixels):
    content = encode_jpeg(pixels)
    assert content == encode_jpeg(pixels)
    with Image.open(io.BytesIO(content)) as image:
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}


def test_encoding_refuses_floats(pixels):
    with pytest.raises(ValueError, match="uint8"):
        encode_jpeg(pixels.astype(np.float32) / 255)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_orientation_is_applied_and_reset(tmp_path, pixels, orientation, suffix):
    inverse = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    stored = photo_io._upright(pixels, inverse)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[ExifTags.Base.Make] = "Camera"
    Image.fromarray(stored).save(tmp_path / f"photo{suffix}", exif=exif)
    photo = read_photo(tmp_path / f"photo{suffix}")
    np.testing.assert_array_equal(photo.pixels, pixels)
    carried = Image.Exif()
    carried.load(photo.exif)
    assert carried[ORIENTATION] == 1
    assert carried[ExifTags.Base.Make] == "Camera"


def test_orientation_agrees_with_pillow(tmp_path, pixels):
    from PIL import ImageOps

    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        path = tmp_path / f"{orientation}.jpg"
        Image.fromarray(pixels).save(path, exif=exif, quality=95)
        with Image.open(path) as image:
            expected = np.asarray(ImageOps.exif_transpose(image))
        np.testing.assert_array_equal(read_photo(path).pixels, expected)


def test_exif_keeps_the_shot_and_drops_how_the_tiff_was_stored(tmp_path, pixels):
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "D70"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 400
    Image.fromarray(pixels).save(tmp_path / "photo.tif", exif=exif.tobytes())
    carried = Image.Exif()
    carried.load(read_photo(tmp_path / "photo.tif").exif)
    assert carried[ExifTags.Base.Model] == "D70"
    assert carried.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] == 400
    assert ExifTags.Base.StripOffsets not in carried


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_stop_a_photo(tmp_path, pixels):
    Image.fromarray(pixels).save(
        tmp_path / "photo.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage"
    )
    assert read_photo(tmp_path / "photo.jpg").pixels.shape == pixels.shape


def test_grey_becomes_three_equal_channels(tmp_path, pixels):
    for name in ("photo.jpg", "photo.png", "photo.tif"):
        Image.fromarray(pixels[..., 0]).save(tmp_path / name)
        values = read_photo(tmp_path / name).pixels
        assert values.shape == pixels.shape
        np.testing.assert_array_equal(values[..., 0], values[..., 2])


def test_cmyk_jpeg_keeps_its_colours_about_right(tmp_path, pixels):
    Image.fromarray(pixels).convert("CMYK").save(tmp_path / "photo.jpg", quality=95)
    photo = read_photo(tmp_path / "photo.jpg")
    assert "CMYK" in photo.notes[0]
    assert np.abs(photo.pixels.astype(int) - pixels).mean() < 5


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_is_rounded_not_clipped(tmp_path, pixels, suffix, channels):
    values = pixels[..., :channels].astype(np.uint16) * 257
    values[values < 65_000] += 100
    if suffix == ".png":
        (tmp_path / "photo.png").write_bytes(imagecodecs.png_encode(values.squeeze()))
    else:
        tifffile.imwrite(
            tmp_path / "photo.tif",
            values.squeeze(),
            photometric="rgb" if channels == 3 else "minisblack",
        )
    np.testing.assert_array_equal(
        read_photo(tmp_path / f"photo{suffix}").pixels,
        np.broadcast_to(pixels[..., :channels], pixels.shape),
    )


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


def test_webp_opens(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "photo.webp", lossless=True)
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.webp").pixels, pixels)


def test_heic_opens_or_names_the_extra(tmp_path, pixels):
    path = tmp_path / "photo.heic"
    try:
        import pillow_heif
    except ImportError:
        path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
        with pytest.raises(PhotoError, match="extra `heic`"):
            read_photo(path)
        return
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(path, quality=-1, chroma=444)
    np.testing.assert_allclose(read_photo(path).pixels, pixels, atol=6)


def test_missing_file(tmp_path):
    with pytest.raises(PhotoError, match=r"nowhere\.jpg does not exist"):
        read_photo(tmp_path / "nowhere.jpg")


def test_folder(tmp_path):
    with pytest.raises(PhotoError, match="is a folder"):
        read_photo(tmp_path)


@pytest.mark.parametrize("suffix", sorted(photo_io.PHOTO_SUFFIXES))
def test_an_empty_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"photo{suffix}"
    path.touch()
    with pytest.raises(PhotoError, match="0 bytes"):
        read_photo(path)


@pytest.mark.parametrize("suffix", sorted(photo_io.PHOTO_SUFFIXES))
def test_renamed_text_is_refused(tmp_path, suffix):
    path = tmp_path / f"letter{suffix}"
    path.write_text("Dear photographer, this is a letter.\n" * 40)
    with pytest.raises(PhotoError, match=path.name):
        read_photo(path)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif", "png16", "tif16", "tif16_lzw"])
def test_a_truncated_file_is_refused(tmp_path, kind, keep):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"cut.{kind[:3].replace('web', 'webp')}"
    match kind:
        case "png16":
            path.write_bytes(imagecodecs.png_encode(noise.astype(np.uint16) * 257))
        case "tif16":
            tifffile.imwrite(path, noise.astype(np.uint16) * 257, photometric="rgb")
        case "tif16_lzw":
            tifffile.imwrite(
                path,
                noise.astype(np.uint16) * 257,
                photometric="rgb",
                compression="lzw",
                rowsperstrip=8,
            )
        case _:
            Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(PhotoError, match="cut"):
        read_photo(path)


def test_a_decompression_bomb_is_refused_from_its_header(tmp_path):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    for bit_depth in (8, 16):
        header = struct.pack(">IIBBBBB", 60_000, 60_000, bit_depth, 2, 0, 0, 0)
        path = tmp_path / f"bomb{bit_depth}.png"
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99)))
        )
        with pytest.raises(PhotoError, match="200 megapixels"):
            read_photo(path)


def test_a_refusal_names_the_file_once_and_not_its_folder(tmp_path):
    path = tmp_path / "letter.jpg"
    path.write_text("Dear photographer")
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    assert str(caught.value).count("letter.jpg") == 1
    assert str(tmp_path) not in str(caught.value)
