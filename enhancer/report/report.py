"""Write the results of a run as one self-contained HTML page, for readers who were not there."""

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from enhancer.report.curves import page_curves
from enhancer.report.page import image_url, render, value_text
from enhancer.report.pictures import Strip
from enhancer.report.plots import plot_differences, plot_photos, plot_scale
from enhancer.scoring.columns import COLUMNS, DETAIL_COLUMNS, MAIN_COLUMNS, Row
from enhancer.scoring.results import main_method, method_title, score_text
from enhancer.scoring.verdict import count_text, outcome_words, verdict
from enhancer.system.files import write_atomically
from enhancer.training.red_flags import run_flags, summary_sentences, transfer_summary

_METHOD_MEANINGS = {
    "unedited": "the photo left as it is",
    "curve": "one tone curve per channel, fitted on the training pairs",
    "lookup": "one smooth colour lookup table, fitted on them",
    "adaptive_lookup": "one that depends on the photo's histogram",
    "pretrained": "a network pre-trained on general photos only (zero-shot)",
    "scratch": "one trained from scratch on the photos of the target domain",
    "finetuned": "one pre-trained and then fine-tuned on them (fine-tuned)",
}


def write_report(
    path: Path,
    results: Mapping[str, Any],
    histories: Mapping[str, Sequence[Row]],
    strips: Sequence[Strip],
) -> None:
    """Write the page; it appears complete or not at all, and needs no other file and no connection.

    Args:
        path: of the `.html` file.
        results: what `enhancer.scoring.evaluation.build_results` returned.
        histories: per stage ("pretrain", "finetune", "scratch") its `history.json`: one dictionary per epoch.
        strips: photos to show, such as `make_strips` returns.
    """
    methods, paired = results["methods"], results["paired"]
    main = main_method(methods)
    headline, sentences = verdict(results, method_title(main))
    against_scratch = paired.get("finetuned_vs_scratch", {}).get("l1")
    page = render(
        "report.html",
        headline=headline,
        sentences=sentences,
        main=method_title(main),
        metrics=[_heading(column) for column in MAIN_COLUMNS],
        compared=[_METHOD_MEANINGS.get(method, method) for method in methods],
        methods=_method_rows(results, MAIN_COLUMNS),
        pairs=_pair_rows(results),
        details=_details(results),
        scale=plot_scale(against_scratch)
        if against_scratch and against_scratch["relative_low"] is not None
        else None,
        photos_plot=plot_photos(results),
        difference_plots=[
            {
                "title": f"{method_title(main)} against {method_title(baseline)}",
                "svg": plot_differences(results, main, baseline),
            }
            for baseline in ("scratch", "curve", "unedited")
            if f"{main}_vs_{baseline}" in paired
        ][:1],
        photos=count_text(min(scores["n"] for scores in methods.values())),
        held_back=results["seen_in_training"] == [],
        curves=page_curves(histories),
        best_tested=_stage_setting(results, "keep", "best") == "best",
        trained_on_validation=_trained_on_validation(results),
        transfer=summary_sentences(transfer_summary(histories), _trained_on_validation(results)),
        red_flags=run_flags(histories, results),
        all_clear=_all_clear(histories, results),
        watched=any(histories.values()),
        strips=[
            {
                "title": strip.title,
                "id": strip.photo_id,
                "pictures": [
                    {"caption": caption, "l1": l1, "source": image_url(pixels)}
                    for caption, pixels, l1 in strip.pictures
                ],
            }
            for strip in strips
        ],
        notes=results["notes"],
        expenses=_expenses(results),
        configuration=_sections("run", results["config"]),
        stages=_sections("", results["stages"]),
        written=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
    )
    write_atomically(Path(path), page.encode())


def _stage_setting(results: Mapping[str, Any], name: str, default: Any) -> Any:
    """A setting of the last stage, as far as the configuration is known."""
    return results["config"].get("finetune", {}).get(name, default)


def _trained_on_validation(results: Mapping[str, Any]) -> bool:
    return results["config"].get("train_on_validation", False)


