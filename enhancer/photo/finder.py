"""The photos of a folder, and what lies there that nobody means when they name it."""

import os
from collections.abc import Iterator
from pathlib import Path

from enhancer.photo.io import PHOTO_SUFFIXES
from enhancer.photo.refusal import HEAD_BYTES, recognise

LeftOut = dict[str, list[str]]
"""Names of what was left out, by what they are, such as "hidden files"."""

_NOT_SEARCHED = frozenset(
    {
        # Thumbnails of file servers and galleries.
        *("@eadir", "@thumb", "@__thumb", "thumbnails", "_thumbnails", "thumbs", "_thumbs"),
        # What was thrown away, or copied for safety.
        *("$recycle.bin", "recycler", "recycled", "#recycle", "@recycle", "trash", "lost+found"),
        *("#snapshot", "@recently-snapshot", "found.000"),
        # Of the systems themselves.
        *("__macosx", "system volume information", "network trash folder", "temporary items"),
    }
)
_LIBRARIES = (".lrdata", ".photoslibrary", ".aplibrary")
_LEFTOVERS = (".part", ".partial", ".crdownload", ".download", ".filepart", ".tmp", ".bak", ".orig")
"""Endings of half a download, or of a copy for safety (with exiftool's `a.jpg_original`)."""
_LEFTOVERS += ("_original", "~", ".thm")  # a camera's thumbnail of a video
_NAMED = 4

FOLDERS, LINKS = "hidden, thumbnail or trash folders", "linked folders, searched when named"
HIDDEN, OTHERS, CLOSED = "hidden files", "files of other kinds", "folders that do not open"


def find_photos(folder: Path, *, deep: bool = True) -> tuple[list[Path], LeftOut]:
    """Find the photos of a folder, with `deep` also those in its folders.

    A file counts by its content, whatever its name ends in; one that is called a photo counts too,
    so that what is wrong with it gets said. Hidden files, links to folders, and folders of
    thumbnails, of what was thrown away and of a system's own are left out.

    Returns:
        The photos, sorted, and what was left out.
    """
    photos: list[Path] = []
    left_out: LeftOut = {}

    def leave_out(what: str, name: str) -> None:
        left_out.setdefault(what, []).append(name)

    def not_opened(error: OSError) -> None:
        leave_out(CLOSED, Path(error.filename).name)

    for place, folders, names in os.walk(folder, onerror=not_opened):
        searched = []
        for name in sorted(folders) if deep else ():
            if _is_not_searched(name.lower()):
                leave_out(FOLDERS, name)
            elif os.path.islink(os.path.join(place, name)):
                leave_out(LINKS, name)
            else:
                searched.append(name)
        folders[:] = searched
        for path in (Path(place, name) for name in sorted(names)):
            if path.name.startswith("."):
                leave_out(HIDDEN, path.name)
            elif is_photo(path):
                photos.append(path)
            else:
                leave_out(OTHERS, path.suffix.lower() or path.name)
    return sorted(photos), left_out


def is_photo(path: Path) -> bool:
    """Whether a file is a photo by its content, or at least by its name."""
    if path.suffix.lower() in PHOTO_SUFFIXES:
        return True
    if path.name.lower().endswith(_LEFTOVERS) or not path.is_file():
        return False
    try:
        with open(path, "rb") as file:
            return recognise(file.read(HEAD_BYTES)) is not None
    except OSError:
        return False


def describe(left_out: LeftOut) -> Iterator[str]:
    """Say how many things of each kind were left out, and name some of them."""
    for what, names in left_out.items():
        some = list(dict.fromkeys(names))
        more = f" and {len(some) - _NAMED} more" if len(some) > _NAMED else ""
        yield f"{what}: {len(names)} ({', '.join(some[:_NAMED])}{more})"


def _is_not_searched(name: str) -> bool:
    return name.startswith(".") or name in _NOT_SEARCHED or name.endswith(_LIBRARIES)
