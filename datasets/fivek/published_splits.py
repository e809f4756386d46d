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
    """Return the split of each photo number ("a0015") that one of `PUBLISHED_SPLITS` lists."""
    split_of: dict[str, Split] = {}
    for split in SPLITS:
        path = _FOLDER / f"{name}_{split}.txt"
        if path.exists():
            split_of |= dict.fromkeys(path.read_text(encoding="ascii").split(), split)
    return split_of


def assign_published_split(pairs: list[SourcePair], name: str) -> list[SourcePair]:
    """Give each pair the split that is published for the number that its id begins with, such as
    "a0015" or "a0015-DSC_0081"; None to those that are not listed."""
    split_of = read_split(name)

    def find(pair: SourcePair) -> Split | None:
        number = re.match(r"a\d{4}(?!\d)", pair.id)
        return split_of.get(number.group()) if number else None

    return [dataclasses.replace(pair, split=find(pair)) for pair in pairs]
