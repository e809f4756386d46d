"""Find the before/after pairs of a folder without lists, by what the names of the files end in."""

from pathlib import Path

from datasets.sources import SourceError, SourcePair, assign_ids, photo_files

_MARKS = (("_src", "_tar"), ("_input", "_target"))


def find_marked_pairs(folder: Path) -> list[SourcePair]:
    """Find `<id>_src.*` with `<id>_tar.*` and `<id>_input.*` with `<id>_target.*`, in the folder and the folders in it.

    Both files of a pair are in one folder; their formats may differ. Photos of other names are left alone.

    Returns:
        Pairs in the order of their ids, without splits. A photo without its counterpart is included: the other file does
        not exist.

    Raises:
        SourceError: no such files, or two that claim the same place in a pair.
    """
    found: dict[tuple[Path, str], dict[str, Path]] = {}
    for path in photo_files(folder):
        stem = path.stem.lower()
        for number, marks in enumerate(_MARKS):
            for role, mark in zip(("input", "target"), marks, strict=True):
                if not stem.endswith(mark) or len(stem) == len(mark):
                    continue
                files = found.setdefault((path.parent, f"{path.stem[: -len(mark)]}\0{number}"), {})
                if role in files:
                    raise SourceError(
                        f"{files[role]} and {path.name} have the same name. Keep one of the two."
                    )
                files[role] = path
    if not found:
        raise SourceError(
            f"{folder} has neither split lists (train.jsonl, val.jsonl, test.jsonl) nor photos whose names end in _src and "
            "_tar, such as 801_src.jpg and 801_tar.jpg (or _input and _target)."
        )
    pairs = [(_file(key, files, 0), _file(key, files, 1)) for key, files in found.items()]
    ids = assign_ids([before for before, _ in pairs], folder)
    return sorted(
        (SourcePair(ids[before], before, after, None) for before, after in pairs),
        key=lambda pair: pair.id,
    )


def _file(key: tuple[Path, str], files: dict[str, Path], position: int) -> Path:
    """The input (0) or the target (1); where there is none, the name that it should have."""
    parent, name = key
    stem, _, number = name.rpartition("\0")
    role = ("input", "target")[position]
    return files.get(role, parent / f"{stem}{_MARKS[int(number)][position]}.*")
