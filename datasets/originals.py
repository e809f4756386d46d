"""Where a pair's original files are while the pair is prepared: in the source folder, or somewhere they are first brought from."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets import workers
from datasets.prepared_folder import Row
from datasets.sources import FindPairs, SourcePair, source_files


class Originals:
    """Files that are in the source folder and stay there; the base of those that are brought and dropped again."""

    def source(self, folder: Path) -> str:
        """Say where the pairs come from."""
        return str(folder)

    def arguments(self, folder: Path) -> list[str]:
        """Return the arguments of `python -m datasets build` that name this source."""
        return ["--manual-dir", str(folder)]

    def is_gone(self, folder: Path) -> bool:
        """Whether there is nothing: a disk that is not mounted leaves no folder, or an empty mount point."""
        return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))

    def describe(self, pairs: list[SourcePair], folder: Path) -> list[Any]:
        """Return what changes when the source changes, as JSON."""
        return source_files(pairs, folder)

    def begin(self, pairs: list[SourcePair], output: Path) -> None:
        """Get ready for the pairs that remain."""

    def run(
        self, job: workers.Job, pairs: list[SourcePair], num_workers: int | None
    ) -> Iterator[Row]:
        """Do a job for every pair in worker processes, and yield the rows as they are finished."""
        return workers.run(job, pairs, num_workers)

    def status(self) -> str:
        """Return what the progress bar shows besides the pairs."""
        return ""

    def finish(self, rows: list[Row], output: Path) -> dict[str, Any]:
        """Tidy up, and return what the metadata should say about this run."""
        return {}

    def report(self) -> str:
        """Say in a line what bringing the files took."""
        return ""


@dataclasses.dataclass(frozen=True)
class Source:
    """A folder of originals, or the folder that they are brought to."""

    folder: Path
    find_pairs: FindPairs
    originals: Originals = dataclasses.field(default_factory=Originals)
