"""What shows only when pairs are seen together: strange edits, and scenes that occur twice."""

import dataclasses
from pathlib import Path

import numpy as np
import tqdm

from datasets.checks import near_duplicates, tone
from datasets.types import PairRecord, Split
from enhancer.photo.io import read_photo


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the report tells about a data set."""

    splits: dict[Split, list[PairRecord]]
    rejected: list[PairRecord]
    groups: list[list[PairRecord]]
    """Of near-duplicates, two pairs and more each."""
    straddling: list[list[tuple[str, Split]]]
    """The groups that are in more than one split."""


def flag_outliers(
    records: list[PairRecord], *, drop: bool
) -> tuple[list[PairRecord], list[PairRecord]]:
    """Return the accepted pairs with their `flags`, and the rejected ones.

    Args:
        records: of all pairs.
        drop: reject the pairs whose edit is unlike the others' too.
    """
    outliers = tone.find_outliers([row for row in records if row["status"] == "accepted"])
    accepted, rejected = [], []
    for record in records:
        flags = outliers.get(record["id"], [])
        if record["status"] == "rejected":
            rejected.append(record)
        elif not (flags and drop):
            accepted.append({**record, "flags": flags})
        else:
            reason = f"the edit is unlike the others in this data set: {'; '.join(flags)}"
            measured = {name: record["measurements"][name] for name in tone.RATIOS}
            rejected.append(
                {**record, "kind": "unusual edit", "reason": reason, "measured": measured}
            )
    return accepted, rejected


def refuse_unlisted(records: list[PairRecord], published_split: str) -> list[PairRecord]:
    """Mark the accepted pairs that a published split does not list as rejected."""
    if not published_split:
        return records
    reason = (
        f"the published split {published_split} lists this photo neither to train nor to test on"
    )
    refusal = {"status": "rejected", "kind": "not in the split", "reason": reason, "measured": None}
    return [
        record | refusal if record["status"] == "accepted" and record["split"] is None else record
        for record in records
    ]


def find_groups_with_progress(accepted: list[PairRecord], output: Path) -> list[list[PairRecord]]:
    """Find near-duplicates among the stored pictures of `output`; a bar shows how far it is."""
    hashes = [
        (record["measurements"]["input_hash"], record["measurements"]["target_hash"])
        for record in accepted
    ]

    def read_target(index: int) -> np.ndarray:
        return read_photo(output / accepted[index]["target"]).pixels

    # The same input or target: one photo edited twice, or one edit of two exposures.
    first_of: dict[tuple[str, str], int] = {}
    copies = [
        (first_of.setdefault((role, record[f"{role}_sha256"]), index), index)
        for index, record in enumerate(accepted)
        for role in ("input", "target")
    ]
    with tqdm.tqdm(
        total=len(accepted), desc="looking for near-duplicates", unit="photo", delay=2, leave=False
    ) as bar:
        groups = near_duplicates.find_groups(hashes, read_target, bar.update, copies)
    return [[accepted[index] for index in group] for group in groups]
