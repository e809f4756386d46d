"""The training loop of one stage, top to bottom."""

import collections
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import keras
import numpy as np

from enhancer.config import ModelConfig, StageConfig
from enhancer.data import batches
from enhancer.data.pairs import ReadablePairs, Source, UnreadableDataError
from enhancer.network import trained
from enhancer.network.levels import learning_rate_factors
from enhancer.system.compiler import on_cpu
from enhancer.system.console import say
from enhancer.system.devices import Devices
from enhancer.system.interruption import NOTHING, STOP, SaveRequests
from enhancer.system.processes import greatest, is_first_process
from enhancer.system.progress import progress_bar
from enhancer.training.checkpoints import Checkpoints, Progress
from enhancer.training.compiled_steps import Programs, programs_of
from enhancer.training.event_log import EventLog
from enhancer.training.history import Row, is_finished, sentence, stopped_early
from enhancer.training.optimizer import learning_rate_at
from enhancer.training.red_flags import stage_flags
from enhancer.training.state import TrainState, initial_state, starting_from
from enhancer.training.step import EvalStep, StepControls
from enhancer.training.steps_in_flight import LAG, StepsInFlight, TrainingError


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
    *,
    mixed_in: Sequence[Source] = (),
    save_minutes: float = 10.0,
    programs: Programs | None = None,
) -> StageResult:
    """Train one stage to its end, from where it stopped if it did.

    Several processes (`enhancer.system.processes`) call this with equal arguments, and each reads
    its own share of the pairs.

    Args:
        stage: the settings.
        model_config: shape of the network.
        train_source, validation_source: encoded pairs, see `enhancer.data.pairs`.
        stage_dir: folder for configuration, checkpoints and history; a stage found there is
            continued exactly.
        initialise_from: folder of a finished stage whose best weights a new stage starts from, or
            a Restormer's state dict from PyTorch.
        mixed_in: sources that make up `stage.mix_weight` of the training pairs, in equal shares.
        save_minutes: time between checkpoints within an epoch. Each epoch's end has one too.
        programs: what is compiled; None takes those of a Restormer.

    Raises:
        TrainingError: too many steps in a row were not finite, or the validation was not.
        CheckpointError: `initialise_from` holds no checkpoint, or one of another shape; `stage_dir`
            holds a stage with other settings or begun on other data, or cannot be written.
        UnequalSharesError: the batch cannot be cut evenly.
        Interrupted: a signal asked for an end; everything is saved.
    """
    devices = Devices()
    devices.refuse_unequal_shares(stage.batch_size, stage.gradient_accumulation_steps)
    begun = trained.read_config(stage_dir)[1] if (stage_dir / "checkpoints").is_dir() else None
    stage = stage.settled(on_cpu=on_cpu(), like=begun)
    trained.write_config(stage_dir, model_config, stage)
    train_pairs = ReadablePairs(train_source, "training data")
    validation_pairs = ReadablePairs(validation_source, "validation data")
    mixed_in_pairs = [ReadablePairs(source, "data mixed in") for source in mixed_in]
    steps_per_epoch = batches.steps_per_epoch(train_pairs, stage)
    programs = programs or programs_of(model_config, stage)
    keras.utils.set_random_seed(stage.seed)
    state = initial_state(programs.network(), programs.optimizer, with_average=stage.ema_decay > 0)
    label = stage_dir.name

    # Signals are only noted until the last checkpoint is written.
    with (
        SaveRequests(save_minutes, greatest).noting_signals() as requests,
        Checkpoints(stage_dir, stage.keep) as saved,
        EventLog(stage_dir / "events") as events,
    ):
        state = devices.copy_to_each(state)
        progress = Progress(len(train_pairs))

        def finish_epoch(epoch: int, rate: float, images_per_second: float, seconds: float) -> None:
            """Validate, write the epoch down and save."""

            def first_eval_step(*arguments):
                return programs.call("validation", programs.eval_step, arguments, label, requests)

            # Later it may have to be compiled too, but then a stop at once would lose steps.
            eval_step = programs.eval_step if epoch else first_eval_step
            loss = validate(eval_step, state, validation_pairs, stage, devices, label)
            train_loss = progress.train_loss
            row = {
                "epoch": epoch,
                "step": progress.step,
                "train_loss": train_loss,
                "validation_loss": loss,
                "gap": None if train_loss is None else loss - train_loss,
                "learning_rate": rate,
                "skipped_steps": progress.skipped_steps,
                "images_per_second": round(images_per_second, 3),
                "seconds": round(seconds, 3),
            }
            progress.finish_epoch(row)
            events.epoch(row)
            saved.save(state, progress)
            requests.saved()

        if resumed := saved.resume(state, len(train_pairs)):
            state, progress = resumed
            done = "finished" if is_finished(progress.history, stage) else "continuing"
            say(f"{label}: {done} after {_place(progress, steps_per_epoch)} of {stage.epochs}")
        else:
            if initialise_from is not None:
                best = trained.load_start(initialise_from, state.weights)
                state = starting_from(state, best)
            finish_epoch(0, 0.0, 0.0, 0.0)

        resolution, iterator = 0, iter(())
        in_flight = StepsInFlight(progress, stage, stage_dir)
        pretrained = initialise_from is not None
        flagged = {flag.name for flag in stage_flags(progress.history, pretrained=pretrained)}
        with progress_bar(
            desc=label,
            total=stage.epochs * steps_per_epoch,
            initial=progress.step,
            unit="step",
            disable=not is_first_process(),
        ) as bar:
            while not is_finished(progress.history, stage):
                epoch, first_step, started = progress.epoch + 1, progress.step, time.monotonic()
                if resolution_in(stage, epoch) != resolution:
                    resolution = resolution_in(stage, epoch)
                    iterator = batches.train_batches(
                        train_pairs,
                        stage,
                        resolution=resolution,
                        first_step=progress.step,
                        process=devices.process,
                        num_processes=devices.num_processes,
                        mixed_in=mixed_in_pairs,
                    )
                level_factors = learning_rate_factors(stage, epoch)
                compiled = programs.compile_seconds

                while progress.step < epoch * steps_per_epoch:
                    batch = next(iterator)
                    rate = learning_rate_at(stage, steps_per_epoch, progress.step)
                    request = devices.put_request(requests.now())
                    controls = StepControls(np.float32(rate), level_factors, request)
                    arguments = state, devices.put_batch(batch.pictures), controls
                    state, report = programs.call(
                        "train step", programs.train_step, arguments, label, requests
                    )
                    progress.step += 1
                    request = in_flight.add(batch, report)
                    if progress.train_loss is not None:
                        bar.set_postfix_str(f"loss {progress.train_loss:.4f}", refresh=False)
                    bar.update()
                    if request != NOTHING and progress.step < epoch * steps_per_epoch:
                        request = max(request, in_flight.wait_for_all())
                        saved.save(state, progress)
                        requests.saved()
                        if request == STOP:
                            raise requests.interrupted()

                request = in_flight.wait_for_all()
                seconds = time.monotonic() - started - (programs.compile_seconds - compiled)
                images_per_second = (progress.step - first_step) * stage.batch_size / seconds
                rate = learning_rate_at(stage, steps_per_epoch, progress.step)
                finish_epoch(epoch, rate, images_per_second, seconds)
                say(sentence(label, progress.history, stage))
                for flag in stage_flags(progress.history, pretrained=pretrained):
                    if flag.name not in flagged:
                        flagged.add(flag.name)
                        say(f"{label}: {flag.sentence} {flag.remedy}")
                # A signal may have come since the last step.
                if max(request, greatest(requests.now())) == STOP:
                    raise requests.interrupted()

    sha256 = trained.weights_sha256(state.weights)
    return StageResult(progress.history, stopped_early(progress.history, stage), sha256)


