"""A stage trains, initialises the next one, and stops when it should."""

import dataclasses
import json
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enhancer.config import StageConfig
from enhancer.network.restormer import Restormer
from enhancer.network.trained import (
    CheckpointError,
    load_best_weights,
    weights_sha256,
)
from enhancer.training import loop, steps_in_flight
from enhancer.training.history import best_row, is_finished, stopped_early
from enhancer.training.loop import TrainingError, resolution_in
from tests.helpers.small_network import SmallNetwork, train, without_clock

ROOT = Path(__file__).resolve().parents[2]


def history(losses: list[float]) -> list[dict]:
    return [{"epoch": epoch, "validation_loss": loss} for epoch, loss in enumerate(losses)]


def rows_of(stage_dir: Path) -> list[dict]:
    return json.loads((stage_dir / "history.json").read_text())


def weights_of(network) -> dict:
    return {v.path: v.value for v in network.trainable_variables}


def test_weights_optimizer_and_metrics_are_separate_items(small_stage):
    items = {path.name for path in (small_stage / "checkpoints" / "6").iterdir() if path.is_dir()}
    assert {"weights", "optimizer", "metrics"} <= items


def test_the_best_checkpoint_and_the_last_two_are_kept(small_stage):
    kept = {path.name for path in (small_stage / "checkpoints").iterdir()}
    assert kept == {str(best_row(rows_of(small_stage))["step"]), "4", "6"}


def test_every_row_of_the_history_has_the_same_columns(small_stage):
    rows = rows_of(small_stage)
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    assert rows[0]["train_loss"] is None
    assert rows[3]["gap"] == rows[3]["validation_loss"] - rows[3]["train_loss"]


def test_finished_stage_is_not_trained_again(
    small_stage, nano_stage, brightened_pairs, monkeypatch
):
    add = steps_in_flight.StepsInFlight.add
    assert loop.StepsInFlight.add is add
    monkeypatch.setattr(loop.StepsInFlight, "add", lambda *_: pytest.fail("trained again"))
    assert train(nano_stage, brightened_pairs, small_stage).history[-1]["epoch"] == 3


def test_next_stage_starts_from_the_best_weights(
    tmp_path, small_stage, nano_stage, brightened_pairs
):
    stage = dataclasses.replace(nano_stage, epochs=0)
    result = train(stage, brightened_pairs, tmp_path / "next", initialise_from=small_stage)
    best = load_best_weights(small_stage, weights_of(SmallNetwork()))
    assert result.weights_sha256 == weights_sha256(best)


def test_initialising_from_another_shape_is_refused(small_stage, nano):
    weights = weights_of(Restormer(nano))
    with pytest.raises(CheckpointError, match="network of another shape: decoder_level1/attention"):
        load_best_weights(small_stage, weights)


def test_initialising_from_nothing_is_refused(tmp_path, nano_stage, brightened_pairs):
    with pytest.raises(CheckpointError, match="holds no checkpoints"):
        train(nano_stage, brightened_pairs, tmp_path / "next", initialise_from=tmp_path / "no")


def test_stage_stops_after_patience_epochs_without_a_better_loss():
    stage = StageConfig(early_stopping_patience=2)
    assert not stopped_early(history([0.5, 0.3, 0.4]), stage)
    assert stopped_early(history([0.5, 0.3, 0.4, 0.3]), stage)


def test_stage_that_keeps_its_last_epoch_trains_all_of_them():
    stage = StageConfig(early_stopping_patience=2, keep="last", epochs=5)
    rising = [0.1, 0.2, 0.3, 0.4, 0.5]
    assert not is_finished(history(rising), stage)
    assert is_finished(history([*rising, 0.6]), stage)
    assert not stopped_early(history([*rising, 0.6]), stage)


@pytest.fixture
def network_that_breaks(monkeypatch):
    """Its third and later steps are not finite: bytes cannot be NaN, so the rate is."""
    rate_at = loop.learning_rate_at
    monkeypatch.setattr(
        loop,
        "learning_rate_at",
        lambda stage, steps, step: rate_at(stage, steps, step) if step < 1 else float("inf"),
    )


def test_steps_that_are_not_finite_end_the_stage_with_names_and_pictures(
    tmp_path, nano_stage, brightened_pairs, network_that_breaks, capsys
):
    stage = dataclasses.replace(nano_stage, max_consecutive_skips=2, batch_size=2, epochs=2)
    with pytest.raises(
        TrainingError, match=r"2 steps in a row were not finite, .*; pairs pair\d, pair\d"
    ):
        train(stage, brightened_pairs, tmp_path / "stage")
    assert "was skipped, it is not finite" in capsys.readouterr().out
    (folder,) = (tmp_path / "stage" / "not_finite").iterdir()
    assert len(list(folder.glob("*_pair*_input.png"))) == stage.batch_size
    assert (tmp_path / "stage" / "checkpoints" / "0").is_dir()


