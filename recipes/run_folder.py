"""What a run left behind, for those who look at it later: its networks, its histories, and what it was trained on."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets.types import SPLITS, DatasetNotBuilt, SourceError, Split
from enhancer.data.pairs import Pair, ReadablePairs, UnreadableDataError
from enhancer.inference.enhancer import Enhancer
from enhancer.network.trained import CheckpointError, load_best, read_config, weights_sha256
from enhancer.training.history import best_row, is_finished
from recipes.scenes import SeenScenes, built_scenes
from recipes.scored_pairs import ScoredPairs

_STAGES = {"pretrain": "pretrained", "scratch": "scratch", "finetune": "finetuned"}
"""A stage's folder, and what its network is called as a method."""


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
            try:
                histories[stage] = json.loads((folder / "history.json").read_text())
            except (OSError, ValueError):
                continue
        return histories

    def networks(self) -> tuple[dict[str, Enhancer], dict[str, str]]:
        """Per method its network as users run it, and the hash over its weights.

        All see photos at the size that the last stage was trained at, as in the run's own test.
        """
        last = next(
            stage for stage in ("finetune", "scratch", "pretrain") if stage in self.stage_dirs
        )
        side = read_config(self.stage_dirs[last])[1].resolution
        enhancers, hashes = {}, {}
        for stage, folder in self.stage_dirs.items():
            network = load_best(folder)
            enhancers[_STAGES[stage]] = Enhancer(network, side)
            hashes[_STAGES[stage]] = weights_sha256(
                {v.path: v.value for v in network.trainable_variables}
            )
        return enhancers, hashes

    def describe_stages(self) -> tuple[dict[str, Any], list[str]]:
        """What is worth keeping about each stage, and a sentence about each that was stopped on the way."""
        described, notes = {}, []
        for name, history in self.histories().items():
            _, stage = read_config(self.stage_dirs[name])
            best = best_row(history)
            described[name] = {
                "epochs": history[-1]["epoch"],
                "best_epoch": best["epoch"],
                "best_validation_loss": best["validation_loss"],
                "seconds": round(sum(row["seconds"] for row in history), 1),
            }
            if not is_finished(history, stage):
                notes.append(
                    f"Stage {name} was stopped after epoch {history[-1]['epoch']} of {stage.epochs}; its best weights so far are tested."
                )
        return described, notes

    def training_pairs(self, split: Split) -> Sequence[Pair]:
        """The pairs that fine-tuning was given, at their stored size.

        Raises:
            SourceError: they are not there; the message says where they were looked for.
        """
        if not self.config:
            raise SourceError(
                f"{self.workdir} holds no config.json of a run, which would say what it was trained on."
            )
        looked = []
        for open_pairs in (self._built, self._listed):
            try:
                return open_pairs(split)
            except (SourceError, DatasetNotBuilt, OSError, KeyError, UnreadableDataError) as error:
                looked.append(str(error))
        raise SourceError(" ".join(looked))

    def pretraining_scenes(self) -> SeenScenes:
        """What the pairs show that the run's networks were pre-trained on; nothing if they were not.

        Raises:
            SourceError: the settings do not name them, or others are there.
            DatasetNotBuilt: they are not there.
        """
        if self.stage_dirs.keys() == {"scratch"}:
            return SeenScenes()
        if self.config.get("pretrained"):
            other = Path(self.config["pretrained"]).parent
            return read_run(other, {"pretrain": other / "pretrain"}).pretraining_scenes()
        if not self.config:
            raise SourceError(
                f"{self.workdir} holds no config.json of a run, which would say what it was pre-trained on."
            )
        config, fingerprints = self.config, self.config.get("data", {})
        data_dir, trained = self._data_dir(), ("train", "validation")
        seen = built_scenes(
            "fivek", data_dir, config.get("fivek_config"), fingerprints.get("fivek"), trained
        )
        if config.get("extra_pairs"):
            name, wanted = config.get("real_estate_config"), fingerprints.get("extra_pairs")
            extra_dir = data_dir / "extra_pairs"
            seen = seen + built_scenes("real_estate", extra_dir, name, wanted, SPLITS)
        return seen

    def _data_dir(self) -> Path:
        default = (
            self.workdir / "data" if self.config.get("miniature") else Path("~/tensorflow_datasets")
        )
        return self._here(Path(self.config.get("data_dir") or default)).expanduser()

    def _built(self, split: Split) -> Sequence[Pair]:
        from datasets import build  # imports TFDS, which takes seconds

        data_dir = self._data_dir()
        name = self.config.get("real_estate_config")
        source = build.source("real_estate", split, data_dir, name)
        if build.fingerprint("real_estate", data_dir, name) != self.config["data"]["real_estate"]:
            raise SourceError(
                f"The data set in {data_dir} is not the one that the run was trained on."
            )
        return ReadablePairs(source, f"{split} data")  # type: ignore[return-value]

    def _here(self, path: Path) -> Path:
        """Where a folder of the run is now: one in its work folder moves with it, and is found from any directory."""
        saved = self.config.get("workdir")
        return (
            self.workdir / path.relative_to(saved) if saved and path.is_relative_to(saved) else path
        )

    def _listed(self, split: Split) -> Sequence[Pair]:
        folder = self.config.get("real_estate") or (self.workdir / "miniature" / "real_estate")
        return ScoredPairs(Path(folder), split)  # type: ignore[return-value]


def read_run(workdir: Path, stage_dirs: Mapping[str, Path]) -> Run:
    """A run's folder with its settings, where these can be read."""
    try:
        return Run(workdir, json.loads((workdir / "config.json").read_text()), stage_dirs)
    except (OSError, ValueError):
        return Run(workdir, {}, stage_dirs)


def open_run(workdir: Path) -> Run:
    """Find the stages of a run, or the one stage that `workdir` is.

    Raises:
        CheckpointError: there is no trained network.
    """
    config = {}
    if (workdir / "checkpoints").is_dir():
        stage = workdir.name if workdir.name in _STAGES else "finetune"
        return Run(workdir, config, {stage: workdir})
    config = read_run(workdir, {}).config
    folders = {stage: workdir / stage for stage in _STAGES}
    if config.get("pretrained"):
        folders["pretrain"] = Path(config["pretrained"])
    stages = {
        stage: folder for stage, folder in folders.items() if (folder / "checkpoints").is_dir()
    }
    if not stages:
        found = "does not exist" if not workdir.exists() else "holds no trained network"
        raise CheckpointError(
            f"{workdir} {found}; name the --workdir of a run of `python -m recipes.fivek_transfer`."
        )
    return Run(workdir, config, stages)
