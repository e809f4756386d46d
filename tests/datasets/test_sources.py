"""The pairs of a source folder are found in every layout, and what is wrong with a list is said with its place."""

import json
import shutil

import pytest

from datasets.sources import lists
from datasets.sources.lists import SourceError, find_fivek_pairs, find_listed_pairs


def write_list(path, inputs):
    path.write_text(
        "".join(json.dumps({"src": name, "tar": f"edited/{name}"}) + "\n" for name in inputs)
    )


@pytest.fixture
def source(tmp_path):
    """Lists of four pairs: two to train on, one to validate, one to test."""
    write_list(tmp_path / "train.jsonl", ["images/1_src.png", "images/2_src.png"])
    write_list(tmp_path / "val.jsonl", ["images/3_src.png"])
    write_list(tmp_path / "test.jsonl", ["images/4_src.png"])
    return tmp_path


def test_two_folders_pair_by_stem(tmp_path):
    for path in (
        "input/a0001.png",
        "input/a0002.png",
        "output_expert_C/a0002.jpg",
        "output_expert_C/a0001.jpg",
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    pairs = find_fivek_pairs(tmp_path, "c")
    assert [pair.id for pair in pairs] == ["a0001", "a0002"]
    assert pairs[0].target == tmp_path / "output_expert_C/a0001.jpg"


def test_official_layout(tmp_path):
    for path in ("img/dng/a0001-x.dng", "img/tiff16_e/a0001-x.tif"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    (pair,) = find_fivek_pairs(tmp_path, "e")
    assert (pair.id, pair.split, pair.input.name) == ("a0001-x", None, "a0001-x.dng")


def test_both_row_forms_and_both_names_of_the_validation_list(tmp_path):
    (tmp_path / "train.jsonl").write_text(
        '{"input": "a/7_input.jpg", "target": "a/7_target.jpg"}\n\n'
    )
    (tmp_path / "validation.jsonl").write_text('{"src": "a/8_src.jpg", "tar": "a/8_tar.jpg"}')
    assert [(pair.id, pair.split) for pair in find_listed_pairs(tmp_path)] == [
        ("7", "train"),
        ("8", "validation"),
    ]


def test_a_photo_in_two_splits_is_refused(source):
    shutil.copy(source / "train.jsonl", source / "test.jsonl")
    with pytest.raises(
        SourceError,
        match=r"images/1_src\.png' is in train\.jsonl, line 1 and again in test\.jsonl, line 1",
    ):
        find_listed_pairs(source)


@pytest.mark.parametrize("line", ["not json", "[1]", '{"src": "a.jpg"}', '{"src": 1, "tar": 2}'])
def test_a_malformed_line_is_named(source, line):
    with open(source / "val.jsonl", "a") as file:
        file.write(line)
    with pytest.raises(SourceError, match=r"val\.jsonl, line 2"):
        find_listed_pairs(source)


@pytest.mark.parametrize("path", ["images/a\0.jpg", "images/a\ud800.jpg"])
def test_a_path_that_no_file_can_have_is_named(source, path):
    (source / "test.jsonl").write_text(
        '{"src": "a.jpg", "tar": "b.jpg"}\n' + json.dumps({"src": path, "tar": "c.jpg"})
    )
    with pytest.raises(
        SourceError, match=r"test\.jsonl, line 2 names .* which no file can be called"
    ):
        find_listed_pairs(source)


def test_lists_of_windows_editors_are_read(source):
    for path in source.glob("*.jsonl"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert [pair.id for pair in find_listed_pairs(source)] == ["1", "2", "3", "4"]


def test_a_list_that_is_not_utf8_is_named(source):
    with open(source / "val.jsonl", "ab") as file:
        file.write('{"src": "images/küche.jpg", "tar": "images/b.jpg"}\n'.encode("latin-1"))
    with pytest.raises(SourceError, match=r"val\.jsonl, line 2 is not UTF-8"):
        find_listed_pairs(source)


def test_a_line_separator_in_a_file_name_separates_no_lines(source):
    (source / "test.jsonl").write_text(
        '{"src": "a\u2028b_src.jpg", "tar": "c.jpg"}\n', encoding="utf-8"
    )
    assert find_listed_pairs(source)[-1].id == "a\u2028b"


def test_ids_are_file_names_where_those_are_unique_and_paths_elsewhere(tmp_path):
    inputs = [
        "house1/in/001.jpg",
        "house2/in/001.jpg",
        "house2/in/002.jpg",
        "a/7_src.jpg",
        "b/7_input.jpg",
    ]
    write_list(tmp_path / "train.jsonl", inputs)
    found = {
        pair.input.relative_to(tmp_path).as_posix(): pair.id for pair in find_listed_pairs(tmp_path)
    }
    assert found == dict(
        zip(inputs, ["house1_in_001", "house2_in_001", "002", "a_7", "b_7"], strict=True)
    )


def test_ids_are_unique_where_paths_look_the_same(tmp_path):
    write_list(
        tmp_path / "train.jsonl", ["a/1.jpg", "a/1.png", "b/c_1.jpg", "d/c_1.jpg", "b_c/1.jpg"]
    )
    ids = [pair.id for pair in find_listed_pairs(tmp_path)]
    assert len(set(ids)) == 5
    assert "d_c_1" in ids


def test_the_same_file_twice_is_refused_however_it_is_written(tmp_path):
    write_list(
        tmp_path / "train.jsonl", ["images/1.jpg", "images/2.jpg", "images/../images/./1.jpg"]
    )
    with pytest.raises(
        SourceError,
        match=r"images/1\.jpg' is in train\.jsonl, line 1 and again in train\.jsonl, line 3",
    ):
        find_listed_pairs(tmp_path)


@pytest.mark.parametrize(
    "path", ["../secret_src.jpg", "/etc/secret_src.jpg", "images/../../secret_src.jpg"]
)
def test_a_path_that_leaves_the_folder_is_refused(source, path):
    (source / "test.jsonl").write_text(json.dumps({"src": path, "tar": "images/1_tar.png"}))
    with pytest.raises(SourceError, match="outside the folder"):
        find_listed_pairs(source)


def test_an_unknown_folder_says_what_it_holds_and_what_is_expected(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(SourceError, match=r"holiday\.jpg.*output_expert_B"):
        find_fivek_pairs(tmp_path, "b")
    with pytest.raises(SourceError, match=r"holiday\.jpg.*train\.jsonl"):
        find_listed_pairs(tmp_path)


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(SourceError, match="not a folder"):
        find_listed_pairs(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="is empty"):
        find_listed_pairs(tmp_path)


def test_the_literature_split_of_real_estate_has_no_leak(shared_data):
    pairs = find_listed_pairs(shared_data / "real_estate/full_split")
    assert [sum(pair.split == split for pair in pairs) for split in lists.SPLITS] == [511, 56, 10]


def test_ids_that_no_file_could_be_called_are_shortened(tmp_path):
    house = "x" * 120
    write_list(
        tmp_path / "train.jsonl",
        [f"{house}/{house}/{name}.jpg" for name in "12"] + [f"{house}/1.jpg"],
    )
    ids = [pair.id for pair in find_listed_pairs(tmp_path)]
    assert len(set(ids)) == 3
    assert max(len(name.encode()) for name in ids) <= 200
