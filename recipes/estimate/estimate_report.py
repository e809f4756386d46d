"""An estimate as a Markdown table, and in words what it rests on."""

from enhancer.config import MODEL_SIZES, ModelSize
from recipes.estimate.accelerators import (
    ACCELERATORS,
    ATTAINABLE,
    DEFAULT_SHARE,
    LARGEST_SHARE,
    MEMORY_SIZES,
    RESERVE_BYTES,
    Accelerator,
    fit,
    step_seconds,
    step_traffic_bytes,
)
from recipes.estimate.compile_target import CompileTarget
from recipes.estimate.flops import train_step_flops
from recipes.estimate.stage_estimate import CUDA_TEMPORARY_GIB, StageEstimate

GIB, MIB = 2**30, 2**20


def report(
    network: ModelSize, devices: int, target: CompileTarget, stages: list[StageEstimate]
) -> str:
    """The estimate as a Markdown table and what it rests on."""
    model = MODEL_SIZES[network]
    largest = {
        stage.name: stage.share.batch_size * max(stage.epochs_by_side) ** 2 for stage in stages
    }
    table = {
        "crops": [f"{_sides(stage)} px × {stage.share.batch_size}" for stage in stages],
        "precision, remat": [f"{stage.share.precision}, {stage.share.remat}" for stage in stages],
        "training pairs": [
            f"{stage.pairs}{' (assumed)' * stage.pairs_are_assumed}" for stage in stages
        ],
        "steps": [_steps(stage) for stage in stages],
        "parameters": [f"{stage.memory.parameters:,}" for stage in stages],
        "weights, MiB": [f"{stage.memory.weights_bytes / MIB:.1f}" for stage in stages],
        "optimizer state, MiB": [f"{stage.memory.optimizer_bytes / MIB:.1f}" for stage in stages],
        "moving average, MiB": [_mebibytes(stage.memory.average_bytes) for stage in stages],
        "all of these and the batch, MiB": [
            f"{stage.memory.arguments_bytes / MIB:.1f}" for stage in stages
        ],
        "first values, and a copy while it is saved, MiB": [
            f"{x.memory.beside_bytes / MIB:.1f}" for x in stages
        ],
        f"temporary memory, GiB, compiled for {_kind(target)}": [
            _gibibytes(x.memory.temporary_bytes) for x in stages
        ],
        "temporary memory, GiB, compiled for an H100 earlier": [
            _gibibytes(x.cuda_temporary_bytes) for x in stages
        ],
        "matrix TFLOP of a step": [
            f"{train_step_flops(model, pixels) / 1e12:.3g}" for pixels in largest.values()
        ],
        "memory traffic of a step, GB": [
            f"{step_traffic_bytes(model, largest[stage.name], stage.share.precision) / 1e9:.3g}"
            for stage in stages
        ],
    }
    if all(stage.cuda_temporary_bytes is None for stage in stages):
        del table["temporary memory, GiB, compiled for an H100 earlier"]
    table |= {
        f"fits {size} GB": [fit(stage.needed_bytes, size) for stage in stages]
        for size in MEMORY_SIZES
    }
    table = {label: [*cells, ""] for label, cells in table.items()}
    table |= {f"hours, {gpu.name}": _hours_cells(network, gpu, stages) for gpu in ACCELERATORS}
    titles = [
        stage.name if stage.times == 1 else f"{stage.name} (and scratch alike)" for stage in stages
    ]
    lines = [
        ["", *titles, "whole run"],
        ["---"] * (len(stages) + 2),
        *([label, *row] for label, row in table.items()),
    ]
    markdown = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{_heading(network, devices)}\n\n{markdown}\n\n{_notes(target, stages)}"


def _hours_cells(network: ModelSize, gpu: Accelerator, stages: list[StageEstimate]) -> list[str]:
    cells, run, run_fits = [], [0.0, 0.0], True
    for stage in stages:
        if fit(stage.needed_bytes, gpu.gigabytes) == "no":
            cells.append("does not fit")
            run_fits = False
            continue
        hours = [0.0, 0.0]
        for side, epochs in stage.epochs_by_side.items():
            pixels = stage.share.batch_size * side**2
            for i, seconds in enumerate(
                step_seconds(gpu, MODEL_SIZES[network], stage.share, pixels)
            ):
                hours[i] += epochs * stage.steps_per_epoch * seconds / 3600
        run = [total + stage.times * part for total, part in zip(run, hours, strict=True)]
        cells.append(_hours(hours))
    return [*cells, _hours(run) if run_fits else "does not fit"]


