"""The grid of an ablation: which networks are trained on how many pairs of which fold with which seed."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from recipes.experiment import UsageError
from recipes.strategies import SCRATCH, TRANSFER, Strategy

FITTED = ("curve", "adaptive_lookup")
"""What is scored beside the trained networks, fitted on the same pairs as these."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One training, or one fit, and its test."""

    strategy: str
    pairs: int
    fold: int
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        words = re.sub(r"[^a-z0-9]+", "_", self.strategy.lower()).strip("_")
        # Names that differ in signs only must not share a folder.
        mark = (
            ""
            if words == self.strategy
            else "_" + hashlib.sha256(self.strategy.encode()).hexdigest()[:6]
        )
        return f"{words}{mark}_{self.pairs}pairs_fold{self.fold}_seed{self.seed}"


def pair_counts(available: int, fractions: Sequence[float], pairs: Sequence[int]) -> list[int]:
    """Numbers of training pairs, rising: fractions of the available ones, and numbers, at most as many as there are.

    Raises:
        UsageError: a fraction or number that is none, or nothing asked for.
    """
    for fraction in fractions:
        if not 0 < fraction <= 1:
            raise UsageError(f"--fractions lie in (0, 1], received {fraction}.")
    for number in pairs:
        if number < 1:
            raise UsageError(f"--pairs are at least 1, received {number}.")
    counts = {max(1, round(fraction * available)) for fraction in fractions} | {
        min(number, available) for number in pairs
    }
    if not counts:
        raise UsageError("Name at least one of --fractions or --pairs.")
    return sorted(counts)


def plan(
    strategies: Sequence[Strategy], counts: Sequence[int], folds: int, seeds: Sequence[int]
) -> list[Cell]:
    """All cells: scratch and transfer on every number of pairs, the other strategies on the largest.

    Seeds come last, so that a run that is stopped half-way has whole comparisons for some of them.
    """
    if len(set(seeds)) != len(seeds) or not seeds:
        raise UsageError("--seeds takes different numbers, at least one.")
    names = [strategy.name for strategy in strategies]
    if len(set(names)) != len(names):
        raise UsageError(f"Two strategies have the same name: {', '.join(names)}.")
    cells = []
    for seed in seeds:
        for fold in range(folds):
            if seed == seeds[0]:
                cells.append(Cell("unedited", counts[-1], fold, seed))
            cells.append(Cell("pretrained", counts[-1], fold, seed))
            for count in reversed(counts):
                cells += [Cell(name, count, fold, seed) for name in (*FITTED, SCRATCH, TRANSFER)]
            cells += [
                Cell(name, counts[-1], fold, seed)
                for name in names
                if name not in (SCRATCH, TRANSFER)
            ]
    return cells


def digest(settings: Any) -> str:
    """A short hash of settings as JSON, for names of folders."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[
        :10
    ]
