"""FiveK is found in every form in which people have it on their disks."""

import shutil

import cv2
import pytest

from datasets import miniature
from datasets.preparation.preparation import Options, prepare
from datasets.sources.lists import SourceError, find_fivek_pairs
from enhancer.photo.io import read_photo


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
@pytest.mark.parametrize("top", ["", "fivek_dataset/"])
@pytest.mark.parametrize("below_top", [True, False])
def test_the_extracted_archive_is_found_with_the_tiffs_at_each_place(
    tmp_path, top, targets, below_top
):
    inputs = [
        f"{top}raw_photos/HQa1to700/photos/a0001-x.dng",
        f"{top}raw_photos/HQa1400to2100/photos/a1500-y.DNG",
    ]
    place = f"{top}{targets}" if below_top else targets
    touch(tmp_path, *inputs, f"{place}/a0001-x.tif", f"{place}/a1500-y.TIF")
    assert found(tmp_path) == list(
        zip(inputs, [f"{place}/a0001-x.tif", f"{place}/a1500-y.TIF"], strict=True)
    )


def test_the_same_name_in_two_folders_of_the_extracted_archive_is_refused(tmp_path):
    touch(
        tmp_path,
        "raw_photos/HQa1to700/photos/a1.dng",
        "raw_photos/HQa701to1400/photos/a1.dng",
        "tiff16_c/a1.tif",
    )
    with pytest.raises(
        SourceError,
        match=r"HQa1to700/photos/a1\.dng and .*HQa701to1400/photos/a1\.dng have the same name",
    ):
        find_fivek_pairs(tmp_path, "c")


def test_extracted_photos_without_the_experts_tiffs_say_where_these_belong(tmp_path):
    touch(tmp_path, "raw_photos/HQa1to700/photos/a1.dng", "tiff16_a/a1.tif")
    with pytest.raises(
        SourceError,
        match=r"raw_photos/, tiff16_a/\. Expected .*raw_photos/ with tiff16_c/ or img/tiff16_c/",
    ):
        find_fivek_pairs(tmp_path, "c")


@pytest.mark.parametrize(
    "suffix", ["jpg", "JPG", "jpeg", "JPEG", "png", "PNG", "tif", "TIFF", "dng", "DNG"]
)
def test_two_folders_pair_whatever_the_formats(tmp_path, suffix):
    touch(tmp_path, f"input/a1.{suffix}", "output_expert_C/a1.jpg")
    assert found(tmp_path) == [(f"input/a1.{suffix}", "output_expert_C/a1.jpg")]


@pytest.mark.parametrize(
    ("inputs", "targets"),
    [
        ("input", "output_expert_C"),
        ("img/dng", "img/tiff16_c"),
        ("raw_photos/HQa1to700/photos", "tiff16_c"),
    ],
)
def test_stray_files_are_no_photos(tmp_path, inputs, targets):
    for folder in (inputs, targets):
        strays = [
            ".DS_Store",
            "._a1.dng",
            "Thumbs.db",
            "a1.xmp",
            "readme.txt",
            "a1.dng.part",
            "deeper/a2.dng",
        ]
        touch(tmp_path, *(f"{folder}/{name}" for name in strays))
    touch(
        tmp_path,
        f"{inputs}/a1.dng",
        f"{targets}/a1.tif",
        "raw_photos/readme.txt",
        "raw_photos/HQa1to700/list.txt",
    )
    assert found(tmp_path) == [(f"{inputs}/a1.dng", f"{targets}/a1.tif")]


@pytest.mark.parametrize("name", ["tiff16_inputAsShotZeroed", "input_tiff"])
@pytest.mark.parametrize("place", ["", "img/", "fivek_dataset/", "fivek_dataset/img/"])
def test_rendered_inputs_take_the_place_of_raw_files(tmp_path, name, place):
    touch(tmp_path, "img/dng/a1.dng", f"{place}{name}/a1.tif", "img/tiff16_c/a1.tif")
    assert found(tmp_path, rendered=True) == [(f"{place}{name}/a1.tif", "img/tiff16_c/a1.tif")]
    assert found(tmp_path) == [("img/dng/a1.dng", "img/tiff16_c/a1.tif")]


def test_rendered_inputs_that_are_missing_are_asked_for(tmp_path):
    touch(tmp_path, "img/dng/a1.dng", "img/tiff16_c/a1.tif")
    with pytest.raises(
        SourceError,
        match=r"Expected the folder tiff16_inputAsShotZeroed/ or input_tiff/ and tiff16_c/",
    ):
        find_fivek_pairs(tmp_path, "c", rendered=True)


def test_two_folders_of_mixed_formats_are_prepared(tmp_path):
    miniature.write(tmp_path / "miniature", long_edge=96, fivek_pairs=4, real_estate_pairs={})
    inputs, targets = tmp_path / "two/input", tmp_path / "two/output_expert_C"
    for folder in (inputs, targets):
        folder.mkdir(parents=True)
    for pair, suffix in zip(
        find_fivek_pairs(tmp_path / "miniature/fivek", "c"), ("JPG", "png", "TIFF"), strict=False
    ):
        cv2.imwrite(str(inputs / f"{pair.id}.{suffix}"), read_photo(pair.input).pixels[..., ::-1])
        cv2.imwrite(str(targets / f"{pair.id}.jpeg"), read_photo(pair.target).pixels[..., ::-1])
    last = find_fivek_pairs(tmp_path / "miniature/fivek", "c")[-1]
    shutil.copy(last.input, inputs / f"{last.id}.DNG")
    shutil.copy(last.target, targets / f"{last.id}.TIF")
    options = Options("fivek", "expert C", 1024)
    metadata = prepare(
        tmp_path / "two",
        lambda folder: find_fivek_pairs(folder, "c"),
        tmp_path / "out",
        options,
        num_workers=0,
    )
    assert metadata["counts"]["accepted"] == 4, (tmp_path / "out/rejected.jsonl").read_text()
