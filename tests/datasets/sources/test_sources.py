"""The pairs of a folder are found by lists or by names; what is wrong is said with its place."""

import json
import shutil
import unicodedata

import pytest

from datasets.sources.lists import find_listed_pairs
from datasets.sources.named_pairs import find_named_pairs
from datasets.sources.survey import find_pairs, survey
from datasets.types import SourceError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def write_list(path, *inputs):
    rows = [json.dumps({"src": name, "tar": f"edited/{name}"}) + "\n" for name in inputs]
    path.write_text("".join(rows))


@pytest.fixture
def source(tmp_path):
    """Lists of four pairs: two to train on, one to validate, one to test."""
    write_list(tmp_path / "train.jsonl", "images/1_src.png", "images/2_src.png")
    write_list(tmp_path / "val.jsonl", "images/3_src.png")
    write_list(tmp_path / "test.jsonl", "images/4_src.png")
    return tmp_path


def test_both_row_forms_and_both_names_of_the_validation_list(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"input": "a/7_input.jpg", "target": "a/7.jpg"}\n\n')
    (tmp_path / "validation.jsonl").write_text('{"src": "a/8_src.jpg", "tar": "a/8_tar.jpg"}')
    found = [(pair.id, pair.split) for pair in find_listed_pairs(tmp_path)]
    assert found == [("7", "train"), ("8", "validation")]
    write_list(tmp_path / "val.jsonl", "9.jpg")
    with pytest.raises(SourceError, match=r"both val\.jsonl and validation\.jsonl"):
        find_listed_pairs(tmp_path)


@pytest.mark.parametrize("line", ["not json", "[1]", '{"src": "a.jpg"}', '{"src": 1, "tar": 2}'])
def test_a_malformed_line_is_named(source, line):
    with open(source / "val.jsonl", "a") as file:
        file.write(line)
    with pytest.raises(SourceError, match=r"val\.jsonl, line 2"):
        find_listed_pairs(source)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("images/a\0.jpg", r"test\.jsonl, line 1 names .* which no file can be called"),
        ("images/a\ud800.jpg", r"test\.jsonl, line 1 names .* which no file can be called"),
    ],
)
def test_a_path_that_cannot_be_used_is_named(source, path, sentence):
    write_list(source / "test.jsonl", path)
    with pytest.raises(SourceError, match=sentence):
        find_listed_pairs(source)


@pytest.mark.parametrize(
    "form", ["images/Küche_src.jpg", "images\\Küche_src.jpg", "IMAGES/küche_src.jpg"]
)
@pytest.mark.parametrize("accents", ["NFC", "NFD"])
@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_paths_of_windows_and_macos_find_their_files(tmp_path, form, accents, on_disk):
    name = unicodedata.normalize(on_disk, "images/Küche_src.jpg")
    touch(tmp_path, name)
    write_list(tmp_path / "train.jsonl", unicodedata.normalize(accents, form))
    assert [pair.input for pair in find_listed_pairs(tmp_path)] == [tmp_path / name]


def test_an_absolute_path_is_read_inside_the_folder_and_elsewhere(tmp_path):
    inside, outside = tmp_path / "pairs/1.jpg", tmp_path / "photos/2.jpg"
    touch(tmp_path, "pairs/1.jpg", "photos/2.jpg")
    write_list(tmp_path / "pairs/train.jsonl", str(inside), str(outside), "../photos/3.jpg")
    found = [pair.input for pair in find_listed_pairs(tmp_path / "pairs")]
    assert found == [inside, outside, tmp_path / "pairs/../photos/3.jpg"]


@pytest.mark.parametrize(
    "text",
    [
        "input,target\n1.jpg,b/1.jpg\n2.jpg,b/2.jpg\n",
        "id;Before;After\r\n7;1.jpg;b/1.jpg\r\n8;2.jpg;b/2.jpg\r\n",
        '\ufefflow\thigh\n"1.jpg"\t"b/1.jpg"\n2.jpg\tb/2.jpg',
    ],
)
@pytest.mark.parametrize("name", ["train.csv", "my pairs.csv"])
def test_a_table_is_a_list(tmp_path, text, name):
    (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "exposure.csv").write_text("photo,stops\n1.jpg,0.5\n")
    pairs = find_pairs(tmp_path)
    assert [(p.input.name, p.target.parent.name, p.split) for p in pairs] == [
        ("1.jpg", "b", None),
        ("2.jpg", "b", None),
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Input/1.jpg", "Target/1.png"),
        ("inputs/house/1.jpg", "targets/house/1.jpg"),
        ("house/before/1.jpg", "house/after/1.jpg"),
        ("before/1_before.jpg", "after/1_after.jpg"),
        ("before/1_low.jpg", "after/1_low.jpg"),
        ("source/1_src.jpg", "source/1_tar.jpg"),
        ("1_low.jpg", "1_high.jpg"),
        ("1_LQ.JPG", "1_gt.png"),
    ],
)
def test_names_say_which_photo_is_which(tmp_path, before, after):
    touch(tmp_path, before, after, "readme.jpg")
    (pair,) = find_named_pairs(tmp_path)
    assert (pair.input, pair.target) == (tmp_path / before, tmp_path / after)


