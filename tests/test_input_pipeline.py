"""Batches are seeded, aligned and never squashed."""

import dataclasses

import cv2
import numpy as np
import pytest

from enhancer.input_pipeline import (
    CentreSquareCrop,
    DecodePair,
    RandomSquareCrop,
    steps_per_epoch,
    train_batches,
    validation_batches,
)


def first(batches, count=3):
    return [next(batches)["input"] for _ in range(count)]


def test_batches_have_the_stage_shape_and_are_bytes(brightened_pairs, nano_stage):
    batch = next(train_batches(brightened_pairs, nano_stage))
    assert {key: (x.shape, x.dtype) for key, x in batch.items()} == {
        "input": ((4, 16, 16, 3), np.uint8),
        "target": ((4, 16, 16, 3), np.uint8),
    }


def test_input_and_target_get_the_same_crop_and_flip(brightened_pairs, nano_stage):
    """A pair of two equal pictures stays equal through every crop and flip."""
    same = [pair | {"target": pair["input"]} for pair in brightened_pairs]
    batches = train_batches(same, dataclasses.replace(nano_stage, min_crop_scale=0.3))
    for _ in range(5):
        batch = next(batches)
        np.testing.assert_array_equal(batch["input"], batch["target"])


def test_same_seed_gives_the_same_batches_and_another_seed_others(brightened_pairs, nano_stage):
    a, b = (first(train_batches(brightened_pairs, nano_stage)) for _ in range(2))
    other = first(train_batches(brightened_pairs, dataclasses.replace(nano_stage, seed=1)))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, other)


def test_order_and_augmentation_change_from_epoch_to_epoch(brightened_pairs, nano_stage):
    batches = train_batches(brightened_pairs[:4], nano_stage)
    assert not np.array_equal(next(batches)["input"], next(batches)["input"])


def test_iterator_state_continues_exactly(brightened_pairs, nano_stage):
    batches = train_batches(brightened_pairs, nano_stage)
    first(batches)
    state = batches.get_state()
    expected = first(batches)
    again = train_batches(brightened_pairs, nano_stage)
    again.set_state(state)
    np.testing.assert_array_equal(first(again), expected)


def test_crop_keeps_the_aspect_ratio():
    """A circle stays a circle: crops are square, so both axes scale alike."""
    photo = np.zeros((60, 100, 3), np.uint8)
    cv2.circle(photo, (50, 30), 12, (255, 255, 255), -1)
    crop = CentreSquareCrop(120).map({"input": photo})["input"]
    rows, columns = np.nonzero(crop[..., 0] > 127)
    assert crop.shape == (120, 120, 3)
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=1)


def test_crop_scale_bounds_the_square_of_the_photo(nano_stage):
    """Every pixel carries its row, so the range of rows in a crop is the side it was cut with."""
    photo = np.repeat(np.arange(100, dtype=np.uint8)[:, None, None], 140, axis=1).repeat(3, axis=2)
    crop, sides = RandomSquareCrop(16, 0.5), []
    for seed in range(50):
        rows = crop.random_map({"input": photo}, np.random.default_rng(seed))["input"]
        sides.append(int(np.ptp(rows)) + 1)
    assert min(sides) >= 40
    assert min(sides) < 60
    assert max(sides) > 85


def test_validation_sees_each_pair_once_and_fills_the_last_batch(brightened_pairs, nano_stage):
    batches = list(validation_batches(brightened_pairs, nano_stage))
    assert [weights.tolist() for _, weights in batches] == [[1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 0, 0]]
    assert {batch["input"].shape for batch, _ in batches} == {(4, 16, 16, 3)}


def test_steps_per_epoch_round_down_but_never_to_nothing(brightened_pairs, nano_stage):
    assert steps_per_epoch(brightened_pairs, nano_stage) == 2
    assert steps_per_epoch(brightened_pairs[:2], nano_stage) == 1


def test_fewer_pairs_than_a_batch_still_make_batches(brightened_pairs, nano_stage):
    assert len(next(train_batches(brightened_pairs[:2], nano_stage))["input"]) == 4


def test_broken_picture_is_named():
    with pytest.raises(ValueError, match="input of pair kitchen does not decode"):
        DecodePair().map({"input": b"junk", "target": b"junk", "id": b"kitchen"})


def test_pictures_of_different_size_are_named(brightened_pairs):
    other = cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes()
    with pytest.raises(ValueError, match=r"pair pair0 differ in size: \(40, 28, 3\) and \(9, 9, 3\)"):
        DecodePair().map(brightened_pairs[0] | {"target": other})


def test_empty_source_is_refused(nano_stage):
    with pytest.raises(ValueError, match="data source is empty"):
        train_batches([], nano_stage)


def test_colours_are_decoded_as_rgb():
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    encoded = cv2.imencode(".png", red[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(DecodePair().map({"input": encoded, "target": encoded})["input"], red)
