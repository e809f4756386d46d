"""What the files of pairs are called: which photo they are of, and which name each pair gets."""

import collections
import hashlib
import os
import re
from pathlib import Path

from datasets.types import SourceError
from enhancer.photo.finder import find_photos

ROLE_NAMES = (
    ("input", "target"),
    ("src", "tar"),
    ("before", "after"),
    ("lq", "gt"),
    ("low", "high"),
    ("source", "target"),
)
"""What people call the two photos of a pair: folders, ends of file names, columns of lists."""
_INPUT_MARK = re.compile(rf"(?<=.)_({'|'.join(name for name, _ in ROLE_NAMES)})$", re.IGNORECASE)
_MAX_ID_BYTES = 200  # a file's name has at most 255, and those made of an id add up to 30


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
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def photos_by_stem(*folders: Path) -> dict[str, Path]:
    """Return the photos in some folders by file name without suffix; SourceError for two of one."""
    photos: dict[str, Path] = {}
    for path in sorted(path for folder in folders for path in find_photos(folder, deep=False)[0]):
        if first := photos.get(path.stem):
            raise same_name(first, path)
        photos[path.stem] = path
    return photos


def same_name(first: Path, second: Path) -> SourceError:
    """The error for two files that claim one place."""
    other = second.name if second.parent == first.parent else second
    return SourceError(f"{first} and {other} have the same name. Keep one of the two.")


def assign_ids(inputs: list[Path], folder: Path) -> dict[Path, str]:
    """Name each input after its file; where that is not unique, after its folders as well."""

    def with_folders(path: Path) -> str:
        return _without_mark("_".join((*relative(path, folder).parent.parts, path.stem)))

    def with_hash(path: Path) -> str:
        # Files that differ in their suffix only, or `a_b/1.jpg` beside `a/b_1.jpg`.
        return f"{with_folders(path)}_{_hash(relative(path, folder))}"

    ids = {path: _without_mark(path.stem) for path in inputs}
    for rename in (with_folders, with_hash):
        counts = collections.Counter(ids.values())
        ids = {path: rename(path) if counts[name] > 1 else name for path, name in ids.items()}
    return {path: _shorten(name, relative(path, folder)) for path, name in ids.items()}


def relative(path: Path, folder: Path) -> Path:
    """The path from the folder, also of a file that is not in it."""
    return Path(os.path.relpath(path, folder))


def _shorten(name: str, path: Path) -> str:
    """Cut an id that is too long for a file's name; a hash keeps it unique."""
    if len(name.encode()) <= _MAX_ID_BYTES:
        return name
    return f"{name.encode()[: _MAX_ID_BYTES - 9].decode(errors='ignore')}_{_hash(path)}"


def _hash(path: Path) -> str:
    return hashlib.sha256(path.as_posix().encode()).hexdigest()[:8]


def _without_mark(stem: str) -> str:
    return _INPUT_MARK.sub("", stem)
