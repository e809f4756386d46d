"""An ablation's results: written as JSON and as a page for people, and returned as a table for the screen."""

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from enhancer.report.page import render, value_text
from enhancer.report.plots import plot_gain_by_pairs, plot_scale
from enhancer.scoring.columns import number_text
from enhancer.scoring.results import method_title
from enhancer.scoring.verdict import (
    change_text,
    comparison_sentence,
    detectable_sentence,
    levels_sentence,
    photos_text,
    scratch_headline,
)
from enhancer.system.files import write_atomically, write_json
from enhancer.system.hardware import describe
from recipes.ablation_grid import FITTED
from recipes.ablation_table import HEADINGS, ablation_text, summarise_cells, table_cells
from recipes.strategies import SCRATCH, TRANSFER

_SCHEMA_VERSION = 1


def write(
    workdir: Path,
    config: Mapping[str, Any],
    cells: Sequence[Mapping[str, Any]],
    also_trained_on: Sequence[int],
    scene_of: Mapping[str, int],
    presets: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """Write `ablation.json` and `ablation.html`; return the table with its sentences.

    Args:
        workdir: where they go.
        config: the resolved configuration.
        cells: all finished cells.
        also_trained_on: per fold, how many validation pairs networks and baselines have seen beside the pairs that the table
            counts.
        scene_of: the scene of each test photo by id.
        presets: configurations by name; the page shows where `config` differs from the closest. Without them it shows all of it.
    """
    preset, settings = closest_preset(config, presets or {"": {}})
    table = summarise_cells(cells, len(also_trained_on), scene_of)
    headline, sentences = conclude(table, len(also_trained_on))
    if any(also_trained_on):
        low, high = min(also_trained_on), max(also_trained_on)
        number = str(high) if low == high else f"{low} to {high}"
        sentences = [
            *sentences,
            f"Networks, curves and tables have also seen the {number} validation {'pair' if high == 1 else 'pairs'}, which the "
            "numbers of pairs do not count.",
        ]
    hardware, seconds = describe(), sum(cell["seconds"] for cell in cells)
    results = {
        "schema_version": _SCHEMA_VERSION,
        "config": config,
        "table": table,
        "headline": headline,
        "sentences": sentences,
        "hardware": hardware,
        "seconds": round(seconds, 1),
        "cells": list(cells),
    }
    write_json(workdir / "ablation.json", results)
    points = [
        row for row in table if row["vs_scratch"] and row["vs_scratch"]["relative_low"] is not None
    ]
    curves = {
        method_title(name): sorted(
            (
                {"pairs": row["pairs"], **row["vs_scratch"]}
                for row in points
                if row["strategy"] == name
            ),
            key=lambda p: p["pairs"],
        )
        for name in (TRANSFER, *FITTED)
    }
    main = _main_row(table)
    page = render(
        "ablation.html",
        headline=headline,
        sentences=sentences,
        headings=HEADINGS,
        rows=[[_two_lines(cell) for cell in table_cells(row)] for row in table],
        scale=plot_scale(main["vs_scratch"])
        if main and main["vs_scratch"]["relative_low"] is not None
        else None,
        gain=plot_gain_by_pairs({name: line for name, line in curves.items() if line})
        if any(curves.values())
        else None,
        expenses=[
            f"Tested on {hardware['cpu']}, {hardware['cores']} cores; JAX computed on {hardware['devices']}.",
            f"All trainings together took {seconds / 60:.0f} minutes of steps, pre-training not counted.",
        ],
        preset=preset,
        settings=settings,
        written=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
    )
    write_atomically(workdir / "ablation.html", page.encode())
    return "\n".join([ablation_text(table), "", f"{headline}.", *sentences])


def _two_lines(cell: str) -> tuple[str, str]:
    """A cell's figure, and its interval for the line below."""
    for sign in (" ± ", " ["):
        figure, found, rest = cell.partition(sign)
        if found:
            return figure, f"{sign.strip()}{' ' if sign == ' ± ' else ''}{rest}"
    return cell, ""


def closest_preset(
    config: Mapping[str, Any], presets: Mapping[str, Mapping[str, Any]]
) -> tuple[str, list[tuple[str, str, str]]]:
    """The preset that differs least from a configuration; and each setting that does, its value, and the preset's, as text."""
    asked = _flat(config)
    differing = {}
    for name, preset in presets.items():
        usual = _flat(preset)
        pairs = [
            (key, value_text(value), value_text(usual.get(key))) for key, value in asked.items()
        ]
        differing[name] = [(key, here, there) for key, here, there in pairs if here != there]
    return min(differing.items(), key=lambda item: len(item[1]))


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings in settings under joined names, `finetune.epochs`."""
    flat = {}
    for key, value in config.items():
        flat |= (
            _flat(value, f"{prefix}{key}.")
            if isinstance(value, Mapping)
            else {f"{prefix}{key}": value}
        )
    return flat


def conclude(table: Sequence[Mapping[str, Any]], folds: int) -> tuple[str, list[str]]:
    """A headline and sentences on what the table allows to be said."""
    main = _main_row(table)
    if main is None:
        return "The scores of this ablation", []
    difference = main["vs_scratch"]
    photos = photos_text(difference["n"], difference["scenes"])
    sentences = [
        f"Pre-training first, on {main['pairs']} fine-tuning pairs and over {main['seeds']} seeds, changes L1 by {change_text(difference)} on "
        f"the same {photos}.",
        levels_sentence(difference),
        detectable_sentence(difference) if difference["detectable_percent"] is not None else "",
    ]
    compared = [
        row
        for row in table
        if row["vs_transfer"] and row["strategy"] not in ("unedited", "pretrained", *FITTED)
    ]
    if compared:
        told = [
            f"{row['strategy']} ({number_text(row['vs_transfer']['relative_percent'], 1, signed=True)} %)"
            for row in compared
            if row["vs_transfer"]["outcome"] in ("better", "worse")
        ]
        sentences.append(
            f"Of {len(compared)} other strategies {', '.join(told) if told else 'none'} can be told from plain fine-tuning; of twenty that do "
            "nothing, one would be called different by chance."
        )
    sentences += [
        comparison_sentence(
            f"Compared with “{method_title(baseline)}”, {subject}", row[f"vs_{baseline}"]
        )
        for subject, row in (
            ("transfer", main),
            ("training from scratch", _row(table, SCRATCH, main["pairs"])),
        )
        for baseline in FITTED
        if row and row[f"vs_{baseline}"]
    ]
    if main["seeds"] < 3:
        sentences.append(
            f"{main['seeds']} seed{'s' if main['seeds'] > 1 else ''} say little about the luck of training; take three or more."
        )
    if folds > 1:
        sentences.append(
            f"Each photo was tested by the network of the fold that had not seen its scene ({folds} folds). Training sets of the folds overlap, "
            "which the intervals do not know: they are somewhat too narrow."
        )
    return scratch_headline(difference), [sentence for sentence in sentences if sentence]


def _row(table: Sequence[Mapping[str, Any]], strategy: str, pairs: int) -> Mapping[str, Any] | None:
    return next(
        (row for row in table if row["strategy"] == strategy and row["pairs"] == pairs), None
    )


def _main_row(table: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    rows = [row for row in table if row["strategy"] == TRANSFER and row["vs_scratch"]]
    return max(rows, key=lambda row: row["pairs"], default=None)
