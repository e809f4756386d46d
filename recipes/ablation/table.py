"""What an ablation found, as one table: each strategy on each number of pairs, over seeds, folds and photos."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from enhancer.scoring import bootstrap
from enhancer.scoring.columns import MAIN_COLUMNS, number_text
from enhancer.scoring.results import comparison_fields, method_title, summarise
from enhancer.scoring.results_table import text_table
from enhancer.scoring.verdict import change_text
from recipes.ablation_grid import FITTED
from recipes.strategies import SCRATCH, TRANSFER

_WITHOUT_PAIRS = ("unedited", "pretrained")
_WORDS = {"better": "better", "worse": "worse", "same": "no difference", "open": "cannot be told"}


def summarise_cells(
    cells: Sequence[Mapping[str, Any]], folds: int, scene_of: Mapping[str, int]
) -> list[dict[str, Any]]:
    """One row per strategy and number of pairs.

    Only seeds of which every fold is finished count, so that all rows are about the same photos.

    Args:
        cells: finished ones, as `recipes.ablation_cells.Cells.read` returns them.
        folds: how many there are.
        scene_of: the scene of each test photo by id.

    Returns:
        Rows with `strategy`, `pairs`, `seeds`, `n` (photos), `mean` (per main score), `l1_low`, `l1_high` (Student t over
        photos, scores averaged over seeds), `l1_between_seeds` (standard deviation; None for one seed), `seconds` (of a
        training, mean), and `vs_scratch`, `vs_transfer`: L1 against these on as many pairs, as
        `enhancer.scoring.results.comparison_fields`, None where there is nothing to compare with; `vs_curve`, `vs_adaptive_lookup`:
        likewise, of scratch and transfer, against what was fitted without a network.
    """
    rows = {}
    for cell in cells:
        key = (cell["cell"]["strategy"], cell["cell"]["pairs"])
        rows.setdefault(key, {}).setdefault(cell["cell"]["seed"], {})[cell["cell"]["fold"]] = cell
    groups = {}
    for key, by_seed in rows.items():
        whole = [
            [by_fold[fold] for fold in range(folds)]
            for _, by_fold in sorted(by_seed.items())
            if len(by_fold) == folds
        ]
        if whole:
            groups[key] = _Group(whole)
    table = []
    for (strategy, pairs), group in groups.items():
        summary = summarise(group.averaged())
        seed_means = group.l1.mean(axis=1)
        row = {
            "strategy": strategy,
            "pairs": pairs,
            "seeds": len(group.l1),
            "n": group.l1.shape[1],
            "mean": {column: summary[column]["mean"] for column in MAIN_COLUMNS},
            "l1_low": summary["l1"]["low"],
            "l1_high": summary["l1"]["high"],
            "l1_between_seeds": float(seed_means.std(ddof=1)) if len(seed_means) > 1 else None,
            "seconds": group.seconds,
        }
        for baseline in (SCRATCH, TRANSFER):
            other = groups.get((baseline, pairs))
            compared = (
                other is not None
                and strategy != baseline
                and not (baseline == TRANSFER and strategy == SCRATCH)
            )
            row[f"vs_{baseline}"] = _compared(group, other, scene_of) if compared else None
        for baseline in FITTED:
            other = groups.get((baseline, pairs))
            compared = other is not None and strategy in (SCRATCH, TRANSFER)
            row[f"vs_{baseline}"] = _compared(group, other, scene_of) if compared else None
        table.append(row)
    # Stable: within a number of pairs the order is the grid's.
    return sorted(table, key=lambda row: (row["strategy"] not in _WITHOUT_PAIRS, row["pairs"]))


class _Group:
    """The cells of one strategy and number of pairs: per seed a cell per fold."""

    def __init__(self, cells: Sequence[Sequence[Mapping[str, Any]]]):
        self.rows = [[row for cell in folds for row in cell["rows"]] for folds in cells]
        self.ids = [row["id"] for row in self.rows[0]]
        self.l1 = np.array([[row["l1"] for row in rows] for rows in self.rows])
        self.seconds = float(np.mean([cell["seconds"] for folds in cells for cell in folds]))

    def averaged(self) -> list[dict[str, Any]]:
        """Rows of scores averaged over seeds."""
        return [
            {"id": self.ids[i]}
            | {
                column: float(np.mean([rows[i][column] for rows in self.rows]))
                for column in MAIN_COLUMNS
            }
            for i in range(len(self.ids))
        ]


def _compared(group: _Group, other: _Group, scene_of: Mapping[str, int]) -> dict[str, Any]:
    # Different folds have tested the photos in the same order, since each cell's rows follow its fold.
    return comparison_fields(
        bootstrap.compare(group.l1, other.l1, [scene_of[name] for name in group.ids])
    )


def ablation_text(table: Sequence[Mapping[str, Any]]) -> str:
    """The table for a terminal."""
    return text_table([HEADINGS, *(table_cells(row) for row in table)])


HEADINGS = [
    "",
    "pairs",
    "seeds",
    "photos",
    "L1 ↓",
    "between seeds",
    "L1 against scratch",
    "L1 against transfer",
]


def table_cells(row: Mapping[str, Any]) -> list[str]:
    """A row as text."""
    half = "" if row["l1_low"] is None else f" ± {(row['l1_high'] - row['l1_low']) / 2:.4f}"
    between = "–" if row["l1_between_seeds"] is None else f"{row['l1_between_seeds']:.4f}"
    # An unedited photo or a pre-trained network has been fitted on no pairs.
    pairs = "–" if row["strategy"] in _WITHOUT_PAIRS else str(row["pairs"])
    counts = [pairs, str(row["seeds"]), str(row["n"])]
    texts = [_comparison_text(row[key]) for key in ("vs_scratch", "vs_transfer")]
    return [
        method_title(row["strategy"]),
        *counts,
        f"{row['mean']['l1']:.4f}{half}",
        between,
        *texts,
    ]


def _comparison_text(difference: Mapping[str, Any] | None) -> str:
    if difference is None:
        return "–"
    if difference["relative_low"] is None:
        return change_text(difference)
    percent, low, high = (
        number_text(difference[f"relative_{x}"], 1, signed=True) for x in ("percent", "low", "high")
    )
    return f"{percent} % [{low}, {high}] {_WORDS[difference['outcome']]}"
