"""Does pre-training on FiveK help real-estate photos? Pre-train, fine-tune, train the same from scratch, test all.

    python -m recipes.fivek_transfer --fivek FOLDER --real-estate FOLDER --workdir RUN     the plan, to the letter
    python -m recipes.fivek_transfer quick                                                 minutes, nothing needed
    python -m recipes.fivek_transfer estimate                                              memory and hours, no training
    python -m recipes.fivek_transfer ablate                                                many trainings, seeds, folds: one table

Without a preset's name the plan's own settings run: 26 M parameters, 512 px x 8 then 896 px x 4. That takes one 80 GB GPU
and the plan estimates 9 to 11 hours; it expects a test L1 10 to 20 % below training from scratch. `quick` runs the same
code with a tiny network on rendered miniature data sets, in minutes on two CPU cores, and fails unless the fine-tuned
network clearly beats both the unedited photos and its own starting point.

Everything a run leaves is in --workdir: pretrain/, finetune/ and scratch/ (checkpoints, config.json, history.json, events/ for
TensorBoard), config.json, results.json, learning_curves.png and report.html. The same command continues a run that was stopped
at any moment, kill -9 included, and ends with the same weights.

On several GPUs of one machine the same command uses all of them; on several machines start one process per GPU with `srun`
(recipes/slurm/fivek_transfer.sbatch), or by hand with JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID.

Exit codes: 0 done, 1 training failed or (quick) the model did not beat its baselines, 2 wrong usage or missing data,
75 stopped by SIGTERM or SIGUSR1 with everything saved (start the same command again), 130 the same by Ctrl-C.
"""

import contextlib
import functools
import json
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import tyro

from recipes import ablation, data_sets
from recipes.estimate import command as estimate
from recipes.experiment import (
    PRESETS,
    Experiment,
    UsageError,
    configuration,
    network_shape,
    refuse_other_run,
    refuse_senseless,
    save_configuration,
)

if TYPE_CHECKING:
    from enhancer.training.loop import StageResult

CLEAR_MARGIN_PERCENT = 10.0
FAILED, WRONG_USAGE, TRY_AGAIN, INTERRUPTED = 1, 2, 75, 130  # 75 is EX_TEMPFAIL of sysexits.h


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run, and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["estimate"]:
        return estimate.main(arguments[1:])
    if arguments[:1] == ["ablate"]:
        return _run_in_folder(ablation.parse(arguments[1:]), ablation.run)
    named = bool(arguments) and arguments[0] in PRESETS
    preset = arguments[0] if named else "plan"
    experiment = tyro.cli(
        Experiment,
        default=PRESETS[preset],
        args=arguments[1:] if named else arguments,
        prog=f"python -m recipes.fivek_transfer {preset}",
        description=__doc__,
    )
    return _run_in_folder(experiment, run)


