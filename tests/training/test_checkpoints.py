"""A stage's folder: what belongs to another stage is refused, and what a kill or a disk left of a checkpoint does no harm."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from enhancer.network.trained import CheckpointError, load_best, read_config, weights_sha256
from enhancer.training.loop import train


def test_hash_depends_on_every_bit_and_not_on_the_order():
    weights = {"a": np.zeros(3, "float32"), "b": np.ones((2, 2), "float32")}
    other = {"b": np.ones((2, 2), "float32"), "a": np.zeros(3, "float32")}
    assert weights_sha256(weights) == weights_sha256(other)
    other["a"][2] = np.nextafter(np.float32(0), np.float32(1))
    assert weights_sha256(weights) != weights_sha256(other)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_stage_leaves_its_best_or_its_last_epoch(
    tmp_path, nano, nano_stage, brightened_pairs, keep
):
    """A rate that spoils the network at once makes epoch 0 the best one."""
    stage = dataclasses.replace(
        nano_stage, epochs=2, peak_learning_rate=1.0, warmup_epochs=0, keep=keep
    )
    result = train(stage, nano, brightened_pairs, brightened_pairs[:3], tmp_path)
    assert result.history[0]["validation_loss"] < result.history[2]["validation_loss"]
    left = load_best(tmp_path)
    is_last = (
        weights_sha256({v.path: v.value for v in left.trainable_variables}) == result.weights_sha256
    )
    assert is_last == (keep == "last")


@pytest.fixture
def copied_stage(tmp_path, trained_stage) -> Path:
    return shutil.copytree(trained_stage, tmp_path / "finetune")


def test_checkpoint_that_a_kill_left_half_deleted_is_no_obstacle(
    copied_stage, nano, nano_stage, brightened_pairs
):
    """Orbax deletes a checkpoint in place; what a kill leaves of it must stop neither loading nor training."""
    expected = load_best(copied_stage).get_weights()
    half_deleted = shutil.copytree(
        copied_stage / "checkpoints" / "6", copied_stage / "checkpoints" / "14"
    )
    shutil.rmtree(half_deleted / "metrics")
    for a, b in zip(load_best(copied_stage).get_weights(), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (
        train(nano_stage, nano, brightened_pairs, brightened_pairs[:3], copied_stage).history[-1][
            "epoch"
        ]
        == 3
    )
    assert not half_deleted.exists()
    assert not (copied_stage / "incomplete_checkpoints").exists()


def test_damaged_checkpoint_beside_a_whole_one_is_kept_out_of_the_way(
    copied_stage, nano, nano_stage, brightened_pairs, capsys
):
    damaged = shutil.copytree(
        copied_stage / "checkpoints" / "6", copied_stage / "checkpoints" / "4"
    )
    (damaged / "_CHECKPOINT_METADATA").write_text("")
    assert (
        train(nano_stage, nano, brightened_pairs, brightened_pairs[:3], copied_stage).history[-1][
            "epoch"
        ]
        == 3
    )
    assert (copied_stage / "incomplete_checkpoints" / "4" / "weights").is_dir()
    assert not damaged.exists()
    assert "4 is damaged, and moved to" in capsys.readouterr().out


def test_only_checkpoint_is_put_aside_and_not_deleted_when_it_is_incomplete(
    copied_stage, nano, nano_stage, brightened_pairs
):
    """A power cut can leave an empty file where the rest is whole."""
    kept = [path for path in (copied_stage / "checkpoints").iterdir() if path.name.isdigit()]
    for checkpoint in kept:
        (checkpoint / "_CHECKPOINT_METADATA").write_text("")
    with pytest.raises(
        CheckpointError, match=r"None of the checkpoints .* is complete; they are moved to"
    ):
        train(nano_stage, nano, brightened_pairs, brightened_pairs[:3], copied_stage)
    for checkpoint in kept:
        assert (copied_stage / "incomplete_checkpoints" / checkpoint.name).is_dir()


def test_stage_with_other_settings_is_refused_and_left_alone(
    copied_stage, nano, nano_stage, brightened_pairs
):
    other = dataclasses.replace(nano_stage, peak_learning_rate=1.0)
    with pytest.raises(
        CheckpointError, match=r"other settings \(peak_learning_rate 0\.003 -> 1\.0\)"
    ):
        train(other, nano, brightened_pairs, brightened_pairs[:3], copied_stage)
    assert read_config(copied_stage) == (nano, nano_stage)


def test_stage_begun_on_other_data_is_refused(copied_stage, nano, nano_stage, brightened_pairs):
    with pytest.raises(CheckpointError, match="begun with 9 training pairs, and now there are 7"):
        train(nano_stage, nano, brightened_pairs[:7], brightened_pairs[:3], copied_stage)


def test_damaged_checkpoint_is_refused_in_a_sentence(copied_stage):
    for weights in copied_stage.glob("checkpoints/*/weights"):
        for file in weights.rglob("*"):
            if file.is_file():
                file.write_bytes(b"")
    with pytest.raises(CheckpointError, match="are damaged"):
        load_best(copied_stage)
