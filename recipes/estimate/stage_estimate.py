"""A stage before it runs: its steps, and the memory of its training step."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple, cast

from datasets import build, miniature
from datasets.build import DatasetName
from datasets.preparation.splits import Shares
from enhancer.config import StageConfig
from enhancer.data.batches import steps_per_epoch
from recipes.estimate.compile_target import CompileTarget
from recipes.estimate.step_memory import StepMemory, step_memory
from recipes.experiment import Experiment, UsageError, network_shape

PLAN_PAIRS: dict[DatasetName, int] = {"fivek": 4750, "real_estate": 511}
"""Training pairs of the plan: 95 % of 5000, and what is left of 577."""
CUDA_TEMPORARY_GIB = {(512, 8, "mixed"): 16.7, (896, 4, "mixed"): 25.4, (896, 4, "float32"): 53.8}
"""Of base with remat per block, compiled for an H100 (docs/performance.md): side of the crops, pairs, precision."""
GIB = 2**30


class StageEstimate(NamedTuple):
    """What is known about a stage before it runs."""

    name: str
    times: int
    """How often the run trains with these settings."""
    share: StageConfig
    """The settings, with what one device gets of each batch."""
    pairs: int
    pairs_are_assumed: bool
    steps_per_epoch: int
    epochs_by_side: dict[int, int]
    memory: StepMemory
    cuda_temporary_bytes: float | None
    """Of the program compiled for a GPU earlier, where this one is the CPU compiler's and such a figure exists."""

    @property
    def needed_bytes(self) -> float:
        """Memory on which it is judged whether the stage fits."""
        if self.cuda_temporary_bytes is None:
            return self.memory.total_bytes
        return self.memory.arguments_bytes + self.memory.beside_bytes + self.cuda_temporary_bytes


def stage_names(experiment: Experiment) -> list[str]:
    """The stages whose settings differ, in the order in which they run."""
    return ["pretrain", "finetune"] if experiment.pretrained is None else ["finetune"]


def estimate_stage(
    experiment: Experiment, name: str, devices: int, target: CompileTarget
) -> StageEstimate:
    """Compile the training step of the stage called `name` ("pretrain" or "finetune") for one of `devices`, and count what it takes.

    Raises:
        SourceError: The data set has no such config.
    """
    stage: StageConfig = getattr(experiment, name)
    data_set: DatasetName = "fivek" if name == "pretrain" else "real_estate"
    built = _built_pairs(experiment, data_set)
    pairs = _assumed_pairs(experiment, data_set) if built is None else built
    sides = _epochs_by_side(stage)
    share = dataclasses.replace(stage, batch_size=stage.batch_size // devices)
    widest = dataclasses.replace(share, resolution=max(sides))
    known = CUDA_TEMPORARY_GIB.get((max(sides), share.batch_size, share.precision))
    same_program = (
        experiment.model == "base"
        and share.remat == "block"
        and share.gradient_accumulation_steps == 1
    )
    return StageEstimate(
        name,
        times=2 if name == "finetune" and experiment.from_scratch else 1,
        share=share,
        pairs=pairs,
        pairs_are_assumed=built is None,
        steps_per_epoch=steps_per_epoch(cast(Any, range(pairs)), stage),
        epochs_by_side=sides,
        memory=step_memory(network_shape(experiment), widest, target),
        cuda_temporary_bytes=known * GIB
        if known and same_program and not target.is_accelerator
        else None,
    )


def _built_pairs(experiment: Experiment, name: DatasetName) -> int | None:
    """Training pairs of a data set that is built, else None."""
    default = experiment.workdir / "data" if experiment.miniature else Path("~/tensorflow_datasets")
    data_dir = (experiment.data_dir or default).expanduser()
    try:
        return len(build.source(name, "train", data_dir, getattr(experiment, f"{name}_config")))
    except build.DatasetNotBuilt:
        return None


def _assumed_pairs(experiment: Experiment, name: DatasetName) -> int:
    """Training pairs of the plan, or of the photos that --miniature would render."""
    if not experiment.miniature or getattr(experiment, name) is not None:
        return PLAN_PAIRS[name]
    if name == "fivek":
        return round(miniature.FIVEK_PAIRS * (1 - Shares().validation))
    return miniature.REAL_ESTATE_PAIRS["train"]


def _epochs_by_side(stage: StageConfig) -> dict[int, int]:
    if not stage.progressive_resolutions:
        return {stage.resolution: stage.epochs}
    from enhancer.training.loop import resolution_in

    return dict(Counter(resolution_in(stage, epoch) for epoch in range(1, stage.epochs + 1)))


def refuse_unequal_shares(experiment: Experiment, devices: int) -> None:
    """Raise UsageError unless each stage's batches fall into equal shares."""
    for name in stage_names(experiment):
        stage: StageConfig = getattr(experiment, name)
        parts = devices * stage.gradient_accumulation_steps
        if devices < 1 or stage.batch_size % parts:
            raise UsageError(
                f"{name}.batch_size {stage.batch_size} cannot be shared out evenly among --devices {devices}, each in "
                f"{stage.gradient_accumulation_steps} parts (gradient_accumulation_steps). Choose a multiple of {max(1, parts)}."
            )
