"""What a run would take, before anything is trained: memory, steps, FLOPs and hours.

    python -m recipes.fivek_transfer estimate                                                    the plan's settings
    python -m recipes.fivek_transfer estimate --pretrain.remat none --finetune.remat none        the same without rematerialisation
    python -m recipes.fivek_transfer estimate quick                                              the settings of quick

Takes the recipe's own options. Each stage's training step is compiled, a minute or so each for base on two CPU cores, and XLA says
how much temporary memory the program needs. It is compiled for the GPU at hand; without one, for the GPU that --target-config
describes; without that, by the CPU's compiler, which needs more memory than a GPU's for the same step. Nothing is trained or written.

Exit codes: 0 done, 2 wrong usage or a missing package.
"""

import contextlib
import dataclasses
import logging
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import tyro

from recipes.experiment import PRESETS, Experiment, UsageError, refuse_senseless

DONE, WRONG_USAGE, INTERRUPTED = 0, 2, 130


@dataclasses.dataclass(frozen=True)
class Options(Experiment):
    """The experiment's options, and two of the estimate."""

    devices: int = 1
    """GPUs that share each batch evenly; memory and hours are then those of each. Sending gradients between them is not counted."""
    target_config: Path | None = None
    """Text of a GpuTargetConfig, as XLA's sources hold them: compile for that GPU, which need not be there (takes JAX's CUDA plugin)."""


def main(arguments: list[str]) -> int:
    """Parse what follows `estimate` on the command line, print the estimate, and return the exit code."""
    named = bool(arguments) and arguments[0] in PRESETS
    preset = arguments[0] if named else "plan"
    options = tyro.cli(
        Options,
        default=Options(**vars(PRESETS[preset])),
        args=arguments[1:] if named else arguments,
        prog=f"python -m recipes.fivek_transfer estimate {preset}",
        description=__doc__,
    )
    logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS warns of data sets that are not there
    # Heavy imports wait until here, so that --help answers at once.
    from datasets.types import SourceError
    from recipes.estimate.compile_target import CompileTargetError, compile_target
    from recipes.estimate.estimate_report import report
    from recipes.estimate.stage_estimate import estimate_stage, refuse_unequal_shares, stage_names

    try:
        refuse_senseless(options)
        refuse_unequal_shares(options, options.devices)
        target = compile_target(options.target_config)
        stages = []
        for name in stage_names(options):
            with _progress(f"compiling the training step of {name} for {target.name}"):
                stages.append(estimate_stage(options, name, options.devices, target))
        print(report(options.model, options.devices, target, stages))
    except (UsageError, CompileTargetError, SourceError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_USAGE
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return INTERRUPTED
    return DONE


@contextlib.contextmanager
def _progress(what: str) -> Iterator[None]:
    """Say on standard error what is being done and how long it has taken, until it is done."""
    started, done, terminal = time.monotonic(), threading.Event(), sys.stderr.isatty()

    def say(end: str) -> None:
        text = f"{what} ... {time.monotonic() - started:.0f} s"
        print(f"\r{text}" if terminal else text, end=end, file=sys.stderr, flush=True)

    def watch() -> None:
        while not done.wait(1 if terminal else 30):
            say("" if terminal else "\n")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        say("\n")
