"""A photo that was cut off or damaged on its way is refused, and never half grey."""

import numpy as np
import pytest
from PIL import Image

from enhancer.photo.io import PhotoError, read_photo
from tests.helpers.photo_files import KINDS, exif_block, in_8_bit, picture, suffix_of


def refusal(path):
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    return str(caught.value)


def write_whole(path, kind, pixels):
    """Write a file that is read as what it holds, and return its content."""
    content = KINDS[kind].write(pixels, None, exif_block(1))
    path.write_bytes(content)
    whole, green = read_photo(path).pixels, in_8_bit(pixels)[..., 1]
    assert np.corrcoef(whole[..., 1].ravel(), green.ravel())[0, 1] > 0.8, "it is another picture"
    return content


@pytest.mark.parametrize("kind", [name for name in KINDS if not name.startswith("HEIC")])
@pytest.mark.filterwarnings("ignore:Truncated|Corrupt")
def test_a_cut_anywhere_is_refused_or_harmless(tmp_path, kind):
    """Also in the last percent: what is read in spite of the cut is the whole picture."""
    path = tmp_path / f"cut{suffix_of(kind)}"
    content = write_whole(path, kind, picture())
    whole = read_photo(path, keep_depth=True).pixels
    size = len(content)
    for missing in (1, 2, 3, 5, 9, 20, size // 100, size // 20):
        path.write_bytes(content[: size - missing])
        try:
            pixels = read_photo(path, keep_depth=True).pixels
        except PhotoError:
            continue
        np.testing.assert_array_equal(pixels, whole)
    for share in (0.3, 0.5, 0.8):
        path.write_bytes(content[: int(share * size)])
        assert "damaged, cut off" in refusal(path)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 65536, (96, 128, 3), dtype=np.uint16)


@pytest.mark.parametrize(
    "kind",
    ["JPEG", "JPEG, progressive", "JPEG, grey", "PNG", "PNG, 16 bit", "WebP", "WebP, lossless"],
)
def test_a_tail_of_zeros_is_refused(tmp_path, noise, kind):
    """What is left of a copy that broke off when the room for it had been made."""
    path = tmp_path / f"tail{suffix_of(kind)}"
    content = write_whole(path, kind, noise)
    half = len(content) // 2
    path.write_bytes(content[:half] + bytes(len(content) - half))
    assert "damaged, cut off" in refusal(path)


@pytest.mark.parametrize("damage", ["an end that was put on", "a hole"])
def test_a_jpeg_that_decoders_fill_with_grey_is_refused(tmp_path, noise, damage):
    path = tmp_path / "grey.jpg"
    content = write_whole(path, "JPEG", noise)
    half, quarter = len(content) // 2, len(content) // 4
    rest = (
        b"\xff\xd9" if damage.startswith("an end") else bytes(quarter) + content[half + quarter :]
    )
    path.write_bytes(content[:half] + rest)
    with Image.open(path) as image:
        image.load()  # no complaint
    assert "a part of the picture is missing" in refusal(path)
