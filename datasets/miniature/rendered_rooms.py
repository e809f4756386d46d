"""Rendered rooms as a source of pairs, each with a camera and an editor of its own."""

import concurrent.futures
import itertools
import multiprocessing
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datasets import miniature
from enhancer.photo.io import write_photo
from enhancer.system.progress import progress_bar

LONG_EDGE = 192
"""Of the pictures, in pixels."""


class RenderedRooms:
    """Random access to records of pairs; each pair is rendered once, and kept in a folder.

    Args:
        folder: made when missing.
        numbers: of the rooms, and of their editors.
    """

    def __init__(self, folder: Path, numbers: Iterable[int]):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._numbers = folder, list(numbers)
        missing = [n for n in self._numbers if not _picture(folder, n, "target").exists()]
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), context) as pool:
            made = pool.map(_render, itertools.repeat(folder), missing)
            settings = {"total": len(missing), "unit": "room", "disable": not missing}
            try:
                for _ in progress_bar(made, desc="rendering rooms", **settings):
                    pass
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> dict[str, Any]:
        number = self._numbers[index]
        roles = ("input", "target")
        pair = {role: _picture(self._folder, number, role).read_bytes() for role in roles}
        return pair | {"id": f"room {number}".encode()}


def _picture(folder: Path, number: int, role: str) -> Path:
    return folder / f"{number}_{role}.jpg"


def _render(folder: Path, number: int) -> None:
    pair = miniature.real_estate_pair(number, LONG_EDGE, editor=number)
    for role, picture in zip(("input", "target"), pair, strict=True):
        write_photo(_picture(folder, number, role), picture)