def _all_clear(histories: Mapping[str, Sequence[Row]], results: Mapping[str, Any]) -> str:
    """What the absence of red flags means, of what could be watched."""
    watched = ["no validation loss that fails to fall or rises again"]
    without_gap = _trained_on_validation(results)
    if not without_gap:
        watched.append("no large gap between training and validation")
    elif "pretrain" in histories:
        watched.append("no large gap between training and validation in pre-training")
    if "finetuned_vs_scratch" in results["paired"] or {"finetune", "scratch"} <= set(histories):
        watched.append("no sign that fine-tuning is worse than training from scratch")
    *first, last = watched
    text = (
        f"No red flag was raised: {', '.join(first)}, and {last}."
        if first
        else f"No red flag was raised: {last}."
    )
    return (
        f"{text} What was fine-tuned has trained on its validation photos, so that its gap tells nothing."
        if without_gap
        else text
    )


def _heading(column: str) -> dict[str, Any]:
    heading = COLUMNS[column]
    better = "lower is better" if heading.lower_is_better else "higher is better"
    return {
        "title": heading.title,
        "meaning": heading.meaning,
        "better": better,
        "arrow": heading.arrow,
    }


def _method_rows(results: Mapping[str, Any], columns: Sequence[str]) -> list[dict[str, Any]]:
    best = {}
    for column in columns:
        known = [
            scores["mean"][column]
            for scores in results["methods"].values()
            if column in scores["mean"]
        ]
        best[column] = (min if COLUMNS[column].lower_is_better else max)(known, default=None)
    return [
        {
            "title": method_title(method),
            "cells": [
                _cell(score_text(scores, column))
                | {"best": scores["mean"].get(column) == best[column] is not None}
                for column in columns
            ],
            "hash": scores["weights_sha256"],
        }
        for method, scores in results["methods"].items()
    ]


def _cell(text: str) -> dict[str, str]:
    mean, sign, half = text.partition(" ± ")
    return {"text": mean, "half": f"{sign.strip()} {half}" if half else ""}


def _details(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """The table of what is beside the main columns: the plan's protocol, the network's size, regions."""
    counts = {
        column: max(s["count"].get(column, 0) for s in results["methods"].values())
        for column in DETAIL_COLUMNS
    }
    shown = [column for column, count in counts.items() if count]
    if not shown:
        return None
    headings = [_heading(column) | {"photos": f"{counts[column]} photos"} for column in shown]
    return {"columns": headings, "rows": _method_rows(results, shown)}


def _pair_rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for key, differences in results["paired"].items():
        method, _, baseline = key.partition("_vs_")
        cells = []
        for column in MAIN_COLUMNS:
            difference, heading = differences[column], COLUMNS[column]
            texts = [heading.text(difference["mean"], signed=True)]
            if difference["low"] is not None:
                texts.append(
                    "[{}]".format(
                        ", ".join(heading.text(difference[x], signed=True) for x in ("low", "high"))
                    )
                )
            cells.append(texts)
        title = f"{method_title(method)} − {method_title(baseline)}"
        rows.append({"title": title, "cells": cells, "words": outcome_words(differences["l1"])})
    return rows


def _expenses(results: Mapping[str, Any]) -> list[str]:
    """What it ran on, how long that took, what it cost."""
    machine, training = results["hardware"], results["training"]
    memory = f", {machine['memory_gib']} GiB" if machine["memory_gib"] else ""
    sentences = [
        f"Tested on {machine['cpu']}, {machine['cores']} cores{memory}; JAX computed on {machine['devices']}."
    ]
    if training["seconds"] is None:
        return [*sentences, "How long training took is not known."]
    times = ", ".join(
        f"{name} {_duration(stage['seconds'])}"
        for name, stage in results["stages"].items()
        if stage.get("seconds")
    )
    sentences.append(
        f"Training took {_duration(training['seconds'])} of steps, validation and compilation not counted: {times}."
    )
    if training["cost"] is None:
        sentences.append(
            f"That is {training['seconds'] / 3600:.2f} machine hours; what one costs was not said."
        )
    else:
        sentences.append(
            f"At {training['price_per_hour']:g} per machine hour that is {training['cost']:.2f}."
        )
    return sentences


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min"
        if hours
        else f"{minutes} min {seconds} s"
        if minutes
        else f"{seconds} s"
    )


def _sections(title: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Turn a nested configuration into tables: plain values under `title`, each nested dictionary under its own name."""
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    sections = (
        [{"title": title, "rows": [(key, value_text(value)) for key, value in plain.items()]}]
        if plain
        else []
    )
    for key, value in values.items():
        if isinstance(value, Mapping):
            sections += _sections(f"{title}.{key}" if title not in ("", "run") else key, value)
    return sections
