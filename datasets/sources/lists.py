"""Pairs that are listed in JSON lines."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from datasets.sources.photo_files import assign_ids, check_folder, describe_content, relative
from datasets.types import SourceError, SourcePair, Split

# Both names of the validation list are in use.
_LIST_FILES: dict[Split, tuple[str, ...]] = {
    "train": ("train.jsonl",),
    "validation": ("val.jsonl", "validation.jsonl"),
    "test": ("test.jsonl",),
}
_KEYS = (("input", "target"), ("src", "tar"))


def find_listed_pairs(folder: Path) -> list[SourcePair]:
    """Read the pairs of `train.jsonl`, `val.jsonl` (or `validation.jsonl`) and `test.jsonl`.

    Each line is an object with `input` and `target`, or `src` and `tar`: paths in the folder.

    Raises:
        SourceError: no list, a malformed line, a path that leaves the folder, or an input that
            occurs twice.
    """
    check_folder(folder)
    lists = find_lists(folder)
    if not lists:
        raise SourceError(
            f"{folder} has no split lists: it holds {describe_content(folder)}. Expected "
            'train.jsonl, val.jsonl and test.jsonl with one {"input": "images/1_src.jpg", '
            '"target": "images/1_tar.jpg"} a line, paths relative to the folder.'
        )
    return _read(folder, [(path, split) for split, path in lists.items()])


def find_any_pairs(folder: Path) -> list[SourcePair]:
    """Read the pairs that are only to be looked at, whose photos may lie anywhere.

    Without the lists of `find_listed_pairs`, every `*.jsonl` is read, and its pairs have no split.

    Raises:
        SourceError: as `find_listed_pairs`, but for paths that leave the folder.
    """
    check_folder(folder)
    lists: list[tuple[Path, Split | None]]
    lists = [(path, split) for split, path in find_lists(folder).items()]
    lists = lists or [(path, None) for path in find_other_lists(folder)]
    return _read(folder, lists, anywhere=True) if lists else find_listed_pairs(folder)


def find_other_lists(folder: Path) -> list[Path]:
    """The `*.jsonl` files of a folder that are not split lists."""
    known = {name for names in _LIST_FILES.values() for name in names}
    paths = (path for path in folder.glob("*.jsonl") if not path.name.startswith("."))
    return sorted(path for path in paths if path.name not in known)


def find_lists(folder: Path) -> dict[Split, Path]:
    """Return the split lists that a folder has.

    Raises:
        SourceError: it has both names of the validation list.
    """
    lists: dict[Split, Path] = {}
    for split, names in _LIST_FILES.items():
        found = [folder / name for name in names if (folder / name).is_file()]
        if len(found) > 1:
            raise SourceError(
                f"{folder} has both {found[0].name} and {found[1].name}. Keep one of the two."
            )
        if found:
            lists[split] = found[0]
    return lists


def _read(
    folder: Path, lists: Sequence[tuple[Path, Split | None]], *, anywhere: bool = False
) -> list[SourcePair]:
    rows: dict[Path, tuple[Path, Split | None]] = {}
    seen: dict[Path, str] = {}
    for path, split in lists:
        # Not splitlines(): a file name may hold what Unicode calls a line separator.
        for number, line in enumerate(_read_text(path).split("\n"), start=1):
            if not line.strip():
                continue
            place = f"{path.name}, line {number}"
            before, after = _parse(line, folder, place, anywhere)
            if before in rows:
                raise SourceError(
                    f"{folder}: '{relative(before, folder)}' is in {seen[before]} and again in "
                    f"{place}. A photo may be in one split only, once; remove one of the two lines."
                )
            rows[before], seen[before] = (after, split), place
    if not rows:
        raise SourceError(f"{folder}: the split lists have no rows.")
    ids = assign_ids(list(rows), folder)
    return [SourcePair(ids[before], before, *row) for before, row in rows.items()]


def _read_text(path: Path) -> str:
    try:
        # Editors on Windows put a byte order mark in front.
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        raise SourceError(
            f"{path.parent}: {path.name}, line {number} is not UTF-8. Save the list as UTF-8."
        ) from error


def _parse(line: str, folder: Path, place: str, anywhere: bool) -> tuple[Path, Path]:
    """Return the paths of the input and the target."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"{folder}: {place} is not JSON ({error}). Correct or remove the line."
        ) from error
    for keys in _KEYS if isinstance(row, dict) else ():
        before, after = (row.get(key) for key in keys)
        if isinstance(before, str) and isinstance(after, str) and before and after:
            return _locate(folder, before, place, anywhere), _locate(folder, after, place, anywhere)
    raise SourceError(
        f'{folder}: {place} is {line[:80]!r}. Expected {{"input": ..., "target": ...}} or '
        '{"src": ..., "tar": ...}.'
    )


def _locate(folder: Path, name: str, place: str, anywhere: bool) -> Path:
    # JSON can express halves of a character, which have no UTF-8.
    if "\0" in name or any("\ud800" <= character <= "\udfff" for character in name):
        raise SourceError(
            f"{folder}: {place} names {name!r}, which no file can be called. Correct the path."
        )
    normal = os.path.normpath(name)
    if not anywhere and (os.path.isabs(normal) or normal.split(os.sep)[0] == os.pardir):
        raise SourceError(
            f"{folder}: {place} names {name!r}, outside the folder. Use paths relative to the "
            "folder."
        )
    return folder / normal  # an absolute path stays as it is
