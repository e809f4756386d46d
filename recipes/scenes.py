"""Which of some pairs show the same scene, and which of them a network has been trained on."""

import functools
from collections.abc import Sequence

import numpy as np

from datasets.checks.near_duplicates import find_groups, find_shown, perceptual_hash
from enhancer.data.pairs import Pair
from recipes.seen_scenes import SeenScenes


def find_scenes(pairs: Sequence[Pair]) -> list[int]:
    """Per pair the number of its scene: near-duplicates have the same one.

    Args:
        pairs: decoded; small pictures do.
    """
    hashes = [_hashes(pair) for pair in pairs]
    scenes = list(range(len(pairs)))
    for group in find_groups(hashes, lambda index: pairs[index].target):
        for index in group:
            scenes[index] = group[0]
    return scenes


def find_leaks(tested: Sequence[Pair], scenes: Sequence[int], trained: SeenScenes) -> list[str]:
    """Ids of the tested pairs whose scene is among the trained ones: a network has seen the answer to these.

    Args:
        tested: decoded; small pictures do.
        scenes: of the tested pairs, as `find_scenes` returns them.
        trained: what training was given.
    """
    hashes = [_hashes(pair) for pair in tested]
    shown = find_shown(
        hashes, lambda i: tested[i].target, trained.hashes, lambda i: trained.targets[i]()
    )
    seen = {scenes[index] for index in shown}
    return [pair.id for pair, scene in zip(tested, scenes, strict=True) if scene in seen]


def seen_scenes(pairs: Sequence[Pair]) -> SeenScenes:
    """What decoded pairs show."""
    return SeenScenes(
        tuple(map(_hashes, pairs)), tuple(functools.partial(_target, pair) for pair in pairs)
    )


def _hashes(pair: Pair) -> tuple[str, str]:
    return perceptual_hash(pair.input), perceptual_hash(pair.target)


def _target(pair: Pair) -> np.ndarray:
    return pair.target
