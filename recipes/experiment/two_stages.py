"""The experiment itself: pre-train, fine-tune, train the same from scratch, test all."""

import functools
import sys
from collections.abc import Mapping
from typing import Any

from enhancer.data.pairs import ReadablePairs, WithoutDamaged
from enhancer.network.trained import PACKAGED
from enhancer.report.pictures import make_strips
from enhancer.report.plots import draw_curves
from enhancer.report.report import write_report
from enhancer.scoring.baselines import FIT_SIDE, fit_baselines
from enhancer.scoring.columns import number_text
from enhancer.scoring.evaluation import evaluate, unedited
from enhancer.scoring.results import build_results, results_table
from enhancer.system import compiler
from enhancer.system.console import say
from enhancer.system.devices import Devices
from enhancer.system.files import write_json
from enhancer.system.processes import first_process_first, greatest, is_first_process
from enhancer.training.loop import StageResult, train
from recipes.experiment import data_sets
from recipes.experiment.options import (
    SUCCESS_LEVELS,
    Experiment,
    refuse_other_run,
    save_configuration,
)
from recipes.experiment.run_folder import Run, summarise_stage
from recipes.experiment.scored_pairs import read_reduced

CLEAR_MARGIN_PERCENT = 10.0


def run(experiment: Experiment) -> int:
    """Run the experiment, or what is left of it, and return the exit code."""
    compiler.enable_cache()
    experiment = experiment.settled(on_cpu=compiler.on_cpu())
    refuse_other_run(experiment)
    for stage in (experiment.pretrain, experiment.finetune):  # now, not when the second begins
        Devices().refuse_unequal_shares(stage.batch_size, stage.gradient_accumulation_steps)
    workdir, model = experiment.workdir, experiment.network_shape
    steps = ["Data", "Pre-train on FiveK", "Fine-tune on real estate", "The same from scratch"]
    left_out = {1: not experiment.pretrains, 3: not experiment.from_scratch}
    steps = [step for place, step in enumerate(steps) if not left_out.get(place)] + ["Test"]

    def begin(step: str) -> None:
        say(f"\n[{steps.index(step) + 1}/{len(steps)}] {step}")

    begin("Data")
    with first_process_first("building the data sets", workdir):
        data, fingerprints = data_sets.open_or_build(experiment)
        if is_first_process():
            save_configuration(experiment, fingerprints)

    stages: dict[str, StageResult] = {}
    train_stage = functools.partial(train, save_minutes=experiment.save_minutes)
    if experiment.pretrains:
        begin("Pre-train on FiveK")
        stages["pretrain"] = train_stage(
            experiment.pretrain,
            model,
            data.fivek("train"),
            data.fivek("validation"),
            workdir / "pretrain",
            PACKAGED if experiment.start_from_package else None,
            mixed_in=data.extra,
        )
    start = experiment.pretrained or (workdir / "pretrain" if experiment.pretrains else None)
    started = {"pretrain": start} if start and start.is_dir() else {}
    for note in Run(workdir, {}, started).describe_stages()[1]:
        if is_first_process():
            print(f"warning: {note}", file=sys.stderr)
    trained, validated = data.real_estate("train"), data.real_estate("validation")
    if experiment.train_on_validation:
        trained = data_sets.JoinedSources([trained, validated])
    finetune = functools.partial(
        train_stage,
        experiment.finetune,
        model,
        trained,
        validated,
        mixed_in=data.mixed_into_rooms(experiment.finetune),
    )
    begin("Fine-tune on real estate")
    origin = PACKAGED if experiment.start_from_package else start
    stages["finetune"] = finetune(workdir / "finetune", initialise_from=origin)
    if experiment.from_scratch:
        begin("The same from scratch")
        stages["scratch"] = finetune(workdir / "scratch")

    begin("Test")
    folders = {name: workdir / name for name in stages} | started
    networks, hashes = Run(workdir, {}, folders).networks()
    code = 0
    with first_process_first("the test", workdir):
        if is_first_process():
            readable = ReadablePairs(trained, "training data")
            methods = {
                "unedited": unedited,
                **fit_baselines(read_reduced(readable, FIT_SIDE, "fitting the baselines")),
                **{method: enhancer.enhance for method, enhancer in networks.items()},
            }
            tested = WithoutDamaged(data.real_estate("test"), "test data")
            side, squash = experiment.finetune.resolution, experiment.squash
            rows = evaluate(methods, tested, squash=squash, network_side=side)
            strips = make_strips(tested, rows, methods, squash=squash)
            results = build_results(
                rows,
                weights_sha256=hashes,
                config=experiment.configuration(fingerprints),
                stages={name: _described(stage) for name, stage in stages.items()},
            )
            histories = {name: stage.history for name, stage in stages.items()}
            write_json(workdir / "results.json", results)
            draw_curves(histories, workdir / "learning_curves.png")
            write_report(workdir / "report.html", results, histories, strips, SUCCESS_LEVELS)
            print("", results_table(results), "", workdir / "results.json", sep="\n")
            print(workdir / "report.html")
            code = _judge(results) if experiment.require_gain else 0
    return greatest(code)


def _described(stage: StageResult) -> dict[str, Any]:
    last = {"stopped_early": stage.stopped_early, "last_weights_sha256": stage.weights_sha256}
    return summarise_stage(stage.history) | last


def _judge(results: Mapping[str, Any]) -> int:
    """0 when the fine-tuned network clearly beats both baselines, else 1, in words."""
    failed = []
    for baseline in ("unedited", "pretrained"):
        pair = results["paired"][f"finetuned_vs_{baseline}"]["l1"]
        clear = pair["high"] is not None and pair["high"] < 0
        if not clear or pair["relative_percent"] > -CLEAR_MARGIN_PERCENT:
            failed.append(f"{baseline} ({number_text(pair['relative_percent'], 1, signed=True)} %)")
    if failed:
        print(
            f"\nFAILED: the fine-tuned network's L1 is not at least {CLEAR_MARGIN_PERCENT:.0f} % "
            f"lower, with a 95 % interval below zero, than: {', '.join(failed)}.",
            file=sys.stderr,
        )
        return 1
    print("\nThe fine-tuned network clearly beats the unedited photos and its own starting point.")
    return 0
