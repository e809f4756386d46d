"""A stage that was stopped or killed ends with the weights and the history of one that was not."""

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

from enhancer.network.trained import load_best_weights
from enhancer.system.compiler import CPU_COMPILER_OPTIONS
from enhancer.system.interruption import NOTHING, SAVE, STOP, Interrupted
from enhancer.training import loop
from enhancer.training import step as step_module
from tests.helpers.small_network import SmallNetwork, train, without_clock
from tests.helpers.xla import AS_FOR_USERS

ROOT = Path(__file__).resolve().parents[2]
TRAIN = """
import pickle, sys
from pathlib import Path
from tests.helpers.small_network import SmallNetwork, train
stage, pairs = pickle.loads(Path(sys.argv[1]).read_bytes())
train(stage, pairs, Path(sys.argv[2]))
"""


def test_losses_of_bfloat16_stay_close_to_those_of_float32(
    tmp_path, small_stage, nano_stage, brightened_pairs
):
    stage = dataclasses.replace(nano_stage, precision="mixed")
    rows = train(stage, brightened_pairs, tmp_path / "stage").history
    full = json.loads((small_stage / "history.json").read_text())
    losses, expected = ([row["validation_loss"] for row in of] for of in (rows, full))
    assert losses != expected
    np.testing.assert_allclose(losses, expected, rtol=0.05)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"precision": "mixed"},
        {
            "ema_decay": 0.9,
            "progressive_resolutions": (8,),
            "frozen_levels": 2,
            "unfreeze_every_epochs": 1,
        },
        {
            "augmentation": "strong",
            "gradient_accumulation_steps": 2,
            "level_decay": 0.8,
            "mix_weight": 0.25,
        },
    ],
    ids=[
        "plain",
        "bfloat16, optimised as users do",
        "average, growing crops, unfreezing",
        "strong augmentation, parts, decay, mixing",
    ],
)
def test_stage_stopped_twice_by_a_signal_continues_to_the_same_weights_and_history(
    tmp_path, nano_stage, brightened_pairs, monkeypatch, settings
):
    """Within the first epoch of four steps, and within the second."""
    stage = dataclasses.replace(nano_stage, batch_size=2, epochs=2, **settings)
    if stage.precision == "mixed":
        monkeypatch.setattr(
            step_module, "compiler_options", lambda: {**CPU_COMPILER_OPTIONS, **AS_FOR_USERS}
        )

    def run(name: str):
        mixed_in = [brightened_pairs[::-1]] if stage.mix_weight else []
        return train(stage, brightened_pairs, tmp_path / name, mixed_in=mixed_in)

    kept = []
    for requests in (iter([STOP]), iter([NOTHING, NOTHING, STOP])):
        with monkeypatch.context() as patch:
            patch.setattr(loop.SaveRequests, "now", lambda _, left=requests: next(left, NOTHING))
            with pytest.raises(Interrupted):
                run("stopped")
        folders = (tmp_path / "stopped" / "checkpoints").iterdir()
        kept.append(max(int(folder.name) for folder in folders))
    assert 0 < kept[0] < 4 < kept[1] < 8
    stopped, undisturbed = run("stopped"), run("undisturbed")
    assert stopped.weights_sha256 == undisturbed.weights_sha256
    assert without_clock(stopped.history) == without_clock(undisturbed.history)


def test_checkpoint_within_an_epoch_changes_nothing(
    tmp_path, small_stage, nano_stage, brightened_pairs, monkeypatch
):
    monkeypatch.setattr(loop.SaveRequests, "now", lambda _: SAVE)
    result = train(nano_stage, brightened_pairs, tmp_path / "stage")
    saved = json.loads((small_stage / "history.json").read_text())
    assert without_clock(result.history) == without_clock(saved)


def test_killed_it_continues_to_the_same_weights(
    tmp_path, small_stage, nano_stage, brightened_pairs, capsys
):
    """kill -9 after the first epoch; the same call again ends as if nothing had happened."""
    arguments, killed, log = (tmp_path / name for name in ("arguments", "killed", "log"))
    arguments.write_bytes(pickle.dumps((nano_stage, brightened_pairs)))
    with open(log, "w") as file:
        command = [sys.executable, "-c", TRAIN, arguments, killed]
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + 300  # seconds suffice on a machine that does nothing else
        while not (killed / "checkpoints" / "2").exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()

    result = train(nano_stage, brightened_pairs, killed)
    said = capsys.readouterr().out
    assert re.search(r"killed: continuing after epoch [12] .*of 3", said), said
    undisturbed = json.loads((small_stage / "history.json").read_text())
    assert without_clock(result.history) == without_clock(undisturbed)
    like = {v.path: v.value for v in SmallNetwork().trainable_variables}
    ours, theirs = (load_best_weights(folder, like) for folder in (killed, small_stage))
    for name in like:
        np.testing.assert_array_equal(ours[name], theirs[name])
