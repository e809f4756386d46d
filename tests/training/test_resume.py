"""A stage that was stopped or killed ends with the weights and the history of one that was not."""

import dataclasses
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from enhancer.system.interruption import NOTHING, SAVE, STOP, Interrupted
from enhancer.training import loop
from enhancer.training.history import CLOCK_COLUMNS
from tests.helpers.small_network import train

ROOT = Path(__file__).resolve().parents[2]
RESTORMER_SCRIPT = textwrap.dedent("""
    import json, pickle, sys
    from pathlib import Path
    from enhancer.training.loop import train
    stage, model, pairs = pickle.loads(Path(sys.argv[1]).read_bytes())
    for folder in sys.argv[2:]:
        result = train(stage, model, pairs, pairs[:3], Path(folder))
        losses = [row["validation_loss"] for row in result.history]
        print(json.dumps([result.weights_sha256, losses]))
""")


def without_clock(rows: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key not in CLOCK_COLUMNS} for row in rows]


def test_killed_restormer_continues_to_the_same_weights_as_users_compile_it(
    tmp_path, trained_stage, nano, nano_stage, brightened_pairs
):
    """kill -9 after the first epoch; the same command again ends as if nothing had happened.

    At XLA's default optimisation, with row strips, recomputed blocks and bfloat16 activations,
    whose losses stay close to float32's.
    """
    stage = dataclasses.replace(nano_stage, precision="mixed", remat="block")
    (tmp_path / "stage.py").write_text(RESTORMER_SCRIPT)
    (tmp_path / "arguments.pickle").write_bytes(pickle.dumps((stage, nano, brightened_pairs)))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}

    def command(*stages: str) -> list[str]:
        folders = [str(tmp_path / stage) for stage in stages]
        return [
            sys.executable,
            str(tmp_path / "stage.py"),
            str(tmp_path / "arguments.pickle"),
            *folders,
        ]

    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command("killed"), env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 900  # seconds suffice on a machine that does nothing else
        while not (tmp_path / "killed" / "checkpoints" / "2").exists():
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()

    both = subprocess.run(
        command("killed", "undisturbed"),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"killed: continuing after epoch [12] .*of 3", both.stdout), both.stdout
    continued, undisturbed = (
        json.loads(line) for line in both.stdout.splitlines() if line.startswith("[")
    )
    assert continued == undisturbed
    rows = json.loads((trained_stage / "history.json").read_text())
    np.testing.assert_allclose(undisturbed[1], [row["validation_loss"] for row in rows], rtol=0.05)


def interrupted_at(step: int, request: int):
    """A stand-in for `SaveRequests.now` that asks once, before the step."""
    calls = iter([NOTHING] * step + [request])
    return lambda _: next(calls, NOTHING)


@pytest.mark.parametrize(
    "settings",
    [
        {},
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
        "average, growing crops, unfreezing",
        "strong augmentation, parts, decay, mixing",
    ],
)
@pytest.mark.parametrize("step", [0, 3])
def test_stage_stopped_by_a_signal_continues_to_the_same_weights_and_history(
    tmp_path, nano_stage, brightened_pairs, monkeypatch, settings, step
):
    stage = dataclasses.replace(nano_stage, batch_size=2, epochs=2, **settings)

    def run(name: str):
        mixed_in = brightened_pairs[::-1] if stage.mix_weight else None
        return train(stage, brightened_pairs, tmp_path / name, mixed_in=mixed_in)

    with monkeypatch.context() as patch:
        patch.setattr(loop.SaveRequests, "now", interrupted_at(step, STOP))
        with pytest.raises(Interrupted):
            run("stopped")
    kept = max(int(folder.name) for folder in (tmp_path / "stopped" / "checkpoints").iterdir())
    assert 0 < kept < 8
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
