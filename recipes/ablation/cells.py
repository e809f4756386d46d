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
from enhancer.network.trained import load_best
from enhancer.scoring.baselines import FIT_SIDE, fit_baselines
from enhancer.scoring.evaluation import evaluate, unedited
from enhancer.system.files import write_json
from enhancer.training.loop import train
from recipes.ablation.folds import subset
from recipes.ablation.strategies import TRANSFER, Strategy
from recipes.data_sets import DataSets, JoinedSources, Subset
from recipes.experiment import Experiment, UsageError
from recipes.scored_pairs import read_reduced

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


class FoldData(NamedTuple):
    """What a fold trains, validates and tests on: sources of encoded pairs."""

    train: Any
    validation: Any
    test: Any


@dataclasses.dataclass(frozen=True)
class Cells:
    """Runs cells in an experiment's work folder."""

    experiment: Experiment
    strategies: Mapping[str, Strategy]
    data: DataSets
    folds: Sequence[FoldData]
    pretrained: dict[Path, bool] = dataclasses.field(default_factory=dict)
    """Pre-trainings that are finished: looking into their checkpoints takes seconds."""
    fitted: dict[Cell, Mapping[str, Callable]] = dataclasses.field(default_factory=dict)

    def read(self, cell: Cell) -> dict[str, Any] | None:
        """A finished cell's `{"cell", "settings", "seconds", "rows", "history"}`, else None.

        What was fitted with other settings counts as not finished: fitting takes seconds.

        Raises:
            UsageError: a network was trained or tested with other settings.
        """
        path = self.experiment.workdir / "cells" / cell.folder / "scores.json"
        try:
            saved = json.loads(path.read_text())
        except (OSError, ValueError):
            return None
        if saved["settings"] == self._settings(cell):
            return saved
        if cell.strategy in self.strategies or cell.strategy == "pretrained":
            raise UsageError(
                f"{path.parent} was run with other settings; name another --workdir, another name "
                "for the strategy, or delete that folder."
            )
        return None

    def run(self, cell: Cell) -> dict[str, Any]:
        """Train and test one cell, from where it stopped if it did."""
        folder, started = self.experiment.workdir / "cells" / cell.folder, time.monotonic()
        strategy, history = self.strategies.get(cell.strategy, self.strategies[TRANSFER]), []
        stage = dataclasses.replace(strategy.experiment.finetune, seed=cell.seed)
        if cell.strategy == "unedited":
            method = unedited
        elif cell.strategy in FITTED:
            method = self._fit(cell)[cell.strategy]
        elif cell.strategy == "pretrained":
            pretrained = load_best(self._pretrain(strategy, cell.seed))
            method = Enhancer(pretrained, stage.resolution).enhance
        else:
            history = train(
                stage,
                strategy.experiment.network_shape,
                self._train_source(cell),
                self.folds[cell.fold].validation,
                folder,
                self._pretrain(strategy, cell.seed) if strategy.pretrained else None,
                mixed_in=[self.data.fivek("train")] if stage.mix_weight else [],
                save_minutes=self.experiment.save_minutes,
            ).history
            method = Enhancer(load_best(folder), stage.resolution).enhance
        test = WithoutDamaged(self.folds[cell.fold].test, "test data")
        rows = evaluate({"": method}, test, squash=self.experiment.squash)[""]
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

    def _pretrain(self, strategy: Strategy, seed: int) -> Path:
        """The folder of the pre-training that a strategy starts from, trained if need be."""
        experiment = strategy.experiment
        if experiment.pretrained is not None:
            return experiment.pretrained
        stage = dataclasses.replace(experiment.pretrain, seed=seed)
        shape = experiment.network_shape
        name = f"{_digest(dataclasses.asdict(shape), dataclasses.asdict(stage))}_seed{seed}"
        folder = self.experiment.workdir / "pretrain" / name
        if folder not in self.pretrained:
            splits = self.data.fivek("train"), self.data.fivek("validation")
            minutes = self.experiment.save_minutes
            train(stage, shape, *splits, folder, mixed_in=self.data.extra, save_minutes=minutes)
            self.pretrained[folder] = True
        return folder

    def _train_source(self, cell: Cell) -> Any:
        """What a cell is trained or fitted on."""
        fold = self.folds[cell.fold]
        drawn = Subset(fold.train, subset(cell.pairs, len(fold.train), cell.seed, cell.fold))
        both = self.experiment.train_on_validation
        return JoinedSources([drawn, fold.validation]) if both else drawn

    def _fit(self, cell: Cell) -> Mapping[str, Callable]:
        key = cell._replace(strategy="")
        if key not in self.fitted:
            pairs = ReadablePairs(self._train_source(cell), "training data")
            self.fitted[key] = fit_baselines(read_reduced(pairs, FIT_SIDE, "fitting"))
        return self.fitted[key]

    def _settings(self, cell: Cell) -> str:
        """A digest of all settings that a cell's scores depend on."""
        strategy = self.strategies.get(cell.strategy, self.strategies[TRANSFER])
        used = strategy.experiment
        parts: list[Any] = [used.squash, used.finetune.resolution]
        if cell.strategy != "unedited":
            parts.append(used.train_on_validation)
        if cell.strategy in self.strategies:
            parts.append(dataclasses.asdict(used.finetune))
        if cell.strategy in (*self.strategies, "pretrained"):
            parts.append(dataclasses.asdict(used.network_shape))
            if strategy.pretrained:
                parts += [dataclasses.asdict(used.pretrain), str(used.pretrained)]
        return _digest(*parts)


def _digest(*settings: Any) -> str:
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
