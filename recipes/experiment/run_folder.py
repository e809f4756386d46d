"""What a run left behind: networks, histories, and what it was trained on."""

import contextlib
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets.build import DatasetName
from datasets.types import SPLITS, SourceError, Split
from enhancer.inference.enhancer import Enhancer
from enhancer.network.trained import (
    CheckpointError,
    load_best,
    read_config,
    weights_of,
    weights_sha256,
)
from enhancer.scoring.evaluation import Pairs
from enhancer.system.errors import EnhancerError
from enhancer.training.history import Row, best_row, is_finished
from recipes.experiment import data_sets
from recipes.experiment.options import data_dirs_of, folders_of
from recipes.experiment.scored_pairs import ScoredPairs

_METHODS = {"pretrain": "pretrained", "scratch": "scratch", "finetune": "finetuned"}
"""A stage's folder, and what its network is called as a method."""


def summarise_stage(history: Sequence[Row]) -> dict[str, Any]:
    """What is worth keeping about a stage in `results.json`."""
    best = best_row(history)
    return {
        "epochs": history[-1]["epoch"],
        "best_epoch": best["epoch"],
        "best_validation_loss": best["validation_loss"],
        "seconds": round(sum(row["seconds"] for row in history), 1),
    }


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's folder."""

    workdir: Path
    config: Mapping[str, Any]
    """The run's settings; empty where they are not known."""
    stage_dirs: Mapping[str, Path]
    """By stage, those that have trained."""

    def histories(self) -> dict[str, list[dict[str, Any]]]:
        """Per stage its rows, one per epoch; those that can be read."""
        histories = {}
        for stage, folder in self.stage_dirs.items():
            with contextlib.suppress(OSError, ValueError):
                histories[stage] = json.loads((folder / "history.json").read_text())
        return histories

    def networks(self) -> tuple[dict[str, Enhancer], dict[str, str]]:
        """Per method its network as users run it, at the size that the last stage was trained at,
        and the hash over its weights."""
        order = ("finetune", "scratch", "pretrain")
        last = next(stage for stage in order if stage in self.stage_dirs)
        side = read_config(self.stage_dirs[last])[1].resolution
        networks = {_METHODS[stage]: load_best(path) for stage, path in self.stage_dirs.items()}
        hashes = {name: weights_sha256(weights_of(network)) for name, network in networks.items()}
        return {name: Enhancer(network, side) for name, network in networks.items()}, hashes

    def describe_stages(self) -> tuple[dict[str, Any], list[str]]:
        """Each stage's summary, and a sentence about each that was stopped on the way."""
        described, notes = {}, []
        for name, history in self.histories().items():
            _, stage = read_config(self.stage_dirs[name])
            described[name] = summarise_stage(history)
            if not is_finished(history, stage):
                notes.append(
                    f"Stage {name} was stopped after epoch {history[-1]['epoch']} of "
                    f"{stage.epochs}; its best weights so far are used."
                )
        return described, notes

    def training_pairs(self, split: Split) -> Pairs:
        """The pairs that fine-tuning was given, at their stored size.

        Raises:
            SourceError: they are not there; the message says where they were looked for.
        """
        self._refuse_unknown("trained")
        looked = []
        for open_pairs in (self._built, self._listed):
            try:
                return open_pairs(split)
            except (EnhancerError, OSError, KeyError) as error:
                looked.append(str(error))
        raise SourceError(" ".join(looked))

    def pretraining_pairs(self) -> Pairs:
        """The pairs that the run's networks were pre-trained on; none if they were not.

        Raises:
            SourceError: the settings do not name them, or others are there.
            DatasetNotBuilt, UnreadableDataError: they are not there.
        """
        if self.stage_dirs.keys() == {"scratch"}:
            return []
        if not (self.config.get("pretraining", True) or self.config.get("pretrained")):
            return []
        if self.config.get("pretrained"):
            other = Path(self.config["pretrained"]).parent
            return read_run(other, {"pretrain": other / "pretrain"}).pretraining_pairs()
        self._refuse_unknown("pre-trained")
        pairs = [self._opened("fivek", "fivek", SPLITS[:2])]
        if self.config.get("extra_pairs"):
            pairs.append(self._opened("real_estate", "extra_pairs", SPLITS))
        return data_sets.JoinedSources(pairs)

    def _refuse_unknown(self, done: str) -> None:
        if not self.config:
            raise SourceError(
                f"{self.workdir} holds no config.json of a run, which would say what it was {done} "
                "on."
            )

    def _opened(self, builder: DatasetName, name: str, splits: Sequence[Split]) -> Pairs:
        """Data sets of the run, where they are now: in its work folder they move with it."""
        saved = Path(self.config.get("workdir") or self.workdir)
        data_dirs = [
            self.workdir / path.relative_to(saved) if path.is_relative_to(saved) else path
            for path in data_dirs_of(self.config, name, saved)
        ]
        trained = self.config.get("data", {}).get(name)
        config = self.config.get(f"{builder}_config")
        return data_sets.open_trained(builder, data_dirs, config, trained, splits)

    def _built(self, split: Split) -> Pairs:
        return self._opened("real_estate", "real_estate", [split])

    def _listed(self, split: Split) -> Pairs:
        folders = folders_of(self.config, "real_estate")
        folders = folders or [self.workdir / "miniature" / "real_estate"]
        return data_sets.JoinedSources([ScoredPairs(folder, split) for folder in folders])


def read_run(workdir: Path, stage_dirs: Mapping[str, Path]) -> Run:
    """A run's folder with its settings, where these can be read."""
    config = {}
    with contextlib.suppress(OSError, ValueError):
        config = json.loads((workdir / "config.json").read_text())
    return Run(workdir, config, stage_dirs)


def open_run(workdir: Path) -> Run:
    """A run with its stages, or the one stage that `workdir` is; CheckpointError without any."""
    if (workdir / "checkpoints").is_dir():
        return Run(workdir, {}, {workdir.name if workdir.name in _METHODS else "finetune": workdir})
    run = read_run(workdir, {})
    folders = {stage: workdir / stage for stage in _METHODS}
    if (start := run.config.get("pretrained")) and Path(start).is_dir():
        folders["pretrain"] = Path(run.config["pretrained"])
    trained = {name: path for name, path in folders.items() if (path / "checkpoints").is_dir()}
    if not trained:
        found = "does not exist" if not workdir.exists() else "holds no trained network"
        raise CheckpointError(
            f"{workdir} {found}; name the --workdir of a run of `python -m recipes.fivek_transfer`."
        )
    return dataclasses.replace(run, stage_dirs=trained)
