"""A real Restormer, in row strips and bfloat16, learns; a kill -9 changes nothing about it."""

import dataclasses
import json
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from enhancer.config import StageConfig
from enhancer.network.trained import load_best, read_config
from enhancer.training.history import CLOCK_COLUMNS, best_row
from enhancer.training.loop import train

ROOT = Path(__file__).resolve().parents[2]
RESTORMER_SCRIPT = """
import pickle, sys
from pathlib import Path
from enhancer.training.loop import train
stage, model, pairs = pickle.loads(Path(sys.argv[1]).read_bytes())
train(stage, model, pairs, pairs[:3], Path(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def restormer_stage(nano_stage) -> StageConfig:
    """The same with row strips and bfloat16 activations, for a Restormer."""
    return dataclasses.replace(nano_stage, precision="mixed")


@pytest.fixture(scope="module")
def trained_stage(tmp_path_factory, nano, restormer_stage, brightened_pairs) -> Path:
    """The folder of a stage in which a Restormer trained for three epochs."""
    stage_dir = tmp_path_factory.mktemp("run") / "finetune"
    train(restormer_stage, nano, brightened_pairs, brightened_pairs[:3], stage_dir)
    return stage_dir


def without_clock(rows: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key not in CLOCK_COLUMNS} for row in rows]


def test_it_learns_and_its_best_epoch_is_left(trained_stage, nano, restormer_stage):
    rows = json.loads((trained_stage / "history.json").read_text())
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert best_row(rows)["epoch"] > 0
    assert best_row(rows)["validation_loss"] < rows[0]["validation_loss"]
    assert read_config(trained_stage) == (nano, restormer_stage)
    assert load_best(trained_stage).config == nano
    kept = {path.name for path in (trained_stage / "checkpoints").iterdir()}
    assert kept == {str(best_row(rows)["step"]), "6"}


def test_killed_it_continues_to_the_same_weights(
    tmp_path, trained_stage, nano, restormer_stage, brightened_pairs, capsys
):
    """kill -9 after the first epoch; the same call again ends as if nothing had happened."""
    arguments, killed, log = (tmp_path / name for name in ("arguments", "killed", "log"))
    arguments.write_bytes(pickle.dumps((restormer_stage, nano, brightened_pairs)))
    with open(log, "w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", RESTORMER_SCRIPT, arguments, killed],
            cwd=ROOT,
            stdout=file,
            stderr=file,
        )
    try:
        deadline = time.monotonic() + 900  # seconds suffice on a machine that does nothing else
        while not (killed / "checkpoints" / "2").exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()

    result = train(restormer_stage, nano, brightened_pairs, brightened_pairs[:3], killed)
    said = capsys.readouterr().out
    assert re.search(r"killed: continuing after epoch [12] .*of 3", said), said
    undisturbed = json.loads((trained_stage / "history.json").read_text())
    assert without_clock(result.history) == without_clock(undisturbed)
    for ours, theirs in zip(
        load_best(killed).get_weights(), load_best(trained_stage).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
