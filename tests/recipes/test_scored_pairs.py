"""Pairs as somebody has them are found in every layout, read, and left out by name when they cannot
be scored."""

import json

import numpy as np
import pytest

from datasets.types import SourceError
from enhancer.data.pairs import Pair
from enhancer.photo.io import write_photo
from recipes.experiment.scored_pairs import ScoredPairs, find_leaks, find_scenes, read_reduced
from tests.helpers.pair_folders import write_pairs


def ids(pairs: ScoredPairs) -> list[str]:
    return [pairs[index].id for index in range(len(pairs))]


def test_all_lists_are_read_and_one_can_be_chosen(tmp_path):
    write_pairs(tmp_path, list("abc"), {"train.jsonl": ["a", "b"], "test.jsonl": ["c"]})
    assert ids(ScoredPairs(tmp_path)) == ["a", "b", "c"]
    assert ids(ScoredPairs(tmp_path, "test")) == ["c"]


def test_a_list_of_any_name_is_read_where_there_are_no_others(tmp_path):
    write_pairs(tmp_path, list("ab"), {"held_out.jsonl": ["a", "b"]}, keys=("input", "target"))
    assert ids(ScoredPairs(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("list_name", ["test.jsonl", "any.jsonl"])
def test_photos_that_are_only_scored_may_lie_anywhere(tmp_path, list_name):
    write_pairs(tmp_path / "photos", list("ab"), {})
    (tmp_path / "lists").mkdir()
    absolute = {
        "src": str(tmp_path / "photos" / "a_src.png"),
        "tar": str(tmp_path / "photos" / "a_tar.png"),
    }
    beside = {"src": "../photos/b_src.png", "tar": "../photos/b_tar.png"}
    (tmp_path / "lists" / list_name).write_text(f"{json.dumps(absolute)}\n{json.dumps(beside)}\n")
    assert ids(ScoredPairs(tmp_path / "lists")) == ["a", "b"]


def test_photos_without_lists_are_paired_by_name(tmp_path):
    write_pairs(tmp_path, list("abcd"), {})
    assert ids(ScoredPairs(tmp_path)) == ["a", "b", "c", "d"]


def test_fiveks_folders_are_paired(tmp_path):
    write_pairs(tmp_path, ["a0001"], {})
    for name, folder in (("src", "input"), ("tar", "output_expert_C")):
        (tmp_path / folder).mkdir()
        (tmp_path / f"a0001_{name}.png").rename(tmp_path / folder / "a0001.png")
    assert ids(ScoredPairs(tmp_path)) == ["a0001"]


def test_broken_and_unlike_pairs_are_left_out_by_name(tmp_path):
    write_pairs(tmp_path, ["a", "b", "c"], {"test.jsonl": ["a", "b", "c"]})
    (tmp_path / "b_src.png").write_bytes(b"no picture")
    write_photo(tmp_path / "c_tar.png", np.zeros((60, 20, 3), np.uint8))
    pairs = ScoredPairs(tmp_path)
    assert ids(pairs) == ["a"]
    assert set(pairs.left_out) == {"b", "c"}
    assert "not of the same shape: 44x30 and 20x60" in pairs.left_out["c"]


def test_sizes_that_differ_are_brought_to_the_smaller_and_named(tmp_path):
    write_pairs(tmp_path, ["a"], {"test.jsonl": ["a"]})
    write_photo(tmp_path / "a_tar.png", np.zeros((60, 88, 3), np.uint8))
    pairs = ScoredPairs(tmp_path)
    assert pairs[0].input.shape == pairs[0].target.shape == (30, 44, 3)
    assert pairs.resized == {"a"}


def test_nothing_to_score_is_an_error_that_says_why(tmp_path):
    write_pairs(tmp_path, ["a"], {"test.jsonl": ["a"]})
    with pytest.raises(SourceError, match="no pairs in its list “train”"):
        ScoredPairs(tmp_path, "train")
    (tmp_path / "a_src.png").write_bytes(b"")
    with pytest.raises(SourceError, match="None of the 1 pairs"):
        ScoredPairs(tmp_path)


def texture(seed: int) -> np.ndarray:
    return np.kron(
        np.random.default_rng(seed).integers(10, 180, (8, 12, 3)), np.ones((16, 16, 1))
    ).astype(np.uint8)


def scene(name: str, seed: int, gain: float = 1.0) -> Pair:
    photo = np.clip(texture(seed) * gain, 0, 255).astype(np.uint8)
    return Pair(name, photo, np.clip(photo * 1.2, 0, 255).astype(np.uint8))


def test_exposures_of_one_room_are_one_scene():
    assert find_scenes([scene("a", 1), scene("b", 2), scene("c", 1, gain=0.7)]) == [0, 1, 0]


def test_photos_of_scenes_that_were_trained_on_are_found():
    trained = [scene("x", 3), scene("y", 2, gain=0.8)]
    assert find_leaks([scene("a", 1), scene("b", 2)], [0, 1], trained) == ["b"]


def test_with_a_photo_all_of_its_scene_have_been_seen():
    tested = [scene("a", 1), scene("b", 2), scene("c", 4)]
    assert find_leaks(tested, [0, 0, 2], [scene("y", 2, gain=0.8)]) == ["a", "b"]


def test_without_training_pairs_nothing_was_seen():
    assert find_leaks([scene("a", 1)], [0], []) == []


def test_reduced_pairs_keep_their_shape_and_are_never_enlarged():
    (small,) = read_reduced([scene("a", 1)], 32, "reducing")
    assert small.input.shape == small.target.shape == (32, 48, 3)
    (same,) = read_reduced([scene("a", 1)], 500, "reducing")
    assert same.input.shape == (128, 192, 3)
