"""Pre-train on FiveK, fine-tune on real-estate photos, train from scratch, test: does it help?

    python -m recipes.fivek_transfer --fivek FOLDER --real-estate FOLDER --workdir RUN   the plan
    python -m recipes.fivek_transfer quick                   minutes, nothing needed
    python -m recipes.fivek_transfer recommended ...         what scored best from few pairs
    python -m recipes.fivek_transfer estimate                steps and memory, no training
    python -m recipes.fivek_transfer ablate                  many trainings, seeds, folds: one table

Without a preset's name the plan's own settings run: 26 M parameters, 512 px x 8 then 896 px x 4.
That takes one 80 GB GPU and the plan expects 9 to 11 hours, and a test L1 10 to 20 % below training
from scratch. `quick` runs the same code with a tiny network on rendered miniature data sets, in
minutes on two CPU cores, and fails unless the fine-tuned network clearly beats both the unedited
photos and its own starting point.

Everything a run leaves is in --workdir: pretrain/, finetune/ and scratch/ (checkpoints,
config.json, history.json, events/ for TensorBoard), data/, config.json, results.json,
learning_curves.png and report.html. The same command continues a run that was stopped at any
moment, kill -9 included, and ends with the same weights.

On several GPUs of one machine the same command uses all of them; on several machines start one
process per GPU with `srun` (recipes/slurm/fivek_transfer.sbatch), or by hand with
JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID.

Exit codes: 0 done, 1 training failed or (quick) the model did not beat its baselines, 2 wrong usage
or missing data, 75 stopped by SIGTERM or SIGUSR1 with everything saved (start the same command
again), 130 the same by Ctrl-C.
"""

import contextlib
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import absl.logging

from enhancer.system.errors import EnhancerError
from enhancer.system.interruption import Interrupted, signals_raise
from enhancer.system.lean_keras import import_keras
from recipes.ablation import command as ablation
from recipes.estimate import command as estimate
from recipes.experiment.options import (
    Experiment,
    look_at_sources,
    refuse_contradictions,
    refuse_other_run,
)
from recipes.experiment.presets import PRESETS, parse_options

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run, and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["estimate"]:
        command = estimate.parse(arguments[1:])
        return exit_code(lambda: estimate.run(command))
    if arguments[:1] == ["ablate"]:
        grid = ablation.parse(arguments[1:])
        return exit_code(lambda: run_in_folder(grid, ablation.run))
    experiment = parse_options(arguments, PRESETS.__getitem__, "", __doc__)
    return exit_code(lambda: run_in_folder(experiment, run_stages))


def run_stages(experiment: Experiment) -> int:
    from recipes.experiment import two_stages  # imports JAX, which takes seconds; --help should not

    return two_stages.run(experiment)


def run_in_folder(experiment: Any, run: Callable[[Any], int]) -> int:
    """Run with the work folder locked, by all processes that train together."""
    if isinstance(experiment, Experiment):  # before imports of seconds
        refuse_contradictions(experiment)
        refuse_other_run(experiment.settled(on_cpu=True))  # of a begun run, as that was settled
        look_at_sources(experiment)
    from enhancer.system import processes
    from enhancer.system.files import lock_folder

    with signals_raise(), contextlib.ExitStack() as held:
        processes.join_other_processes()
        import_keras()
        with processes.first_process_first("locking the folder", experiment.workdir):
            if processes.is_first_process():
                held.enter_context(lock_folder(experiment.workdir))
        try:
            return run(experiment)
        except RuntimeError as error:
            if isinstance(error, EnhancerError) or not processes.are_several():
                raise
            # JAX's own, of a collective whose other side is gone.
            raise _OtherProcessGone(
                f"Another process may have ended, whose output says why. Here: {error}"
            ) from error


class _OtherProcessGone(EnhancerError):
    exit_code = FAILED


def exit_code(run: Callable[[], int]) -> int:
    """Turn what may go wrong into a sentence and an exit code."""
    absl.logging.set_verbosity(absl.logging.FATAL)  # Orbax and TFDS log what they raise as well
    try:
        return run()
    except (EnhancerError, OSError) as error:  # disk full, a file where a folder should be
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", FAILED)
    except (Interrupted, KeyboardInterrupt) as stop:
        at_once = "at once. The same command continues from the last checkpoint."
        by_signal = f"by {stop}. The same command continues."
        said = by_signal if isinstance(stop, Interrupted) else at_once
        print(f"\nStopped {said}", file=sys.stderr)
        return getattr(stop, "exit_code", INTERRUPTED)


def leave(code: int) -> NoReturn:
    processes = sys.modules.get("enhancer.system.processes")  # not loaded, for --help
    if processes:
        processes.leave(code, failed=code in (FAILED, WRONG_USAGE))
    sys.exit(code)


if __name__ == "__main__":
    leave(main())
