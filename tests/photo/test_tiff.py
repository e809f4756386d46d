"""Of a TIFF, which can hold nearly anything, the right page is read in the right way."""

import struct

import numpy as np
import pytest
import tifffile

from enhancer.photo.formats.decoded import DecodedPhoto
from enhancer.photo.io import read_photo


@pytest.fixture
def pixels():
    """A smooth picture, 32 x 48, whose corners all differ."""
    y, x = np.mgrid[0:32, 0:48]
    return np.stack([x * 5, y * 7, 255 - x * 3], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("place", [0, 1])
def test_the_largest_of_several_pages_is_read_and_the_others_are_mentioned(tmp_path, pixels, place):
    """Also where a thumbnail comes first and does not say that it is one."""
    pages = [pixels[::4, ::4], pixels[::4, ::4]]
    pages[place] = pixels
    with tifffile.TiffWriter(tmp_path / "pages.tif") as tiff:
        for page in pages:
            tiff.write(page, photometric="rgb")
    photo = read_photo(tmp_path / "pages.tif")
    np.testing.assert_array_equal(photo.pixels, pixels)
    (note,) = photo.notes
    assert note == "the largest of the file's 2 pages was read, the others were left out"


def test_of_pages_of_one_size_the_first_is_read(tmp_path, pixels):
    with tifffile.TiffWriter(tmp_path / "pages.tif") as tiff:
        tiff.write(pixels, photometric="rgb")
        tiff.write(255 - pixels, photometric="rgb")
    np.testing.assert_array_equal(read_photo(tmp_path / "pages.tif").pixels, pixels)


def test_previews_and_masks_are_no_pages_to_mention(tmp_path, pixels):
    with tifffile.TiffWriter(tmp_path / "photo.tif") as tiff:
        tiff.write(pixels, photometric="rgb", subifds=1)
        tiff.write(pixels[::2, ::2], photometric="rgb", subfiletype=1)
        tiff.write(pixels[..., 0] > 99, photometric="mask", subfiletype=4)
    photo = read_photo(tmp_path / "photo.tif")
    np.testing.assert_array_equal(photo.pixels, pixels)
    assert photo.notes == ()


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_that_starts_with_a_preview_gives_its_largest_page(tmp_path, pixels, dtype, nested):
    values = pixels.astype(dtype) * (np.iinfo(dtype).max // 255)
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as tiff:
        tiff.write(pixels[::4, ::4], photometric="rgb", subfiletype=1, subifds=2 if nested else 0)
        tiff.write(values[::2, ::2], photometric="rgb", subfiletype=1)
        tiff.write(values, photometric="rgb")
    np.testing.assert_array_equal(read_photo(tmp_path / "pyramid.tif").pixels, pixels)


def test_the_largest_page_may_need_pillow(tmp_path, pixels):
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as tiff:
        tiff.write(pixels[::4, ::4], photometric="rgb", subfiletype=1)
        tiff.write(
            np.dstack([255 - pixels, np.zeros_like(pixels[..., 0])]), photometric="separated"
        )
    photo = read_photo(tmp_path / "pyramid.tif")
    assert photo.pixels.shape == pixels.shape
    assert np.abs(photo.pixels.astype(int) - pixels).mean() < 5


@pytest.mark.parametrize("next_page", [3, 8, 99_999_999])
def test_a_damaged_link_to_a_second_page_does_not_cost_the_first(tmp_path, pixels, next_page):
    path = tmp_path / "photo.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", metadata=None)
    content = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (num_tags,) = struct.unpack_from("<H", content, start)
    struct.pack_into("<I", content, start + 2 + 12 * num_tags, next_page)
    path.write_bytes(content)
    np.testing.assert_array_equal(read_photo(path).pixels, pixels)


def test_an_ordinary_tiff_whose_pixels_spell_a_raw_signature_is_read(tmp_path):
    pixels = np.full((16, 16, 3), ord("I"), np.uint8)  # what Phase One writes at byte 8
    header = struct.pack("<2sHI", b"II", 42, 8 + pixels.size)
    tags = [(256, 16), (257, 16), (258, 8), (259, 1), (262, 2), (273, 8), (277, 3), (278, 16)]
    tags += [(279, pixels.size)]
    directory = struct.pack("<H", len(tags)) + b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags
    )
    (tmp_path / "photo.tif").write_bytes(header + pixels.tobytes() + directory + bytes(4))
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.tif").pixels, pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_saved_selection_is_no_transparency(tmp_path, pixels, dtype):
    """Photo editors keep masks, of windows for one, as further channels."""
    values = pixels.astype(dtype) * (np.iinfo(dtype).max // 255)
    mask = np.zeros((*pixels.shape[:2], 1), dtype)
    stored = np.concatenate([values, mask], axis=-1)
    tifffile.imwrite(
        tmp_path / "photo.tif", stored, photometric="rgb", extrasamples=["unspecified"]
    )
    photo = read_photo(tmp_path / "photo.tif")
    np.testing.assert_array_equal(photo.pixels, pixels)
    assert photo.notes[0] == "an extra channel, such as a saved selection, was left out"


def test_transparency_beside_a_selection(tmp_path, pixels):
    nothing = np.zeros(pixels.shape[:2], np.uint8)
    stored = np.dstack([pixels, nothing + 255, nothing])
    stored[:4, :4, 3] = 0
    kinds = ["unassalpha", "unspecified"]
    tifffile.imwrite(tmp_path / "photo.tif", stored, photometric="rgb", extrasamples=kinds)
    photo = read_photo(tmp_path / "photo.tif")
    assert (photo.pixels[:4, :4] == 255).all()
    np.testing.assert_array_equal(photo.pixels[4:], pixels[4:])
    assert len(photo.notes) == 2


def test_premultiplied_and_plain_transparency_look_the_same(tmp_path, pixels):
    alpha = np.full((*pixels.shape[:2], 1), 128, np.uint8)
    premultiplied = np.rint(pixels * (alpha / 255)).astype(np.uint8)
    for name, values in (("unassalpha", pixels), ("assocalpha", premultiplied)):
        stored = np.concatenate([values, alpha], axis=-1)
        tifffile.imwrite(tmp_path / f"{name}.tif", stored, photometric="rgb", extrasamples=[name])
    plain, other = (
        read_photo(tmp_path / f"{name}.tif").pixels.astype(int)
        for name in ("unassalpha", "assocalpha")
    )
    assert np.abs(plain - other).max() <= 1


@pytest.mark.parametrize("name", ["photo.jpg", "photo.cr3"])
def test_the_raw_formats_that_are_no_tiff_are_told_by_their_content(tmp_path, name, monkeypatch):
    developed = []
    monkeypatch.setattr(
        "enhancer.photo.formats.raw.decode",
        lambda path, **_: developed.append(path) or DecodedPhoto(np.zeros((9, 9, 3), np.uint8)),
    )
    fuji, canon = b"FUJIFILMCCD-RAW 0201", b"\0\0\0\x18ftypcrx \0\0\0\1"
    for head in (fuji, canon, b"II\x1a\0\0\0HEAPCCDR", b"IIU\0\x18\0\0\0"):
        (tmp_path / name).write_bytes(head + bytes(99))
        read_photo(tmp_path / name)
    assert len(developed) == 4


def test_each_page_has_an_orientation_of_its_own(tmp_path, pixels):
    with tifffile.TiffWriter(tmp_path / "photo.tif") as tiff:
        tiff.write(pixels[::4, ::4], photometric="rgb", subfiletype=1)
        tiff.write(pixels, photometric="rgb", extratags=[(274, "H", 1, 6, True)])
    turned = read_photo(tmp_path / "photo.tif").pixels
    np.testing.assert_array_equal(turned, np.rot90(pixels, -1))


def test_the_orientation_of_a_thumbnail_is_not_that_of_the_photo(tmp_path, pixels):
    with tifffile.TiffWriter(tmp_path / "photo.tif") as tiff:
        turn = [(274, "H", 1, 6, True)]
        tiff.write(pixels[::4, ::4], photometric="rgb", subfiletype=1, extratags=turn)
        tiff.write(pixels, photometric="rgb")
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.tif").pixels, pixels)


@pytest.mark.parametrize("suffix", [".tif", ".dng"])
def test_a_finished_picture_that_says_dng_is_read_as_it_is(tmp_path, pixels, suffix):
    version = [(50706, "B", 4, bytes((1, 4, 0, 0)), True)]
    tifffile.imwrite(tmp_path / f"a{suffix}", pixels, photometric="rgb", extratags=version)
    np.testing.assert_array_equal(read_photo(tmp_path / f"a{suffix}").pixels, pixels)
