"""A stage trains, resumes exactly, initialises the next one, and stops when it should."""

import dataclasses
import json
import os
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
    stage, model, pairs = pickle.loads(Path(sys.argv[1]).read_bytes())
    print(train(stage, model, pairs, pairs[:3], Path(sys.argv[2])).weights_sha256)
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


def test_killed_stage_continues_to_the_same_weights(tmp_path, trained_stage, nano, nano_stage, brightened_pairs):
    """kill -9 after the first epoch; the same command again ends with the weights of the uninterrupted stage."""
    import pickle

    script, arguments, stage_dir = tmp_path / "stage.py", tmp_path / "arguments.pickle", tmp_path / "killed"
    script.write_text(textwrap.dedent(STAGE_SCRIPT))
    arguments.write_bytes(pickle.dumps((nano_stage, nano, brightened_pairs)))
    command = [sys.executable, str(script), str(arguments), str(stage_dir)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}

    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not (stage_dir / "checkpoints" / "1").exists():
        assert process.poll() is None, "the stage ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()

    completed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    uninterrupted = train(nano_stage, nano, brightened_pairs, brightened_pairs[:3], trained_stage)
    assert "continuing after epoch" in completed.stdout + completed.stderr
    assert completed.stdout.split()[-1] == uninterrupted.weights_sha256


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
