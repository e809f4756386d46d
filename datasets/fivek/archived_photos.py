"""FiveK's archive as it was downloaded: each photo is copied out while its pair is developed, and the copy dropped."""

import functools
import shutil
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from datasets import workers
from datasets.brought_originals import BroughtOriginals, Develop
from datasets.fivek.archive_index import ArchiveIndex, read_index
from datasets.fivek.layouts import ARCHIVE, find_layout, find_targets
from datasets.prepared_folder import Row
from datasets.sources import (
    SourceError,
    SourcePair,
    describe_content,
    find_lists,
    photos_by_stem,
    source_files,
)

_WAITING = 2  # pairs that are copied out while the workers are at others


def find_archive(manual_dir: Path, expert: str) -> Path | None:
    """Return the archive that `--manual-dir` means: the file itself, or one in a folder that is a source in no other way."""
    if manual_dir.is_file():
        return manual_dir
    archive = manual_dir / ARCHIVE
    if not archive.is_file() or find_layout(manual_dir, expert) or find_lists(manual_dir):
        return None
    return archive


class ArchivedPhotos(BroughtOriginals):
    """The RAW files in the archive, and the TIFFs of one expert in a folder beside it."""

    def __init__(self, archive: Path, manual_dir: Path, expert: str, scratch: Path, cache: Path):
        """Read nothing yet.

        Args:
            archive: a tar file; only read.
            manual_dir: what the user named: the archive, or the folder that holds it.
            expert: "a" to "e".
            scratch: folder for the photos that are copied out; removed in the end.
            cache: where the index of the archive is kept, see `read_index`.
        """
        self._archive, self._manual_dir, self._expert = archive.absolute(), manual_dir, expert
        self._scratch, self._cache = scratch.absolute(), cache
        self.folder = archive.parent
        """The source folder."""
        self.pairs_at_once = workers.default_count() + _WAITING

    @functools.cached_property
    def _index(self) -> ArchiveIndex:
        return read_index(self._archive, self._cache)

    def find_pairs(self, folder: Path) -> list[SourcePair]:
        """Return the pairs by name, those with only one photo included.

        Raises:
            SourceError: the archive cannot be used, or the expert's TIFFs are not beside it.
        """
        targets = find_targets(folder, self._expert)
        if targets is None:
            name = f"tiff16_{self._expert}"
            raise SourceError(
                f"{self._archive} has no TIFFs of expert {self._expert.upper()} beside it: {folder} holds "
                f"{describe_content(folder)}. Put them in {folder / name} or {folder / 'img' / name}."
            )
        members, target_files = self._index.members, photos_by_stem(targets)
        return [
            SourcePair(
                name,
                self._scratch
                / (PurePosixPath(members[name].path).name if name in members else f"{name}.dng"),
                target_files.get(name, targets / f"{name}.tif"),
                None,
            )
            for name in sorted(members.keys() | target_files.keys())
        ]

    def source(self, folder: Path) -> str:
        """Return what was named."""
        return str(self._manual_dir.resolve())

    def arguments(self, folder: Path) -> list[str]:
        """Return what was named, as an option."""
        return ["--manual-dir", str(self._manual_dir)]

    def describe(self, pairs: list[SourcePair], folder: Path) -> list[Any]:
        """Return the archive's size and time, each photo's place in it, and the TIFFs' sizes and times."""
        index = self._index
        photos = {
            name: [member.path, member.offset, member.size]
            for name, member in index.members.items()
        }
        # The copies are nowhere yet, and where they will be makes no difference.
        targets = source_files(
            [SourcePair(pair.id, pair.target, pair.target, pair.split) for pair in pairs], folder
        )
        return [
            "archive",
            index.size,
            index.mtime_ns,
            *([photos.get(row[0]), *row[:5]] for row in targets),
        ]

    def begin(self, pairs: list[SourcePair], output: Path) -> None:
        """Say what is going to happen, and remove what a killed run left."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)
        print(
            f"Copying photos out of {self._archive}, at most {self.pairs_at_once} at a time",
            file=sys.stderr,
        )
        if not self._index.is_whole:
            print(
                f"{self._archive} is cut off or damaged: the photos up to there are used. Download the rest for all of them.",
                file=sys.stderr,
            )

    def prepare(self, pair: SourcePair, develop: Develop) -> Row:
        """Copy a photo out, develop its pair, and drop the copy."""
        if self._index.is_cut_off(pair.id):
            return _rejected(
                pair, "cut off", f"{self._archive.name} ends before the end of {pair.input.name}"
            )
        if not pair.target.is_file():
            return _rejected(pair, "unreadable photo", f"{pair.target} is missing")
        if pair.id not in self._index.members:
            return _rejected(
                pair, "unreadable photo", f"{pair.input.name} is not in {self._archive.name}"
            )
        try:
            self._copy_out(pair)
            return develop(pair)
        finally:
            pair.input.unlink(missing_ok=True)

    def finish(self, rows: list[Row], output: Path) -> dict[str, Any]:
        """Remove the scratch folder."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        return {}

    def _copy_out(self, pair: SourcePair) -> None:
        member = self._index.members[pair.id]
        with open(self._archive, "rb") as archive:
            archive.seek(member.offset)
            pair.input.write_bytes(archive.read(member.size))


def _rejected(pair: SourcePair, kind: str, reason: str) -> Row:
    return {
        "id": pair.id,
        "split": pair.split,
        "status": "rejected",
        "kind": kind,
        "reason": reason,
        "measured": None,
    }
