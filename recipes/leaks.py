"""Which of some pairs show the same scene, and which of them a network has been trained on."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from tqdm import tqdm

from datasets.checks.near_duplicates import find_groups, find_shown, perceptual_hash
from datasets.types import SourceError, Split
from enhancer.data.pairs import Pair

_EDGE = 256  # long side in pixels of what is looked at, at least
_REDUCED = {1: cv2.IMREAD_COLOR_RGB, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}


@dataclasses.dataclass(frozen=True)
class SeenScenes:
    """What a network was trained on: hashes of pairs, and targets where these are not enough."""

    hashes: tuple[tuple[str, str], ...] = ()
    """Of input and target of each pair."""
    targets: tuple[Callable[[], np.ndarray], ...] = ()
    """Functions that read a target, uint8 `(height, width, 3)` sRGB, of any size."""

    def __add__(self, other: "SeenScenes") -> "SeenScenes":
        return SeenScenes(self.hashes + other.hashes, self.targets + other.targets)


def find_scenes(pairs: Sequence[Pair]) -> list[int]:
    """Per pair the number of its scene: near-duplicates have the same one.

    Args:
        pairs: decoded; small pictures do.
    """
    scenes = list(range(len(pairs)))
    for group in find_groups(list(map(_hashes, pairs)), lambda index: pairs[index].target):
        for index in group:
            scenes[index] = group[0]
    return scenes


def find_leaks(tested: Sequence[Pair], scenes: Sequence[int], trained: SeenScenes) -> list[str]:
    """Ids of the tested pairs whose scene is among the trained ones: their answer was seen.

    Args:
        tested: decoded; small pictures do.
        scenes: of the tested pairs, as `find_scenes` returns them.
        trained: what training was given.
    """
    hashes = list(map(_hashes, tested))
    shown = find_shown(
        hashes, lambda i: tested[i].target, trained.hashes, lambda i: trained.targets[i]()
    )
    seen = {scenes[index] for index in shown}
    return [pair.id for pair, scene in zip(tested, scenes, strict=True) if scene in seen]


def seen_scenes(pairs: Sequence[Pair]) -> SeenScenes:
    """What decoded pairs show."""
    targets = tuple(functools.partial(getattr, pair, "target") for pair in pairs)
    return SeenScenes(tuple(map(_hashes, pairs)), targets)


def built_scenes(
    name: Literal["fivek", "real_estate"],
    data_dirs: Sequence[Path],
    config: str | None,
    fingerprint: str | None,
    splits: Sequence[Split],
) -> SeenScenes:
    """What the pairs of built data sets show: each is decoded once, reduced, about 5 ms a pair.

    Args:
        name, data_dirs, config, fingerprint: as for `recipes.data_sets.fingerprint`, which is that
            of what was trained on; another one there does not count.
        splits: those that were trained on.

    Raises:
        SourceError: it is another one.
        DatasetNotBuilt: it is not there.
    """
    from datasets import build  # imports TFDS, which takes seconds
    from recipes import data_sets

    if data_sets.fingerprint(name, data_dirs, config) != fingerprint:
        raise SourceError(
            f"The data set in {data_dirs[0]} is not the one that the run was pre-trained on."
        )
    sources = [
        build.source(name, split, data_dir, config)
        for data_dir in data_dirs
        for split in build.splits(name, data_dir, config)
        if split in splits
    ]
    records = [(source, index) for source in sources for index in range(len(source))]
    hashes, targets = [], []
    for source, index in tqdm(records, desc="pairs of stage 1", unit="pair", delay=2):
        try:
            record = source[index]
            before, after = (_decode(record, role) for role in ("input", "target"))
        # Damaged, as training has said: it was not trained on.
        except (RuntimeError, ValueError, cv2.error):
            continue
        hashes.append((perceptual_hash(before), perceptual_hash(after)))
        targets.append(functools.partial(_read_target, source, index))
    return SeenScenes(tuple(hashes), tuple(targets))


def _hashes(pair: Pair) -> tuple[str, str]:
    return perceptual_hash(pair.input), perceptual_hash(pair.target)


def _read_target(source, index: int) -> np.ndarray:
    return _decode(source[index], "target")


def _decode(record, role: str) -> np.ndarray:
    long_edge = max(record["width"], record["height"])
    factor = max(f for f in _REDUCED if f == 1 or long_edge >= f * _EDGE)
    pixels = cv2.imdecode(np.frombuffer(record[role], np.uint8), _REDUCED[factor])
    if pixels is None:
        raise ValueError(f"The {role} does not decode.")
    return pixels if factor == 1 else pixels[..., ::-1]
