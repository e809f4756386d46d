"""Which pair is trained on, validated on and tested on; nothing trained on is tested on."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from datasets.types import SPLITS, PairRecord, PreparationError, Split

Splits = dict[Split, list[PairRecord]]
_NAMED_GROUPS = 5  # in an error


def assign_splits(
    accepted: list[PairRecord],
    source: str,
    groups: Sequence[Sequence[PairRecord]] = (),
    *,
    validation: float = 0.05,
    test: float = 0.0,
) -> Splits:
    """Take the source's splits; what it lacks to train, hold back by a hash of the ids: all where
    it has none, and of the training pairs where it has no validation list.

    Args:
        accepted: the usable pairs; each split keeps their order.
        source: where they come from, for errors.
        groups: pairs that belong together. A group goes whole into one split: the first in the
            order of the hashes that still fit into test, then validation; all others are trained
            on.
        validation, test: shares of the pairs that are held back, [0, 1); 0 holds back none.

    Raises:
        PreparationError: too few pairs.
    """
    given = {row["split"] for row in accepted}
    shares: dict[Split, float] = {"test": test, "validation": validation}
    if given != {None}:
        splits: Splits = {split: [r for r in accepted if r["split"] == split] for split in SPLITS}
        if "validation" in given or not splits["train"] or not validation:
            return splits
        trained = {row["id"] for row in splits["train"]}
        inner = [[row for row in group if row["id"] in trained] for group in groups]
        return splits | _hold_back(splits["train"], source, inner, {"validation": validation})
    held_back = _hold_back(accepted, source, groups, shares)
    return {split: held_back.get(split, []) for split in SPLITS}


def _hold_back(
    accepted: list[PairRecord],
    source: str,
    groups: Sequence[Sequence[PairRecord]],
    shares: dict[Split, float],
) -> Splits:
    """Divide pairs into "train" and the splits that have a share."""
    wanted = {
        split: max(1, round(share * len(accepted))) for split, share in shares.items() if share
    }
    together = {row["id"]: [member["id"] for member in group] for group in groups for row in group}
    units = {min(ids): ids for ids in (together.get(row["id"], [row["id"]]) for row in accepted)}
    if len(units) <= len(wanted):
        raise PreparationError(
            f"{source} has {len(accepted)} usable pairs of {len(units)} scenes; "
            f"{' and '.join(('training', *reversed(wanted)))} need at least one scene each."
        )
    by_hash = sorted(units.values(), key=lambda ids: hashlib.sha256(min(ids).encode()).hexdigest())
    held_back: dict[str, Split] = {}
    for split, number in wanted.items():
        free = [ids for ids in by_hash if ids[0] not in held_back]
        chosen = 0
        for ids in free:
            if chosen + len(ids) <= number:
                held_back |= dict.fromkeys(ids, split)
                chosen += len(ids)
        if not chosen:  # every group is larger than the share
            held_back |= dict.fromkeys(min(free, key=len), split)
    splits: Splits = {"train": []}
    splits.update({split: [] for split in shares if split in wanted})
    for row in accepted:
        splits[held_back.get(row["id"], "train")].append(row)
    return splits


def refuse_leaks(splits: Splits, source: str) -> None:
    """Refuse copies of a photo under other names: tested on them, the test is worthless."""
    seen: dict[str, tuple[Split, PairRecord]] = {}
    for split, rows in splits.items():
        for row in rows:
            first_split, first = seen.setdefault(row["input_sha256"], (split, row))
            if first_split != split:
                raise PreparationError(
                    f"{source}: the inputs of '{first['id']}' ({first_split}) and '{row['id']}' "
                    f"({split}) are the same picture. A photo may be in one split only; remove one "
                    "of the two pairs."
                )


def find_straddling(
    splits: Splits, groups: Sequence[Sequence[PairRecord]]
) -> list[list[tuple[str, Split]]]:
    """Return the groups that are in more than one split, each as ids with their splits."""
    split_of: dict[str, Split] = {row["id"]: key for key in SPLITS for row in splits[key]}
    named: list[list[tuple[str, Split]]]
    named = [[(row["id"], split_of[row["id"]]) for row in group] for group in groups]
    return [group for group in named if len({split for _, split in group}) > 1]


def refuse_straddling(straddling: list[list[tuple[str, Split]]], source: str, report: Path) -> None:
    """Raise an error that names the near-duplicates in different splits, if there are any."""
    if not straddling:
        return
    shown = [_describe_group(group) for group in straddling[:_NAMED_GROUPS]]
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
