"""The data sets of an experiment: built when they are not there yet, then opened."""

import itertools
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datasets import build, miniature
from datasets.build import DatasetName
from datasets.preparation.preparation import Choices
from enhancer.system.console import say
from recipes.experiment import Experiment, data_dir_of


class JoinedSources:
    """Several sources of encoded pairs as one, in their order."""

    def __init__(self, sources: Sequence[Any]):
        self._sources = sources
        self._ends = list(itertools.accumulate(len(source) for source in sources))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> dict[str, Any]:
        which = bisect_right(self._ends, index)
        return self._sources[which][index - (self._ends[which - 1] if which else 0)]


class Subset:
    """Some of a source's records, by their indices."""

    def __init__(self, source: Any, indices: Sequence[int]):
        self._source, self._indices = source, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._source[self._indices[index]]


class DataSets(NamedTuple):
    """An experiment's pairs: functions from a split's name to its source, and stage 1's extra
    ones."""

    fivek: Callable[[Any], Any]
    real_estate: Callable[[Any], Any]
    extra: JoinedSources | None
    """All splits of the extra pairs, on which nothing is ever tested; None where there are none."""


def open_or_build(experiment: Experiment) -> tuple[DataSets, dict[str, str]]:
    """Build what is not built yet; return the opened data sets and the fingerprint of each."""
    folders: dict[DatasetName, Path | None]
    folders = {"fivek": experiment.fivek, "real_estate": experiment.real_estate}
    if experiment.miniature and None in folders.values():
        rendered = experiment.workdir / "miniature"
        if not rendered.exists():
            unfinished = rendered.with_name("miniature.unfinished")
            miniature.write(unfinished)
            unfinished.rename(rendered)
        folders = {name: folder or rendered / name for name, folder in folders.items()}
    fingerprints, opened = {}, {}
    for name, folder in folders.items():
        data_dir = data_dir_of(vars(experiment), name, experiment.workdir)
        config = getattr(experiment, f"{name}_config")
        if folder is not None:
            choices = Choices(allow_near_duplicates=experiment.allow_near_duplicates)
            build.build(name, folder, data_dir, config, choices=choices)
        opened[name] = _opener(name, data_dir, config)
        splits = ("train", "validation", "test")[: 2 if name == "fivek" else 3]
        counts = ", ".join(f"{len(opened[name](split))} {split}" for split in splits)
        say(f"{'FiveK' if name == 'fivek' else 'real estate'}: {counts} pairs")
        fingerprints[name] = build.fingerprint(name, data_dir, config)

    extra = None
    if experiment.extra_pairs is not None and experiment.pretrained is None:
        # A folder of its own: it has the layout of real-estate pairs, and their name. All of its
        # splits are trained on, so that one scene in two of them harms nobody.
        data_dir = data_dir_of(vars(experiment), "extra_pairs", experiment.workdir) / "extra_pairs"
        config, choices = experiment.real_estate_config, Choices(allow_near_duplicates=True)
        build.build("real_estate", experiment.extra_pairs, data_dir, config, choices=choices)
        fingerprints["extra_pairs"] = build.fingerprint("real_estate", data_dir, config)
        known = build.splits("real_estate", data_dir, config)
        extra = JoinedSources([_opener("real_estate", data_dir, config)(split) for split in known])
        say(f"extra pairs for stage 1: {len(extra)}")
    return DataSets(opened["fivek"], opened["real_estate"], extra), fingerprints


def _opener(name: Any, data_dir: Any, config: str) -> Callable[[Any], Any]:
    return lambda split: build.source(name, split, data_dir, config)
