"""Score the networks of a run on any pairs of photos, beside what can be had without a network.

    python -m recipes.compare --workdir RUN --pairs FOLDER                                        one table
    python -m recipes.compare --workdir RUN --pairs FOLDER --json scores.json --report page.html  and everything else
    python -m recipes.compare --workdir RUN --pairs FOLDER --predictions theirs=FOLDER2           and another program's pictures

FOLDER holds pairs as JSON lines (train.jsonl, val.jsonl, test.jsonl, or any *.jsonl; rows {"src", "tar"} or {"input",
"target"}, whose photos may lie elsewhere), or photos whose names end in _src and _tar. All of them are scored; --split takes
one list. Compared are the photos as they are, a tone curve and two colour lookup tables fitted on the run's own training
pairs (where these are still to be had), the run's networks, and --predictions. Nothing is trained or built; the same command
gives the same numbers.

What the scores and intervals mean: docs/evaluation.md.

Exit codes: 0 done, 1 a network's weights cannot be used, 2 wrong usage or no pairs.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

import tyro

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


@dataclasses.dataclass(frozen=True)
class Options:
    """What to compare, and where the results go."""

    workdir: Path
    """A run's --workdir, or the folder of one stage in it."""
    pairs: Path
    """Folder with the pairs to score on; none that was trained on."""
    split: Literal["all", "train", "validation", "test"] = "all"
    """Score the pairs of this list only."""
    predictions: tuple[str, ...] = ()
    """NAME=FOLDER of pictures that another program made of these photos, named after the pairs: 801.png or 801_src.jpg."""
    json: Path | None = None
    """Write all scores here, photo by photo."""
    report: Path | None = None
    """Write a page for people here (.html)."""
    price_per_hour: float | None = None
    """What an hour of the machine that trained costs, in your currency: the page then says what training cost."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, compare, and return the exit code."""
    options = tyro.cli(
        Options, args=arguments, prog="python -m recipes.compare", description=__doc__
    )
    # Heavy imports wait until here, so that --help answers at once.
    import absl.logging

    from datasets.types import SourceError
    from enhancer.network.trained import CheckpointError
    from enhancer.photo.io import PhotoError
    from enhancer.scoring.saved_predictions import SavedPredictionsError

    absl.logging.set_verbosity(absl.logging.ERROR)  # TFDS warns of data sets that are not there
    try:
        return run(options)
    except (SourceError, SavedPredictionsError, PhotoError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_USAGE
    except CheckpointError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return INTERRUPTED


def run(options: Options) -> int:
    """Score, print, write."""
    from datasets.types import DatasetNotBuilt, SourceError
    from enhancer.photo.io import PhotoError
    from enhancer.report.pictures import make_strips
    from enhancer.report.report import write_report
    from enhancer.scoring.evaluation import evaluate_methods, unedited
    from enhancer.scoring.results import build_results, main_method, method_title
    from enhancer.scoring.results_table import paired_sentences, wide_table
    from enhancer.scoring.saved_predictions import SavedPredictions
    from enhancer.scoring.verdict import verdict
    from enhancer.system import compiler
    from enhancer.system.files import write_json
    from recipes.fitted_baselines import FIT_SIDE, fit_baselines
    from recipes.run_folder import open_run
    from recipes.scenes import find_leaks, find_scenes, seen_scenes
    from recipes.scored_pairs import ScoredPairs, read_reduced

    for path in (options.json, options.report):
        if path is not None and not path.absolute().parent.is_dir():
            raise NotADirectoryError(
                f"{path.parent} is not a folder; {path.name} cannot be written there."
            )
    saved = {name: SavedPredictions(folder) for name, folder in _parse(options.predictions).items()}
    run = open_run(options.workdir)
    pairs = ScoredPairs(options.pairs, options.split)
    compiler.enable_cache()

    small = read_reduced(pairs, FIT_SIDE, "looking for scenes")
    scenes = find_scenes(small)
    baselines, trained, notes = fit_baselines(run)
    seen = find_leaks(small, scenes, seen_scenes(trained)) if trained else None
    try:
        seen_in_pretraining = find_leaks(small, scenes, run.pretraining_scenes())
    except (
        SourceError,
        DatasetNotBuilt,
        PhotoError,
        OSError,
    ) as error:  # a target is read only where two hashes are alike
        seen_in_pretraining = None
        notes.append(
            f"Nobody can tell whether these photos were seen in pre-training: its pairs are not to be had. {error}"
        )
    networks, hashes = run.networks()
    methods = {
        "unedited": unedited,
        **baselines,
        **{name: e.enhance for name, e in networks.items()},
        **saved,
    }
    side = next(iter(networks.values())).working_size
    rows = evaluate_methods(methods, pairs, network_side=side)
    notes += _notes(pairs, rows, saved)
    rows = {name: scored for name, scored in rows.items() if scored}

    stages, unfinished = run.describe_stages()
    results = build_results(
        rows,
        weights_sha256=hashes,
        config=run.config,
        stages=stages,
        scene_of={pair.id: scene for pair, scene in zip(small, scenes, strict=True)},
        notes=notes + unfinished,
        price_per_hour=options.price_per_hour,
        seen=seen,
        seen_in_pretraining=seen_in_pretraining,
    )
    headline, sentences = verdict(results, method_title(main_method(results["methods"])))
    print(
        "\n".join(
            [
                wide_table(results),
                "",
                *paired_sentences(results),
                "",
                f"{headline}.",
                *sentences,
                *results["notes"],
            ]
        )
    )
    if options.json is not None:
        write_json(options.json, results)
        print(options.json)
    if options.report is not None:
        write_report(options.report, results, run.histories(), make_strips(pairs, rows, methods))
        print(options.report)
    return DONE


def _parse(predictions: tuple[str, ...]) -> dict[str, Path]:
    from enhancer.scoring.results import METHOD_TITLES
    from enhancer.scoring.saved_predictions import SavedPredictionsError

    folders: dict[str, Path] = {}
    for text in predictions:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder):
            raise SavedPredictionsError(f"--predictions takes NAME=FOLDER, received {text!r}.")
        if name in folders or name in METHOD_TITLES or "_vs_" in name:
            raise SavedPredictionsError(
                f"--predictions: the name {name!r} is taken; choose another."
            )
        folders[name] = Path(folder)
    return folders