NOT_SPLIT = "not split: some are held back, scene by scene"
JSONL = '{{"input": "a/{n}.jpg", "target": "b/{n}.jpg"}}'
RELATIVE, ABSOLUTE = "a/{n}.jpg,b/{n}.jpg", "{folder}/a/{n}.jpg,{folder}/b/{n}.jpg"


@pytest.mark.parametrize(
    ("before", "after", "lists", "layout"),
    [
        ("before/{n}.jpg", "after/{n}.jpg", {}, f"before/ with after/; {NOT_SPLIT}"),
        ("input/{n}.jpg", "target/{n}.jpg", {}, f"input/ with target/; {NOT_SPLIT}"),
        ("{n}_src.jpg", "{n}_tar.jpg", {}, f"names in _src with _tar; {NOT_SPLIT}"),
        ("lq/{n}.png", "gt/{n}.png", {}, f"lq/ with gt/; {NOT_SPLIT}"),
        ("low/{n}.jpg", "high/{n}.jpg", {}, f"low/ with high/; {NOT_SPLIT}"),
        *(
            ("a/{n}.jpg", "b/{n}.jpg", {f"train{end}": (row, "123"), f"val{end}": (row, "4")}, said)
            for end, row, said in (
                (".jsonl", JSONL, "train.jsonl, val.jsonl; 3 train, 1 validation"),
                (".csv", RELATIVE, "train.csv, val.csv; 3 train, 1 validation"),
                (".csv", ABSOLUTE, "train.csv, val.csv; 3 train, 1 validation"),
            )
        ),
        ("a/{n}.jpg", "b/{n}.jpg", {"train.jsonl": (JSONL, "1234")}, f"train.jsonl; {NOT_SPLIT}"),
    ],
)
def test_each_layout_is_told_in_one_line(tmp_path, before, after, lists, layout):
    for number in "1234":
        touch(tmp_path, before.format(n=number), after.format(n=number))
    for name, (row, numbers) in lists.items():
        rows = [row.format(n=number, folder=tmp_path) for number in numbers]
        header = ["input,target"] if name.endswith(".csv") else []
        (tmp_path / name).write_text("\n".join(header + rows))
    said = survey(tmp_path, find_pairs(tmp_path))
    assert said == [f"{tmp_path}: 4 pairs ({layout})"]


@pytest.mark.parametrize("form", ["{split}/{role}", "{role}/{split}"])
def test_folders_of_splits_are_the_splits(tmp_path, form):
    for split in ("train", "test"):
        for role in ("input", "target"):
            touch(tmp_path, f"{form.format(split=split, role=role)}/{split}1.png")
    found = [(pair.id, pair.split) for pair in find_pairs(tmp_path)]
    assert found == [("test1", "test"), ("train1", "train")]


def test_a_folder_is_described_with_what_is_missing_and_what_is_left_out(tmp_path):
    touch(tmp_path, "before/kitchen_1.jpg", "before/kitchen_2.jpg", "before/hall.jpg", "a.xmp")
    touch(tmp_path, "after/kitchen_1.jpg", "after/kitchen-2.jpg", "plan.jpg")
    assert survey(tmp_path, find_pairs(tmp_path)) == [
        f"{tmp_path}: 1 pairs (before/ with after/; not split: some are held back, scene by scene)",
        "missing files: 3 (after/hall.*; before/kitchen-2.* (is it kitchen_2.jpg?); "
        "after/kitchen_2.* (is it kitchen-2.jpg?))",
        "left out: files of other kinds: 1 (.xmp); photos of no pair: 1 (plan.jpg)",
    ]


def test_a_folder_without_a_whole_pair_is_refused(tmp_path):
    touch(tmp_path, "before/1.jpg", "after/one.jpg")
    with pytest.raises(SourceError, match=r"no whole pair; missing files: 2 \(after/1\.\*;"):
        survey(tmp_path, find_pairs(tmp_path))


def test_lists_of_windows_editors_are_read(source):
    lists = sorted(source.glob("*.jsonl"))
    assert len(lists) == 3
    for path in lists:
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert [pair.id for pair in find_listed_pairs(source)] == ["1", "2", "3", "4"]


