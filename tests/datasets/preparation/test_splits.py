"""Pairs are held back by a hash of their ids, and scenes that occur twice stay in one split."""

import hashlib
from pathlib import Path

import pytest

from datasets.preparation.splits import assign_splits, find_straddling
from datasets.types import PreparationError

SOURCE = Path("photos")


def rows(count, split=None):
    return [{"id": f"{number:03d}", "split": split} for number in range(count)]


def ids(splits):
    return {split: [row["id"] for row in members] for split, members in splits.items()}


def test_the_shares_are_met_and_each_split_keeps_the_order():
    accepted = rows(100)
    splits = ids(assign_splits(accepted, SOURCE, validation=0.1, test=0.05))
    assert [len(splits[split]) for split in ("train", "validation", "test")] == [85, 10, 5]
    names = [row["id"] for row in accepted]
    by_hash = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert set(splits["test"]) == set(by_hash[:5])
    assert set(splits["validation"]) == set(by_hash[5:15])
    assert all(members == sorted(members) for members in splits.values())


def test_a_photo_more_moves_few_others():
    few, more = (
        set(ids(assign_splits(rows(count), SOURCE, validation=0.1))["validation"])
        for count in (100, 101)
    )
    assert len(few - more) <= 1


@pytest.mark.parametrize("size", [2, 3, 7])
def test_groups_go_whole_into_one_split(size):
    accepted = rows(84)
    groups = [accepted[start : start + size] for start in range(0, 84, size)]
    splits = assign_splits(accepted, SOURCE, groups, validation=0.1, test=0.1)
    assert find_straddling(splits, groups) == []
    assert all(splits[split] for split in ("train", "validation", "test"))
    assert len(splits["validation"]) <= 8


def test_groups_larger_than_the_share_still_leave_something_to_validate():
    accepted = rows(30)
    groups = [accepted[:10], accepted[10:20], accepted[20:]]
    assert len(assign_splits(accepted, SOURCE, groups, validation=0.05)["validation"]) == 10


def test_one_scene_cannot_be_split():
    accepted = rows(12)
    sentence = "12 usable pairs of 1 scenes; training and validation need"
    with pytest.raises(PreparationError, match=sentence):
        assign_splits(accepted, SOURCE, [accepted])


def test_the_sources_splits_are_honoured():
    accepted = [*rows(2, "train"), {"id": "a", "split": "test"}, {"id": "b", "split": "validation"}]
    splits = ids(assign_splits(accepted, SOURCE))
    assert splits == {"train": ["000", "001"], "validation": ["b"], "test": ["a"]}


def test_validation_is_held_back_from_training_where_the_source_has_none():
    accepted = [*rows(4, "train"), {"id": "a", "split": "test"}]
    groups = [accepted[:2], [accepted[2], accepted[4]]]
    splits = ids(assign_splits(accepted, SOURCE, groups))
    assert splits["test"] == ["a"]
    assert len(splits["validation"]) == 1
    assert sorted(splits["train"] + splits["validation"]) == ["000", "001", "002", "003"]
    assert ids(assign_splits(accepted, SOURCE, validation=0))["validation"] == []
