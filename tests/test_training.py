"""A stage trains, resumes exactly, initialises the next one, and stops when it should."""

import dataclasses
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from enhancer import training
from enhancer.checkpoints import CheckpointError, load_best, load_best_weights, read_config, weights_sha256
from enhancer.config import StageConfig
from enhancer.restormer import Restormer
from enhancer.training import TrainingError, best_row, stopped_early, train

STAGE_SCRIPT = """
    import dataclasses, pickle, sys
    from pathlib import Path
    from enhancer.training import train
    stage, model, pairs, previous = pickle.loads(Path(sys.argv[1]).read_bytes())
    print(train(stage, model, pairs, pairs[:3], Path(sys.argv[2]), initialise_from=previous).weights_sha256)
"""


def history(losses: list[float]) -> list[dict]:
    return [{"epoch": epoch, "validation_loss": loss} for epoch, loss in enumerate(losses)]


def test_validation_loss_falls(trained_stage):
    rows = json.loads((trained_stage / "history.json").read_text())
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert best_row(rows)["epoch"] > 0
    assert best_row(rows)["validation_loss"] < rows[0]["validation_loss"]
    assert rows[0]["train_loss"] is None


def test_best_checkpoint_holds_the_best_epoch_and_the_configuration(trained_stage, nano, nano_stage):
    model = load_best(trained_stage)
    assert read_config(trained_stage) == (nano, nano_stage)
    assert model.config == nano
    kept = {path.name for path in (trained_stage / "checkpoints").iterdir()}
    rows = json.loads((trained_stage / "history.json").read_text())
    assert kept == {str(best_row(rows)["epoch"]), "3"}


def test_weights_optimizer_data_and_metrics_are_separate_items(trained_stage):
    items = {path.name for path in (trained_stage / "checkpoints" / "3").iterdir() if path.is_dir()}
    assert {"weights", "optimizer", "data_iterator", "metrics"} <= items


def test_finished_stage_is_not_trained_again(trained_stage, nano, nano_stage, brightened_pairs, monkeypatch):
    monkeypatch.setattr(training, "_train_epoch", lambda *_: pytest.fail("trained again"))
    result = train(nano_stage, nano, brightened_pairs, brightened_pairs[:3], trained_stage)
    assert result.history[-1]["epoch"] == 3


def test_killed_fine_tuning_continues_to_the_same_weights(tmp_path, trained_stage, nano, nano_stage, brightened_pairs):
    """kill -9 after the first epoch of a second stage; the same command again ends as if nothing had happened."""
    script, arguments = tmp_path / "stage.py", tmp_path / "arguments.pickle"
    stage = dataclasses.replace(nano_stage, epochs=4, seed=1)
    script.write_text(textwrap.dedent(STAGE_SCRIPT))
    arguments.write_bytes(pickle.dumps((stage, nano, brightened_pairs, trained_stage)))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}

    def command(stage_dir: Path) -> list[str]:
        return [sys.executable, str(script), str(arguments), str(stage_dir)]

    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command(tmp_path / "killed"), env=environment, stdout=log, stderr=log)
    deadline = time.monotonic() + 300
    while not (tmp_path / "killed" / "checkpoints" / "1").exists():
        assert process.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()

    continued, uninterrupted = (
        subprocess.run(command(tmp_path / name), env=environment, capture_output=True, text=True, check=True)
        for name in ("killed", "uninterrupted")
    )
    assert re.search(r"continuing after epoch [123] of 4", continued.stdout + continued.stderr)
    assert continued.stdout.split()[-1] == uninterrupted.stdout.split()[-1]


def test_next_stage_starts_from_the_best_weights(tmp_path, trained_stage, nano, nano_stage, brightened_pairs):
    stage = dataclasses.replace(nano_stage, epochs=0, peak_learning_rate=1.0)
    result = train(
        stage, nano, brightened_pairs, brightened_pairs[:3], tmp_path / "next", initialise_from=trained_stage
    )
    like = {v.path: v.value for v in Restormer(nano).trainable_variables}
    assert result.weights_sha256 == weights_sha256(load_best_weights(trained_stage, like))


