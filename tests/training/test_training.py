"""A stage trains, resumes exactly, initialises the next one, and stops when it should."""

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

from enhancer.config import StageConfig
from enhancer.network.restormer import Restormer
from enhancer.network.trained import (
    CheckpointError,
    load_best,
    load_best_weights,
    read_config,
    weights_sha256,
)
from enhancer.system.interruption import NOTHING, SAVE, STOP, Interrupted
from enhancer.training import loop
from enhancer.training.history import CLOCK_COLUMNS, best_row, stopped_early
from enhancer.training.loop import TrainingError, resolution_in, train

STAGE_SCRIPT = """
    import dataclasses, pickle, sys
    from pathlib import Path
    from enhancer.training.loop import train
    stage, model, pairs, previous = pickle.loads(Path(sys.argv[1]).read_bytes())
    print(train(stage, model, pairs, pairs[:3], Path(sys.argv[2]), initialise_from=previous).weights_sha256)
"""


def history(losses: list[float]) -> list[dict]:
    return [{"epoch": epoch, "validation_loss": loss} for epoch, loss in enumerate(losses)]


def without_clock(rows: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key not in CLOCK_COLUMNS} for row in rows]


def test_validation_loss_falls(trained_stage):
    rows = json.loads((trained_stage / "history.json").read_text())
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert best_row(rows)["epoch"] > 0
    assert best_row(rows)["validation_loss"] < rows[0]["validation_loss"]
    assert rows[0]["train_loss"] is None


def test_best_checkpoint_holds_the_best_epoch_and_the_configuration(
    trained_stage, nano, nano_stage
):
    model = load_best(trained_stage)
    assert read_config(trained_stage) == (nano, nano_stage)
    assert model.config == nano
    kept = {path.name for path in (trained_stage / "checkpoints").iterdir()}
    rows = json.loads((trained_stage / "history.json").read_text())
    assert kept == {str(best_row(rows)["step"]), "6"}


def test_weights_optimizer_and_metrics_are_separate_items(trained_stage):
    items = {path.name for path in (trained_stage / "checkpoints" / "6").iterdir() if path.is_dir()}
    assert {"weights", "optimizer", "metrics"} <= items


def test_every_row_of_the_history_has_the_same_columns(trained_stage):
    rows = json.loads((trained_stage / "history.json").read_text())
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    assert rows[3]["gap"] == rows[3]["validation_loss"] - rows[3]["train_loss"]


def test_finished_stage_is_not_trained_again(
    trained_stage, nano, nano_stage, brightened_pairs, monkeypatch
):
    monkeypatch.setattr(loop, "_count", lambda *_: pytest.fail("trained again"))
    result = train(nano_stage, nano, brightened_pairs, brightened_pairs[:3], trained_stage)
    assert result.history[-1]["epoch"] == 3


def test_killed_fine_tuning_continues_to_the_same_weights(
    tmp_path, trained_stage, nano, nano_stage, brightened_pairs
):
    """kill -9 after the first epoch of a second stage; the same command again ends as if nothing had happened."""
    script, arguments = tmp_path / "stage.py", tmp_path / "arguments.pickle"
    stage = dataclasses.replace(nano_stage, epochs=4, seed=1)
    script.write_text(textwrap.dedent(STAGE_SCRIPT))
    arguments.write_bytes(pickle.dumps((stage, nano, brightened_pairs, trained_stage)))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}

    def command(stage_dir: Path) -> list[str]:
        return [sys.executable, str(script), str(arguments), str(stage_dir)]

    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            command(tmp_path / "killed"), env=environment, stdout=log, stderr=log
        )
    deadline = time.monotonic() + 300
    while not (tmp_path / "killed" / "checkpoints" / "2").exists():
        assert process.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()

    continued, uninterrupted = (
        subprocess.run(
            command(tmp_path / name), env=environment, capture_output=True, text=True, check=True
        )
        for name in ("killed", "uninterrupted")
    )
    assert re.search(r"continuing after epoch [123] .*of 4", continued.stdout + continued.stderr)
    assert continued.stdout.split()[-1] == uninterrupted.stdout.split()[-1]


