"""The data sets of an experiment: built when they are not there yet, then opened."""

import functools
import itertools
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datasets import build, miniature
from datasets.build import DatasetName
from datasets.miniature.rendered_rooms import RenderedRooms
from datasets.types import Choices, SourceError, Split
from enhancer.config import StageConfig
from enhancer.data.pairs import ReadablePairs
from enhancer.system.console import say
from recipes.experiment.options import Experiment, data_dirs_of, folders_of
from recipes.experiment.taught_pairs import TaughtPairs

MAX_REPEATS = 3
"""How often at most a pair of a small folder is shown while one of a large one is shown once."""
TAUGHT_SHARES = 7
"""Of what is mixed into stage 1, for each that a source of extra pairs has."""


class JoinedSources:
    """Several sources of encoded pairs as one, in their order."""

    def __init__(self, sources: Sequence[Any]):
        self._sources = sources
        self._ends = list(itertools.accumulate(len(source) for source in sources))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

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
    """An experiment's pairs: functions from a split's name to its source."""

    fivek: Callable[[Any], Any]
    """Raises DatasetNotBuilt where nothing is pre-trained."""
    real_estate: Callable[[Any], Any]
    extra: list[Any]
    """Mixed into stage 1, in equal shares: one source, of all its splits, for each folder of extra
    pairs, and several times that of the tables."""
    rendered: list[Any]
    """The source of rendered rooms, for fine-tuning, if there are any."""

    def mixed_into_rooms(self, stage: StageConfig) -> list[Any]:
        """What has a share of fine-tuning: rendered rooms, and without them FiveK."""
        return (self.rendered or [self.fivek("train")]) if stage.mix_weight else []


def open_or_build(experiment: Experiment) -> tuple[DataSets, dict[str, str]]:
    """Build what is not built yet; return the opened data sets and the fingerprint of each."""
    settings = vars(experiment)
    names: list[DatasetName] = ["real_estate"]
    if experiment.pretraining:
        names.insert(0, "fivek")
    folders = {name: folders_of(settings, name) for name in names}
    if experiment.miniature and not all(folders.values()):
        rendered = experiment.workdir / "miniature"
        if not rendered.exists():
            unfinished = rendered.with_name("miniature.unfinished")
            miniature.write(unfinished)
            unfinished.rename(rendered)
        folders = {name: named or [rendered / name] for name, named in folders.items()}
    fingerprints, opened = {}, {}
    choices = Choices(allow_near_duplicates=experiment.allow_near_duplicates)
    for name in names:
        config = getattr(experiment, f"{name}_config")
        data_dirs = data_dirs_of(settings, name, experiment.workdir)
        for folder, data_dir in zip(folders[name], data_dirs, strict=False):
            build.build(name, folder, data_dir, config, choices=choices)
        opened[name] = functools.partial(open_split, name, data_dirs, config)
        splits = ("train", "validation", "test")[: 2 if name == "fivek" else 3]
        counts = ", ".join(f"{len(opened[name](split))} {split}" for split in splits)
        say(f"{'FiveK' if name == 'fivek' else 'real estate'}: {counts} pairs")
        fingerprints[name] = fingerprint(name, data_dirs, config)

    extra = []
    if experiment.extra_pairs and experiment.pretrains:
        # All splits are trained on, so that one scene in two of them harms nobody.
        config, choices = experiment.real_estate_config, Choices(allow_near_duplicates=True)
        data_dirs = data_dirs_of(settings, "extra_pairs", experiment.workdir)
        for folder, data_dir in zip(experiment.extra_pairs, data_dirs, strict=True):
            build.build("real_estate", folder, data_dir, config, choices=choices)
            known = build.splits("real_estate", data_dir, config)
            sources = [build.source("real_estate", split, data_dir, config) for split in known]
            extra.append(JoinedSources(sources))
        fingerprints["extra_pairs"] = fingerprint("real_estate", data_dirs, config)
        say(f"extra pairs for stage 1: {', '.join(str(len(source)) for source in extra)}")
    if experiment.taught_by_tables and experiment.pretrains:
        taught = TaughtPairs(ReadablePairs(opened["fivek"]("train"), "training data"))
        extra += [taught] * TAUGHT_SHARES
    rendered = []
    if count := experiment.rendered_rooms:
        rendered.append(RenderedRooms(experiment.workdir / "rooms", range(count)))
    fivek = opened.get("fivek") or functools.partial(
        open_split, "fivek", [experiment.workdir], None
    )
    return DataSets(fivek, opened["real_estate"], extra, rendered), fingerprints


def open_split(
    name: DatasetName, data_dirs: Sequence[Path], config: str | None, split: Split
) -> Any:
    """One split of one or several built data sets, as one source; DatasetNotBuilt without any."""
    having = [d for d in data_dirs if split in build.splits(name, d, config)]
    sources = [build.source(name, split, d, config) for d in having or data_dirs[:1]]
    if len(sources) == 1:
        return sources[0]
    if split == "train":
        most = max(map(len, sources))
        sources = [s for s in sources for _ in range(min(MAX_REPEATS, max(1, most // len(s))))]
    return JoinedSources(sources)


def fingerprint(name: DatasetName, data_dirs: Sequence[Path], config: str | None) -> str:
    """Of one or several built data sets; see `datasets.build.fingerprint`."""
    return " ".join(build.fingerprint(name, data_dir, config) for data_dir in data_dirs)


def open_trained(
    name: DatasetName,
    data_dirs: Sequence[Path],
    config: str | None,
    trained: str | None,
    splits: Sequence[Split],
) -> ReadablePairs:
    """Those of some splits that there are, as a run was trained on them.

    Args:
        name, data_dirs, config: as for `fingerprint`.
        trained: the fingerprint of what was trained on.
        splits: which.

    Raises:
        SourceError: other data are there.
        DatasetNotBuilt: none are there.
        UnreadableDataError: they are empty.
    """
    if fingerprint(name, data_dirs, config) != trained:
        raise SourceError(
            f"The data set in {data_dirs[0]} is not the one that the run was trained on."
        )
    known = {split for data_dir in data_dirs for split in build.splits(name, data_dir, config)}
    sources = [open_split(name, data_dirs, config, split) for split in splits if split in known]
    return ReadablePairs(JoinedSources(sources), "data that were trained on")