def _heading(network: ModelSize, devices: int) -> str:
    shared = f", each batch shared out among {devices}: figures are of each" if devices > 1 else ""
    return f"Network {network} on {devices} GPU{'s' * (devices > 1)}{shared}. Nothing was trained."


def _notes(target: CompileTarget, stages: list[StageEstimate]) -> str:
    notes = []
    if target.is_accelerator:
        notes.append(
            f"Temporary memory is XLA's own analysis of the step compiled for {target.name}."
        )
    else:
        notes.append(
            "Temporary memory is XLA's own analysis of the GPU's formulation of the step, but by the compiler for CPUs, for want of a GPU: "
            "it needs more than the compiler for GPUs, which needs "
            f"{CUDA_TEMPORARY_GIB[512, 8, 'mixed']} GiB for base at 512 px × 8 and {CUDA_TEMPORARY_GIB[896, 4, 'mixed']} GiB at 896 px × 4, "
            "mixed, remat per block. With --target-config FILE and JAX's CUDA plugin it is compiled for a GPU that is not there."
        )
        known = [stage.name for stage in stages if stage.cuda_temporary_bytes is not None]
        unknown = [stage.name for stage in stages if stage.cuda_temporary_bytes is None]
        if known:
            notes.append(
                f"Whether {' and '.join(known)} fit{'s' * (len(known) == 1)} is judged by what XLA's compiler for GPUs said of the same "
                "settings, compiled for an H100 (docs/performance.md)."
            )
        if unknown:
            notes.append(
                f"Whether {' and '.join(unknown)} fit{'s' * (len(unknown) == 1)} is judged by the CPU's figure: what is said not to fit may fit a GPU."
            )
    notes.append(
        f"Fits: state, batch, first values, copy, temporary memory and an assumed {RESERVE_BYTES / GIB:.0f} GiB for libraries, in the {DEFAULT_SHARE:.0%} of "
        f"the GPU that JAX takes by default, or with a larger share: in {LARGEST_SHARE:.0%}, with XLA_PYTHON_CLIENT_MEM_FRACTION={LARGEST_SHARE}."
    )
    if any(stage.pairs_are_assumed for stage in stages):
        notes.append(
            "Training pairs are assumed, the plan's or what --miniature renders, where the data set is not built in --data-dir."
        )
    notes.append(
        "TFLOP: products of the forward and the backward pass; remat computes a third more. Traffic is scaled by pixels, network and precision "
        "from what base moved with remat per block when compiled for an H100 (docs/performance.md)."
    )
    notes.append(
        f"Hours are an estimate, no measurement: all epochs at {ATTAINABLE[0]:.0%} to {ATTAINABLE[1]:.0%} (assumed) of the data sheet's rate of "
        "memory or of matrix products, whichever is slower. Early stopping may end sooner; validation, data and test are not counted."
    )
    return "\n".join(f"- {note}" for note in notes)


def _kind(target: CompileTarget) -> str:
    return target.name if target.is_accelerator else "a CPU"


def _gibibytes(number: float | None) -> str:
    return (
        "not known"
        if number is None
        else f"{number / GIB:.1f}"
        if number >= GIB
        else f"{number / GIB:.2g}"
    )


def _sides(stage: StageEstimate) -> str:
    return ", ".join(str(side) for side in stage.epochs_by_side)


def _steps(stage: StageEstimate) -> str:
    epochs = sum(stage.epochs_by_side.values())
    return f"{stage.steps_per_epoch} × {epochs} epochs = {stage.steps_per_epoch * epochs:,}"


def _mebibytes(number: int) -> str:
    return f"{number / MIB:.1f}" if number else "none"


def _hours(hours: list[float]) -> str:
    low, high = hours
    return "less than 0.1" if high < 0.1 else f"{low:.1f} to {high:.1f}"