def test_next_stage_starts_from_the_best_weights(
    tmp_path, trained_stage, nano, nano_stage, brightened_pairs
):
    stage = dataclasses.replace(nano_stage, epochs=0, peak_learning_rate=1.0)
    result = train(
        stage,
        nano,
        brightened_pairs,
        brightened_pairs[:3],
        tmp_path / "next",
        initialise_from=trained_stage,
    )
    like = {v.path: v.value for v in Restormer(nano).trainable_variables}
    assert result.weights_sha256 == weights_sha256(load_best_weights(trained_stage, like))


def test_initialising_from_another_shape_is_refused(
    tmp_path, trained_stage, nano, nano_stage, brightened_pairs
):
    wider = dataclasses.replace(nano, dim=8)
    with pytest.raises(
        CheckpointError, match="network of another shape: decoder_level1/attention_depthwise"
    ):
        train(
            nano_stage,
            wider,
            brightened_pairs,
            brightened_pairs,
            tmp_path / "next",
            initialise_from=trained_stage,
        )


def test_initialising_from_nothing_is_refused(tmp_path, nano, nano_stage, brightened_pairs):
    with pytest.raises(CheckpointError, match="holds no checkpoints"):
        train(
            nano_stage,
            nano,
            brightened_pairs,
            brightened_pairs,
            tmp_path / "next",
            initialise_from=tmp_path / "no",
        )


def test_stage_stops_after_patience_epochs_without_a_better_loss():
    stage = StageConfig(early_stopping_patience=2)
    assert not stopped_early(history([0.5, 0.3, 0.4]), stage)
    assert stopped_early(history([0.5, 0.3, 0.4, 0.3]), stage)


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
    tmp_path, nano, nano_stage, brightened_pairs, monkeypatch, settings, step
):
    stage = dataclasses.replace(nano_stage, batch_size=2, epochs=2, **settings)

    def run(name: str):
        mixed_in = brightened_pairs[::-1] if stage.mix_weight else None
        return train(
            stage, nano, brightened_pairs, brightened_pairs[:3], tmp_path / name, mixed_in=mixed_in
        )

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
    tmp_path, trained_stage, nano, nano_stage, brightened_pairs, monkeypatch
):
    monkeypatch.setattr(loop.SaveRequests, "now", lambda _: SAVE)
    result = train(nano_stage, nano, brightened_pairs, brightened_pairs[:3], tmp_path / "stage")
    saved = json.loads((trained_stage / "history.json").read_text())
    assert without_clock(result.history) == without_clock(saved)


def test_steps_that_are_not_finite_end_the_stage_with_names_and_pictures(
    tmp_path, nano, nano_stage, brightened_pairs, capsys
):
    stage = dataclasses.replace(
        nano_stage, peak_learning_rate=1e30, warmup_epochs=0, max_consecutive_skips=2, batch_size=2
    )
    with pytest.raises(
        TrainingError, match=r"2 steps in a row were not finite, .*; pairs pair\d, pair\d"
    ):
        train(stage, nano, brightened_pairs, brightened_pairs[:3], tmp_path / "stage")
    assert "was skipped, it is not finite" in capsys.readouterr().out
    (folder,) = (tmp_path / "stage" / "not_finite").iterdir()
    assert len(list(folder.glob("*_pair*_input.png"))) == stage.batch_size
    assert (tmp_path / "stage" / "checkpoints" / "0").is_dir()


