"""Splits that others made come out as they were: the same photos in the same lists in the same
order."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets.fivek.layouts import find_fivek_pairs
from datasets.fivek.published_splits import assign_published_split
from datasets.preparation import prepared_folder
from datasets.preparation.preparation import Variant, prepare
from datasets.sources.lists import find_listed_pairs
from datasets.sources.pair_source import PairSource

VARIANT = Variant("real_estate", "all pairs", None)


def photo(seed, height=64, width=64):
    patches = np.random.default_rng(seed).integers(20, 220, (8, 8, 3), dtype=np.uint8)
    return cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def stand_ins(shared_data, tmp_path_factory):
    """Small pictures, one of its own for every name in the lists of the whole set; prepared, with
    the listed ids."""
    lists, source, ids = (
        shared_data / "real_estate/full_split",
        tmp_path_factory.mktemp("stand_ins"),
        {},
    )
    (source / "images").mkdir()
    for split in ("train", "val", "test"):
        rows = [json.loads(line) for line in (lists / f"{split}.jsonl").read_text().splitlines()]
        ids[split] = [Path(row["input"]).stem.removesuffix("_src") for row in rows]
        for name, row in zip(ids[split], rows, strict=True):
            before = photo(int(name), 64, 64)
            for role, pixels in (("input", before), ("target", before // 2 + 90)):
                cv2.imwrite(str(source / row[role]), pixels)
        (source / f"{split}.jsonl").write_bytes((lists / f"{split}.jsonl").read_bytes())
    prepared = source.with_name("stand_ins_prepared")
    prepare(PairSource(source, find_listed_pairs), prepared, VARIANT, num_workers=0)
    return source.with_name("stand_ins_prepared"), ids


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_lists_of_the_whole_real_estate_set_reproduce_exactly(stand_ins, split):
    output, ids = stand_ins
    name = "validation" if split == "val" else split
    assert [row["id"] for row in prepared_folder.read_rows(output, name)] == ids[split]
    assert len(ids[split]) == {"train": 511, "val": 56, "test": 10}[split]


def test_a_photo_that_a_published_split_does_not_list_is_left_out_and_counted(tmp_path):
    def find(folder):
        return assign_published_split(find_fivek_pairs(folder, "c"), "3dlut")

    for folder in ("input", "output_expert_C"):
        (tmp_path / "fivek" / folder).mkdir(parents=True)
    for number in (1, 2, 3, 4, 160):
        before = photo(number)
        cv2.imwrite(str(tmp_path / f"fivek/input/a{number:04d}.png"), before)
        cv2.imwrite(str(tmp_path / f"fivek/output_expert_C/a{number:04d}.png"), before // 2 + 90)
    variant = Variant("fivek", "expert C", None, published_split="3dlut")
    source = PairSource(tmp_path / "fivek", find)
    metadata = prepare(source, tmp_path / "out", variant, num_workers=0)
    assert metadata["rejected_by_reason"] == {"not in the split": 1}
    assert [row["id"] for row in prepared_folder.read_rows(tmp_path / "out", "train")] == [
        "a0001",
        "a0002",
        "a0003",
    ]
    assert [row["id"] for row in prepared_folder.read_rows(tmp_path / "out", "test")] == ["a0004"]
