"""Find the before/after pairs in a folder as it comes: FiveK's layouts and lists in JSON lines."""

import collections
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from datasets.fivek.layouts import Layout, expected_layouts, find_layout
from enhancer.photo.io import PHOTO_SUFFIXES
from enhancer.system.errors import EnhancerError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
# Both names of the validation list are in use.
_LIST_FILES: dict[Split, tuple[str, ...]] = {
    "train": ("train.jsonl",),
    "validation": ("val.jsonl", "validation.jsonl"),
    "test": ("test.jsonl",),
}
_ROW_KEYS = (("input", "target"), ("src", "tar"))
_MAX_ID_BYTES = 200  # a file's name has at most 255, and those that are made of an id add up to 30
_INPUT_MARKS = ("_src", "_input", "_SRC", "_INPUT")


class SourceError(EnhancerError, ValueError):
    """A source folder that cannot be used; the message says what was found, what is expected and what to do."""


@dataclasses.dataclass(frozen=True)
class SourcePair:
    """Two files that should show the same scene before and after the edit; they may be missing or damaged."""

    id: str
    """Unique in its data set; the input's file name without suffix, with its folders where that alone is not unique."""
    input: Path
    target: Path
    split: Split | None
    """None when the source assigns no splits."""


def find_fivek_pairs(folder: Path, expert: str, *, rendered: bool = False) -> list[SourcePair]:
    """Find MIT-Adobe FiveK pairs in one of the layouts of `datasets.fivek.layouts`, or in JSON-lines lists.

    Args:
        folder: holds `input/` and `output_expert_<EXPERT>/`, or `img/dng/` and `img/tiff16_<expert>/`, or `raw_photos/` and
            `tiff16_<expert>/`, or `train.jsonl`.
        expert: "a" to "e".
        rendered: the inputs are the files in `tiff16_inputAsShotZeroed/` or `input_tiff/`; lists are not read.

    Returns:
        Pairs in the order of their ids. A photo without its counterpart is included: its target (or input) does not exist.

    Raises:
        SourceError: no known layout, or two files claim the same id.
    """
    check_folder(folder)
    if layout := find_layout(folder, expert, rendered=rendered):
        return _pair_by_stem(layout)
    if find_lists(folder) and not rendered:
        return _read_lists(folder)
    raise SourceError(
        f"{folder} is no FiveK folder for expert {expert.upper()}: it holds {describe_content(folder)}. "
        f"{expected_layouts(expert, rendered=rendered)}"
    )


def find_listed_pairs(folder: Path) -> list[SourcePair]:
    """Read the pairs of `train.jsonl`, `val.jsonl` (or `validation.jsonl`) and `test.jsonl`, those that exist.

    Each line is an object with `input` and `target`, or `src` and `tar`: paths relative to the folder.

    Raises:
        SourceError: no list, a malformed line, a path that leaves the folder, or an input that occurs twice.
    """
    check_folder(folder)
    if not find_lists(folder):
        raise SourceError(
            f"{folder} has no split lists: it holds {describe_content(folder)}. "
            'Expected train.jsonl, val.jsonl and test.jsonl with one {"input": "images/1_src.jpg", "target": '
            '"images/1_tar.jpg"} a line, paths relative to the folder.'
        )
    return _read_lists(folder)


def find_any_pairs(folder: Path) -> list[SourcePair]:
    """Read the pairs that are to be looked at, not trained on: from the lists of `find_listed_pairs`; where there are none from every
    `*.jsonl` of the folder, whose pairs have no split. Their photos may lie anywhere: nothing is built of them.

    Raises:
        SourceError: as `find_listed_pairs`, but for paths that leave the folder.
    """
    check_folder(folder)
    if lists := find_lists(folder):
        return _read_rows(folder, [(path, split) for split, path in lists.items()], anywhere=True)
    others = find_other_lists(folder)
    if not others:
        return find_listed_pairs(folder)  # says what is missing
    return _read_rows(folder, [(path, None) for path in others], anywhere=True)


