"""Score the networks of a run on any pairs of photos, beside what needs no network.

    python -m recipes.compare --workdir RUN --pairs FOLDER
    python -m recipes.compare --workdir RUN --pairs FOLDER --json scores.json --report page.html
    python -m recipes.compare --workdir RUN --pairs FOLDER --predictions theirs=FOLDER2

FOLDER holds pairs as JSON lines (train.jsonl, val.jsonl, test.jsonl, or any *.jsonl; rows {"src",
"tar"} or {"input", "target"}, whose photos may lie elsewhere), or photos whose names end in _src
and _tar. All of them are scored; --split takes one list. Compared are the photos as they are, a
tone curve and two colour lookup tables fitted on the run's own training pairs (where these still
exist), the run's networks, and --predictions. Nothing is trained or built; the same command gives
the same numbers. What the scores and intervals mean: docs/evaluation.md.

Exit codes: 0 done, 1 the weights of a network cannot be used, 2 wrong usage or no pairs.
"""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import absl.logging
import tyro

from enhancer.system.errors import EnhancerError

DONE, WRONG_USAGE, INTERRUPTED = 0, 2, 130


@dataclasses.dataclass(frozen=True)
class RunComparison:
    """What to compare, and where the results go."""

    workdir: Path
    """A run's --workdir, or the folder of one stage in it."""
    pairs: Path
    """Folder with the pairs to score on, none of which was trained on."""
    split: Literal["all", "train", "validation", "test"] = "all"
    """Score the pairs of this list only."""
    predictions: tuple[str, ...] = ()
    """NAME=FOLDER of pictures that another program made of these photos, named after the pairs:
    801.png or 801_src.jpg."""
    json: Path | None = None
    """Write all scores here, photo by photo."""
    report: Path | None = None
    """Write a page for people here (.html)."""
    price_per_hour: float | None = None
    """What an hour of the machine that trained costs, in your currency: the page then says what
    training cost."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, compare, and return the exit code."""
    command = tyro.cli(
        RunComparison, args=arguments, prog="python -m recipes.compare", description=__doc__
    )
    try:
        return run(command)
    except (EnhancerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", WRONG_USAGE)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return INTERRUPTED


def run(command: RunComparison) -> int:
    """Score, print, write."""
    # Imports of seconds wait until here, so that --help answers at once.
    from datasets.types import SourceError
    from enhancer.data.pairs import Pair
    from enhancer.report.pictures import make_strips
    from enhancer.report.report import write_report
    from enhancer.scoring.baselines import FIT_SIDE, fit_baselines
    from enhancer.scoring.evaluation import evaluate, unedited
    from enhancer.scoring.predictions import SavedPredictions
    from enhancer.scoring.results import METHOD_TITLES, build_results, results_table
    from enhancer.scoring.verdict import verdict
    from enhancer.system import compiler
    from enhancer.system.files import write_json
    from recipes.experiment.options import SUCCESS_LEVELS
    from recipes.experiment.run_folder import open_run
    from recipes.experiment.scored_pairs import ScoredPairs, find_leaks, find_scenes, read_reduced

    absl.logging.set_verbosity(absl.logging.FATAL)  # Orbax and TFDS log what they raise as well
    for path in (command.json, command.report):
        if path is not None and not path.absolute().parent.is_dir():
            raise NotADirectoryError(f"{path.parent}, where {path.name} would go, is not a folder.")
    saved: dict[str, SavedPredictions] = {}
    for text in command.predictions:
        name, _, folder = text.partition("=")
        if not (name and folder):
            raise EnhancerError(f"--predictions takes NAME=FOLDER, received {text!r}.")
        if name in (*saved, *METHOD_TITLES) or "_vs_" in name:
            raise EnhancerError(f"--predictions: choose another name, {name!r} is taken.")
        saved[name] = SavedPredictions(Path(folder))
    compared = open_run(command.workdir)
    pairs = ScoredPairs(command.pairs, command.split)
    compiler.enable_cache()

    small, notes = read_reduced(pairs, FIT_SIDE, "looking for scenes"), []
    scenes = find_scenes(small)
    trained: list[list[Pair]] = []
    baselines, seen, seen_before = {}, None, None
    try:
        for split in ("train", "validation"):
            source = compared.training_pairs(split)
            trained.append(read_reduced(source, FIT_SIDE, f"{split} pairs"))
    except SourceError as error:
        if not trained:
            notes.append(
                "No curve and no lookup table could be fitted, and nobody can tell whether these "
                f"photos were trained on: the training pairs are gone. {error}"
            )
    if trained:
        both = [pair for split in trained for pair in split]
        with_validation = compared.config.get("train_on_validation")
        baselines = fit_baselines(both if with_validation else trained[0])
        seen = find_leaks(small, scenes, both)
    try:
        seen_before = find_leaks(small, scenes, compared.pretraining_pairs())
    except (EnhancerError, OSError) as error:
        notes.append(
            "Nobody can tell whether these photos were seen in pre-training: its pairs are gone. "
            f"{error}"
        )
    networks, hashes = compared.networks()
    enhance = {name: enhancer.enhance for name, enhancer in networks.items()}
    methods = {"unedited": unedited, **baselines, **enhance, **saved}
    side = next(iter(networks.values())).working_size
    rows = evaluate(methods, pairs, network_side=side)
    notes += _notes(pairs, rows, saved)
    rows = {name: scored for name, scored in rows.items() if scored}

    stages, unfinished = compared.describe_stages()
    results = build_results(
        rows,
        weights_sha256=hashes,
        config=compared.config,
        stages=stages,
        scene_of={pair.id: scene for pair, scene in zip(small, scenes, strict=True)},
        notes=notes + unfinished,
        price_per_hour=command.price_per_hour,
        seen=seen,
        seen_in_pretraining=seen_before,
    )
    headline, sentences = verdict(results)
    print(results_table(results), "", f"{headline}.", *sentences, *results["notes"], sep="\n")
    if command.json is not None:
        write_json(command.json, results)
        print(command.json)
    if command.report is not None:
        strips = make_strips(pairs, rows, methods)
        write_report(command.report, results, compared.histories(), strips, SUCCESS_LEVELS)
        print(command.report)
    return DONE


def _notes(pairs: Any, rows: Mapping[str, Any], saved: Mapping[str, Any]) -> list[str]:
    """What happened to the pairs and predictions on the way."""
    from enhancer.scoring.verdict import some

    notes = []
    if pairs.unread:
        notes.append(
            "Not read, because the folder has train.jsonl, val.jsonl or test.jsonl: "
            f"{some(pairs.unread)}. To score these pairs, put their list into another folder."
        )
    if left_out := [f"{name} ({reason.rstrip('.')})" for name, reason in pairs.left_out.items()]:
        notes.append(f"Pairs left out, {len(left_out)} in all: {some(left_out)}.")
    if pairs.resized:
        notes.append(
            f"Input and target brought to the smaller size: {some(sorted(pairs.resized))}."
        )
    for name, predictions in saved.items():
        scored = {row["id"] for row in rows[name]}
        missing = [row["id"] for row in rows["unedited"] if row["id"] not in scored]
        if not scored:
            notes.append(f"{name} is left out: no picture is named like {missing[0]}.png.")
        elif missing:
            notes.append(f"{name} has no prediction, and no score, of {some(missing)}.")
        if predictions.resized:
            resized = some(sorted(predictions.resized))
            notes.append(f"{name}: predictions of another size were resized: {resized}.")
    return notes


if __name__ == "__main__":
    sys.exit(main())
