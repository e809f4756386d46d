"""A photo's file becomes an edited file beside it, and nothing else changes."""

import pytest
from PIL import Image

from enhancer.inference.enhancer import Enhancer
from enhancer.photo.io import PhotoError, read_photo, write_photo
from enhancer.photo.metadata import Metadata
from tests.helpers.lift import photo_of


def test_a_file_is_enhanced_at_full_size_with_its_exif(lift, tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "Kitchen"  # ImageDescription
    write_photo(tmp_path / "in.jpg", photo_of(200, 300), metadata=Metadata(exif.tobytes()[6:]))
    made = Enhancer(lift, 64).enhance_file(tmp_path / "in.jpg", tmp_path / "out.jpg")
    assert (made.destination, made.width, made.height) == (tmp_path / "out.jpg", 300, 200)
    result = read_photo(tmp_path / "out.jpg")
    assert result.pixels.shape == (200, 300, 3)
    assert b"Kitchen" in result.metadata.exif


def test_a_file_is_never_its_own_result(lift, tmp_path):
    write_photo(tmp_path / "in.png", photo_of(20, 30))
    with pytest.raises(FileExistsError, match="choose another name"):
        Enhancer(lift, 64).enhance_file(
            tmp_path / "in.png", tmp_path / "." / "in.png", overwrite=True
        )


def test_a_file_that_exists_is_overwritten_on_purpose_only(lift, tmp_path):
    write_photo(tmp_path / "in.png", photo_of(20, 30))
    (tmp_path / "out.png").write_text("precious")
    with pytest.raises(FileExistsError, match="exists already"):
        Enhancer(lift, 64).enhance_file(tmp_path / "in.png", tmp_path / "out.png")
    assert (tmp_path / "out.png").read_text() == "precious"
    Enhancer(lift, 64).enhance_file(
        str(tmp_path / "in.png"), str(tmp_path / "out.png"), overwrite=True
    )
    assert read_photo(tmp_path / "out.png").pixels.shape == (20, 30, 3)


def test_a_broken_file_leaves_nothing_behind(lift, tmp_path):
    (tmp_path / "in.jpg").write_bytes(b"\xff\xd8\xff no photo")
    with pytest.raises(PhotoError):
        Enhancer(lift, 64).enhance_file(tmp_path / "in.jpg", tmp_path / "out.jpg")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jpg"]
