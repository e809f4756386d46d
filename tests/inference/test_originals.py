"""No photo of the user's is overwritten or taken for a result."""

import pytest

from tests.helpers.command import files, run, write


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_inputs_are_never_overwritten(enhancer, tmp_path, capsys, overwrite):
    write(tmp_path / "a.jpg")
    before = (tmp_path / "a.jpg").read_bytes()
    assert run(tmp_path, "--output", tmp_path, *overwrite) == 2
    assert (tmp_path / "a.jpg").read_bytes() == before
    assert "would overwrite the photo" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "A.JPG"])
def test_the_folder_of_the_photos_is_no_output(enhancer, tmp_path, capsys, name):
    """Results in it would be edited once more by the next run."""
    write(tmp_path / name)
    assert run(tmp_path, "--output", tmp_path) == 2
    assert "taken for photos by the next run; choose another --output" in capsys.readouterr().err
    assert files(tmp_path) == [name]


def test_a_photo_is_not_overwritten_by_a_result_whose_name_differs_in_case_only(
    enhancer, tmp_path, capsys
):
    write(tmp_path / "A.JPG")
    assert run(tmp_path / "A.JPG", "--output", tmp_path) == 2
    assert "would overwrite the photo" in capsys.readouterr().err


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_a_photo_is_not_overwritten_by_a_comparison(enhancer, tmp_path, capsys, overwrite):
    photo = tmp_path / "before_after" / "a.jpg"
    write(photo)
    before = photo.read_bytes()
    assert run(photo, "--output", tmp_path, "--compare", *overwrite) == 2
    assert photo.read_bytes() == before
    assert "comparison of" in capsys.readouterr().err


def test_a_photo_that_is_linked_into_the_output_stays_as_it_is(enhancer, tmp_path):
    write(tmp_path / "in" / "a.jpg", tmp_path / "in" / "b.jpg")
    before = {name: (tmp_path / "in" / name).read_bytes() for name in ("a.jpg", "b.jpg")}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.jpg").hardlink_to(tmp_path / "in" / "a.jpg")
    (tmp_path / "out" / "b.jpg").hardlink_to(tmp_path / "in" / "a.jpg")
    assert run(tmp_path / "in", "--output", tmp_path / "out", "--overwrite") == 1
    assert {name: (tmp_path / "in" / name).read_bytes() for name in before} == before


def test_a_photo_folder_with_the_name_of_the_comparisons_is_refused(enhancer, tmp_path, capsys):
    write(tmp_path / "in" / "before_after" / "a.jpg")
    assert run(tmp_path / "in", "--output", tmp_path / "out", "--compare") == 2
    assert "rename its folder" in capsys.readouterr().err
