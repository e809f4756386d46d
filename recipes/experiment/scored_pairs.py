"""Pairs of photos as somebody has them, to score methods on, without building a data set: found,
read, checked; and which of them show one scene, or one that a network was trained on."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from tqdm import tqdm

from datasets.checks.near_duplicates import find_groups, find_shown, perceptual_hash
from datasets.fivek.layouts import find_fivek_pairs, find_layout
from datasets.sources.lists import find_listed_pairs, find_other_lists, find_split_lists
from datasets.sources.named_pairs import find_named_pairs
from datasets.sources.photo_files import check_folder
from datasets.types import SourceError, SourcePair, Split
from enhancer.data.pairs import Pair
from enhancer.inference.sizes import reduce_photo
from enhancer.photo.io import PhotoError, read_photo
from enhancer.scoring.evaluation import Pairs, decoded
from enhancer.scoring.metrics import SSIM_WINDOW
from enhancer.system.progress import progress_bar

_MOST_STRETCH = 1.02
"""Input and target whose aspect ratios differ by a greater factor do not show the same frame."""


class ScoredPairs:
    """Random access to the decoded pairs of a folder; those that cannot be scored are left out.

    Attributes:
        left_out: why, by id.
        resized: ids of the pairs whose pictures differ in size and were brought to the smaller one.
        unread: names of the folder's lists that were not read, because it has train.jsonl,
            val.jsonl or test.jsonl.
    """

    def __init__(self, folder: Path, split: Split | Literal["all"] = "all"):
        """Find the pairs of `folder` and read each once.

        Args:
            folder: with lists in JSON lines, or photos whose names end in _src and _tar (or _input
                and _target), or FiveK's folders.
            split: score only the pairs of that list.

        Raises:
            SourceError: there is no pair to score.
        """
        found = [pair for pair in find_pairs(folder) if split in ("all", pair.split)]
        if not found:
            raise SourceError(f"{folder} has no pairs in its list “{split}”. Choose another list.")
        self.left_out: dict[str, str] = {}
        self.resized: set[str] = set()
        self.unread = (
            [path.name for path in find_other_lists(folder)] if find_split_lists(folder) else []
        )
        for pair in progress_bar(found, desc="reading the pairs", unit="pair", delay=2):
            try:
                self._read(pair)
            except (PhotoError, ValueError) as error:
                self.left_out[pair.id] = str(error)
                tqdm.write(f"Left out: pair {pair.id}. {error}")
        self._pairs = [pair for pair in found if pair.id not in self.left_out]
        if not self._pairs:
            first = next(iter(self.left_out.values()))
            raise SourceError(
                f"None of the {len(found)} pairs of {folder} can be scored. First reason: {first}"
            )

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Pair:
        return self._read(self._pairs[index])

    def _read(self, pair: SourcePair) -> Pair:
        before, after = read_photo(pair.input).pixels, read_photo(pair.target).pixels
        if before.shape != after.shape:
            (height, width), (tall, wide) = before.shape[:2], after.shape[:2]
            if not 1 / _MOST_STRETCH <= width / height * tall / wide <= _MOST_STRETCH:
                sizes = f"{width}x{height} and {wide}x{tall}"
                raise ValueError(f"Input and target are not of the same shape: {sizes}.")
            self.resized.add(pair.id)
            size = min((width, height), (wide, tall), key=math.prod)
            before, after = (
                np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
                for picture in (before, after)
            )
        if min(before.shape[:2]) < SSIM_WINDOW:
            raise ValueError(
                f"It is smaller than {SSIM_WINDOW} pixels: {before.shape[1]}x{before.shape[0]}."
            )
        return Pair(pair.id, before, after)


def find_pairs(folder: Path) -> list[SourcePair]:
    """The pairs of a folder in any layout, not read yet."""
    check_folder(folder)
    if find_split_lists(folder) or find_other_lists(folder):
        return find_listed_pairs(folder)
    return find_fivek_pairs(folder, "c") if find_layout(folder, "c") else find_named_pairs(folder)


def read_reduced(pairs: Pairs, side: int, what: str) -> list[Pair]:
    """All pairs in memory, short sides of at most `side` pixels; a progress bar says `what`."""

    def reduced(pair: Pair) -> Pair:
        return Pair(pair.id, reduce_photo(pair.input, side), reduce_photo(pair.target, side))

    return _of_each(pairs, reduced, what)


def find_scenes(pairs: Sequence[Pair]) -> list[int]:
    """Per decoded pair, small ones do, the number of its scene: near-duplicates have the same."""
    scenes = list(range(len(pairs)))
    for group in find_groups(list(map(_hashes, pairs)), lambda index: pairs[index].target):
        for index in group:
            scenes[index] = group[0]
    return scenes


def find_leaks(tested: Sequence[Pair], scenes: Sequence[int], trained: Pairs) -> list[str]:
    """Ids of the tested pairs whose scene is among the trained ones: their answer was seen.

    Args:
        tested: decoded; small pictures do.
        scenes: of the tested pairs, as `find_scenes` returns them.
        trained: all that training was given, of any size. Each is decoded once.
    """
    shown = find_shown(
        list(map(_hashes, tested)),
        lambda index: tested[index].target,
        _of_each(trained, _hashes, "looking for what was trained on"),
        lambda index: decoded(trained[index]).target,
    )
    seen = {scenes[index] for index in shown}
    return [pair.id for pair, scene in zip(tested, scenes, strict=True) if scene in seen]


def _of_each(pairs: Pairs, function: Callable[[Pair], Any], what: str) -> list[Any]:
    """A function's answers to all pairs, of which two are decoded at a time."""
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda index: function(decoded(pairs[index])), range(len(pairs)))
        return list(progress_bar(found, desc=what, total=len(pairs), unit="pair", delay=2))


def _hashes(pair: Pair) -> tuple[str, str]:
    return perceptual_hash(pair.input), perceptual_hash(pair.target)