def test_initialising_from_another_shape_is_refused(tmp_path, trained_stage, nano, nano_stage, brightened_pairs):
    wider = dataclasses.replace(nano, dim=8)
    with pytest.raises(CheckpointError, match="network of another shape: decoder_level1/attention_depthwise"):
        train(nano_stage, wider, brightened_pairs, brightened_pairs, tmp_path / "next", initialise_from=trained_stage)


def test_initialising_from_nothing_is_refused(tmp_path, nano, nano_stage, brightened_pairs):
    with pytest.raises(CheckpointError, match="holds no checkpoints"):
        train(nano_stage, nano, brightened_pairs, brightened_pairs, tmp_path / "next", initialise_from=tmp_path / "no")


def test_stage_stops_after_patience_epochs_without_a_better_loss():
    stage = StageConfig(early_stopping_patience=2)
    assert not stopped_early(history([0.5, 0.3, 0.4]), stage)
    assert stopped_early(history([0.5, 0.3, 0.4, 0.3]), stage)


def test_loss_that_is_not_finite_ends_the_stage_in_words(tmp_path, nano, nano_stage, brightened_pairs, monkeypatch):
    monkeypatch.setattr(training, "_train_epoch", lambda step, state, *_: (state, float("nan")))
    with pytest.raises(TrainingError, match="loss is not finite in epoch 1"):
        train(nano_stage, nano, brightened_pairs, brightened_pairs[:3], tmp_path / "stage")
    assert (tmp_path / "stage" / "checkpoints" / "0").is_dir()


def test_hash_depends_on_every_bit_and_not_on_the_order():
    weights = {"a": np.zeros(3, "float32"), "b": np.ones((2, 2), "float32")}
    other = {"b": np.ones((2, 2), "float32"), "a": np.zeros(3, "float32")}
    assert weights_sha256(weights) == weights_sha256(other)
    other["a"][2] = np.nextafter(np.float32(0), np.float32(1))
    assert weights_sha256(weights) != weights_sha256(other)


@pytest.fixture
def copied_stage(tmp_path, trained_stage) -> Path:
    return shutil.copytree(trained_stage, tmp_path / "finetune")


def test_checkpoint_that_a_kill_left_half_deleted_is_no_obstacle(copied_stage, nano, nano_stage, brightened_pairs):
    """Orbax deletes a checkpoint in place; what a kill leaves of it must stop neither loading nor training."""
    expected = load_best(copied_stage).get_weights()
    half_deleted = shutil.copytree(copied_stage / "checkpoints" / "3", copied_stage / "checkpoints" / "7")
    shutil.rmtree(half_deleted / "metrics")
    for a, b in zip(load_best(copied_stage).get_weights(), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert train(nano_stage, nano, brightened_pairs, brightened_pairs[:3], copied_stage).history[-1]["epoch"] == 3
    assert not half_deleted.exists()


def test_stage_with_other_settings_is_refused_and_left_alone(copied_stage, nano, nano_stage, brightened_pairs):
    other = dataclasses.replace(nano_stage, peak_learning_rate=1.0)
    with pytest.raises(CheckpointError, match=r"other settings \(peak_learning_rate 0\.003 -> 1\.0\)"):
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


def test_mixed_precision_with_rematerialised_blocks_trains_like_float32(
    tmp_path, trained_stage, nano, nano_stage, brightened_pairs
):
    """The plan's settings: bfloat16 activations, recomputed. Weights stay float32, and the losses stay close."""
    stage = dataclasses.replace(nano_stage, precision="mixed", remat="block")
    mixed = train(stage, nano, brightened_pairs, brightened_pairs[:3], tmp_path / "mixed")
    full = json.loads((trained_stage / "history.json").read_text())
    assert {variable.dtype for variable in load_best(tmp_path / "mixed").trainable_variables} == {"float32"}
    losses = [[row["validation_loss"] for row in rows] for rows in (mixed.history, full)]
    np.testing.assert_allclose(*losses, rtol=0.05)
