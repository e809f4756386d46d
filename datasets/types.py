"""What the rooms of the data side hand to each other."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from enhancer.system.errors import EnhancerError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

PairRecord = dict[str, Any]
"""What is known of one pair, as a line of JSON: see `datasets.preparation.pair_job`."""


class SourceError(EnhancerError):
    """Source photos that cannot be used, or that are not the ones a data set was made from."""


class PreparationError(EnhancerError):
    """Preparation that cannot give a usable folder."""


class DatasetNotBuilt(EnhancerError):
    """A data set that is not there, or damaged; the message names the command that makes it."""


class PairRejected(Exception):
    """A pair that cannot be learned from, with what a photographer needs to judge it."""

    def __init__(self, kind: str, reason: str, measured: Any = None):
        """Describe a refusal.

        Args:
            kind: one of a few short phrases, to count by.
            reason: what is wrong with this pair, in a sentence.
            measured: the value that decided, where there is one, as JSON has it.
        """
        super().__init__(reason)
        self.kind, self.reason, self.measured = kind, reason, measured
        self.thumbnails: dict[str, str] = {}
        """Of what could be decoded, by role: a small JPEG, base64."""


@dataclasses.dataclass(frozen=True)
class SourcePair:
    """Two files that should show one scene before and after; they may be missing or damaged."""

    id: str
    """Unique in its data set: the input's name without suffix, with folders where needed."""
    input: Path
    target: Path
    split: Split | None
    """None when the source assigns no splits."""

    def rejected(self, kind: str, reason: str) -> PairRecord:
        """The record of a pair that was refused before its photos were looked at."""
        refusal = {"kind": kind, "reason": reason, "measured": None}
        return {"id": self.id, "split": self.split, "status": "rejected", **refusal}