def test_unwritable_checkpoint_is_an_error_in_words_and_the_last_one_stays(
    tmp_path, trained_stage, nano, nano_stage, brightened_pairs
):
    """A file-size limit stands in for the full disk."""
    script = """
        import pickle, resource, signal, sys
        from pathlib import Path
        import enhancer.training.loop as training
        from enhancer.network.trained import CheckpointError
        stage, model, pairs = pickle.loads(Path(sys.argv[1]).read_bytes())
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        validate = loop.validate
        def limited(*arguments):
            if (Path(sys.argv[2]) / "checkpoints" / "0").exists():
                resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
            return validate(*arguments)
        loop.validate = limited
        try:
            loop.train(stage, model, pairs, pairs[:3], Path(sys.argv[2]))
        except CheckpointError as error:
            print("refused:", error)
    """
    (tmp_path / "full.py").write_text(textwrap.dedent(script))
    arguments = tmp_path / "arguments.pickle"
    arguments.write_bytes(pickle.dumps((nano_stage, nano, brightened_pairs)))
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "PYTHONUNBUFFERED": "1",
    }
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    stage_dir = tmp_path / "stage"
    process = subprocess.run(
        [sys.executable, str(tmp_path / "full.py"), str(arguments), str(stage_dir)],
        env=environment,
        capture_output=True,  # apart: Orbax's threads report to standard error in the middle of our line
        text=True,
    )
    assert "refused: A checkpoint could not be written to" in process.stdout, (
        process.stdout + process.stderr
    )
    assert "make room" in process.stdout
    result = train(nano_stage, nano, brightened_pairs, brightened_pairs[:3], stage_dir)
    assert without_clock(result.history) == without_clock(
        json.loads((trained_stage / "history.json").read_text())
    )


def test_epochs_are_shared_out_among_the_resolutions():
    stage = StageConfig(resolution=64, progressive_resolutions=(16, 32), epochs=7)
    assert [resolution_in(stage, epoch) for epoch in range(1, 8)] == [16, 16, 16, 32, 32, 64, 64]


def test_stages_of_equal_programs_compile_once(
    tmp_path, nano, nano_stage, brightened_pairs, capsys
):
    stage = dataclasses.replace(nano_stage, epochs=1, weight_decay=0.0123)
    for name, epochs in (("first", 1), ("second", 2)):
        train(
            dataclasses.replace(stage, epochs=epochs),
            nano,
            brightened_pairs,
            brightened_pairs[:3],
            tmp_path / name,
        )
    said = capsys.readouterr().out
    assert "first: compiling the train step for 16 px x 4 took" in said
    assert "second: compiling" not in said


def test_average_is_what_is_validated_and_handed_on(tmp_path, nano, nano_stage, brightened_pairs):
    stage = dataclasses.replace(nano_stage, ema_decay=0.9)
    train(stage, nano, brightened_pairs, brightened_pairs[:3], tmp_path / "average")
    best = load_best(tmp_path / "average")
    like = {v.path: v.value for v in best.trainable_variables}
    handed_on = load_best_weights(tmp_path / "average", like)
    live = {path.name for path in (tmp_path / "average").glob("checkpoints/*/live_weights")}
    assert live == {"live_weights"}
    result = train(
        dataclasses.replace(stage, epochs=0),
        nano,
        brightened_pairs,
        brightened_pairs[:3],
        tmp_path / "next",
        initialise_from=tmp_path / "average",
    )
    assert result.weights_sha256 == weights_sha256(handed_on)
    rows = json.loads((tmp_path / "average" / "history.json").read_text())
    assert result.history[0]["validation_loss"] == pytest.approx(
        best_row(rows)["validation_loss"], rel=1e-6
    )


def test_mixed_precision_with_rematerialised_blocks_trains_like_float32(
    tmp_path, trained_stage, nano, nano_stage, brightened_pairs
):
    """The plan's settings: bfloat16 activations, recomputed. Weights stay float32, and the losses stay close."""
    stage = dataclasses.replace(nano_stage, precision="mixed", remat="block")
    mixed = train(stage, nano, brightened_pairs, brightened_pairs[:3], tmp_path / "mixed")
    full = json.loads((trained_stage / "history.json").read_text())
    assert {variable.dtype for variable in load_best(tmp_path / "mixed").trainable_variables} == {
        "float32"
    }
    losses = [[row["validation_loss"] for row in rows] for rows in (mixed.history, full)]
    np.testing.assert_allclose(*losses, rtol=0.05)