def find_other_lists(folder: Path) -> list[Path]:
    """The `*.jsonl` files of a folder that are no split lists."""
    known = {name for names in _LIST_FILES.values() for name in names}
    return sorted(
        path
        for path in folder.glob("*.jsonl")
        if not path.name.startswith(".") and path.name not in known
    )


def source_files(pairs: list[SourcePair], folder: Path) -> list[list[object]]:
    """Describe the pairs' files by relative path, size in bytes and modification time: what changes when they change."""

    def describe(path: Path) -> list[object]:
        try:
            status = path.stat()
        except OSError:
            return [path.relative_to(folder).as_posix(), None, None]
        return [path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns]

    return [[pair.id, pair.split, *describe(pair.input), *describe(pair.target)] for pair in pairs]


def check_folder(folder: Path) -> None:
    """Raise SourceError unless there is a folder with something in it."""
    if not folder.is_dir():
        raise SourceError(
            f"{folder} is not a folder. Name the folder that holds the source photos."
        )
    if not any(folder.iterdir()):
        raise SourceError(
            f"{folder} is empty. Put the source photos there, or name another folder."
        )


def describe_content(folder: Path) -> str:
    """Name some of the files and folders in a folder."""
    names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in folder.iterdir())
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more


def _pair_by_stem(layout: Layout) -> list[SourcePair]:
    input_files, target_files = photos_by_stem(*layout.inputs), photos_by_stem(layout.targets)
    stems = sorted(input_files.keys() | target_files.keys())
    if not stems:
        folders = " and ".join(map(str, (*layout.inputs, layout.targets)))
        raise SourceError(
            f"{folders} hold no photos. Expected files such as a0001.dng or a0001.jpg."
        )
    return [
        SourcePair(
            id=stem,
            input=input_files.get(stem, layout.inputs[0] / f"{stem}.*"),
            target=target_files.get(stem, layout.targets / f"{stem}.*"),
            split=None,
        )
        for stem in stems
    ]


def photos_by_stem(*folders: Path) -> dict[str, Path]:
    """Return the photos in some folders, not in the folders in them, by file name without suffix.

    Raises:
        SourceError: two have the same name.
    """
    photos: dict[str, Path] = {}
    for path in sorted(path for folder in folders for path in folder.iterdir()):
        # Hidden files are the leftovers of file managers and half-finished copies.
        if path.name.startswith(".") or path.suffix.lower() not in PHOTO_SUFFIXES:
            continue
        if first := photos.get(path.stem):
            second = path.name if path.parent == first.parent else path
            raise SourceError(f"{first} and {second} have the same name. Keep one of the two.")
        photos[path.stem] = path
    return photos


def photo_files(folder: Path) -> list[Path]:
    """Return the photos in a folder and the folders in it, sorted, without hidden ones."""
    check_folder(folder)
    return [
        path
        for path in sorted(folder.rglob("*"))
        # Hidden files are the leftovers of file managers and half-finished copies.
        if path.suffix.lower() in PHOTO_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


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


def _read_lists(folder: Path) -> list[SourcePair]:
    return _read_rows(folder, [(path, split) for split, path in find_lists(folder).items()])


def _read_rows(
    folder: Path, lists: Sequence[tuple[Path, Split | None]], *, anywhere: bool = False
) -> list[SourcePair]:
    rows: list[tuple[Path, Path, Split | None]] = []
    seen: dict[Path, str] = {}
    for path, split in lists:
        # Not splitlines(): a file name may hold what Unicode calls a line separator.
        for number, line in enumerate(_read_text(path).split("\n"), start=1):
            if not line.strip():
                continue
            place = f"{path.name}, line {number}"
            input_path, target_path = _parse_row(line, folder, place, anywhere)
            if input_path in seen:
                raise SourceError(
                    f"{folder}: '{_relative(input_path, folder)}' is in {seen[input_path]} and again in {place}. "
                    "A photo may be in one split only, once; remove one of the two lines."
                )
            seen[input_path] = place
            rows.append((input_path, target_path, split))
    if not rows:
        raise SourceError(f"{folder}: the split lists have no rows.")
    ids = assign_ids([input_path for input_path, _, _ in rows], folder)
    return [
        SourcePair(ids[input_path], input_path, target_path, split)
        for input_path, target_path, split in rows
    ]


def _read_text(path: Path) -> str:
    content = path.read_bytes()
    try:
        # Editors on Windows put a byte order mark in front.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        raise SourceError(
            f"{path.parent}: {path.name}, line {number} is not UTF-8. Save the list as UTF-8."
        ) from error


