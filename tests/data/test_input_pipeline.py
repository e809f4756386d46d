"""Batches follow from seed and step alone, however the reading is begun and shared."""

import dataclasses
import itertools
from contextlib import closing

import numpy as np
import pytest

from enhancer.data.batches import steps_per_epoch, train_batches, validation_batches
from enhancer.data.pairs import ReadablePairs, UnreadableDataError


def taken(count, source, stage, **options):
    with closing(train_batches(source, stage, **options)) as batches:
        return list(itertools.islice(batches, count))


def inputs(batches):
    return np.stack([batch.pictures["input"] for batch in batches])


def assert_same(batches, others):
    assert [batch.ids for batch in batches] == [batch.ids for batch in others]
    for key in ("input", "target"):
        for batch, other in zip(batches, others, strict=True):
            np.testing.assert_array_equal(batch.pictures[key], other.pictures[key])


@pytest.fixture
def strong(nano_stage):
    return dataclasses.replace(nano_stage, augmentation="strong")


@pytest.fixture
def other_pairs(brightened_pairs):
    return [pair | {"id": f"other{index}"} for index, pair in enumerate(brightened_pairs[:5])]


def test_batches_have_the_stage_shape_and_are_bytes(brightened_pairs, nano_stage):
    (batch,) = taken(1, brightened_pairs, nano_stage)
    assert {key: (x.shape, x.dtype) for key, x in batch.pictures.items()} == {
        "input": ((4, 16, 16, 3), np.uint8),
        "target": ((4, 16, 16, 3), np.uint8),
    }


def test_the_ids_are_those_of_the_rows(brightened_pairs, nano_stage):
    stage = dataclasses.replace(nano_stage, augmentation="none", resolution=28)
    crops = {f"pair{i}": ReadablePairs(brightened_pairs)[i].input for i in range(9)}
    for batch in taken(3, brightened_pairs, stage):
        for name, crop in zip(batch.ids, batch.pictures["input"], strict=True):
            tops = range(crops[name].shape[0] - 28 + 1)
            assert any(np.array_equal(crop, crops[name][top : top + 28]) for top in tops)


def test_input_and_target_get_the_same_crop_and_flip(brightened_pairs, nano_stage):
    """A pair of two equal pictures stays equal through every crop and flip."""
    same = [pair | {"target": pair["input"]} for pair in brightened_pairs]
    for batch in taken(5, same, dataclasses.replace(nano_stage, min_crop_scale=0.3)):
        np.testing.assert_array_equal(batch.pictures["input"], batch.pictures["target"])


@pytest.mark.parametrize("augmentation", ["none", "flip", "strong"])
def test_same_seed_gives_the_same_batches_and_another_seed_others(
    brightened_pairs, nano_stage, augmentation
):
    stage = dataclasses.replace(nano_stage, augmentation=augmentation)
    a, b = (taken(3, brightened_pairs, stage) for _ in range(2))
    other = taken(3, brightened_pairs, dataclasses.replace(stage, seed=1))
    assert_same(a, b)
    assert not np.array_equal(inputs(a), inputs(other))


def test_order_and_augmentation_change_from_epoch_to_epoch(brightened_pairs, nano_stage):
    stage = dataclasses.replace(nano_stage, min_crop_scale=0.5)
    epochs = taken(2, brightened_pairs[:4], stage)
    assert [sorted(batch.ids) for batch in epochs] == [["pair0", "pair1", "pair2", "pair3"]] * 2
    rows = [dict(zip(batch.ids, batch.pictures["input"], strict=True)) for batch in epochs]
    assert epochs[0].ids != epochs[1].ids
    assert all(not np.array_equal(rows[0][name], rows[1][name]) for name in rows[0])


@pytest.mark.parametrize("first_step", [1, 3, 8])
def test_a_stage_continued_in_the_middle_gets_the_batches_that_it_would_have_got(
    brightened_pairs, other_pairs, strong, first_step
):
    stage = dataclasses.replace(strong, mix_weight=0.3)
    straight = taken(10, brightened_pairs, stage, mixed_in=[other_pairs])
    rest = taken(
        10 - first_step, brightened_pairs, stage, mixed_in=[other_pairs], first_step=first_step
    )
    assert_same(rest, straight[first_step:])


@pytest.mark.parametrize("first_step", [0, 4])
def test_the_batches_of_two_processes_are_together_the_batch_of_one(
    brightened_pairs, other_pairs, strong, first_step
):
    stage = dataclasses.replace(strong, mix_weight=0.3)
    options = {"mixed_in": [other_pairs], "first_step": first_step}
    one = taken(5, brightened_pairs, stage, **options)
    for process in range(2):
        half = taken(5, brightened_pairs, stage, process=process, num_processes=2, **options)
        assert [batch.ids for batch in half] == [batch.ids[process::2] for batch in one]
        np.testing.assert_array_equal(inputs(half), inputs(one)[:, process::2])


def test_another_resolution_shows_the_same_crops(brightened_pairs, strong):
    (small,), (large,) = (taken(1, brightened_pairs, strong, resolution=side) for side in (8, 16))
    assert large.pictures["input"].shape == (4, 16, 16, 3)
    shrunk = large.pictures["target"].reshape(4, 8, 2, 8, 2, 3).mean((2, 4))
    assert np.abs(shrunk - small.pictures["target"]).mean() < 4


