"""Which pair is trained on, validated on and tested on; nothing trained on is tested on."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from datasets.types import SPLITS, PairRecord, PreparationError, Split

Splits = dict[Split, list[PairRecord]]
Straddling = list[list[tuple[str, Split]]]
"""Groups that are in more than one split, each as ids with their splits."""
Groups = Sequence[Sequence[PairRecord]]
"""Near-duplicates, two pairs and more each."""
_NAMED_GROUPS = 5  # in an error


def assign_splits(
    accepted: list[PairRecord],
    source: str,
    groups: Groups = (),
    *,
    validation: float = 0.05,
    test: float = 0.0,
) -> Splits:
    """Take the source's splits; what it lacks to train, hold back by a hash of the ids: all where
    it has none, and of the training pairs where it has no validation list.

    Args:
        accepted: the usable pairs; each split keeps their order.
        source: where they come from, for errors.
        groups: a group goes whole into one split: the first in the order of the hashes that still
            fit into test, then validation; all others are trained on.
        validation, test: shares of the pairs that are held back, [0, 1); 0 holds back none.

    Raises:
        PreparationError: too few pairs.
    """
    splits: Splits = {split: [r for r in accepted if r["split"] == split] for split in SPLITS}
    if not any(splits.values()):
        splits["train"] = accepted
    shares: dict[Split, float] = {"test": test, "validation": validation}
    wanted: dict[Split, int] = {
        split: max(1, round(share * len(splits["train"])))
        for split, share in shares.items()
        if share and not splits[split]
    }
    if not (splits["train"] and wanted):
        return splits
    return splits | _hold_back(splits["train"], source, groups, wanted)


def _hold_back(
    rows: list[PairRecord], source: str, groups: Groups, wanted: dict[Split, int]
) -> Splits:
    """Divide pairs into "train" and the splits of which so many are wanted."""
    scene_of = {row["id"]: [row["id"]] for row in rows}
    for group in groups:
        ids = [row["id"] for row in group if row["id"] in scene_of]
        scene_of |= dict.fromkeys(ids, ids)
    scenes = {min(ids): ids for ids in scene_of.values()}
    if len(scenes) <= len(wanted):
        raise PreparationError(
            f"{source} has {len(rows)} usable pairs of {len(scenes)} scenes; "
            f"{' and '.join(('training', *reversed(wanted)))} need at least one scene each."
        )
    by_hash = sorted(scenes, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    held_back: dict[str, Split] = {}
    for split, number in wanted.items():
        free = [scenes[name] for name in by_hash if name not in held_back]
        chosen = 0
        for ids in free:
            if chosen + len(ids) <= number:
                held_back |= dict.fromkeys(ids, split)
                chosen += len(ids)
        if not chosen:  # every scene is larger than the share
            held_back |= dict.fromkeys(min(free, key=len), split)
    places: tuple[Split, ...] = ("train", *wanted)
    return {
        place: [row for row in rows if held_back.get(row["id"], "train") == place]
        for place in places
    }


def refuse_leaks(splits: Splits, source: str) -> None:
    """Refuse copies of a photo under other names: tested on them, the test is worthless."""
    seen: dict[str, tuple[str, Split]] = {}
    for split, rows in splits.items():
        for row in rows:
            first, place = seen.setdefault(row["input_sha256"], (row["id"], split))
            if place != split:
                raise PreparationError(
                    f"{source}: the inputs of '{first}' ({place}) and '{row['id']}' ({split}) are "
                    "the same picture. A photo may be in one split only; remove one of the two "
                    "pairs."
                )


def find_straddling(splits: Splits, groups: Groups) -> Straddling:
    """Return the groups that are in more than one split."""
    split_of: dict[str, Split] = {row["id"]: key for key in SPLITS for row in splits[key]}
    named: Straddling = [[(row["id"], split_of[row["id"]]) for row in group] for group in groups]
    return [group for group in named if len({split for _, split in group}) > 1]


def refuse_straddling(straddling: Straddling, source: str, report: Path) -> None:
    """Raise an error that names the near-duplicates in different splits, if there are any."""
    if not straddling:
        return
    shown = list(map(_describe_group, straddling[:_NAMED_GROUPS]))
    if len(straddling) > _NAMED_GROUPS:
        shown.append(f"and {len(straddling) - _NAMED_GROUPS} more")
    raise PreparationError(
        f"{source}: scenes in more than one split: {'; '.join(shown)}. {report} shows all of them. "
        "Validated or tested on a scene that was trained on, a network looks better than it is. "
        "Move such photos into one list, remove the lists to have the splits chosen, or build with "
        "`python -m datasets build ... --allow-near-duplicates` to keep the lists as they are."
    )


def _describe_group(group: list[tuple[str, Split]]) -> str:
    parts = []
    for split in SPLITS:
        if ids := [name for name, place in group if place == split]:
            more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
            parts.append(f"{', '.join(ids[:3])}{more} ({split})")
    return " and ".join(parts)