def _parse_row(line: str, folder: Path, place: str, anywhere: bool) -> tuple[Path, Path]:
    """Return the paths of the input and the target."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"{folder}: {place} is not JSON ({error}). Correct or remove the line."
        ) from error
    for keys in _ROW_KEYS:
        if isinstance(row, dict) and all(
            isinstance(row.get(key), str) and row[key] for key in keys
        ):
            return _locate(folder, row[keys[0]], place, anywhere), _locate(
                folder, row[keys[1]], place, anywhere
            )
    raise SourceError(
        f'{folder}: {place} is {line[:80]!r}. Expected {{"input": ..., "target": ...}} or {{"src": ..., "tar": ...}}.'
    )


def _locate(folder: Path, relative: str, place: str, anywhere: bool) -> Path:
    # JSON can express halves of a character, which have no UTF-8.
    if "\0" in relative or any("\ud800" <= character <= "\udfff" for character in relative):
        raise SourceError(
            f"{folder}: {place} names {relative!r}, which no file can be called. Correct the path."
        )
    normal = os.path.normpath(relative)
    if anywhere:
        return folder / normal  # an absolute path stays as it is
    if os.path.isabs(normal) or normal.split(os.sep)[0] == os.pardir:
        raise SourceError(
            f"{folder}: {place} names {relative!r}, outside the folder. Use paths relative to the folder."
        )
    return folder / normal


def assign_ids(inputs: list[Path], folder: Path) -> dict[Path, str]:
    """Name each input after its file; where that is not unique (a folder per house), after its folders as well."""
    ids = {path: _without_mark(path.stem) for path in inputs}

    def with_folders(path: Path) -> str:
        return _without_mark("_".join((*_relative(path, folder).parent.parts, path.stem)))

    def with_hash(path: Path) -> str:
        # Files that differ in their suffix only, or `a_b/1.jpg` beside `a/b_1.jpg`.
        relative = _relative(path, folder).as_posix()
        return f"{with_folders(path)}_{hashlib.sha256(relative.encode()).hexdigest()[:8]}"

    for rename in (with_folders, with_hash):
        counts = collections.Counter(ids.values())
        ids = {path: rename(path) if counts[name] > 1 else name for path, name in ids.items()}
    return {path: _shorten(name, _relative(path, folder)) for path, name in ids.items()}


def _relative(path: Path, folder: Path) -> Path:
    """The path from the folder, also of a file that is not in it."""
    return Path(os.path.relpath(path, folder))


def _shorten(name: str, path: Path) -> str:
    """Cut an id that is too long for a file's name; a hash keeps it unique."""
    if len(name.encode()) <= _MAX_ID_BYTES:
        return name
    digest = hashlib.sha256(path.as_posix().encode()).hexdigest()[:8]
    return f"{name.encode()[: _MAX_ID_BYTES - 9].decode(errors='ignore')}_{digest}"


def _without_mark(stem: str) -> str:
    for mark in _INPUT_MARKS:
        stem = stem.removesuffix(mark)
    return stem


FindPairs = Callable[[Path], list[SourcePair]]
"""Reads a source folder; `find_listed_pairs`, or `find_fivek_pairs` with its expert bound."""
