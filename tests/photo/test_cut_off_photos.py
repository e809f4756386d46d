"""A photo that was cut off or damaged on its way is refused, and never half grey."""

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from enhancer.photo.io import PhotoError, read_photo
from tests.helpers.photo_files import KINDS, exif_block, picture, suffix_of


def refusal(path):
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    return str(caught.value)


@pytest.mark.parametrize("kind", [name for name in KINDS if not name.startswith("HEIC")])
@pytest.mark.filterwarnings("ignore:Truncated|Corrupt")
def test_a_cut_anywhere_is_refused_or_harmless(tmp_path, kind):
    """Also in the last percent: what is read in spite of the cut is the whole picture."""
    content = KINDS[kind].write(picture(), None, exif_block(1))
    path = tmp_path / f"cut{suffix_of(kind)}"
    path.write_bytes(content)
    whole = read_photo(path, keep_depth=True).pixels
    for missing in (1, 2, 3, 5, 9, 20, len(content) // 100, len(content) // 20, len(content) // 2):
        path.write_bytes(content[: len(content) - missing])
        try:
            pixels = read_photo(path, keep_depth=True).pixels
        except PhotoError:
            continue
        np.testing.assert_array_equal(pixels, whole)


@pytest.mark.parametrize(
    "kind",
    ["JPEG", "JPEG, progressive", "JPEG, grey", "PNG", "PNG, 16 bit", "WebP", "WebP, lossless"],
)
def test_a_tail_of_zeros_is_refused(tmp_path, kind):
    """What is left of a copy that broke off when the room for it had been made."""
    noise = np.random.default_rng(0).integers(0, 65536, (96, 128, 3), dtype=np.uint16)
    content = KINDS[kind].write(noise, None, exif_block(1))
    path = tmp_path / f"tail{suffix_of(kind)}"
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    assert "damaged, cut off" in refusal(path)


@pytest.mark.parametrize("damage", ["an end that was put on", "a hole"])
def test_a_jpeg_that_decoders_fill_with_grey_is_refused(tmp_path, damage):
    noise = np.random.default_rng(0).integers(0, 65536, (96, 128, 3), dtype=np.uint16)
    content = KINDS["JPEG"].write(noise, None, exif_block(1))
    half, quarter = len(content) // 2, len(content) // 4
    broken = content[:half] + (
        b"\xff\xd9" if damage.startswith("an end") else bytes(quarter) + content[half + quarter :]
    )
    (tmp_path / "grey.jpg").write_bytes(broken)
    with Image.open(tmp_path / "grey.jpg") as image:
        image.load()  # no complaint
    assert "a part of the picture is missing" in refusal(tmp_path / "grey.jpg")


def test_one_wrong_bit_in_a_16_bit_png_is_noticed(tmp_path):
    path = tmp_path / "photo.png"
    content = bytearray(imagecodecs.png_encode(picture()))
    path.write_bytes(content)
    read_photo(path)
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "a part of the picture was overwritten" in refusal(path)
