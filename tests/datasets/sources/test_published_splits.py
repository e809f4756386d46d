"""Splits that others made come out as they were: the same photos in the same lists and order."""

import json
from pathlib import Path

import cv2
import pytest

from datasets.fivek.fivek_dataset_builder import Builder
from datasets.fivek.layouts import find_fivek_pairs
from datasets.fivek.photo_names import read_catalogue
from datasets.fivek.published_splits import PUBLISHED_SPLITS, assign_published_split, read_split
from datasets.preparation import prepared_folder
from datasets.preparation.preparation import Variant, prepare
from datasets.preparation.splits import assign_splits
from datasets.sources.lists import find_listed_pairs
from datasets.sources.pair_source import PairSource
from datasets.types import SPLITS, SourcePair
from tests.helpers.pair_folders import soft_photo


@pytest.mark.parametrize(
    ("name", "num_train", "num_test"), [("3dlut", 4500, 498), ("upe", 4500, 500)]
)
def test_their_sizes(name, num_train, num_test):
    splits = list(read_split(name).values())
    assert (splits.count("train"), splits.count("test")) == (num_train, num_test)
    assert set(read_split(name)) <= set(read_catalogue())


def test_two_photos_are_in_neither_list_of_3dlut():
    numbers = {f"a{number:04d}" for number in range(1, 5001)}
    assert numbers - set(read_split("3dlut")) == {"a0160", "a2952"}


def test_the_upe_split_is_by_number():
    tested = [number for number, split in read_split("upe").items() if split == "test"]
    assert tested == [f"a{number}" for number in range(4501, 5001)]


def test_lists_agree_with_where_they_are_from(shared_data):
    lists = shared_data / "fivek_lists"
    for name, folder, files in (
        ("3dlut", "3dlut_4500_500", ("train.txt", "test.txt")),
        ("upe", "upe_uegan_4500_500", ("images_train.txt", "images_test.txt")),
    ):
        for split, file in zip(("train", "test"), files, strict=True):
            listed = (lists / folder / file).read_text().split()
            ours = [number for number, place in read_split(name).items() if place == split]
            assert ours == listed


def test_full_names_and_numbers_get_their_split():
    names = ("a0004-jmac_MG_1384", "a0001", "a0160", "holiday")
    pairs = [SourcePair(name, Path(), Path(), None) for name in names]
    splits = [pair.split for pair in assign_published_split(pairs, "3dlut")]
    assert splits == ["test", "train", None, None]


def test_every_expert_and_size_has_a_config_for_every_split():
    names = {config.name for config in Builder.BUILDER_CONFIGS}
    # Plain, rendered inputs, and each published split.
    assert len(names) == 5 * 3 * (1 + 1 + len(PUBLISHED_SPLITS))
    assert {"c_1024", "c_512", "c_512_3dlut", "a_full_upe"} <= names
    assert Builder.BUILDER_CONFIGS[0].name == "c_1024"


def test_the_lists_of_the_whole_real_estate_set_reproduce_exactly(shared_data):
    folder = shared_data / "real_estate/full_split"
    found = [{"id": pair.id, "split": pair.split} for pair in find_listed_pairs(folder)]
    splits = assign_splits(found, "the lists")
    for split, name, size in zip(SPLITS, ("train", "val", "test"), (511, 56, 10), strict=True):
        rows = map(json.loads, (folder / f"{name}.jsonl").read_text().splitlines())
        ids = [Path(row["input"]).stem.removesuffix("_src") for row in rows]
        assert [row["id"] for row in splits[split]] == ids
        assert len(ids) == size


def test_a_photo_that_a_published_split_does_not_list_is_left_out_and_counted(tmp_path):
    def find(folder):
        return assign_published_split(find_fivek_pairs(folder, "c"), "3dlut")

    for folder in ("input", "output_expert_C"):
        (tmp_path / "fivek" / folder).mkdir(parents=True)
    for number in (1, 2, 3, 4, 160):
        before = soft_photo(number)
        cv2.imwrite(str(tmp_path / f"fivek/input/a{number:04d}.png"), before)
        cv2.imwrite(str(tmp_path / f"fivek/output_expert_C/a{number:04d}.png"), before // 2 + 90)
    variant = Variant("fivek", "expert C", None, published_split="3dlut")
    source = PairSource(tmp_path / "fivek", find)
    metadata = prepare(source, tmp_path / "out", variant, num_workers=0)
    assert metadata["rejected_by_reason"] == {"not in the split": 1}
    listed = [prepared_folder.read_rows(tmp_path / "out", split) for split in ("train", "test")]
    numbers = [[row["id"] for row in rows] for rows in listed]
    assert numbers == [["a0001", "a0002", "a0003"], ["a0004"]]
