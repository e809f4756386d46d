"""Without lists, the names of the files say which photos are pairs."""

import pytest

from datasets.sources.named_pairs import find_marked_pairs
from datasets.sources.lists import SourceError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_both_pairs_of_marks_in_any_format(tmp_path):
    touch(
        tmp_path,
        "801_src.jpg",
        "801_tar.png",
        "house_2_input.tif",
        "house_2_target.jpg",
        "7_SRC.JPG",
        "7_TAR.JPG",
    )
    pairs = find_marked_pairs(tmp_path)
    assert [(pair.id, pair.input.name, pair.target.name, pair.split) for pair in pairs] == [
        ("7", "7_SRC.JPG", "7_TAR.JPG", None),
        ("801", "801_src.jpg", "801_tar.png", None),
        ("house_2", "house_2_input.tif", "house_2_target.jpg", None),
    ]


def test_a_folder_per_house(tmp_path):
    touch(tmp_path, "a/1_src.jpg", "a/1_tar.jpg", "b/1_src.jpg", "b/1_tar.jpg")
    assert [pair.id for pair in find_marked_pairs(tmp_path)] == ["a_1", "b_1"]


def test_a_photo_without_its_counterpart_is_included(tmp_path):
    touch(tmp_path, "1_src.jpg", "2_tar.jpg")
    pairs = find_marked_pairs(tmp_path)
    assert [(pair.input.exists(), pair.target.exists()) for pair in pairs] == [
        (True, False),
        (False, True),
    ]


def test_other_files_are_left_alone(tmp_path):
    touch(
        tmp_path,
        "1_src.jpg",
        "1_tar.jpg",
        "notes.txt",
        "plan.jpg",
        "_src.jpg",
        ".1_src.jpg",
        ".trash/3_src.jpg",
    )
    assert [pair.id for pair in find_marked_pairs(tmp_path)] == ["1"]


def test_two_files_for_one_place_are_named(tmp_path):
    touch(tmp_path, "1_src.jpg", "1_src.png", "1_tar.jpg")
    with pytest.raises(SourceError, match=r"1_src\.jpg and 1_src\.png have the same name"):
        find_marked_pairs(tmp_path)


def test_a_folder_with_nothing_of_the_kind_says_what_is_expected(tmp_path):
    touch(tmp_path, "kitchen.jpg")
    with pytest.raises(SourceError, match=r"801_src\.jpg and 801_tar\.jpg"):
        find_marked_pairs(tmp_path)
