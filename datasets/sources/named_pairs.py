"""Pairs of a folder without lists, by what its files and folders are called."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from datasets.sources.photo_files import (
    ROLE_NAMES,
    assign_ids,
    check_folder,
    describe_content,
    same_name,
)
from datasets.types import SourceError, SourcePair, Split
from enhancer.photo.finder import find_photos

Role = Literal["input", "target"]
_INPUTS, _TARGETS = ({pair[side]: pair[1 - side] for pair in ROLE_NAMES[::-1]} for side in (0, 1))
SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_MARK = re.compile(rf"(.+)_({'|'.join(_INPUTS | _TARGETS)})", re.IGNORECASE)
_LAYOUTS = (
    "Expected folders before/ and after/ (or input/ and target/, lq/ and gt/, low/ and high/) with "
    "photos of the same names; or names that end so, such as 801_src.jpg and 801_tar.jpg; or "
    'lists: train.jsonl with one {"input": "1_src.jpg", "target": "1_tar.jpg"} a line, or '
    "train.csv with the columns input and target."
)


class _NamedPhoto(NamedTuple):
    """A photo, and what its name says."""

    path: Path
    role: Role
    folders: tuple[str, ...]  # in the source, without the one that says the role
    stems: tuple[str, str]  # as it is, and without a mark at its end
    other: Path  # the counterpart's name, with any suffix

    @property
    def split(self) -> Split | None:
        names = [name.lower() for name in self.folders]
        return next((SPLIT_NAMES[name] for name in names if name in SPLIT_NAMES), None)


def find_named_pairs(folder: Path) -> list[SourcePair]:
    """Find pairs whose role is in a folder's name (`before/1.jpg` with `after/1.jpg`) or at the end
    of the file's (`1_src.jpg` with `1_tar.jpg`).

    The names are those of `ROLE_NAMES`, in any case, of folders also in the plural and anywhere
    below `folder`; folders `train`, `val` and `test`, above them or below, are the splits. Formats
    may differ. Photos of other names are left alone.

    Returns:
        Pairs in the order of their ids. A photo without its counterpart is included: the other file
        does not exist.

    Raises:
        SourceError: no such files, or two that claim the same place in a pair.
    """
    check_folder(folder)
    left = list(_read_names(folder))
    if not left:
        raise SourceError(f"{folder} has no pairs: it holds {describe_content(folder)}. {_LAYOUTS}")
    found: list[tuple[Path, Path, Split | None]] = []
    # `before/1_low.jpg` goes with `after/1_low.jpg` where that is there, or else with any `1_*`.
    for which in (0, 1):
        places: dict[tuple, dict[Role, _NamedPhoto]] = {}
        for photo in left:
            place = places.setdefault((photo.folders, photo.stems[which]), {})
            if first := place.get(photo.role):
                raise same_name(first.path, photo.path)
            place[photo.role] = photo
        left = []
        for place in places.values():
            if len(place) == 2:
                found.append((place["input"].path, place["target"].path, place["input"].split))
            else:
                left += place.values()
    for photo in left:
        is_input = photo.role == "input"
        both = (photo.path, photo.other) if is_input else (photo.other, photo.path)
        found.append((*both, photo.split))
    are_split = all(split for *_, split in found)
    ids = assign_ids([before for before, *_ in found], folder)
    pairs = [
        SourcePair(ids[before], before, after, split if are_split else None)
        for before, after, split in found
    ]
    return sorted(pairs, key=lambda pair: pair.id)


def _read_names(folder: Path) -> Iterator[_NamedPhoto]:
    photos = {path: path.relative_to(folder).parts[:-1] for path in find_photos(folder)[0]}
    # A folder says a role where its counterpart is beside it: source/ alone may hold all of both.
    beside: dict[tuple[str, ...], dict[Role, str]] = {}
    for folders in set(photos.values()):
        for depth, name in enumerate(folders):
            if role := _role_of(name):
                beside.setdefault(folders[:depth], {})[role] = name
    for path, folders in photos.items():
        mark = _MARK.fullmatch(path.stem)
        stems = (path.stem, mark[1] if mark else path.stem)
        for depth in reversed(range(len(folders))):
            role = _role_of(folders[depth])
            if role and len(roles := beside[folders[:depth]]) == 2:
                other = roles["target" if role == "input" else "input"]
                place = folder.joinpath(*folders[:depth], other, *folders[depth + 1 :])
                rest = folders[:depth] + folders[depth + 1 :]
                yield _NamedPhoto(path, role, rest, stems, place / f"{path.stem}.*")
                break
        else:
            if mark and (role := _role_of(mark[2])):
                other = (_INPUTS | _TARGETS)[mark[2].lower()]
                missing = path.with_name(f"{mark[1]}_{other}.*")
                yield _NamedPhoto(path, role, folders, stems, missing)


def _role_of(name: str) -> Role | None:
    name = name.lower()
    names = {name, name.removesuffix("s")}
    if names & _INPUTS.keys():
        return "input"
    return "target" if names & _TARGETS.keys() else None
