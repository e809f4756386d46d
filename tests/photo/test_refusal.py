"""Every file that is not a photo gets one clear sentence, before memory is spent on it."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from enhancer.photo.io import PHOTO_SUFFIXES, PhotoError, read_photo
from tests.helpers.photo_files import KINDS, picture, png_chunk

FTYP = b"\0\0\0\x18ftyp%b\0\0\0\0isommp42" + bytes(64)
FLAT = np.full((48, 64, 3), 90, np.uint8)


def png(width, height, rows=b"", bit_depth=8):
    header = struct.pack(">IIBBBBB", width, height, bit_depth, 2, 0, 0, 0)
    chunks = (
        png_chunk(b"IHDR", header),
        png_chunk(b"IDAT", zlib.compress(rows, 9)),
        png_chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def jpeg(width, height):
    """A real JPEG whose header claims another size."""
    buffer = io.BytesIO()
    Image.fromarray(FLAT).save(buffer, "JPEG")
    content = bytearray(buffer.getvalue())
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def webp(width, height):
    """A real lossless WebP whose header claims another size."""
    content = bytearray(KINDS["WebP, lossless"].write(picture(), None, b""))
    at = content.index(b"VP8L") + 9
    content[at : at + 4] = (width - 1 | height - 1 << 14).to_bytes(4, "little")
    return bytes(content)


def written_tiff(values, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, metadata=None, **options)
    return buffer.getvalue()


def overwritten(content, **tags):
    """A TIFF some of whose tags say something else."""
    buffer = io.BytesIO(content)
    with tifffile.TiffFile(buffer, mode="r+") as file:
        for name, value in tags.items():
            file.pages.first.tags[name].overwrite(value)
    return buffer.getvalue()


def tiff(**tags):
    """A deflated 16-bit TIFF some of whose tags say something else."""
    values = np.zeros((64, 64, 3), np.uint16)
    return overwritten(written_tiff(values, photometric="rgb", compression="zlib"), **tags)


def tiff_whose_jpeg_is_larger():
    values = np.zeros((64, 64, 3), np.uint8)
    content = bytearray(written_tiff(values, photometric="rgb", compression="jpeg"))
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", 14_000, 14_000)
    return bytes(content)


def dng(width, height):
    version, colors = (50706, "B", 4, bytes((1, 4, 0, 0)), True), b"\0\1\1\2"
    tags = [version, (33421, "H", 2, (2, 2), True), (33422, "B", 4, colors, True)]
    values = np.random.default_rng(0).integers(0, 4000, (64, 64)).astype(np.uint16)
    content = written_tiff(values, photometric="cfa", extratags=tags)
    return overwritten(content, ImageWidth=width, ImageLength=height)


def animation(kind):
    buffer = io.BytesIO()
    frames = [Image.fromarray(FLAT), Image.fromarray(255 - FLAT)]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


BOMBS = {
    "900_mp.png": (png(30_000, 30_000), "claims 900 megapixels (30000 x 30000); the limit"),
    "900_mp_16_bit.png": (png(30_000, 30_000, bit_depth=16), "the limit is 200 megapixels"),
    "empty_196_mp.png": (png(14_000, 14_000, bytes(9999)), "claims 196 megapixels (14000 x 14000)"),
    "claims.jpg": (jpeg(65_500, 65_500), "the limit is 200 megapixels"),
    "claims_less.jpg": (jpeg(14_000, 14_000), "which no photo fits into"),
    "claims.webp": (webp(16_000, 16_000), "the limit is 200 megapixels"),
    "claims.tif": (tiff(ImageWidth=60_000, ImageLength=60_000), "the limit is 200 megapixels"),
    "claims_less.tif": (tiff(ImageWidth=14_000, ImageLength=14_000), "which no photo fits into"),
    "many_channels.tif": (tiff(SamplesPerPixel=60_000), "bytes per pixel"),
    "jpeg_inside.tif": (tiff_whose_jpeg_is_larger(), "its parts are larger than the whole picture"),
    "claims.dng": (dng(60_000, 60_000), "megapixels"),
}  # fmt: skip
OTHER_FILES = {
    "letter.jpg": (b"Dear photographer,\n" * 9, "a text file"),
    "letter.nef": ("Grüße aus Zürich\n".encode() * 99, "a text file"),
    "notepad.jpg": ("Liebe Fotografin".encode("utf-16"), "a text file"),
    "drawing.png": (b'<?xml version="1.0"?>\n<!-- logo -->\n<svg xmlns="x"/>', "an SVG drawing"),
    "page.jpg": (b"\n<!DOCTYPE html><html><body>404</body></html>", "a web page"),
    "plan.jpg": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "a PDF document"),
    "flyer.tif": (b"%!PS-Adobe-3.0 EPSF-3.0", "a PostScript document"),
    "tour.jpg": (FTYP % b"mp42", "a video"),
    "tour.heic": (FTYP % b"qt  ", "a video"),
    "tour.png": (b"RIFF\0\0\0\0AVI LIST", "a video"),
    "tour.webp": (b"\x1aE\xdf\xa3" + bytes(64), "a video"),
    "banner.jpg": (animation("GIF"), "a GIF"),
    "new.avif": (FTYP % b"avif", "an AVIF picture, a format that is not supported"),
    "newer.jxl": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(64), "a JPEG XL picture"),
    "newer.jpg": (b"\xff\x0a" + bytes(64), "a JPEG XL picture"),
    "old.jp2": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(64), "a JPEG 2000 picture"),
    "layers.tif": (b"8BPS\0\1" + bytes(64), "a Photoshop document"),
    "paint.jpg": (b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0" + bytes(64), "a BMP picture"),
    "light.tif": (b"#?RADIANCE\n", "an HDR picture"),
    "all.jpg": (b"PK\x03\x04" + bytes(64), "an archive"),
    "._IMG_1.jpg": (b"\0\5\x16\7\0\2\0\0Mac OS X" + bytes(64), "the side file that macOS puts"),
}  # fmt: skip
REFUSED_PHOTOS = {
    "nothing.jpg": (b"", "is empty (0 bytes)"),
    "zeros.jpg": (bytes(5000), "begins with nothing but zeros: its copy failed"),
    "moving.png": (animation("PNG"), "is an animated PNG of 2 frames"),
    "moving.webp": (animation("WEBP"), "is an animated WebP of 2 frames"),
    "unknown.jpg": (bytes(range(128, 256)) * 9, "is damaged, cut off, or not a photo"),
    "line.png": (png(1, 100_000, bytes(400_000)), "is 1 x 100000 pixels: a line and not a photo"),
    "no_pixels.png": (png(0, 48), "has no pixels (0 x 48)"),
    "no_pixels.jpg": (jpeg(0, 48), "has no pixels (0 x 48)"),
    "no_pixels.tif": (tiff(ImageWidth=0), "has no pixels (0 x 64)"),
    "photo.dng": (jpeg(64, 48), "holds a JPEG picture and no RAW data"),
    "float.tif": (written_tiff(FLAT / 255, photometric="rgb"), "8 or 16 bits per channel"),
    "lab.tif": (written_tiff(FLAT, photometric="cielab"), "Export it as an RGB TIFF"),
}  # fmt: skip
BAD_FILES = BOMBS | REFUSED_PHOTOS
BAD_FILES |= {
    name: (content, f"{name} is not a photo but {what}")
    for name, (content, what) in OTHER_FILES.items()
}


def refusal(path):
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    return str(caught.value)


@pytest.mark.parametrize("name", BAD_FILES)
def test_every_bad_file_gets_its_sentence(tmp_path, name):
    (tmp_path / name).write_bytes(BAD_FILES[name][0])
    sentence = refusal(tmp_path / name)
    assert BAD_FILES[name][1] in sentence
    assert sentence.startswith(name)
    assert sentence.count(name) == 1
    assert sentence.endswith(".")
    assert str(tmp_path) not in sentence
    assert "\n" not in sentence
    assert len(sentence) < 300


def test_bombs_are_refused_without_the_memory(tmp_path):
    """All of them together, in a process of its own whose largest size is measured: each asks for
    0.6 GB or more."""
    for name in BOMBS:
        (tmp_path / name).write_bytes(BAD_FILES[name][0])
    program = (
        "import resource, sys\n"
        "from enhancer.photo.io import PHOTO_SUFFIXES, PhotoError, read_photo\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak()\n"
        "for path in sys.argv[1:]:\n"
        "    try: read_photo(path)\n"
        "    except PhotoError: pass\n"
        "    else: print('accepted', path)\n"
        "print(peak() - before)\n"
    )
    paths = [str(tmp_path / name) for name in BOMBS]
    command, root = [sys.executable, "-c", program, *paths], Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 40  # MB


def test_a_deflate_stream_that_unpacks_to_more_than_its_picture(tmp_path):
    """64 x 64 pixels that would inflate to 60 MB."""
    bomb = zlib.compress(bytes(60_000_000), 9)
    values = np.zeros((64, 64, 3), np.uint8)
    content = written_tiff(values, photometric="rgb", compression="zlib")
    claims = {"StripOffsets": len(content), "StripByteCounts": len(bomb)}
    (tmp_path / "bomb.tif").write_bytes(overwritten(content + bomb, **claims))
    assert "damaged" in refusal(tmp_path / "bomb.tif")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes on this system")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "photo.jpg")
    assert "is not a file but a pipe" in refusal(tmp_path / "photo.jpg")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="there are no devices on this system")
def test_a_device_is_refused():
    assert "is not a file but a pipe, socket or device" in refusal("/dev/zero")


def test_a_file_without_permission(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "photo.jpg").write_bytes(jpeg(64, 48))
    monkeypatch.setattr("builtins.open", refuse)
    sentence = refusal(tmp_path / "photo.jpg")
    monkeypatch.undo()
    assert "cannot be opened (Permission denied). Check the file and its permissions." in sentence


def test_heic_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for name in ("photo.heic", "photo.jpg"):
        (tmp_path / name).write_bytes(FTYP % b"heic")
        assert "is a HEIC photo, and HEIC support is not installed" in refusal(tmp_path / name)


@pytest.mark.parametrize(
    ("size", "advice"),
    [
        ((4288, 2848), "The camera's own JPEG in it, 4288 x 2848 pixels, was not used"),
        ((160, 120), "Copy it from the camera again"),
    ],
)
def test_the_cameras_own_jpeg_is_named_and_not_passed_off(tmp_path, monkeypatch, size, advice):
    (tmp_path / "photo.nef").write_bytes(dng(64, 64))
    monkeypatch.setattr("enhancer.photo.formats.raw.describe_junk", lambda *_, **__: "all is noise")
    monkeypatch.setattr("enhancer.photo.formats.raw._preview", lambda _: jpeg(*size))
    assert f"photo.nef is damaged: all is noise. {advice}" in refusal(tmp_path / "photo.nef")


@pytest.mark.parametrize("content", [b"", b"Dear photographer, this is a letter.\n" * 40])
def test_no_suffix_makes_a_photo_of_nothing_or_of_text(tmp_path, content):
    assert len(PHOTO_SUFFIXES) > 30
    for suffix in PHOTO_SUFFIXES:
        (tmp_path / f"photo{suffix}").write_bytes(content)
        assert f"photo{suffix} is " in refusal(tmp_path / f"photo{suffix}")


def test_a_missing_file_and_a_folder(tmp_path):
    assert "nowhere.jpg does not exist" in refusal(tmp_path / "nowhere.jpg")
    assert "is a folder" in refusal(tmp_path)


def test_every_real_bad_raw_gets_a_sentence(shared_data):
    paths = [*(shared_data / "raw").glob("broken/*"), *(shared_data / "raw").glob("decodes*/*")]
    assert len(paths) >= 10
    for path in paths:
        for keep_depth in (False, True):
            with pytest.raises(PhotoError, match=r"damaged|cut off|no RAW data"):
                read_photo(path, keep_depth=keep_depth)
