"""Damaged records are named once and left out: one bad picture does not end a night's training."""

import threading

import cv2
import numpy as np
import pytest

from enhancer.data import pairs as pairs_module
from enhancer.data.pairs import ReadablePairs, UnreadableDataError, WithoutDamaged, decode_pair


@pytest.fixture
def one_damaged(brightened_pairs):
    return [*brightened_pairs[:2], brightened_pairs[2] | {"input": b"junk"}, brightened_pairs[3]]


def test_colours_are_decoded_as_rgb():
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    encoded = cv2.imencode(".png", red[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(decode_pair({"input": encoded, "target": encoded}).input, red)


NO_NUMBERS = cv2.imencode(".tiff", np.full((8, 8, 3), np.nan, np.float32))[1].tobytes()


@pytest.mark.parametrize("content", [b"junk", b"", NO_NUMBERS])
def test_broken_picture_is_named(content):
    with pytest.raises(ValueError, match="input of pair kitchen does not decode"):
        decode_pair({"input": content, "target": content, "id": b"kitchen"})


@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_a_picture_that_is_cut_off_does_not_decode(brightened_pairs, extension):
    whole = cv2.imencode(extension, decode_pair(brightened_pairs[0]).input)[1].tobytes()
    with pytest.raises(ValueError, match="target of pair kitchen does not decode"):
        decode_pair({"input": whole, "target": whole[: len(whole) // 2], "id": "kitchen"})


def test_pictures_of_different_size_are_named(brightened_pairs):
    other = cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes()
    with pytest.raises(
        ValueError, match=r"pair pair0 differ in size: \(40, 28, 3\) and \(9, 9, 3\)"
    ):
        decode_pair(brightened_pairs[0] | {"target": other})


def test_readable_pairs_are_the_decoded_records(brightened_pairs, capsys):
    pairs = ReadablePairs(brightened_pairs)
    assert [pairs[index].id for index in range(len(pairs))] == [
        f"pair{index}" for index in range(9)
    ]
    assert pairs.damaged == {}
    assert capsys.readouterr().err == ""


def test_a_damaged_pair_is_replaced_by_the_next_after_the_last_by_the_first(brightened_pairs):
    junk = {"input": b"junk", "target": b"junk"}
    pairs = ReadablePairs([brightened_pairs[0], junk, junk, brightened_pairs[3], junk])
    assert [pairs[index].id for index in range(5)] == ["pair0", "pair3", "pair3", "pair3", "pair0"]
    assert set(pairs.damaged) == {1, 2, 4}


def test_a_damaged_pair_can_be_left_out_instead(one_damaged):
    pairs = ReadablePairs(one_damaged)
    assert [pair and pair.id for pair in map(pairs.read, range(4))] == [
        "pair0",
        "pair1",
        None,
        "pair3",
    ]


def test_damage_is_reported_once_in_one_line_with_the_name(one_damaged, capsys):
    pairs = ReadablePairs(one_damaged, "training data")
    threads = [threading.Thread(target=lambda: [pairs[2] for _ in range(5)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "Damaged training data: record 2 is left out. "
        "The input of pair pair2 does not decode as a JPEG or PNG picture; build the data again.\n"
    )
    assert list(pairs.damaged) == [2]


def test_a_record_without_a_picture_is_left_out(brightened_pairs, capsys):
    pairs = ReadablePairs(
        [{"id": "kitchen", "input": brightened_pairs[0]["input"]}, brightened_pairs[1]]
    )
    assert pairs[0].id == "pair1"
    assert "record 0 is left out. It cannot be read (KeyError: 'target')" in capsys.readouterr().err


def test_nothing_readable_is_an_error_with_the_first_reason(brightened_pairs):
    pairs = ReadablePairs(
        [{"id": f"pair{i}", "input": b"junk", "target": b"junk"} for i in range(3)], "mixed data"
    )
    with pytest.raises(
        UnreadableDataError,
        match=r"None of the 3 pairs of the mixed data .* of pair pair1 does not",
    ):
        pairs[1]
    with pytest.raises(UnreadableDataError):
        pairs.read(0)


def test_lack_of_memory_is_not_taken_for_damage():
    class Exhausted(list):
        def __getitem__(self, index):
            raise MemoryError

    pairs = ReadablePairs(Exhausted([0, 1]))
    with pytest.raises(MemoryError):
        pairs[0]
    assert pairs.damaged == {}


class FlakyStorage(list):
    """Raises on the first reads."""

    def __init__(self, records, failures):
        super().__init__(records)
        self.failures = failures

    def __getitem__(self, index):
        if self.failures:
            self.failures -= 1
            raise OSError(5, "Input/output error")
        return super().__getitem__(index)


def test_a_storage_that_answers_again_loses_nothing(brightened_pairs, monkeypatch):
    monkeypatch.setattr(pairs_module, "_WAITS_SECONDS", (0.0, 0.0))
    pairs = ReadablePairs(FlakyStorage(brightened_pairs, failures=2))
    assert pairs[0].id == "pair0"
    assert pairs.damaged == {}


def test_a_storage_that_does_not_answer_is_an_error_and_no_damage(brightened_pairs, monkeypatch):
    monkeypatch.setattr(pairs_module, "_WAITS_SECONDS", (0.0, 0.0))
    pairs = ReadablePairs(FlakyStorage(brightened_pairs, failures=3), "training data")
    with pytest.raises(
        UnreadableDataError,
        match=r"Record 0 of the training data could not be read .*does not answer",
    ):
        pairs[0]
    assert pairs.damaged == {}


def test_a_test_set_without_its_damaged_records_keeps_the_others_in_order(one_damaged, capsys):
    records = WithoutDamaged(one_damaged, "test data")
    assert [records[index]["id"] for index in range(len(records))] == [b"pair0", b"pair1", b"pair3"]
    assert "Damaged test data: record 2 is left out." in capsys.readouterr().err
    with pytest.raises(UnreadableDataError):
        WithoutDamaged([{"input": b"junk", "target": b"junk"}])
