"""One cell of an ablation: trained, tested, kept as a small file; a stopped one continues."""

import dataclasses
import hashlib
import json
import shutil
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from enhancer.data.pairs import ReadablePairs, WithoutDamaged
from enhancer.inference.enhancer import Enhancer
from enhancer.network.trained import PACKAGED, load_best
from enhancer.scoring.baselines import FIT_SIDE, fit_baselines
from enhancer.scoring.evaluation import evaluate, unedited
from enhancer.system.files import write_json
from enhancer.training.loop import train
from recipes.ablation.folds import Fold, subset
from recipes.ablation.strategies import TRANSFER, Strategy
from recipes.experiment.data_sets import DataSets, JoinedSources, Subset
from recipes.experiment.options import Experiment, UsageError
from recipes.experiment.scored_pairs import read_reduced

FITTED = ("curve", "adaptive_lookup")
"""What is scored beside the trained networks, fitted on the same pairs as these."""


class Cell(NamedTuple):
    """One training, or one fit, and its test."""

    strategy: str
    pairs: int
    fold: int
    seed: int

    def __str__(self) -> str:
        return f"{self.strategy}, {self.pairs} pairs, fold {self.fold}, seed {self.seed}"

    @property
    def folder(self) -> str:
        """The name of its folder."""
        name = urllib.parse.quote(self.strategy.replace(" ", "_"), safe="")
        return f"{name}_{self.pairs}pairs_fold{self.fold}_seed{self.seed}"


class Cells:
    """Runs cells in an experiment's work folder; the folds hold sources of encoded pairs."""

    def __init__(
        self,
        experiment: Experiment,
        strategies: Mapping[str, Strategy],
        data: DataSets,
        folds: Sequence[Fold],
    ):
        self._experiment, self._strategies = experiment, strategies
        self._data, self._folds = data, folds
        self._pretrained: set[Path] = set()  # looking into their checkpoints takes seconds
        self._fitted: dict[Cell, Mapping[str, Callable]] = {}

    def read(self, cell: Cell) -> dict[str, Any] | None:
        """A finished cell's `{"cell", "settings", "seconds", "rows", "history"}`, else None.

        What was fitted with other settings counts as not finished: fitting takes seconds.

        Raises:
            UsageError: a network was trained or tested with other settings.
        """
        path = self._experiment.workdir / "cells" / cell.folder / "scores.json"
        try:
            saved = json.loads(path.read_text())
        except (OSError, ValueError):
            return None
        if saved["settings"] == self._settings(cell):
            return saved
        if cell.strategy in (*self._strategies, "pretrained"):
            raise UsageError(
                f"{path.parent} was run with other settings; name another --workdir, another name "
                "for the strategy, or delete that folder."
            )
        return None

    def run(self, cell: Cell) -> dict[str, Any]:
        """Train and test one cell, from where it stopped if it did."""
        folder, started = self._experiment.workdir / "cells" / cell.folder, time.monotonic()
        strategy, fold, history = self._strategy(cell), self._folds[cell.fold], []
        stage = dataclasses.replace(strategy.experiment.finetune, seed=cell.seed)
        if cell.strategy == "unedited":
            method = unedited
        elif cell.strategy in FITTED:
            method = self._fit(cell)[cell.strategy]
        else:
            start = self._pretrain(strategy, cell.seed) if strategy.pretrained else None
            if cell.strategy != "pretrained":
                if start and strategy.experiment.start_from_package:
                    start = PACKAGED
                history = train(
                    stage,
                    strategy.experiment.network_shape,
                    self._train_source(cell),
                    fold.validation,
                    folder,
                    start,
                    mixed_in=self._data.mixed_into_rooms(stage),
                    save_minutes=self._experiment.save_minutes,
                ).history
                start = folder
            assert start is not None
            method = Enhancer(load_best(start), stage.resolution).enhance
        test = WithoutDamaged(fold.test, "test data")
        rows = evaluate({"": method}, test, squash=self._experiment.squash)[""]
        trained_for = sum(row["seconds"] for row in history)
        saved = {
            "cell": cell._asdict(),
            "settings": self._settings(cell),
            "seconds": round(trained_for or time.monotonic() - started, 1),
            "rows": rows,
            "history": history,
        }
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "scores.json", saved)
        # Hundreds of networks would fill a disk, and the scores are what the ablation is for.
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return saved

    def _strategy(self, cell: Cell) -> Strategy:
        return self._strategies.get(cell.strategy, self._strategies[TRANSFER])

    def _pretrain(self, strategy: Strategy, seed: int) -> Path:
        """The folder of the pre-training that a strategy starts from, trained if need be."""
        experiment = strategy.experiment
        if experiment.pretrained is not None:
            return experiment.pretrained
        stage = dataclasses.replace(experiment.pretrain, seed=seed)
        shape = experiment.network_shape
        name = f"{_digest(dataclasses.asdict(shape), dataclasses.asdict(stage))}_seed{seed}"
        folder = self._experiment.workdir / "pretrain" / name
        if folder not in self._pretrained:
            splits = self._data.fivek("train"), self._data.fivek("validation")
            train(
                stage,
                shape,
                *splits,
                folder,
                PACKAGED if experiment.start_from_package else None,
                mixed_in=self._data.extra,
                save_minutes=self._experiment.save_minutes,
            )
            self._pretrained.add(folder)
        return folder

    def _train_source(self, cell: Cell) -> Any:
        fold = self._folds[cell.fold]
        drawn = Subset(fold.train, subset(cell.pairs, len(fold.train), cell.seed, cell.fold))
        both = self._experiment.train_on_validation
        return JoinedSources([drawn, fold.validation]) if both else drawn

    def _fit(self, cell: Cell) -> Mapping[str, Callable]:
        key = cell._replace(strategy="")
        if key not in self._fitted:
            pairs = ReadablePairs(self._train_source(cell), "training data")
            self._fitted[key] = fit_baselines(read_reduced(pairs, FIT_SIDE, "fitting"))
        return self._fitted[key]

    def _settings(self, cell: Cell) -> str:
        """A digest of all settings that a cell's scores depend on."""
        pretrained, used = self._strategy(cell)
        parts: list[Any] = [used.squash, used.finetune.resolution]
        if cell.strategy != "unedited":
            parts.append(used.train_on_validation)
        if cell.strategy in self._strategies:
            parts.append(dataclasses.asdict(used.finetune))
        if cell.strategy in (*self._strategies, "pretrained"):
            parts.append(dataclasses.asdict(used.network_shape))
            if pretrained:
                parts += [dataclasses.asdict(used.pretrain), str(used.pretrained)]
        return _digest(*parts)


def _digest(*settings: Any) -> str:
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
