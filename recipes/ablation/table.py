"""What an ablation found: each strategy on each number of pairs, over seeds, folds and photos."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from enhancer.report.page import flat_settings, render
from enhancer.report.plots import plot_changes
from enhancer.scoring import statistics, verdict
from enhancer.scoring.results import comparison_fields, method_title, summarise, text_table
from enhancer.system.files import write_atomically, write_json
from enhancer.system.hardware import describe
from recipes.ablation.cells import FITTED
from recipes.ablation.strategies import SCRATCH, TRANSFER
from recipes.experiment.options import SUCCESS_LEVELS

HEADINGS = ["", "pairs", "seeds", "photos", "L1 ↓", "between seeds", "vs scratch", "vs transfer"]
_WITHOUT_PAIRS = ("unedited", "pretrained")  # fitted on none


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
    seconds = round(sum(cell["seconds"] for cell in cells), 1)
    results = {"schema_version": 1, "config": config, "table": table, "headline": said}
    results |= {"sentences": sentences, "hardware": describe(), "seconds": seconds}
    write_json(workdir / "ablation.json", results | {"cells": list(cells)})
    changes = {
        f"{method_title(row['strategy'])}, {row['pairs']} pairs": row["vs_scratch"]
        for row in table
        if row["vs_scratch"] and row["strategy"] not in _WITHOUT_PAIRS
    }
    rows = [_texts(row) for row in table]
    page = render(
        "ablation.html",
        subject="ablation",
        headline=said,
        sentences=sentences,
        plot=plot_changes(changes, SUCCESS_LEVELS, "change of L1 against scratch"),
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

    Returns:
        Rows with `strategy`, `pairs`, `seeds`, `n` (photos), `mean` (per score), `l1_low`,
        `l1_high` (Student t over photos, averaged over seeds), `l1_between_seeds` (standard
        deviation; None for one seed), `seconds` (of the trainings), and `vs_scratch`,
        `vs_transfer`, `vs_curve`, `vs_adaptive_lookup`: L1 against these on as many pairs, as
        `enhancer.scoring.results.comparison_fields`; None where there is nothing to compare with.
    """
    groups: dict[tuple[str, int], dict[int, list[Mapping[str, Any]]]] = {}
    # By seed and fold: so all rows are about the same photos in the same order.
    for cell in sorted(cells, key=lambda cell: (cell["cell"]["seed"], cell["cell"]["fold"])):
        place = cell["cell"]
        seeds = groups.setdefault((place["strategy"], place["pairs"]), {})
        seeds.setdefault(place["seed"], []).append(cell)
    whole = {
        key: [found for found in seeds.values() if len(found) == folds]
        for key, seeds in groups.items()
    }
    rows = {
        key: [[row for cell in found for row in cell["rows"]] for found in seeds]
        for key, seeds in whole.items()
        if seeds
    }
    l1 = {key: np.array([[row["l1"] for row in seed] for seed in rows[key]]) for key in rows}
    table = []
    for (strategy, pairs), scores in l1.items():
        over_photos = summarise([{"l1": float(value)} for value in scores.mean(axis=0)])["l1"]
        over_all = summarise([row for seed in rows[strategy, pairs] for row in seed])
        between = float(scores.mean(axis=1).std(ddof=1)) if len(scores) > 1 else None
        row = {
            "strategy": strategy,
            "pairs": pairs,
            "seeds": len(scores),
            "n": scores.shape[1],
            "mean": {column: found["mean"] for column, found in over_all.items()},
            "l1_low": over_photos["low"],
            "l1_high": over_photos["high"],
            "l1_between_seeds": between,
            "seconds": sum(cell["seconds"] for seed in whole[strategy, pairs] for cell in seed),
        }
        scenes = [scene_of[photo["id"]] for photo in rows[strategy, pairs][0]]
        for baseline in (SCRATCH, TRANSFER, *FITTED):
            row[f"vs_{baseline}"], other = None, l1.get((baseline, pairs))
            if other is not None and strategy != baseline:
                found = statistics.compare(scores, other, scenes)
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
        verdict.difference_sentence(main[f"vs_{other}"], "transfer", method_title(other))
        for other in (SCRATCH, *FITTED)
        if main[f"vs_{other}"]
    ]
    if pair["detectable_percent"] is not None:
        sentences.append(verdict.detectable_sentence(pair))
    if main["seeds"] < 3:
        sentences.append("Fewer than three seeds say little about the luck of training.")
    if folds > 1:
        sentences.append(
            f"Training sets of the {folds} folds overlap, which the intervals do not know: they "
            "are somewhat too narrow."
        )
    return verdict.headline(SCRATCH, pair), sentences


def _texts(row: Mapping[str, Any]) -> list[str]:
    half = "" if row["l1_low"] is None else f" ± {(row['l1_high'] - row['l1_low']) / 2:.4f}"
    between = row["l1_between_seeds"]
    pairs = [row["vs_scratch"], None if row["strategy"] == SCRATCH else row["vs_transfer"]]
    return [
        method_title(row["strategy"]),
        "–" if row["strategy"] in _WITHOUT_PAIRS else str(row["pairs"]),
        str(row["seeds"]),
        str(row["n"]),
        f"{row['mean']['l1']:.4f}{half}",
        "–" if between is None else f"{between:.4f}",
        *(f"{verdict.change_text(pair)} {verdict.words(pair)}" if pair else "–" for pair in pairs),
    ]
