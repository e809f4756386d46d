"""Does pre-training on FiveK help real-estate photos? Pre-train, fine-tune, train the same from scratch, test all.

    python -m recipes.fivek_transfer --fivek FOLDER --real-estate FOLDER --workdir RUN     the plan, to the letter
    python -m recipes.fivek_transfer quick                                                 minutes, nothing needed

Without a preset's name the plan's own settings run: 26 M parameters, 512 px x 8 then 896 px x 4. That takes one 80 GB GPU
and the plan estimates 9 to 11 hours; it expects a test L1 10 to 20 % below training from scratch. `quick` runs the same
code with a tiny network on rendered miniature data sets, in minutes on two CPU cores, and fails unless the fine-tuned
network clearly beats both the unedited photos and its own starting point.

Everything a run leaves is in --workdir: pretrain/, finetune/ and scratch/ (checkpoints, config.json, history.json),
config.json, results.json and report.html. The same command continues a run that was stopped at any moment.

Exit codes: 0 done, 1 training failed or (quick) the model did not beat its baselines, 2 wrong usage or missing data,
130 stopped by Ctrl-C.
"""

import logging
import sys
from pathlib import Path
from typing import Any

import tyro

from enhancer.config import MODEL_SIZES
from recipes.experiment import (
    PRESETS,
    Experiment,
    UsageError,
    configuration,
    refuse_other_run,
    refuse_senseless,
    save_configuration,
)

CLEAR_MARGIN_PERCENT = 10.0


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run, and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    named = bool(arguments) and arguments[0] in PRESETS
    preset = arguments[0] if named else "plan"
    experiment = tyro.cli(
        Experiment,
        default=PRESETS[preset],
        args=arguments[1:] if named else arguments,
        prog=f"python -m recipes.fivek_transfer {preset}",
        description=__doc__,
    )
    logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax reports each file it writes
    # Heavy imports wait until here, so that --help answers at once.
    from datasets.build import DatasetNotBuilt
    from datasets.pair_builder import SourceChanged
    from datasets.preparation import PreparationError
    from datasets.sources import SourceError
    from enhancer.checkpoints import CheckpointError
    from enhancer.training import TrainingError

    try:
        return run(experiment)
    except (UsageError, DatasetNotBuilt, SourceError, SourceChanged, PreparationError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (TrainingError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)  # disk full, no permission, a file where a folder should be
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command continues from the last epoch.", file=sys.stderr)
        return 130


def run(experiment: Experiment) -> int:
    """Run the experiment, or what is left of it."""
    from enhancer import compilation
    from enhancer.evaluation import evaluate, results_table, unedited
    from enhancer.inference import Enhancer
    from enhancer.report import make_strips, write_report
    from enhancer.training import train

    refuse_senseless(experiment)
    compilation.enable_cache()
    refuse_other_run(experiment)
    workdir, model = experiment.workdir, MODEL_SIZES[experiment.model]
    workdir.mkdir(parents=True, exist_ok=True)

    _headline(1, "Data")
    fivek, real_estate, data = _data_sets(experiment)
    save_configuration(experiment, data)

    _headline(2, "Pre-train on FiveK")
    stages = {}
    stages["pretrain"] = train(experiment.pretrain, model, fivek("train"), fivek("validation"), workdir / "pretrain")
    _headline(3, "Fine-tune on real estate")
    stages["finetune"] = train(
        experiment.finetune,
        model,
        real_estate("train"),
        real_estate("validation"),
        workdir / "finetune",
        initialise_from=workdir / "pretrain",
    )
    _headline(4, "The same from scratch")
    stages["scratch"] = train(
        experiment.finetune, model, real_estate("train"), real_estate("validation"), workdir / "scratch"
    )

    _headline(5, "Test")
    working_size = experiment.finetune.resolution
    methods = {"unedited": unedited}
    hashes = {}
    for method, stage in {"pretrained": "pretrain", "scratch": "scratch", "finetuned": "finetune"}.items():
        network, hashes[method] = _best(workdir / stage)
        methods[method] = Enhancer(network, working_size).enhance
    test = real_estate("test")
    rows = {name: evaluate(enhance, test, squash=experiment.squash, name=name) for name, enhance in methods.items()}

    results = _write_results(configuration(experiment, data), workdir, rows, hashes, stages)
    histories = {stage: result.history for stage, result in stages.items()}
    write_report(
        workdir / "report.html", results, histories, make_strips(test, rows, methods, squash=experiment.squash)
    )
    print(f"\n{results_table(results)}\n\n{workdir / 'results.json'}\n{workdir / 'report.html'}")
    return _judge(results) if experiment.require_gain else 0


def _data_sets(experiment: Experiment):
    """Build what is not built yet; return two functions from a split's name to its source, and all fingerprints."""
    from datasets import build, miniature

    folders = {"fivek": experiment.fivek, "real_estate": experiment.real_estate}
    if experiment.miniature and None in folders.values():
        rendered = experiment.workdir / "miniature"
        if not rendered.exists():
            unfinished = rendered.with_name("miniature.unfinished")
            miniature.write(unfinished)
            unfinished.rename(rendered)
        folders = {name: folder or rendered / name for name, folder in folders.items()}
    default = experiment.workdir / "data" if experiment.miniature else Path("~/tensorflow_datasets")
    data_dir = (experiment.data_dir or default).expanduser()
    configs = {"fivek": experiment.fivek_config, "real_estate": experiment.real_estate_config}
    for name, folder in folders.items():
        if folder is not None:
            build.build(name, folder, data_dir, configs[name])

    def opener(name: str):
        return lambda split: build.source(name, split, data_dir, configs[name])

    fivek, real_estate = opener("fivek"), opener("real_estate")
    for name, opened, splits in (
        ("FiveK", fivek, ("train", "validation")),
        ("real estate", real_estate, ("train", "validation", "test")),
    ):
        print(f"{name}: " + ", ".join(f"{len(opened(split))} {split}" for split in splits) + " pairs")
    return fivek, real_estate, {name: build.fingerprint(name, data_dir, configs[name]) for name in folders}


def _best(stage_dir: Path):
    from enhancer.checkpoints import load_best, weights_sha256

    network = load_best(stage_dir)
    return network, weights_sha256({v.path: v.value for v in network.trainable_variables})


def _write_results(config: dict[str, Any], workdir: Path, rows, hashes: dict[str, str], stages) -> dict[str, Any]:
    from enhancer.atomic_file import write_json
    from enhancer.evaluation import build_results
    from enhancer.training import best_row

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
    failed = []
    for baseline in ("unedited", "pretrained"):
        pair = results["paired"][f"finetuned_vs_{baseline}"]["l1"]
        if not (pair["high"] is not None and pair["high"] < 0 and pair["relative_percent"] <= -CLEAR_MARGIN_PERCENT):
            failed.append(f"{baseline} ({pair['relative_percent']:+.1f} %)")
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
    print(f"\n[{number}/5] {title}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
