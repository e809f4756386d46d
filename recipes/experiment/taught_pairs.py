"""What fitted colour tables make of photos, as pairs that a network learns from besides."""

from typing import Any

import numpy as np

from enhancer.data.augmentation import RandomInputColour
from enhancer.data.pairs import Pair, ReadablePairs
from enhancer.photo.io import encode_jpeg
from enhancer.scoring.baselines import FIT_SIDE, ColorLookup
from recipes.experiment.scored_pairs import read_reduced

VERSIONS = 10
"""Of each photo."""
EXTENT = 2.0
"""How far versions differ, see `RandomInputColour`: by up to a stop either way."""


class TaughtPairs:
    """A source of pairs: a few photos, each taken a little differently several times, and what
    adaptive colour tables make of them, which were fitted on the photos and their edits.

    Few pairs are learned by heart. Tables know only what edits have in common; from both together a
    network learns edits that hold for photos that it has not seen.

    Reference: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015.
    """

    def __init__(self, pairs: ReadablePairs):
        """Fit the tables; all pairs are kept in memory, at a short side of `FIT_SIDE`."""
        small = read_reduced(pairs, FIT_SIDE, "reading pairs for the tables")
        self._photos = [pair.input for pair in small]
        self._tables = ColorLookup(small, adaptive=True)

    def __len__(self) -> int:
        return VERSIONS * len(self._photos)

    def __getitem__(self, index: int) -> dict[str, Any]:
        photo = self._photos[index % len(self._photos)]
        rng = np.random.default_rng(index)
        taken = RandomInputColour(EXTENT).random_map(Pair("", photo, photo), rng).input
        pair = {"input": encode_jpeg(taken), "target": encode_jpeg(self._tables(taken))}
        return pair | {"id": f"taught {index}".encode()}