def _notes(pairs, rows, saved) -> list[str]:
    """What happened to the pairs and predictions on the way."""
    notes = []
    if pairs.unread:
        notes.append(
            f"Not read, because the folder has train.jsonl, val.jsonl or test.jsonl: {_some(pairs.unread)}. "
            "To score these pairs, put their list into another folder."
        )
    if pairs.left_out:
        reasons = "; ".join(
            f"{name} ({reason})" for name, reason in list(pairs.left_out.items())[:3]
        )
        count = "1 pair was" if len(pairs.left_out) == 1 else f"{len(pairs.left_out)} pairs were"
        notes.append(f"{count} left out: {reasons}{'; …' if len(pairs.left_out) > 3 else '.'}")
    if pairs.resized:
        notes.append(
            f"Input and target differ in size, and were brought to the smaller: {_some(sorted(pairs.resized))}."
        )
    for name, predictions in saved.items():
        if not rows[name]:
            notes.append(
                f"{name}: no picture is named after one of these pairs, such as {pairs[0].id}.png; it is left out."
            )
        elif missing := [
            row["id"] for row in rows["unedited"] if row["id"] not in {r["id"] for r in rows[name]}
        ]:
            count = "1 photo has" if len(missing) == 1 else f"{len(missing)} photos have"
            notes.append(
                f"{name}: {count} no prediction, which does not count for it: {_some(missing)}."
            )
        if predictions.resized:
            notes.append(
                f"{name}: predictions of another size than the photo were resized: {_some(sorted(predictions.resized))}."
            )
    return notes


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")


if __name__ == "__main__":
    sys.exit(main())