def test_mixed_in_pairs_come_in_their_share(brightened_pairs, other_pairs, nano_stage):
    stage = dataclasses.replace(nano_stage, mix_weight=0.3)
    ids = [
        name
        for batch in taken(50, brightened_pairs, stage, mixed_in=[other_pairs])
        for name in batch.ids
    ]
    from_others = [name for name in ids if name.startswith("other")]
    deviation = (200 * 0.3 * 0.7) ** 0.5
    assert abs(len(from_others) - 60) < 2 * deviation
    # Each source passes whole before it starts again.
    assert sorted(from_others[:5]) == sorted(from_others[5:10]) == [f"other{i}" for i in range(5)]


def test_without_a_share_nothing_is_mixed_in(brightened_pairs, other_pairs, nano_stage):
    assert_same(
        taken(3, brightened_pairs, nano_stage),
        taken(3, brightened_pairs, nano_stage, mixed_in=[other_pairs]),
    )


def test_a_share_of_nothing_is_refused(brightened_pairs, nano_stage):
    with pytest.raises(ValueError, match=r"mix_weight is 0\.3, but there are no pairs to mix in"):
        train_batches(brightened_pairs, dataclasses.replace(nano_stage, mix_weight=0.3))


def test_a_damaged_pair_is_replaced_alike_on_every_reading(brightened_pairs, strong):
    pairs = list(brightened_pairs)
    pairs[4] = pairs[4] | {"target": b"junk"}
    straight = taken(6, pairs, strong)
    names = [name for batch in straight for name in batch.ids]
    assert "pair4" not in names
    assert names.count("pair5") > names.count("pair6")
    assert_same(taken(2, pairs, strong, first_step=4), straight[4:])


def test_damage_changes_no_other_row(brightened_pairs, strong):
    pairs = list(brightened_pairs)
    pairs[4] = pairs[4] | {"target": b"junk"}
    for whole, damaged in zip(
        taken(6, brightened_pairs, strong), taken(6, pairs, strong), strict=True
    ):
        kept = [row for row, name in enumerate(whole.ids) if name != "pair4"]
        np.testing.assert_array_equal(
            whole.pictures["input"][kept], damaged.pictures["input"][kept]
        )


def test_training_on_nothing_readable_says_so(nano_stage):
    junk = [{"id": f"pair{i}", "input": b"junk", "target": b"junk"} for i in range(3)]
    with pytest.raises(
        UnreadableDataError, match="None of the 3 pairs of the training data can be read"
    ):
        taken(1, junk, nano_stage)


def test_validation_sees_each_pair_once_and_fills_the_last_batch(brightened_pairs, nano_stage):
    batches = list(validation_batches(brightened_pairs, nano_stage))
    assert [weights.tolist() for _, weights in batches] == [[1] * 4, [1] * 4, [1, 0, 0, 0]]
    assert {batch["input"].shape for batch, _ in batches} == {(4, 16, 16, 3)}
    seen = np.concatenate([batch["target"][weights > 0] for batch, weights in batches])
    assert len(np.unique(seen.reshape(len(seen), -1), axis=0)) == 9


@pytest.mark.parametrize("count", [1, 4, 5, 8, 9])
def test_validation_is_shared_in_equally_many_batches(brightened_pairs, nano_stage, count):
    pairs = brightened_pairs[:count]
    shares = [list(validation_batches(pairs, nano_stage, process, 2)) for process in range(2)]
    assert len(shares[0]) == len(shares[1]) == -(-count // 4)
    assert {batch["input"].shape for share in shares for batch, _ in share} == {(2, 16, 16, 3)}
    alone = list(validation_batches(pairs, nano_stage))

    def counted(batches):
        return sorted(
            x.tobytes() for batch, weights in batches for x in batch["input"][weights > 0]
        )

    assert counted(itertools.chain(*shares)) == counted(alone)


def test_damaged_pairs_have_no_weight_in_validation(brightened_pairs, nano_stage):
    pairs = list(brightened_pairs)
    pairs[1] = pairs[1] | {"target": b"junk"}
    pairs[8] = pairs[8] | {"input": b""}
    batches = list(validation_batches(pairs, nano_stage))
    assert [weights.tolist() for _, weights in batches] == [[1, 1, 1, 0], [1] * 4, [0] * 4]
    assert {weights.dtype for _, weights in batches} == {np.dtype("float32")}
    whole = next(validation_batches(brightened_pairs, nano_stage))[0]
    np.testing.assert_array_equal(batches[0][0]["input"][:3], whole["input"][[0, 2, 3]])


def test_damage_is_reported_once_for_all_validations(brightened_pairs, nano_stage, capsys):
    pairs = ReadablePairs(
        [*brightened_pairs[:3], brightened_pairs[3] | {"target": b"junk"}], "validation data"
    )
    for _ in range(3):
        assert sum(weights.sum() for _, weights in validation_batches(pairs, nano_stage)) == 3
    assert capsys.readouterr().err.count("record 3 is left out") == 1


def test_steps_per_epoch_round_down_but_never_to_nothing(brightened_pairs, nano_stage):
    assert steps_per_epoch(brightened_pairs, nano_stage) == 2
    assert steps_per_epoch(brightened_pairs[:2], nano_stage) == 1


def test_an_epoch_may_be_several_passes(brightened_pairs, nano_stage):
    assert (
        steps_per_epoch(brightened_pairs, dataclasses.replace(nano_stage, passes_per_epoch=4)) == 9
    )


def test_fewer_pairs_than_a_batch_still_make_batches(brightened_pairs, nano_stage):
    assert len(taken(1, brightened_pairs[:2], nano_stage)[0].ids) == 4


def test_empty_source_is_refused(nano_stage):
    with pytest.raises(UnreadableDataError, match="training data is empty"):
        train_batches([], nano_stage)