def test_unwritable_checkpoint_is_an_error_in_words_and_the_last_one_stays(
    tmp_path, small_stage, nano_stage, brightened_pairs
):
    """A file-size limit stands in for the full disk."""
    script = """
        import pickle, resource, signal, sys
        from pathlib import Path
        from enhancer.network.trained import CheckpointError
        from enhancer.training import loop
        from tests.helpers.small_network import train
        stage, pairs = pickle.loads(Path(sys.argv[1]).read_bytes())
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        validate = loop.validate
        def limited(*arguments):
            if (Path(sys.argv[2]) / "checkpoints" / "0").exists():
                resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
            return validate(*arguments)
        loop.validate = limited
        try:
            train(stage, pairs, Path(sys.argv[2]))
        except CheckpointError as error:
            print("refused:", error)
    """
    (tmp_path / "full.py").write_text(textwrap.dedent(script))
    arguments, stage_dir = tmp_path / "arguments.pickle", tmp_path / "stage"
    arguments.write_bytes(pickle.dumps((nano_stage, brightened_pairs)))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    process = subprocess.run(
        [sys.executable, str(tmp_path / "full.py"), str(arguments), str(stage_dir)],
        env=environment,
        capture_output=True,  # apart: Orbax's threads report to standard error in our lines' middle
        text=True,
    )
    refused = "refused: A checkpoint could not be written to"
    assert refused in process.stdout, process.stdout + process.stderr
    assert "make room" in process.stdout
    result = train(nano_stage, brightened_pairs, stage_dir)
    assert without_clock(result.history) == without_clock(rows_of(small_stage))


def test_epochs_are_shared_out_among_the_resolutions():
    stage = StageConfig(resolution=64, progressive_resolutions=(16, 32), epochs=7)
    assert [resolution_in(stage, epoch) for epoch in range(1, 8)] == [16, 16, 16, 32, 32, 64, 64]


def test_stages_of_equal_programs_compile_once(tmp_path, nano_stage, brightened_pairs, capsys):
    stage = dataclasses.replace(nano_stage, epochs=1, weight_decay=0.0123)
    for name, epochs in (("first", 1), ("second", 2)):
        train(dataclasses.replace(stage, epochs=epochs), brightened_pairs, tmp_path / name)
    said = capsys.readouterr().out
    assert "first: compiling the train step for 16 px x 4 took" in said
    assert "second: compiling" not in said


def test_average_is_what_is_validated_and_handed_on(tmp_path, nano_stage, brightened_pairs):
    stage = dataclasses.replace(nano_stage, ema_decay=0.9)
    train(stage, brightened_pairs, tmp_path / "average")
    handed_on = load_best_weights(tmp_path / "average", weights_of(SmallNetwork()))
    live = {path.name for path in (tmp_path / "average").glob("checkpoints/*/live_weights")}
    assert live == {"live_weights"}
    validated_only = dataclasses.replace(stage, epochs=0)
    result = train(
        validated_only, brightened_pairs, tmp_path / "next", initialise_from=tmp_path / "average"
    )
    assert result.weights_sha256 == weights_sha256(handed_on)
    best = best_row(rows_of(tmp_path / "average"))
    assert result.history[0]["validation_loss"] == pytest.approx(best["validation_loss"], rel=1e-6)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_stage_leaves_its_best_or_its_last_epoch(tmp_path, nano_stage, brightened_pairs, keep):
    """A rate that spoils the network at once makes epoch 0 the best one."""
    stage = dataclasses.replace(
        nano_stage, epochs=2, peak_learning_rate=1.0, warmup_epochs=0, keep=keep
    )
    result = train(stage, brightened_pairs, tmp_path)
    assert result.history[0]["validation_loss"] < result.history[2]["validation_loss"]
    left = load_best_weights(tmp_path, weights_of(SmallNetwork()))
    assert (weights_sha256(left) == result.weights_sha256) == (keep == "last")


def test_mixed_precision_keeps_weights_in_float32_where_small_updates_are_not_lost(nano):
    """A step of 1e-4 on a weight of 0.1 is a quarter of bfloat16's spacing there."""
    weight, change = np.float32(0.1), np.float32(1e-4)
    assert jnp.bfloat16(weight) + jnp.bfloat16(change) == jnp.bfloat16(weight)
    dtypes = {v.dtype for v in Restormer(nano, dtype="mixed_bfloat16").trainable_variables}
    assert dtypes == {"float32"}


def test_nothing_is_compiled_after_the_first_epoch(
    nano_stage, brightened_pairs, tmp_path, monkeypatch, caplog
):
    """Neither a step nor anything around it: a program a step would cost more than the step."""
    compiled, sentence = [], loop.sentence

    def counted(*arguments):
        names = [r.getMessage() for r in caplog.records if "Compiling" in r.getMessage()]
        compiled.append(len(names))
        return sentence(*arguments)

    monkeypatch.setattr(loop, "sentence", counted)
    stage = dataclasses.replace(nano_stage, epochs=4, early_stopping_patience=4)
    with jax.log_compiles():
        jax.jit(lambda x: x + 1)(1.0)  # so that a log that is never written does not pass
        train(stage, brightened_pairs, tmp_path / "stage")
    assert compiled[0] > 0
    assert compiled[1:] == [compiled[1]] * 3
