"""What an ablation found: each strategy on each number of pairs, over seeds, folds and photos."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from enhancer.report.page import flat_settings, render
from enhancer.report.plots import plot_gain_by_pairs
from enhancer.scoring import statistics
from enhancer.scoring.results import comparison_fields, method_title, summarise, text_table
from enhancer.scoring.verdict import (
    change_text,
    detectable_sentence,
    difference_sentence,
    headline,
    words,
)
from enhancer.system.files import write_atomically, write_json
from enhancer.system.hardware import describe
from recipes.ablation.cells import FITTED
from recipes.ablation.strategies import SCRATCH, TRANSFER

HEADINGS = ["", "pairs", "seeds", "photos", "L1 ↓", "between seeds", "vs scratch", "vs transfer"]
_WITHOUT_PAIRS = ("unedited", "pretrained")


def write(
    workdir: Path,
    config: Mapping[str, Any],
    cells: Sequence[Mapping[str, Any]],
    folds: int,
    scene_of: Mapping[str, int],
) -> str:
    """Write `ablation.json` and `ablation.html`; return the table with its sentences.

    Args:
        workdir: where they go.
        config: the resolved configuration.
        cells: all finished cells, as `recipes.ablation.cells.Cells.read` returns them.
        folds: how many there are.
        scene_of: the scene of each test photo by id.
    """
    table = summarise_cells(cells, folds, scene_of)
    said, sentences = conclude(table, folds)
    if config.get("train_on_validation"):
        sentences.append("Everything has seen the validation pairs besides, which are not counted.")
    results = {
        "schema_version": 1,
        "config": config,
        "table": table,
        "headline": said,
        "sentences": sentences,
        "hardware": describe(),
        "seconds": round(sum(cell["seconds"] for cell in cells), 1),
        "cells": list(cells),
    }
    write_json(workdir / "ablation.json", results)
    gains = {
        method_title(name): [
            {"pairs": row["pairs"], **row["vs_scratch"]}
            for row in table
            if row["strategy"] == name
            and row["vs_scratch"]
            and row["vs_scratch"]["relative_low"] is not None
        ]
        for name in (TRANSFER, *FITTED)
    }
    gains = {name: points for name, points in gains.items() if points}
    rows = [_cells(row) for row in table]
    page = render(
        "ablation.html",
        subject="ablation",
        headline=said,
        sentences=sentences,
        gain=plot_gain_by_pairs(gains) if gains else None,
        headings=HEADINGS,
        rows=rows,
        settings={"Settings": flat_settings(config)},
    )
    write_atomically(workdir / "ablation.html", page)
    return "\n".join([text_table([HEADINGS, *rows]), "", f"{said}.", *sentences])


def summarise_cells(
    cells: Sequence[Mapping[str, Any]], folds: int, scene_of: Mapping[str, int]
) -> list[dict[str, Any]]:
    """One row per strategy and number of pairs, of the seeds of which every fold is finished.

    Returns: Rows with `strategy`, `pairs`, `seeds`, `n` (photos), `mean` (per score), `l1_low`,
        `l1_high` (Student t over photos, scores averaged over seeds), `l1_between_seeds` (standard
        deviation; None for one seed), `seconds` (of a training, mean), and `vs_scratch`,
        `vs_transfer`, `vs_curve`, `vs_adaptive_lookup`: L1 against these on as many pairs, as
        `enhancer.scoring.results.comparison_fields`; None where there is nothing to compare with.
    """
    grouped: dict[tuple[str, int], dict[int, dict[int, Any]]] = {}
    for cell in cells:
        place = cell["cell"]
        seeds = grouped.setdefault((place["strategy"], place["pairs"]), {})
        seeds.setdefault(place["seed"], {})[place["fold"]] = cell
    whole = {
        key: [
            [row for fold in range(folds) for row in by_fold[fold]["rows"]]
            for _, by_fold in sorted(seeds.items())
            if len(by_fold) == folds
        ]
        for key, seeds in grouped.items()
    }
    # Per strategy and number of pairs its scores, by seed and photo; folds keep the photos' order.
    l1 = {
        key: np.array([[row["l1"] for row in rows] for rows in seeds])
        for key, seeds in whole.items()
        if seeds
    }
    table = []
    for (strategy, pairs), scores in l1.items():
        by_seed = whole[strategy, pairs]
        ids = [row["id"] for row in by_seed[0]]
        averaged = [
            {"id": rows[0]["id"]}
            | {k: np.mean([r[k] for r in rows]) for k in rows[0] if k in shown}
            for rows in zip(*by_seed, strict=True)
            for shown in [
                {key for key in rows[0] if key != "id" and all(r[key] is not None for r in rows)}
            ]
        ]
        summary = summarise(averaged)
        means = scores.mean(axis=1)
        places = [
            c for c in cells if (c["cell"]["strategy"], c["cell"]["pairs"]) == (strategy, pairs)
        ]
        row = {
            "strategy": strategy,
            "pairs": pairs,
            "seeds": len(scores),
            "n": scores.shape[1],
            "mean": {column: found["mean"] for column, found in summary.items()},
            "l1_low": summary["l1"]["low"],
            "l1_high": summary["l1"]["high"],
            "l1_between_seeds": float(means.std(ddof=1)) if len(means) > 1 else None,
            "seconds": float(np.mean([cell["seconds"] for cell in places])),
        }
        for baseline in (SCRATCH, TRANSFER, *FITTED):
            other = l1.get((baseline, pairs))
            row[f"vs_{baseline}"] = None
            if other is not None and strategy != baseline:
                found = statistics.compare(scores, other, [scene_of[name] for name in ids])
                row[f"vs_{baseline}"] = comparison_fields(found)
        table.append(row)
    # Stable: within a number of pairs the order is the grid's.
    return sorted(table, key=lambda row: (row["strategy"] not in _WITHOUT_PAIRS, row["pairs"]))


def conclude(table: Sequence[Mapping[str, Any]], folds: int) -> tuple[str, list[str]]:
    """A headline, and what else the table allows to be said of the most pairs."""
    compared = [row for row in table if row["strategy"] == TRANSFER and row["vs_scratch"]]
    if not compared:
        return "The scores of this ablation", []
    main = max(compared, key=lambda row: row["pairs"])
    pair = main["vs_scratch"]
    sentences = [
        difference_sentence(main[f"vs_{other}"], "transfer", method_title(other))
        for other in (SCRATCH, *FITTED)
        if main[f"vs_{other}"]
    ]
    if pair["detectable_percent"] is not None:
        sentences.append(detectable_sentence(pair))
    if main["seeds"] < 3:
        sentences.append("Fewer than three seeds say little about the luck of training.")
    if folds > 1:
        sentences.append(
            f"Training sets of the {folds} folds overlap, which the intervals do not know: they are "
            "somewhat too narrow."
        )
    return headline(SCRATCH, pair), sentences


def _cells(row: Mapping[str, Any]) -> list[str]:
    """A row as text."""
    half = "" if row["l1_low"] is None else f" ± {(row['l1_high'] - row['l1_low']) / 2:.4f}"
    between = row["l1_between_seeds"]
    pairs = [row["vs_scratch"], None if row["strategy"] == SCRATCH else row["vs_transfer"]]
    return [
        method_title(row["strategy"]),
        # An unedited photo or a pre-trained network has been fitted on no pairs.
        "–" if row["strategy"] in _WITHOUT_PAIRS else str(row["pairs"]),
        str(row["seeds"]),
        str(row["n"]),
        f"{row['mean']['l1']:.4f}{half}",
        "–" if between is None else f"{between:.4f}",
        *(f"{change_text(pair)} {words(pair)}" if pair else "–" for pair in pairs),
    ]
