"""Where pairs of photos come from: a folder, or a place that their files are first brought from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets.types import PairRecord, SourcePair

FindPairs = Callable[[Path], list[SourcePair]]
"""Reads the layout of a folder."""
Develop = Callable[[SourcePair], PairRecord]
"""Decodes, checks, shrinks and stores a pair whose files are there; returns its record."""


class PairSource:
    """A folder of photos, which is only read; the base of sources that fill a folder first."""

    pairs_at_once: int | None = None
    """Pairs in hand at a time; by default one for each worker process."""

    def __init__(self, folder: Path, find_pairs: FindPairs):
        """Read nothing yet."""
        self.folder, self._find_pairs = folder.resolve(), find_pairs

    @property
    def name(self) -> str:
        """What it is called in the metadata."""
        return str(self.folder)

    @property
    def arguments(self) -> list[str]:
        """The arguments of `python -m datasets build` that name it."""
        return ["--manual-dir", str(self.folder)]

    def is_gone(self) -> bool:
        """Whether nothing is there: an unmounted disk leaves no folder, or an empty one."""
        return not self.folder.is_dir() or not any(self.folder.iterdir())

    def find_pairs(self) -> list[SourcePair]:
        """Return its pairs in a fixed order.

        Raises:
            SourceError: the folder is missing, empty or of no known layout.
        """
        return self._find_pairs(self.folder)

    def describe(self, pairs: list[SourcePair]) -> list[Any]:
        """Return what changes when the source changes, as JSON: names, sizes and times."""

        def describe(path: Path) -> list[object]:
            name = path.relative_to(self.folder).as_posix()
            try:
                status = path.stat()
            except OSError:
                return [name, None, None]
            return [name, status.st_size, status.st_mtime_ns]

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
