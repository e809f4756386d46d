"""Which of some pairs show the same scene, and which of them a network has been trained on."""

from collections.abc import Sequence

from datasets.near_duplicates import find_groups, perceptual_hash
from enhancer.readable_pairs import Pair


def find_scenes(pairs: Sequence[Pair]) -> list[int]:
    """Per pair the number of its scene: near-duplicates have the same one.

    Args:
        pairs: decoded; small pictures do.
    """
    hashes = [(perceptual_hash(pair.input), perceptual_hash(pair.target)) for pair in pairs]
    scenes = list(range(len(pairs)))
    for group in find_groups(hashes, lambda index: pairs[index].target):
        for index in group:
            scenes[index] = group[0]
    return scenes


def find_leaks(tested: Sequence[Pair], trained: Sequence[Pair]) -> list[str]:
    """Ids of the tested pairs whose scene is among the trained ones: a network has seen the answer to these."""
    scenes = find_scenes([*tested, *trained])
    seen = set(scenes[len(tested) :])
    return [pair.id for pair, scene in zip(tested, scenes, strict=False) if scene in seen]
