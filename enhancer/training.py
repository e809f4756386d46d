"""The training loop of one stage, top to bottom."""

import math
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import keras
import numpy as np
from tqdm import tqdm

from enhancer import checkpoints, input_pipeline
from enhancer.checkpoints import Checkpoints, Row
from enhancer.config import ModelConfig, StageConfig
from enhancer.input_pipeline import Source
from enhancer.optimizer import learning_rate_at, learning_rate_schedule, make_optimizer
from enhancer.restormer import Restormer
from enhancer.train_state import TrainState, initial_state
from enhancer.train_step import EvalStep, make_eval_step, make_train_step

LOG_PROGRESS_SECONDS = 30.0  # in a log file each update is a line of its own
LOSS_DISPLAY_SECONDS = 1.0  # reading a loss waits for the device; once a second costs nothing


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what to try."""


class StageResult(NamedTuple):
    """How a stage ended."""

    history: list[Row]  # one row per epoch, epoch 0 being the state before the first step
    stopped_early: bool
    weights_sha256: str  # of the last weights, not the best ones


def train(
    stage: StageConfig,
    model_config: ModelConfig,
    train_source: Source,
    validation_source: Source,
    stage_dir: Path,
    initialise_from: Path | None = None,
) -> StageResult:
    """Train one stage to its end, from where it stopped if it did.

    Args:
        stage: the settings.
        model_config: shape of the network.
        train_source, validation_source: encoded pairs, see `enhancer.input_pipeline`.
        stage_dir: folder for configuration, checkpoints and history; a stage found there is continued exactly.
        initialise_from: folder of a finished stage whose best weights a new stage starts from; None starts from scratch.

    Raises:
        TrainingError: The loss became infinite or NaN.
        CheckpointError: `initialise_from` holds no checkpoint, or one of another shape; or `stage_dir` holds a stage with
            other settings or begun on other data.
    """
    keras.utils.set_random_seed(stage.seed)
    policy = "mixed_bfloat16" if stage.precision == "mixed" else "float32"
    model = Restormer(model_config, remat=stage.remat, dtype=policy)
    steps_per_epoch = input_pipeline.steps_per_epoch(train_source, stage)
    schedule = learning_rate_schedule(stage, steps_per_epoch)
    optimizer = make_optimizer(stage, schedule, model.trainable_variables)
    train_step, eval_step = make_train_step(model, optimizer), make_eval_step(model)

    checkpoints.write_config(stage_dir, model_config, stage)
    batches = input_pipeline.train_batches(train_source, stage)
    state = initial_state(model, optimizer)
    label = stage_dir.name

    with Checkpoints(stage_dir) as saved:
        if resumed := saved.resume(state, batches, len(train_source)):
            state, history = resumed.state, resumed.history
            tqdm.write(f"{label}: continuing after epoch {history[-1]['epoch']} of {stage.epochs}")
        else:
            if initialise_from is not None:
                state = state._replace(weights=checkpoints.load_best_weights(initialise_from, state.weights))
            history = [_row(0, None, validate(eval_step, state, validation_source, stage), 0.0, 0.0, 0.0)]
            saved.save(state, batches, history, len(train_source))

        remaining = range(history[-1]["epoch"] + 1, stage.epochs + 1)
        with _progress(label, stage, steps_per_epoch, history) as progress:
            for epoch in remaining:
                if stopped_early(history, stage):
                    break
                started = time.monotonic()
                state, train_loss = _train_epoch(train_step, state, batches, steps_per_epoch, progress)
                progress.set_postfix_str(f"loss {train_loss:.4f}", refresh=False)
                seconds = time.monotonic() - started
                validation_loss = validate(eval_step, state, validation_source, stage)
                if not math.isfinite(train_loss + validation_loss):
                    raise TrainingError(
                        f"{label}: the loss is not finite in epoch {epoch} (train {train_loss}, validation {validation_loss}). "
                        "The last good checkpoint is kept. Try a lower peak learning rate or precision float32, in a new workdir."
                    )
                images_per_second = steps_per_epoch * stage.batch_size / seconds
                learning_rate = learning_rate_at(schedule, epoch * steps_per_epoch)
                history.append(_row(epoch, train_loss, validation_loss, learning_rate, images_per_second, seconds))
                saved.save(state, batches, history, len(train_source))
                tqdm.write(_sentence(label, history, stage))

    return StageResult(history, stopped_early(history, stage), checkpoints.weights_sha256(state.weights))


def _train_epoch(train_step, state: TrainState, batches, steps: int, progress: tqdm) -> tuple[TrainState, float]:
    losses: list[jax.Array] = []
    shown = time.monotonic()
    for _ in range(steps):
        state, loss = train_step(state, next(batches))
        losses.append(loss)
        progress.update()
        if time.monotonic() - shown > LOSS_DISPLAY_SECONDS:
            progress.set_postfix_str(f"loss {float(losses[-min(2, len(losses))]):.4f}", refresh=False)
            shown = time.monotonic()
    return state, float(np.mean(jax.device_get(losses), dtype="float64"))


def validate(eval_step: EvalStep, state: TrainState, source: Source, stage: StageConfig) -> float:
    """Mean L1 over the validation pairs' central squares, in [0, 1]."""
    sums = [eval_step(state.weights, *batch) for batch in input_pipeline.validation_batches(source, stage)]
    return float(np.sum(jax.device_get(sums), dtype="float64")) / len(source)


def best_row(history: list[Row]) -> Row:
    """The row with the lowest validation loss, the earlier of two equal ones: the epoch whose weights are kept."""
    return min(history, key=lambda row: (row["validation_loss"], row["epoch"]))


def stopped_early(history: list[Row], stage: StageConfig) -> bool:
    """Whether `early_stopping_patience` epochs have passed without a better validation loss."""
    return history[-1]["epoch"] - best_row(history)["epoch"] >= stage.early_stopping_patience


def _row(
    epoch: int, train_loss: float | None, validation_loss: float, rate: float, speed: float, seconds: float
) -> Row:
    return {
        "epoch": epoch,
        "train_loss": train_loss,
        "validation_loss": validation_loss,
        "learning_rate": rate,
        "images_per_second": round(speed, 3),
        "seconds": round(seconds, 3),
    }


def _sentence(label: str, history: list[Row], stage: StageConfig) -> str:
    row, best = history[-1], best_row(history)
    marker = "best so far" if best is row else f"best {best['validation_loss']:.4f} in epoch {best['epoch']}"
    return (
        f"{label}: epoch {row['epoch']}/{stage.epochs}  train {row['train_loss']:.4f}  "
        f"validation {row['validation_loss']:.4f} ({marker})  {row['images_per_second']:.1f} images/s"
    )


def _progress(label: str, stage: StageConfig, steps_per_epoch: int, history: list[Row]) -> tqdm:
    return tqdm(
        desc=label,
        total=stage.epochs * steps_per_epoch,
        initial=history[-1]["epoch"] * steps_per_epoch,
        unit="step",
        dynamic_ncols=True,
        mininterval=0.2 if sys.stderr.isatty() else LOG_PROGRESS_SECONDS,
    )
