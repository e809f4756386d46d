"""The splits of FiveK that the literature compares on; README.md says whose they are."""

import dataclasses
import functools
import re
from pathlib import Path

from datasets.types import SPLITS, SourcePair, Split

PUBLISHED_SPLITS = ("3dlut", "upe")
_FOLDER = Path(__file__).with_name("splits")


@functools.cache
def read_split(name: str) -> dict[str, Split]:
    """Return the split of each photo number ("a0015") that a published split lists.

    Args:
        name: one of `PUBLISHED_SPLITS`.
    """
    split_of: dict[str, Split] = {}
    for split in SPLITS:
        path = _FOLDER / f"{name}_{split}.txt"
        if path.exists():
            split_of |= dict.fromkeys(path.read_text(encoding="ascii").split(), split)
    return split_of


def assign_published_split(pairs: list[SourcePair], name: str) -> list[SourcePair]:
    """Give each pair the split that is published for its number; None to those that are not listed.

    Args:
        pairs: whose ids begin with the photo's number, such as "a0015" or "a0015-DSC_0081".
        name: one of `PUBLISHED_SPLITS`.
    """
    split_of = read_split(name)

    def find(pair: SourcePair) -> Split | None:
        number = re.match(r"a\d{4}(?!\d)", pair.id)
        return split_of.get(number.group()) if number else None

    return [dataclasses.replace(pair, split=find(pair)) for pair in pairs]
