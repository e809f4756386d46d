"""Write the results of a run as one self-contained HTML page, for readers who were not there."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from enhancer.report.page import flat_settings, image_url, render
from enhancer.report.pictures import Strip
from enhancer.report.plots import page_curves, plot_changes, plot_photos
from enhancer.scoring.columns import COLUMNS
from enhancer.scoring.results import main_method, method_title, score_text
from enhancer.scoring.verdict import change_text, photos_text, verdict, words
from enhancer.system.files import write_atomically
from enhancer.training.history import Row
from enhancer.training.red_flags import final_flags


def write_report(
    path: Path,
    results: Mapping[str, Any],
    histories: Mapping[str, Sequence[Row]],
    strips: Sequence[Strip],
    levels: Mapping[str, float] | None = None,
) -> None:
    """Write the page, which needs no other file and no connection; it appears complete or not.

    Args:
        path: of the `.html` file.
        results: what `enhancer.scoring.results.build_results` returned.
        histories: per stage ("pretrain", "finetune", "scratch") its `history.json`.
        strips: photos to show, such as `enhancer.report.pictures.make_strips` returns.
        levels: changes of L1 in percent that somebody hopes for, by name.
    """
    methods, config = results["methods"], results["config"]
    main = main_method(methods)
    headline, sentences = verdict(results)
    photos = photos_text(min(scores["n"] for scores in methods.values()))
    changes = {
        method_title(key.partition("_vs_")[2]): pair["l1"]
        for key, pair in results["paired"].items()
    }
    page = render(
        "report.html",
        headline=headline,
        sentences=sentences,
        main=method_title(main),
        subject=f"test results on {photos}",
        photos=photos,
        titles=[scores["title"] for scores in methods.values()],
        scores=_score_rows(methods),
        changes=[_change_cell(results, main, method) for method in methods],
        changes_plot=plot_changes(changes, levels or {}, f"change of L1 by {method_title(main)}"),
        photos_plot=plot_photos(results),
        strips=strips,
        image_url=image_url,
        curves=page_curves(histories),
        best_tested=config.get("finetune", {}).get("keep", "best") == "best",
        trained_on_validation=config.get("train_on_validation", False),
        flags=[
            {"title": f"{stage}: {flag.name}", "text": f"{flag.sentence} {flag.remedy}"}
            for stage, rows in histories.items()
            for flag in final_flags(rows, pretrained=stage == "finetune")
        ],
        notes=[*results["notes"], *_expenses(results)],
        settings={
            "Training stages": flat_settings(results["stages"]),
            "Settings": flat_settings(config),
        },
        hashes={s["title"]: h for s in methods.values() if (h := s["weights_sha256"])},
    )
    write_atomically(Path(path), page)


def _score_rows(methods: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per score its heading, meaning, and each method's mean, half interval, whether it is best."""
    rows = []
    for column, heading in COLUMNS.items():
        means = [s["mean"][column] for s in methods.values() if column in s["mean"]]
        if not means:
            continue
        best = heading.best(means)
        cells = []
        for scores in methods.values():
            mean, sign, half = score_text(scores, column).partition(" ± ")
            is_best = scores["mean"].get(column) == best
            cells.append({"text": mean, "small": sign and f"± {half}", "best": is_best})
        count = max(scores["count"].get(column, 0) for scores in methods.values())
        everywhere = count == max(scores["n"] for scores in methods.values())
        meaning = heading.meaning + ("" if everywhere else f"; {count} photos have such a part")
        rows.append({"title": heading.heading, "meaning": meaning, "cells": cells})
    return rows


def _change_cell(results: Mapping[str, Any], main: str, method: str) -> dict[str, str]:
    """What the method in question changes about a method's L1, and what that allows to be said."""
    pair = results["paired"].get(f"{main}_vs_{method}")
    if pair is None:
        return {"text": "–", "small": "", "words": ""}
    figure, bracket, interval = change_text(pair["l1"]).partition(" [")
    return {"text": figure, "small": bracket.strip() + interval, "words": words(pair["l1"])}


def _expenses(results: Mapping[str, Any]) -> list[str]:
    """What it ran on, how long that took, what it cost."""
    machine, training = results["hardware"], results["training"]
    sentences = [
        f"Tested on {machine['cpu']}, {machine['cores']} cores; "
        f"JAX computed on {machine['devices']}."
    ]
    if training["seconds"] is not None:
        minutes, cost = training["seconds"] / 60, ""
        time = f"{minutes:.1f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"
        if training["cost"] is not None:
            cost = f", at {training['price_per_hour']:g} an hour {training['cost']:.2f} in all"
        sentences.append(
            f"Training took {time} of steps{cost}; validation and compilation are not counted."
        )
    return sentences
