"""What a run would take, before it is trained: steps, FLOPs and memory, by XLA's own analysis.

    python -m recipes.fivek_transfer estimate                              the plan's settings
    python -m recipes.fivek_transfer estimate --finetune.remat none        others
    python -m recipes.fivek_transfer estimate quick                        the settings of quick

Takes the recipe's own options. Each stage's training step is compiled, a minute or so each for base
on two CPU cores, for the GPU at hand; without one, for the GPU that --target-config describes;
without that for the CPU, whose programs need several times a GPU's memory. Nothing is trained or
written.

Exit codes: 0 done, 2 wrong usage or a missing package.
"""

import dataclasses
import sys
import time
from pathlib import Path
from typing import Literal

from recipes.experiment.options import Experiment, data_dirs_of, folders_of, refuse_contradictions
from recipes.experiment.presets import PRESETS, parse_options

PLAN_PAIRS = {"fivek": 4750, "real_estate": 511}
"""Training pairs of the plan: 95 % of 5000, and what is left of 577."""
GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Estimate(Experiment):
    """The experiment's options, and one of the estimate."""

    target_config: Path | None = None
    """Text of a GpuTargetConfig, as XLA's sources hold them: compile for that GPU, which need not
    be there (takes JAX's CUDA plugin)."""


def parse(arguments: list[str]) -> Estimate:
    """Read what follows `estimate` on the command line."""
    return parse_options(
        arguments, lambda preset: Estimate(**vars(PRESETS[preset])), "estimate", __doc__
    )


def run(command: Estimate) -> int:
    """Compile, and print a Markdown table."""
    refuse_contradictions(command)
    # Imports of seconds wait until here, so that --help answers at once.
    from enhancer.data.batches import steps_per_epoch
    from recipes.estimate.step_cost import find_target, step_cost

    target = find_target(command.target_config)
    table: dict[str, list[str]] = {}
    for name in ("pretrain", "finetune") if command.pretrained is None else ("finetune",):
        stage = getattr(command, name).settled(on_cpu=False)
        side = max(stage.resolution, *stage.progressive_resolutions, 0)
        pairs, assumed = _training_pairs(command, "fivek" if name == "pretrain" else "real_estate")
        steps = steps_per_epoch(range(pairs), stage)  # type: ignore[arg-type]
        started = time.monotonic()
        print(f"compiling the step of {name} for {target.name} ...", file=sys.stderr, flush=True)
        largest = dataclasses.replace(stage, resolution=side)
        cost = step_cost(command.network_shape, largest, target.device)
        print(f"... took {time.monotonic() - started:.0f} s", file=sys.stderr)
        in_all = cost.state_bytes + cost.temporary_bytes
        cells = {
            "": f"{name}, scratch" if name == "finetune" and command.from_scratch else name,
            "---": "---",
            "largest crops": f"{side} px × {stage.batch_size}",
            "precision, remat": f"{stage.precision}, {stage.remat}",
            "training pairs": f"{pairs}{' (assumed)' * assumed}",
            "steps": f"{steps} × {stage.epochs} epochs = {steps * stage.epochs:,}",
            "parameters": f"{cost.parameters:,}",
            "TFLOP of a step": f"{cost.flops / 1e12:.3g}",
            "state, batch, copies, GiB": f"{cost.state_bytes / GIB:.3g}",
            "temporary memory, GiB": f"{cost.temporary_bytes / GIB:.3g}",
            "in all, GiB": f"{in_all / GIB:.3g}",
            f"fits {target.name}": target.fits(in_all),
        }
        for label, cell in cells.items():
            table.setdefault(label, [label]).append(cell)
    print("\n".join(f"| {' | '.join(cells)} |" for cells in table.values()))
    if not target.bytes_of_memory:
        print("\nCompiled for a CPU, whose programs need several times the memory of a GPU's.")
    return 0


def _training_pairs(command: Estimate, name: Literal["fivek", "real_estate"]) -> tuple[int, bool]:
    """Training pairs of a data set; where it is not built, those of the plan or of --miniature."""
    from datasets import miniature
    from datasets.types import DatasetNotBuilt
    from recipes.experiment.data_sets import open_split

    data_dirs = data_dirs_of(vars(command), name, command.workdir)
    try:
        return len(open_split(name, data_dirs, getattr(command, f"{name}_config"), "train")), False
    except DatasetNotBuilt:
        if not command.miniature or folders_of(vars(command), name):
            return PLAN_PAIRS[name], True
    rooms = miniature.REAL_ESTATE_PAIRS["train"]
    return (rooms if name == "real_estate" else round(0.95 * miniature.FIVEK_PAIRS)), True
