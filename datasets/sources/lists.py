"""Pairs that are listed: in JSON lines, or in a table of comma-separated values."""

import csv
import json
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets.sources.photo_files import (
    ROLE_NAMES,
    assign_ids,
    check_folder,
    describe_content,
    relative,
)
from datasets.types import SourceError, SourcePair, Split

_SPLIT_LISTS: dict[Split, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("val", "validation"),  # both are in use
    "test": ("test",),
}
_SUFFIXES = (".jsonl", ".csv")


def find_listed_pairs(folder: Path) -> list[SourcePair]:
    """Read the pairs of `train`, `val` (or `validation`) and `test`, as `.jsonl` or `.csv`, or else
    of lists of other names, which say nothing of splits.

    Each line has `input` and `target`, or other names of `ROLE_NAMES`: paths, from the folder or
    absolute. They are understood as Windows and macOS write them too.

    Raises:
        SourceError: no list, a malformed line, or an input that occurs twice.
    """
    check_folder(folder)
    lists = find_lists(folder)
    if not lists:
        raise SourceError(
            f"{folder} has no split lists: it holds {describe_content(folder)}. Expected "
            'train.jsonl, val.jsonl and test.jsonl with one {"input": "images/1_src.jpg", '
            '"target": "images/1_tar.jpg"} a line.'
        )
    pairs: dict[Path, tuple[Path, Split | None]] = {}
    seen: dict[Path, str] = {}
    disk = _Disk(folder)
    for path, split in lists.items():
        for number, names in _rows(path):
            place = f"{path.name}, line {number}"
            before, after = (disk.locate(name, place) for name in names)
            if before in pairs:
                raise SourceError(
                    f"{folder}: '{relative(before, folder)}' is in {seen[before]} and again in "
                    f"{place}. A photo may be in one split only, once; remove one of the two lines."
                )
            pairs[before], seen[before] = (after, split), place
    if not pairs:
        raise SourceError(f"{folder}: the split lists have no rows.")
    ids = assign_ids(list(pairs), folder)
    return [SourcePair(ids[before], before, *pair) for before, pair in pairs.items()]


def find_lists(folder: Path) -> dict[Path, Split | None]:
    """Return the lists of pairs in a folder that are read, with what they are for: those of splits,
    or else all others. SourceError: two are for one split."""
    return find_split_lists(folder) or dict.fromkeys(find_other_lists(folder))


def find_other_lists(folder: Path) -> list[Path]:
    """The lists of pairs in a folder that are called like no split; other tables are none."""
    names = {name for names in _SPLIT_LISTS.values() for name in names}
    paths = (path for suffix in _SUFFIXES for path in sorted(folder.glob(f"*{suffix}")))
    others = [path for path in paths if path.stem not in names and not path.name.startswith(".")]
    return [path for path in others if path.suffix == ".jsonl" or _is_table(path)]


def find_split_lists(folder: Path) -> dict[Path, Split | None]:
    """Return the split lists that a folder has; SourceError: it has two for one split."""
    lists: dict[Path, Split | None] = {}
    for split, names in _SPLIT_LISTS.items():
        paths = [folder / f"{name}{suffix}" for suffix in _SUFFIXES for name in names]
        found = [path for path in paths if path.is_file()]
        if len(found) > 1:
            raise SourceError(
                f"{folder} has both {found[0].name} and {found[1].name}. Keep one of the two."
            )
        lists |= dict.fromkeys(found, split)
    return lists


def _rows(path: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    """The number of each row's line, and its two names."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")  # editors on Windows put a byte order mark in front
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise SourceError(
            f"{path.parent}: {path.name}, line {number} is not UTF-8. Save the list as UTF-8."
        ) from error
    # Not splitlines(): a file name may hold what Unicode calls a line separator.
    lines = [line.rstrip("\r") for line in text.split("\n")]
    delimiter, columns = _columns(lines[0]) or (",", [])
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (number == 1 and columns):
            continue
        place = f"{path.parent}: {path.name}, line {number}"
        try:
            if path.suffix == ".csv":
                (cells,) = csv.reader([line], delimiter=delimiter)
                row = dict(zip(columns, cells, strict=False))
            else:
                row = json.loads(line)
        except (csv.Error, ValueError, RecursionError) as error:
            raise SourceError(f"{place} is damaged ({error}). Correct or remove it.") from error
        yield number, _names(row, line, place)


def _columns(header: str) -> tuple[str, list[str]] | None:
    """What separates a table's columns, and their names; None for what is not a table of pairs."""
    delimiter = max(",;\t", key=header.count)
    names = [name.strip().strip('"').lower() for name in header.split(delimiter)]
    pairs = ({before, after} <= set(names) for before, after in ROLE_NAMES)
    return (delimiter, names) if any(pairs) else None


def _names(row: Any, line: str, place: str) -> tuple[str, str]:
    for keys in ROLE_NAMES if isinstance(row, dict) else ():
        before, after = (row.get(key) for key in keys)
        if isinstance(before, str) and isinstance(after, str) and before and after:
            return before, after
    raise SourceError(
        f'{place} is {line[:80]!r}. Expected {{"input": ..., "target": ...}} or {{"src": ..., '
        '"tar": ...}, or a table that begins with the line input,target.'
    )


def _is_table(path: Path) -> bool:
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        return _columns(file.readline(1000).rstrip("\r\n")) is not None


class _Disk:
    """Finds the files that a list names, as this system spells them."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._entries: dict[Path, dict[str, str]] = {}

    def locate(self, name: str, place: str) -> Path:
        """The file, or where it would be. An absolute path stays one."""
        # JSON can express halves of a character, which have no UTF-8.
        if "\0" in name or any("\ud800" <= character <= "\udfff" for character in name):
            raise SourceError(
                f"{self._folder}: {place} names {name!r}, which no file can be called. Correct the "
                "path."
            )
        written = self._folder / os.path.normpath(name)
        if os.path.lexists(written):
            return written
        path = self._folder / os.path.normpath(name.replace("\\", "/"))
        return self._as_spelled(path)

    def _as_spelled(self, path: Path) -> Path:
        """Whatever case the list has, and however it encodes accents."""
        if os.path.lexists(path) or path == path.parent:
            return path
        parent = self._as_spelled(path.parent)
        if parent not in self._entries:
            names = os.listdir(parent) if parent.is_dir() else []
            self._entries[parent] = {_folded(name): name for name in sorted(names)}
        return parent / self._entries[parent].get(_folded(path.name), path.name)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
