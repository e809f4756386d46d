"""A folder of pairs at a glance, before anything of it is read for long: its layout, its pairs, the
photos without a counterpart, and what was left out."""

import collections
import difflib
from collections.abc import Iterable
from pathlib import Path

from datasets.sources.lists import find_listed_pairs, find_lists
from datasets.sources.named_pairs import find_named_pairs
from datasets.sources.photo_files import relative
from datasets.types import SPLITS, SourceError, SourcePair
from enhancer.photo.finder import OTHERS, describe, find_photos

_NAMED = 5


def find_pairs(folder: Path) -> list[SourcePair]:
    """Read a folder in whichever layout it has: lists, or else names of files and folders.

    A lone `train` list says what the pairs are and not how to divide them: no split is given.

    Raises:
        SourceError: it has none.
    """
    if not folder.is_dir() or not find_lists(folder):
        return find_named_pairs(folder)
    pairs = find_listed_pairs(folder)
    if {pair.split for pair in pairs} == {"train"}:
        return [SourcePair(pair.id, pair.input, pair.target, None) for pair in pairs]
    return pairs


def survey(folder: Path, pairs: list[SourcePair], lists: Iterable[Path] | None = None) -> list[str]:
    """Describe the pairs that were found in a folder, in lines; SourceError: not one is whole.

    They were found in some lists, by default those of `find_lists`, or without any by names.
    """
    lists = find_lists(folder) if lists is None else lists
    whole = [pair for pair in pairs if pair.input.is_file() and pair.target.is_file()]
    photos, left_out = find_photos(folder)
    for path in lists:
        left_out[OTHERS].remove(path.suffix)
    used = {path for pair in whole for path in (pair.input, pair.target)}
    unused = [path for path in photos if path not in used]
    both = [
        files for pair in pairs for files in ((pair.input, pair.target), (pair.target, pair.input))
    ]
    missing = [(path, other) for path, other in both if not path.is_file()]
    single = {path for path, _ in both} - used
    if strangers := [path.name for path in unused if path not in single]:
        left_out["photos of no pair"] = strangers
    lines, left_out = [], {what: names for what, names in left_out.items() if names}
    if missing:
        some = [_with_candidate(*files, unused) for files in missing[:_NAMED]]
        more = f"; and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        lines.append(f"missing files: {len(missing)} ({'; '.join(some)}{more})")
    if left_out:
        lines.append(f"left out: {'; '.join(describe(left_out))}")
    if not whole:
        raise SourceError("; ".join([f"{folder} has no whole pair", *lines]) + ".")
    layout = ", ".join(path.name for path in lists) or _layout(folder, whole[0])
    counts = collections.Counter(pair.split for pair in whole)
    splits = ", ".join(f"{counts[split]} {split}" for split in SPLITS if counts[split])
    splits = splits or "not split: some are held back, scene by scene"
    return [f"{folder}: {len(whole)} pairs ({layout}; {splits})", *lines]


def _layout(folder: Path, pair: SourcePair) -> str:
    """What tells input from target, such as "before/ with after/"."""
    before, after = (relative(path, folder).parts for path in (pair.input, pair.target))
    for one, other in zip(before[:-1], after[:-1], strict=False):
        if one != other:
            return f"{one}/ with {other}/"
    one, other = (path.stem.rpartition("_")[2] for path in (pair.input, pair.target))
    return f"names in _{one} with _{other}"


def _with_candidate(path: Path, other: Path, unused: list[Path]) -> str:
    """A file that is missing, and one beside it that may be meant."""
    beside = {photo.stem: photo.name for photo in unused if photo.parent == path.parent}
    beside.pop(other.stem if other.parent == path.parent else "", None)
    near = difflib.get_close_matches(path.stem, beside, 1, 0.8)
    candidate = f" (is it {beside[near[0]]}?)" if near else ""
    return f"{path.parent.name}/{path.name}{candidate}"
