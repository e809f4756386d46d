"""The splits that the literature compares on are the committed lists, photo by photo."""

from pathlib import Path

import pytest

from datasets.fivek.fivek_dataset_builder import Builder
from datasets.fivek.photo_names import read_catalogue
from datasets.fivek.published_splits import PUBLISHED_SPLITS, assign_published_split, read_split
from datasets.types import SourcePair


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
    assert [number for number, split in read_split("upe").items() if split == "test"] == [
        f"a{number}" for number in range(4501, 5001)
    ]


def test_lists_agree_with_where_they_are_from(shared_data):
    lists = shared_data / "fivek_lists"
    for name, folder, files in (
        ("3dlut", "3dlut_4500_500", ("train.txt", "test.txt")),
        ("upe", "upe_uegan_4500_500", ("images_train.txt", "images_test.txt")),
    ):
        for split, file in zip(("train", "test"), files, strict=True):
            listed = (lists / folder / file).read_text().split()
            assert [
                number for number, place in read_split(name).items() if place == split
            ] == listed


def test_full_names_and_numbers_get_their_split():
    pairs = [
        SourcePair(name, Path(), Path(), None)
        for name in ("a0004-jmac_MG_1384", "a0001", "a0160", "holiday")
    ]
    assert [pair.split for pair in assign_published_split(pairs, "3dlut")] == [
        "test",
        "train",
        None,
        None,
    ]


def test_every_expert_and_size_has_a_config_for_every_split():
    names = {config.name for config in Builder.BUILDER_CONFIGS}
    assert len(names) == 5 * 3 * (
        1 + 1 + len(PUBLISHED_SPLITS)
    )  # plain, rendered inputs, and each published split
    assert {"c_1024", "c_512", "c_512_3dlut", "a_full_upe"} <= names
    assert Builder.BUILDER_CONFIGS[0].name == "c_1024"
