"""Small sets cut into folds for cross-validation, photos of one scene kept together."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

_VALIDATION_SHARE = 0.15
"""Of the pairs that a fold leaves for training, at least one scene."""


class Fold(NamedTuple):
    """What is trained, validated and tested on: indices of pairs in rising order, or sources."""

    train: Any
    validation: Any
    test: Any


def grouped_folds(scenes: Sequence[Hashable], number: int) -> list[Fold]:
    """Cut pairs into folds: each pair is tested once, and no scene is in two parts of a fold.

    Scenes go to the folds in an order drawn from a fixed seed, the large ones first, each to the
    smallest fold so far.

    Args:
        scenes: per pair its scene.
        number: of folds, at least 2.

    Raises:
        ValueError: fewer scenes than a fold needs: one to test, one to validate, one to train on.
    """
    members: dict[Hashable, list[int]] = {}
    for index, scene in enumerate(scenes):
        members.setdefault(scene, []).append(index)
    if number < 2 or len(members) < max(3, number):
        raise ValueError(
            f"{number} folds need at least {max(3, number)} scenes and 2 folds; there are "
            f"{len(members)} scenes in {len(scenes)} pairs."
        )
    groups = list(members.values())
    order = np.random.default_rng(number).permutation(len(groups))
    tests: list[list[list[int]]] = [[] for _ in range(number)]
    for group in sorted((groups[i] for i in order), key=len, reverse=True):
        min(tests, key=lambda fold: sum(map(len, fold))).append(group)
    folds = []
    for place, test in enumerate(tests):
        # Round about, so that not the same pairs validate every fold.
        rest = [group for step in range(1, number) for group in tests[(place + step) % number]]
        wanted = max(1, round(_VALIDATION_SHARE * sum(map(len, rest))))
        validation = [rest.pop(0)]
        while sum(map(len, validation)) + len(rest[0]) <= wanted and len(rest) > 1:
            validation.append(rest.pop(0))
        folds.append(Fold(*(sorted(sum(part, [])) for part in (rest, validation, test))))  # noqa: RUF017
    return folds


def subset(number: int, of: int, seed: int, fold: int = 0) -> list[int]:
    """`number` indices out of `of`, rising; a seed's smaller subset is part of its larger one."""
    return sorted(np.random.default_rng((seed, fold)).permutation(of)[:number].tolist())
