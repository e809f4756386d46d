"""A stage's folder: another stage's is refused, and what a kill left does no harm."""

import dataclasses
import gc
import json
import random
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
    damaged = shutil.copytree(checkpoints / "6", checkpoints / "5")
    (damaged / "_CHECKPOINT_METADATA").write_text("")
    assert train(nano_stage, brightened_pairs, copied_stage).history[-1]["epoch"] == 3
    assert (copied_stage / "incomplete_checkpoints" / "5" / "weights").is_dir()
    assert not damaged.exists()
    assert "5 is damaged, and moved to" in capsys.readouterr().out


def test_only_checkpoint_is_put_aside_and_not_deleted_when_it_is_incomplete(
    copied_stage, nano_stage, brightened_pairs
):
    """A power cut can leave an empty file where the rest is whole."""
    kept = [path for path in (copied_stage / "checkpoints").iterdir() if path.name.isdigit()]
    assert kept
    for checkpoint in kept:
        (checkpoint / "_CHECKPOINT_METADATA").write_text("")
    with pytest.raises(CheckpointError, match=r"None of the checkpoints .* is complete"):
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


# Orbax leaves the tasks of a failed read behind.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_damage_anywhere_is_refused_or_changes_no_weight(copied_stage):
    """Of the files beside the arrays, Orbax reads some and not others."""
    places, expected, refused = random.Random(0), best_weights(copied_stage), []
    weights = copied_stage / "checkpoints" / "6" / "weights"
    files = sorted(path for path in weights.rglob("*") if path.is_file())
    assert len(files) > 5
    for _ in range(20):
        file = places.choice(files)
        whole = file.read_bytes()
        at = places.randrange(max(1, len(whole) - 16))
        file.write_bytes(whole[:at] + places.randbytes(16) + whole[at + 16 :])
        try:
            assert best_weights(copied_stage) == expected
        except CheckpointError as error:
            refused.append(str(error))
        file.write_bytes(whole)
    assert len(refused) >= 10
    assert all("checkpoints/6 is damaged" in message for message in refused)
    gc.collect()  # those tasks are reported here, and not in whichever test comes next


@pytest.fixture
def stage_with_exchanged_weights(copied_stage) -> Path:
    """Its latest checkpoint, which is the best one too, holds the weights of the one before."""
    latest, before = (copied_stage / "checkpoints" / step / "weights" for step in "64")
    shutil.rmtree(latest)
    shutil.copytree(before, latest)
    return copied_stage


def test_arrays_that_are_not_those_of_their_hashes_are_refused(stage_with_exchanged_weights):
    """For the file system and for Orbax all is well."""
    with pytest.raises(CheckpointError, match=r"6 is damaged: weights/\S+ is not what was saved"):
        best_weights(stage_with_exchanged_weights)


def test_training_takes_the_step_before_a_damaged_one(
    stage_with_exchanged_weights, small_stage, nano_stage, brightened_pairs, capsys
):
    train(nano_stage, brightened_pairs, stage_with_exchanged_weights)
    said = capsys.readouterr().out
    assert "the checkpoint of step 6 is damaged: weights/" in said
    assert "continuing after epoch 2 of 3" in said
    assert best_weights(stage_with_exchanged_weights) == best_weights(small_stage)
    assert (stage_with_exchanged_weights / "incomplete_checkpoints" / "6").is_dir()


def test_stage_whose_checkpoints_are_all_damaged_is_refused_and_left_alone(
    copied_stage, nano_stage, brightened_pairs
):
    for metadata in copied_stage.glob("checkpoints/*/_CHECKPOINT_METADATA"):
        hashes = json.loads(metadata.read_text())
        hashes["custom_metadata"]["sha256"]["weights"]["up4_3/kernel"] = "0" * 64
        metadata.write_text(json.dumps(hashes))
    kept = sorted((copied_stage / "checkpoints").iterdir())
    with pytest.raises(CheckpointError, match=r"No checkpoint in .* can be restored"):
        train(nano_stage, brightened_pairs, copied_stage)
    assert sorted((copied_stage / "checkpoints").iterdir()) == kept


def test_checkpoint_of_an_earlier_version_has_no_hashes_and_says_so(copied_stage, capsys):
    expected = best_weights(copied_stage)
    path = copied_stage / "checkpoints" / "6" / "_CHECKPOINT_METADATA"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"custom_metadata": {}}))
    assert best_weights(copied_stage) == expected
    assert "6 was saved without hashes" in capsys.readouterr().out