def test_a_list_that_is_not_utf8_is_named(source):
    with open(source / "val.jsonl", "ab") as file:
        file.write('{"src": "images/küche.jpg", "tar": "images/b.jpg"}\n'.encode("latin-1"))
    with pytest.raises(SourceError, match=r"val\.jsonl, line 2 is not UTF-8"):
        find_listed_pairs(source)


def test_a_line_separator_in_a_file_name_separates_no_lines(source):
    row = '{"src": "a\u2028b_src.jpg", "tar": "c.jpg"}\n'
    (source / "test.jsonl").write_text(row, encoding="utf-8")
    assert find_listed_pairs(source)[-1].id == "a\u2028b"


def test_ids_are_file_names_where_those_are_unique_and_paths_elsewhere(tmp_path):
    inputs = ["house1/in/001.jpg", "house2/in/001.jpg", "house2/in/002.jpg"]
    write_list(tmp_path / "train.jsonl", *inputs, "a/7_src.jpg", "b/7_input.jpg")
    ids = [pair.id for pair in find_listed_pairs(tmp_path)]
    assert ids == ["house1_in_001", "house2_in_001", "002", "a_7", "b_7"]


def test_ids_are_unique_where_paths_look_the_same(tmp_path):
    paths = ["a/1.jpg", "a/1.png", "b/c_1.jpg", "d/c_1.jpg", "b_c/1.jpg"]
    write_list(tmp_path / "train.jsonl", *paths)
    ids = [pair.id for pair in find_listed_pairs(tmp_path)]
    assert len(set(ids)) == 5
    assert "d_c_1" in ids


def test_ids_that_no_file_could_be_called_are_shortened(tmp_path):
    house = "x" * 120
    paths = [f"{house}/{house}/1.jpg", f"{house}/{house}/2.jpg", f"{house}/1.jpg"]
    write_list(tmp_path / "train.jsonl", *paths)
    ids = [pair.id for pair in find_listed_pairs(tmp_path)]
    assert len(set(ids)) == 3
    assert max(len(name.encode()) for name in ids) <= 200


def test_the_same_photo_twice_is_refused_in_one_list_or_two(source):
    write_list(source / "val.jsonl", "images/7.jpg", "images/../images/./7.jpg")
    with pytest.raises(SourceError, match=r"7\.jpg' is in val\.jsonl, line 1 and .* line 2"):
        find_listed_pairs(source)
    shutil.copy(source / "train.jsonl", source / "val.jsonl")
    with pytest.raises(SourceError, match=r"is in train\.jsonl, line 1 and again in val\.jsonl"):
        find_listed_pairs(source)


def test_an_unknown_a_missing_and_an_empty_folder(tmp_path):
    with pytest.raises(SourceError, match="is not a folder"):
        find_listed_pairs(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="is empty"):
        find_listed_pairs(tmp_path)
    touch(tmp_path, "holiday.jpg")
    with pytest.raises(SourceError, match=r"holiday\.jpg.*train\.jsonl"):
        find_listed_pairs(tmp_path)
    with pytest.raises(SourceError, match=r"801_src\.jpg and 801_tar\.jpg"):
        find_named_pairs(tmp_path)


def test_both_pairs_of_marks_in_any_format_and_folder(tmp_path):
    touch(tmp_path, "801_src.jpg", "801_tar.png", "house_2_input.tif", "house_2_target.jpg")
    touch(tmp_path, "7_SRC.JPG", "7_TAR.JPG", "a/1_src.jpg", "a/1_tar.jpg", "b/1_src.jpg")
    pairs = find_named_pairs(tmp_path)
    assert [(pair.id, pair.input.name, pair.target.name, pair.split) for pair in pairs] == [
        ("7", "7_SRC.JPG", "7_TAR.JPG", None),
        ("801", "801_src.jpg", "801_tar.png", None),
        ("a_1", "1_src.jpg", "1_tar.jpg", None),
        ("b_1", "1_src.jpg", "1_tar.*", None),  # its counterpart is missing
        ("house_2", "house_2_input.tif", "house_2_target.jpg", None),
    ]


def test_files_of_other_names_are_left_alone(tmp_path):
    touch(tmp_path, "1_src.jpg", "1_tar.jpg", "notes.txt", "plan.jpg", "_src.jpg")
    touch(tmp_path, ".1_src.jpg", ".trash/3_src.jpg")
    assert [pair.id for pair in find_named_pairs(tmp_path)] == ["1"]


def test_two_files_for_one_place_are_named(tmp_path):
    touch(tmp_path, "1_src.jpg", "1_src.png", "1_tar.jpg")
    with pytest.raises(SourceError, match=r"1_src\.jpg and 1_src\.png have the same name"):
        find_named_pairs(tmp_path)