def validate(
    eval_step: EvalStep,
    state: TrainState,
    pairs: ReadablePairs,
    stage: StageConfig,
    devices: Devices,
    label: str,
) -> float:
    """Mean L1 over the readable validation pairs' central squares, in [0, 1].

    Raises:
        TrainingError: it is not finite.
        UnreadableDataError: there is no readable pair.
    """
    sums = []
    in_flight = collections.deque()  # a short one: each holds a batch in the device's memory
    shares = batches.validation_batches(pairs, stage, devices.process, devices.num_processes)
    for batch, weights in shares:
        batch, weights = devices.put_batch(batch), devices.put_batch(weights)
        in_flight.append(eval_step(state.scored_weights, batch, weights))
        if len(in_flight) > LAG:
            sums.append(jax.device_get(in_flight.popleft()))
    sums += jax.device_get(list(in_flight))
    error, weight = np.sum(sums, axis=0, dtype="float64")
    if not weight:
        raise UnreadableDataError("None of the validation pairs can be read; build the set again.")
    if not math.isfinite(loss := float(error / weight)):
        raise TrainingError(
            f"{label}: the validation loss is {loss}. The last good checkpoint is kept. Try a "
            "lower peak learning rate or precision float32, in a new workdir; before the first "
            "step, other weights to start from."
        )
    return loss


def resolution_in(stage: StageConfig, epoch: int) -> int:
    """The side of the training crops in an epoch (from 1)."""
    sides = (*stage.progressive_resolutions, stage.resolution)
    return sides[min(len(sides) - 1, (epoch - 1) * len(sides) // max(1, stage.epochs))]


def _place(progress: Progress, steps_per_epoch: int) -> str:
    inside = progress.step - progress.history[-1]["step"]
    place = f"epoch {progress.epoch}"
    return f"{place} and {inside} of {steps_per_epoch} steps" if inside else place
