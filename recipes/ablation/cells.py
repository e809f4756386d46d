"""One cell of an ablation: trained, tested, kept as a small file; a stopped one continues, a finished one is only read."""

import dataclasses
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from enhancer.data.pairs import Pair, ReadablePairs, WithoutDamaged
from enhancer.inference.enhancer import Enhancer
from enhancer.network.trained import load_best
from enhancer.scoring.evaluation import Method, evaluate, unedited
from enhancer.system.files import write_json
from enhancer.training.loop import train
from recipes.ablation_grid import FITTED, Cell, digest
from recipes.data_sets import JoinedSources, Sources
from recipes.experiment import Experiment, UsageError, network_shape
from recipes.fitted_baselines import FIT_SIDE, fit
from recipes.folds import Fold, subset
from recipes.scored_pairs import read_reduced
from recipes.strategies import Strategy


class Subset:
    """Some of a source's records, by their indices."""

    def __init__(self, source: Any, indices: Sequence[int]):
        self._source, self._indices = source, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._source[self._indices[index]]


@dataclasses.dataclass(frozen=True)
class FoldData:
    """What a fold trains, validates and tests on: sources of encoded pairs."""

    train: Any
    validation: Any
    test: Any


def cut(sources: Sources, folds: Sequence[Fold], pooled: Any) -> list[FoldData]:
    """The data of each fold; without folds those of the source's own lists."""
    if not folds:
        return [
            FoldData(*(sources.real_estate(split) for split in ("train", "validation", "test")))
        ]
    return [FoldData(*(Subset(pooled, part) for part in fold)) for fold in folds]


class Cells:
    """Runs cells in a work folder."""

    def __init__(
        self,
        experiment: Experiment,
        strategies: Sequence[Strategy],
        sources: Sources,
        folds: Sequence[FoldData],
    ):
        self._experiment, self._sources, self._folds = experiment, sources, folds
        self._strategies = {strategy.name: strategy for strategy in strategies}
        self._finished: set[Path] = (
            set()
        )  # pre-trainings: looking into their checkpoints takes seconds
        self._fitted: dict[tuple[int, int, int], Mapping[str, Method]] = {}

    def read(self, cell: Cell) -> dict[str, Any] | None:
        """A finished cell's `{"cell", "settings", "seconds", "rows", "history"}`, else None.

        A curve or table that was fitted with other settings counts as not finished: fitting takes seconds.

        Raises:
            UsageError: a network was trained or tested with other settings.
        """
        path = self._folder(cell) / "scores.json"
        try:
            saved = json.loads(path.read_text())
        except (OSError, ValueError):
            return None
        if saved["settings"] != self._settings(cell):
            if cell.strategy in FITTED:
                return None
            raise UsageError(
                f"{path.parent} was run with other settings; name another --workdir, another name for the strategy, or delete that folder."
            )
        return saved

    def run(self, cell: Cell) -> dict[str, Any]:
        """Train and test one cell, from where it stopped if it did."""
        folder, started = self._folder(cell), time.monotonic()
        method, history = self._method(cell, folder)
        test = WithoutDamaged(self._folds[cell.fold].test, "test data")
        rows = evaluate(method, test, squash=self._experiment.squash, name=cell.strategy)
        seconds = sum(row["seconds"] for row in history) if history else time.monotonic() - started
        saved = {
            "cell": dataclasses.asdict(cell),
            "settings": self._settings(cell),
            "seconds": round(seconds, 1),
            "rows": rows,
            "history": history,
        }
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "scores.json", saved)
        # Hundreds of networks would fill a disk, and the scores are what the ablation is for.
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return saved

    def _method(self, cell: Cell, folder: Path) -> tuple[Method, list[dict[str, Any]]]:
        if cell.strategy == "unedited":
            return unedited, []
        if cell.strategy == "pretrained":
            strategy = self._strategies["transfer"]
            return Enhancer(
                load_best(self._pretrained(strategy, cell.seed)),
                strategy.experiment.finetune.resolution,
            ).enhance, []
        if cell.strategy in FITTED:
            return self._baselines(cell)[cell.strategy], []
        strategy = self._strategies[cell.strategy]
        experiment = strategy.experiment
        stage = dataclasses.replace(experiment.finetune, seed=cell.seed)
        result = train(
            stage,
            network_shape(experiment),
            self._train_source(cell),
            self._folds[cell.fold].validation,
            folder,
            initialise_from=self._pretrained(strategy, cell.seed) if strategy.pretrained else None,
            mixed_in=self._sources.fivek("train") if stage.mix_weight else None,
            save_minutes=experiment.save_minutes,
        )
        return Enhancer(load_best(folder), stage.resolution).enhance, result.history

    def _pretrained(self, strategy: Strategy, seed: int) -> Path:
        """The folder of the pre-training that a strategy starts from with a seed, trained when it is not yet there."""
        experiment = strategy.experiment
        if experiment.pretrained is not None:
            return experiment.pretrained
        stage, shape = (
            dataclasses.replace(experiment.pretrain, seed=seed),
            network_shape(experiment),
        )
        folder = (
            self._experiment.workdir
            / "pretrain"
            / f"{digest([dataclasses.asdict(shape), dataclasses.asdict(stage)])}_seed{seed}"
        )
        if folder in self._finished:
            return folder
        train(
            stage,
            shape,
            self._sources.fivek("train"),
            self._sources.fivek("validation"),
            folder,
            mixed_in=self._sources.extra,
            save_minutes=experiment.save_minutes,
        )
        self._finished.add(folder)
        return folder

    def _train_source(self, cell: Cell) -> Subset | JoinedSources:
        """What a cell is trained or fitted on."""
        fold = self._folds[cell.fold]
        drawn = Subset(fold.train, subset(cell.pairs, len(fold.train), cell.seed, cell.fold))
        return (
            JoinedSources([drawn, fold.validation])
            if self._experiment.train_on_validation
            else drawn
        )

    def _baselines(self, cell: Cell) -> Mapping[str, Method]:
        key = (cell.pairs, cell.fold, cell.seed)
        if key not in self._fitted:
            pairs: list[Pair] = read_reduced(
                ReadablePairs(self._train_source(cell), "training data"), FIT_SIDE, "fitting"
            )
            self._fitted = {
                key: fit(pairs)
            }  # the last one only: cells of one key follow each other
        return self._fitted[key]

    def _settings(self, cell: Cell) -> str:
        """What decides a cell's result beside its name and the data, as a hash."""
        strategy = self._strategies.get(cell.strategy, self._strategies["transfer"])
        experiment, untrained = strategy.experiment, cell.strategy not in self._strategies
        parts: dict[str, Any] = {
            "squash": self._experiment.squash,
            "resolution": experiment.finetune.resolution,
        }
        if not untrained:
            parts |= {
                "finetune": dataclasses.asdict(experiment.finetune),
                "shape": dataclasses.asdict(network_shape(experiment)),
            }
            parts |= {"train_on_validation": experiment.train_on_validation}
        elif cell.strategy in FITTED and experiment.train_on_validation:
            parts |= {"train_on_validation": True}
        if strategy.pretrained and cell.strategy not in ("unedited", *FITTED):
            parts |= {
                "pretrain": dataclasses.asdict(experiment.pretrain),
                "pretrained": str(experiment.pretrained),
            }
        return digest(parts)

    def _folder(self, cell: Cell) -> Path:
        return self._experiment.workdir / "cells" / cell.name
