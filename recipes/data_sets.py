"""The data sets of an experiment: built when they are not there yet, then opened."""

import itertools
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from recipes.experiment import Experiment


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


class Sources(NamedTuple):
    """An experiment's pairs: functions from a split's name to its source, and what is mixed into stage 1."""

    fivek: Callable[[str], Any]
    real_estate: Callable[[str], Any]
    extra: JoinedSources | None
    """All splits of the extra pairs, on which nothing is ever tested; None where there are none."""


def open_or_build(experiment: Experiment) -> tuple[Sources, dict[str, str]]:
    """Build what is not built yet; return the opened data sets and the fingerprint of each."""
    # Imported late: it takes seconds, and `--help` should not.
    from datasets import build, miniature
    from datasets.preparation.preparation import Choices
    from enhancer.system.processes import is_first_process

    folders = {"fivek": experiment.fivek, "real_estate": experiment.real_estate}
    if experiment.miniature and None in folders.values():
        rendered = experiment.workdir / "miniature"
        if not rendered.exists():
            unfinished = rendered.with_name("miniature.unfinished")
            miniature.write(unfinished)
            unfinished.rename(rendered)
        folders = {name: folder or rendered / name for name, folder in folders.items()}
    default = experiment.workdir / "data" if experiment.miniature else Path("~/tensorflow_datasets")
    data_dir = (experiment.data_dir or default).expanduser()
    configs = {"fivek": experiment.fivek_config, "real_estate": experiment.real_estate_config}
    for name, folder in folders.items():
        if folder is not None:
            choices = Choices(allow_near_duplicates=experiment.allow_near_duplicates)
            build.build(name, folder, data_dir, configs[name], choices=choices)

    def opener(name: str):
        return lambda split: build.source(name, split, data_dir, configs[name])

    fivek, real_estate = opener("fivek"), opener("real_estate")
    for name, opened, splits in (
        ("FiveK", fivek, ("train", "validation")),
        ("real estate", real_estate, ("train", "validation", "test")),
    ):
        counts = ", ".join(f"{len(opened(split))} {split}" for split in splits)
        if is_first_process():
            print(f"{name}: {counts} pairs")
    fingerprints = {name: build.fingerprint(name, data_dir, configs[name]) for name in folders}

    extra = None
    if experiment.extra_pairs is not None and experiment.pretrained is None:
        # A folder of its own: it has the layout of real-estate pairs, and their name. All of its splits are trained on, so that
        # one scene in two of them harms nobody.
        extra_dir, config = data_dir / "extra_pairs", experiment.real_estate_config
        build.build(
            "real_estate",
            experiment.extra_pairs,
            extra_dir,
            config,
            choices=Choices(allow_near_duplicates=True),
        )
        fingerprints["extra_pairs"] = build.fingerprint("real_estate", extra_dir, config)
        opened = [
            build.source("real_estate", split, extra_dir, config)
            for split in build.splits("real_estate", extra_dir, config)
        ]
        extra = JoinedSources(opened)
        if is_first_process():
            print(f"extra pairs for stage 1: {len(extra)}")
    return Sources(fivek, real_estate, extra), fingerprints
