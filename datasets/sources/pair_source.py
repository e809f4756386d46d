"""Where pairs of photos come from: a folder, or a place that their files are first brought from."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets.sources.photo_files import relative
from datasets.types import PairRecord, SourcePair

Develop = Callable[[SourcePair], PairRecord]
"""Decodes, checks, shrinks and stores a pair whose files are there; returns its record."""


class PairSource:
    """A folder of photos, which is only read; the base of sources that fill a folder first.

    Attributes:
        folder: where its files are, or will be.
        name: what it is called in the metadata.
        arguments: of `python -m datasets build`, which name it in an error.
    """

    pairs_at_once: int | None = None
    """Pairs in hand at a time; None for one for each worker process."""

    def __init__(self, folder: Path, read_layout: Callable[[Path], list[SourcePair]]):
        """Read nothing yet; `read_layout` will find the pairs in the folder."""
        self.folder, self._read_layout = folder.resolve(), read_layout
        self.name = str(self.folder)
        self.arguments = ["--manual-dir", self.name]

    def is_gone(self) -> bool:
        """Whether nothing is there: an unmounted disk leaves no folder, or an empty one."""
        return not self.folder.is_dir() or not any(self.folder.iterdir())

    def find_pairs(self) -> list[SourcePair]:
        """Return its pairs in a fixed order; SourceError when there is no folder of them."""
        return self._read_layout(self.folder)

    def describe(self, pairs: list[SourcePair]) -> list[Any]:
        """Return what changes when the source changes, as JSON: names, sizes and times."""

        def describe(path: Path) -> list[object]:
            name = relative(path, self.folder).as_posix()
            status = path.stat() if os.path.isfile(path) else None
            return [name, status and status.st_size, status and status.st_mtime_ns]

        return [
            [pair.id, pair.split, *describe(pair.input), *describe(pair.target)] for pair in pairs
        ]

    def begin(self, pairs: list[SourcePair], output: Path) -> None:
        """Get ready for the pairs that remain."""

    def prepare(self, pair: SourcePair, develop: Develop) -> PairRecord:
        """Bring a pair's files, develop them and take them away. Called from several threads."""
        return develop(pair)

    def stop(self) -> None:
        """Let every `prepare` that is under way end soon, with an exception."""

    def status(self) -> str:
        """Return what the progress bar says besides the pairs."""
        return ""

    def finish(self, records: list[PairRecord], output: Path) -> dict[str, Any]:
        """Tidy up, and return what the metadata should say about this run."""
        return {}
