"""A stage's folder: another stage's is refused, and what a kill left does no harm."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from enhancer.config import ModelConfig
from enhancer.network.trained import (
    CheckpointError,
    load_best_weights,
    read_config,
    weights_sha256,
)
from tests.helpers.small_network import SmallNetwork, train


def best_weights(stage_dir: Path) -> str:
    like = {v.path: v.value for v in SmallNetwork().trainable_variables}
    return weights_sha256(load_best_weights(stage_dir, like))


def test_hash_depends_on_every_bit_and_not_on_the_order():
    weights = {"a": np.zeros(3, "float32"), "b": np.ones((2, 2), "float32")}
    other = {"b": np.ones((2, 2), "float32"), "a": np.zeros(3, "float32")}
    assert weights_sha256(weights) == weights_sha256(other)
    other["a"][2] = np.nextafter(np.float32(0), np.float32(1))
    assert weights_sha256(weights) != weights_sha256(other)


@pytest.fixture
def copied_stage(tmp_path, small_stage) -> Path:
    return shutil.copytree(small_stage, tmp_path / "finetune")


def test_checkpoint_that_a_kill_left_half_deleted_is_no_obstacle(
    copied_stage, nano_stage, brightened_pairs
):
    """Orbax deletes a checkpoint in place; what a kill leaves of it must stop neither verb."""
    checkpoints, expected = copied_stage / "checkpoints", best_weights(copied_stage)
    half_deleted = shutil.copytree(checkpoints / "6", checkpoints / "14")
    shutil.rmtree(half_deleted / "metrics")
    assert best_weights(copied_stage) == expected
    assert train(nano_stage, brightened_pairs, copied_stage).history[-1]["epoch"] == 3
    assert not half_deleted.exists()
    assert not (copied_stage / "incomplete_checkpoints").exists()


def test_damaged_checkpoint_beside_a_whole_one_is_kept_out_of_the_way(
    copied_stage, nano_stage, brightened_pairs, capsys
):
    checkpoints = copied_stage / "checkpoints"
    damaged = shutil.copytree(checkpoints / "6", checkpoints / "4")
    (damaged / "_CHECKPOINT_METADATA").write_text("")
    assert train(nano_stage, brightened_pairs, copied_stage).history[-1]["epoch"] == 3
    assert (copied_stage / "incomplete_checkpoints" / "4" / "weights").is_dir()
    assert not damaged.exists()
    assert "4 is damaged, and moved to" in capsys.readouterr().out


def test_only_checkpoint_is_put_aside_and_not_deleted_when_it_is_incomplete(
    copied_stage, nano_stage, brightened_pairs
):
    """A power cut can leave an empty file where the rest is whole."""
    kept = [path for path in (copied_stage / "checkpoints").iterdir() if path.name.isdigit()]
    assert kept
    for checkpoint in kept:
        (checkpoint / "_CHECKPOINT_METADATA").write_text("")
    with pytest.raises(
        CheckpointError, match=r"None of the checkpoints .* is complete; they are moved to"
    ):
        train(nano_stage, brightened_pairs, copied_stage)
    for checkpoint in kept:
        assert (copied_stage / "incomplete_checkpoints" / checkpoint.name).is_dir()


def test_stage_with_other_settings_is_refused_and_left_alone(
    copied_stage, nano_stage, brightened_pairs
):
    other = dataclasses.replace(nano_stage, peak_learning_rate=1.0)
    with pytest.raises(
        CheckpointError, match=r"other settings \(peak_learning_rate 0\.003 -> 1\.0\)"
    ):
        train(other, brightened_pairs, copied_stage)
    assert read_config(copied_stage) == (ModelConfig(), nano_stage)


def test_stage_begun_on_other_data_is_refused(copied_stage, nano_stage, brightened_pairs):
    with pytest.raises(CheckpointError, match="begun with 9 training pairs, and now there are 7"):
        train(nano_stage, brightened_pairs[:7], copied_stage)


def test_damaged_checkpoint_is_refused_in_a_sentence(copied_stage):
    files = [file for file in copied_stage.glob("checkpoints/*/weights/**/*") if file.is_file()]
    assert files
    for file in files:
        file.write_bytes(b"")
    with pytest.raises(CheckpointError, match="are damaged"):
        best_weights(copied_stage)
