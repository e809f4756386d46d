"""Pairs of a folder without lists, by what the names of the files end in."""

from pathlib import Path

from datasets.sources.photo_files import assign_ids, check_folder
from datasets.types import SourceError, SourcePair
from enhancer.folders.photos import find_photos

_MARKS = (("_src", "_tar"), ("_input", "_target"))


def find_marked_pairs(folder: Path) -> list[SourcePair]:
    """Find `<id>_src.*` with `<id>_tar.*`, and `<id>_input.*` with `<id>_target.*`.

    Both files of a pair are in one folder, `folder` or one in it; their formats may differ. Photos
    of other names are left alone.

    Returns:
        Pairs in the order of their ids, without splits. A photo without its counterpart is
        included: the other file does not exist.

    Raises:
        SourceError: no such files, or two that claim the same place in a pair.
    """
    check_folder(folder)
    found: dict[tuple[Path, str, tuple[str, str]], dict[str, Path]] = {}
    for path in find_photos(folder)[0]:
        for marks in _MARKS:
            for mark in marks:
                if not path.stem.lower().endswith(mark) or len(path.stem) == len(mark):
                    continue
                files = found.setdefault((path.parent, path.stem[: -len(mark)], marks), {})
                if mark in files:
                    raise SourceError(
                        f"{files[mark]} and {path.name} have the same name. Keep one of the two."
                    )
                files[mark] = path
    if not found:
        raise SourceError(
            f"{folder} has neither split lists (train.jsonl, val.jsonl, test.jsonl) nor photos "
            "whose names end in _src and _tar, such as 801_src.jpg and 801_tar.jpg (or _input and "
            "_target)."
        )
    pairs = [
        [files.get(mark, parent / f"{stem}{mark}.*") for mark in marks]
        for (parent, stem, marks), files in found.items()
    ]
    ids = assign_ids([before for before, _ in pairs], folder)
    return sorted(
        (SourcePair(ids[before], before, after, None) for before, after in pairs),
        key=lambda pair: pair.id,
    )