def _run_in_folder(experiment: Experiment, run: Callable[[Any], int]) -> int:
    """Run with the work folder locked; turn what may go wrong into a sentence and an exit code."""
    logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax reports each file it writes
    # Heavy imports wait until here, so that --help answers at once.
    from enhancer.data.pairs import UnreadableDataError
    from enhancer.network.trained import CheckpointError
    from enhancer.system import processes
    from enhancer.system.devices import UnequalSharesError
    from enhancer.system.errors import EnhancerError
    from enhancer.system.interruption import Interrupted, signals_raise
    from enhancer.system.lock import FolderLock
    from enhancer.training.loop import TrainingError

    try:
        with signals_raise(), contextlib.ExitStack() as held:
            refuse_senseless(experiment)
            processes.join_other_processes()
            with processes.first_process_first("locking the folder"):
                if processes.is_first_process():
                    held.enter_context(FolderLock(experiment.workdir))
            return run(experiment)
    except (
        UsageError,
        EnhancerError,
        UnequalSharesError,
        processes.JoinError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_USAGE
    except processes.OtherProcessFailed as error:
        print(f"error: {error} Its own output says why.", file=sys.stderr)
        return FAILED
    except processes.OtherProcessStopped:
        return TRY_AGAIN
    except (TrainingError, CheckpointError, UnreadableDataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:
        print(
            f"error: {error}", file=sys.stderr
        )  # disk full, no permission, a file where a folder should be
        return FAILED
    except RuntimeError as error:
        if not processes.are_several():
            raise
        # JAX's own, of a collective whose other side is gone.
        print(
            f"error: Another process may have ended, whose output says why. Here: {error}",
            file=sys.stderr,
        )
        return FAILED
    except Interrupted as interrupted:
        print(f"\nStopped by {interrupted}. The same command continues.", file=sys.stderr)
        return INTERRUPTED if interrupted.signal_number == signal.SIGINT else TRY_AGAIN
    except KeyboardInterrupt:
        print(
            "\nStopped at once. The same command continues from the last checkpoint.",
            file=sys.stderr,
        )
        return INTERRUPTED


def run(experiment: Experiment) -> int:
    """Run the experiment, or what is left of it."""
    from enhancer.system import compiler
    from enhancer.system.devices import Devices
    from enhancer.system.processes import first_process_first, greatest, is_first_process
    from enhancer.training.loop import train

    compiler.enable_cache()
    refuse_other_run(experiment)
    for stage in (experiment.pretrain, experiment.finetune):  # now, not when the second begins
        Devices().refuse_unequal_shares(stage.batch_size, stage.gradient_accumulation_steps)
    workdir, model = experiment.workdir, network_shape(experiment)

    _headline(1, "Data")
    with first_process_first("building the data sets"):
        sources, data = data_sets.open_or_build(experiment)
        if is_first_process():
            save_configuration(experiment, data)

    stages: dict[str, StageResult] = {}
    train_stage = functools.partial(train, save_minutes=experiment.save_minutes)
    if experiment.pretrained is None:
        _headline(2, "Pre-train on FiveK")
        stages["pretrain"] = train_stage(
            experiment.pretrain,
            model,
            sources.fivek("train"),
            sources.fivek("validation"),
            workdir / "pretrain",
            mixed_in=sources.extra,
        )
    start = experiment.pretrained or workdir / "pretrain"
    _warn_of_unfinished(start)
    mixed_in = sources.fivek("train") if experiment.finetune.mix_weight else None
    pairs = sources.real_estate("train"), sources.real_estate("validation")
    if experiment.train_on_validation:
        pairs = data_sets.JoinedSources(pairs), pairs[1]
    _headline(3, "Fine-tune on real estate")
    stages["finetune"] = train_stage(
        experiment.finetune,
        model,
        *pairs,
        workdir / "finetune",
        initialise_from=start,
        mixed_in=mixed_in,
    )
    if experiment.from_scratch:
        _headline(4, "The same from scratch")
        stages["scratch"] = train_stage(
            experiment.finetune, model, *pairs, workdir / "scratch", mixed_in=mixed_in
        )

    _headline(5, "Test")
    best = {"pretrained": start, "scratch": workdir / "scratch", "finetuned": workdir / "finetune"}
    networks = {
        method: _best(folder)
        for method, folder in best.items()
        if method != "scratch" or "scratch" in stages
    }
    code = 0
    with first_process_first("the test"):
        if is_first_process():
            code = _test(experiment, data, networks, stages, pairs[0], sources.real_estate("test"))
    return greatest(code)


def _test(experiment: Experiment, data: dict[str, str], networks, stages, trained, test) -> int:
    """Score every method on the test photos and write what the run found."""
    from enhancer.data.pairs import ReadablePairs, WithoutDamaged
    from enhancer.inference.enhancer import Enhancer
    from enhancer.report.curves import draw
    from enhancer.report.pictures import make_strips
    from enhancer.report.report import write_report
    from enhancer.scoring.evaluation import evaluate_methods, unedited
    from enhancer.scoring.results_table import results_table
    from recipes.fitted_baselines import FIT_SIDE, fit
    from recipes.scored_pairs import read_reduced

    workdir, side = experiment.workdir, experiment.finetune.resolution
    test = WithoutDamaged(test, "test data")
    baselines = fit(
        read_reduced(ReadablePairs(trained, "training data"), FIT_SIDE, "fitting the baselines")
    )
    enhancers = {
        method: Enhancer(network, side).enhance for method, (network, _) in networks.items()
    }
    methods = {"unedited": unedited, **baselines, **enhancers}
    rows = evaluate_methods(methods, test, squash=experiment.squash, network_side=side)
    hashes = {method: sha256 for method, (_, sha256) in networks.items()}
    results = _write_results(configuration(experiment, data), workdir, rows, hashes, stages)
    histories = {stage: result.history for stage, result in stages.items()}
    draw(histories, workdir / "learning_curves.png")
    write_report(
        workdir / "report.html",
        results,
        histories,
        make_strips(test, rows, methods, squash=experiment.squash),
    )
    print(f"\n{results_table(results)}\n\n{workdir / 'results.json'}\n{workdir / 'report.html'}")
    return _judge(results) if experiment.require_gain else 0


def _warn_of_unfinished(stage_dir: Path) -> None:
    """Say so when fine-tuning starts from a stage that was stopped in the middle: that may be wanted, or forgotten."""
    from enhancer.network.trained import read_config
    from enhancer.system.processes import is_first_process
    from enhancer.training.history import is_finished

    _, stage = read_config(stage_dir)
    try:
        history = json.loads((stage_dir / "history.json").read_text())
        unfinished = not is_finished(history, stage)
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return  # the checkpoints' own copy counts, and this is only a warning
    if unfinished and is_first_process():
        print(
            f"warning: {stage_dir} was stopped after epoch {history[-1]['epoch']} of {stage.epochs}; fine-tuning starts from its best "
            "weights so far.",
            file=sys.stderr,
        )


def _best(stage_dir: Path):
    from enhancer.network.trained import load_best, weights_sha256

    network = load_best(stage_dir)
    return network, weights_sha256({v.path: v.value for v in network.trainable_variables})


def _write_results(
    config: dict[str, Any], workdir: Path, rows, hashes: dict[str, str], stages
) -> dict[str, Any]:
    from enhancer.scoring.results import build_results
    from enhancer.system.files import write_json
    from enhancer.training.history import best_row

    described = {
        name: {
            "epochs": result.history[-1]["epoch"],
            "stopped_early": result.stopped_early,
            "best_epoch": best_row(result.history)["epoch"],
            "best_validation_loss": best_row(result.history)["validation_loss"],
            "seconds": round(sum(row["seconds"] for row in result.history), 1),
            "last_weights_sha256": result.weights_sha256,
        }
        for name, result in stages.items()
    }
    results = build_results(rows, weights_sha256=hashes, config=config, stages=described)
    write_json(workdir / "results.json", results)
    return results


def _judge(results: dict[str, Any]) -> int:
    """0 when the fine-tuned network clearly beats both baselines, else 1, in words."""
    from enhancer.scoring.columns import number_text

    failed = []
    for baseline in ("unedited", "pretrained"):
        pair = results["paired"][f"finetuned_vs_{baseline}"]["l1"]
        if not (
            pair["high"] is not None
            and pair["high"] < 0
            and pair["relative_percent"] <= -CLEAR_MARGIN_PERCENT
        ):
            failed.append(f"{baseline} ({number_text(pair['relative_percent'], 1, signed=True)} %)")
    if failed:
        print(
            f"\nFAILED: the fine-tuned network's L1 is not at least {CLEAR_MARGIN_PERCENT:.0f} % lower, with a 95 % interval "
            f"below zero, than: {', '.join(failed)}.",
            file=sys.stderr,
        )
        return 1
    print("\nThe fine-tuned network clearly beats the unedited photos and its own starting point.")
    return 0


def _headline(number: int, title: str) -> None:
    from enhancer.system.processes import is_first_process

    if is_first_process():
        print(f"\n[{number}/5] {title}", flush=True)


def _leave(code: int) -> NoReturn:
    processes = sys.modules.get("enhancer.system.processes")  # not loaded, for --help
    processes.leave(code, failed=code in (FAILED, WRONG_USAGE)) if processes else sys.exit(code)


if __name__ == "__main__":
    _leave(main())
