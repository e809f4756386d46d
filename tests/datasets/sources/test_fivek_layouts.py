"""FiveK is found in every form in which people have it on their disks."""

import pytest

from datasets.fivek.layouts import find_fivek_pairs
from datasets.types import SourceError


def touch(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


def found(folder, **options):
    """Both files of each pair, relative to the folder."""
    return [
        (pair.input.relative_to(folder).as_posix(), pair.target.relative_to(folder).as_posix())
        for pair in find_fivek_pairs(folder, "c", **options)
    ]


@pytest.mark.parametrize("targets", ["tiff16_c", "img/tiff16_c"])
@pytest.mark.parametrize(
    ("top", "place"), [("", ""), ("fivek_dataset/", ""), ("fivek_dataset/", "fivek_dataset/")]
)
def test_the_extracted_archive_is_found_with_the_tiffs_at_each_place(tmp_path, top, place, targets):
    photos = f"{top}raw_photos/HQa1to700/photos", f"{top}raw_photos/HQa1400to2100/photos"
    inputs = [f"{photos[0]}/a0001-x.dng", f"{photos[1]}/a1500-y.DNG"]
    tiffs = [f"{place}{targets}/a0001-x.tif", f"{place}{targets}/a1500-y.TIF"]
    touch(tmp_path, *inputs, *tiffs)
    assert found(tmp_path) == list(zip(inputs, tiffs, strict=True))


def test_the_same_name_in_two_folders_of_the_extracted_archive_is_refused(tmp_path):
    photos = "raw_photos/HQa1to700/photos/a1.dng", "raw_photos/HQa701to1400/photos/a1.dng"
    touch(tmp_path, *photos, "tiff16_c/a1.tif")
    with pytest.raises(SourceError, match=rf"{photos[0]} and .*{photos[1]} have the same name"):
        find_fivek_pairs(tmp_path, "c")


@pytest.mark.parametrize(
    ("paths", "options", "expected"),
    [
        (
            ["raw_photos/HQa1to700/photos/a1.dng", "tiff16_a/a1.tif"],
            {},
            r"raw_photos/, tiff16_a/\. Expected .*raw_photos/ with tiff16_c/ or img/tiff16_c/",
        ),
        (["fivek_dataset.tar", "tiff16_c/a1.tif"], {}, "extract fivek_dataset.tar with `tar xf`"),
        (
            ["img/dng/a1.dng", "img/tiff16_c/a1.tif"],
            {"rendered": True},
            "Expected the folder tiff16_inputAsShotZeroed/ or input_tiff/ and tiff16_c/",
        ),
        (["holiday.jpg"], {}, r"holiday\.jpg.*output_expert_C"),
        (["input/readme.txt", "output_expert_C/a.xmp"], {}, "hold no photos"),
    ],
)
def test_what_is_missing_is_said_with_what_is_there(tmp_path, paths, options, expected):
    touch(tmp_path, *paths)
    with pytest.raises(SourceError, match=expected):
        find_fivek_pairs(tmp_path, "c", **options)


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "png", "tif", "TIFF", "dng", "DNG"])
def test_two_folders_pair_by_name_whatever_the_formats(tmp_path, suffix):
    touch(tmp_path, f"input/a1.{suffix}", "output_expert_C/a2.png", "output_expert_C/a1.jpg")
    assert found(tmp_path) == [
        (f"input/a1.{suffix}", "output_expert_C/a1.jpg"),
        ("input/a2.*", "output_expert_C/a2.png"),
    ]


@pytest.mark.parametrize(
    ("inputs", "targets"),
    [
        ("input", "output_expert_C"),
        ("img/dng", "img/tiff16_c"),
        ("raw_photos/HQa1to700/photos", "tiff16_c"),
    ],
)
def test_stray_files_are_left_alone(tmp_path, inputs, targets):
    strays = (".DS_Store", "._a1.dng", "a1.xmp", "readme.txt", "a1.dng.part", "deeper/a2.dng")
    for folder in (inputs, targets):
        touch(tmp_path, *(f"{folder}/{name}" for name in strays))
    touch(tmp_path, f"{inputs}/a1.dng", f"{targets}/a1.tif", "raw_photos/HQa1to700/list.txt")
    assert found(tmp_path) == [(f"{inputs}/a1.dng", f"{targets}/a1.tif")]


def test_input_and_target_of_train_and_test_are_found_as_they_circulate(tmp_path):
    for split in ("train", "test"):
        touch(tmp_path, f"{split}/input/{split}1.png", f"{split}/target/{split}1.png")
    splits = {pair.id: pair.split for pair in find_fivek_pairs(tmp_path, "c")}
    assert splits == {"train1": "train", "test1": "test"}


@pytest.mark.parametrize("name", ["tiff16_inputAsShotZeroed", "input_tiff"])
@pytest.mark.parametrize("place", ["", "img/", "fivek_dataset/", "fivek_dataset/img/"])
def test_rendered_inputs_take_the_place_of_raw_files(tmp_path, name, place):
    touch(tmp_path, "img/dng/a1.dng", f"{place}{name}/a1.tif", "img/tiff16_c/a1.tif")
    assert found(tmp_path, rendered=True) == [(f"{place}{name}/a1.tif", "img/tiff16_c/a1.tif")]
    assert found(tmp_path) == [("img/dng/a1.dng", "img/tiff16_c/a1.tif")]
