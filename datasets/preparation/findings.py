"""What shows only when pairs are seen together: strange edits, and scenes that occur twice."""

from pathlib import Path

import numpy as np

from datasets.checks import near_duplicates, tone
from datasets.types import PairRecord
from enhancer.photo.io import read_photo


def judge(
    records: list[PairRecord], published_split: str, *, drop_outliers: bool
) -> tuple[list[PairRecord], list[PairRecord]]:
    """Return the accepted pairs with their `flags`, and the rejected ones.

    Args:
        records: of all pairs.
        published_split: name of the split that leaves out what it does not list; or empty.
        drop_outliers: reject the pairs whose edit is unlike the others' too.
    """
    usable = [record for record in records if record["status"] == "accepted"]
    listed = [record for record in usable if record["split"] or not published_split]
    outliers = tone.find_outliers(listed)
    ids = {record["id"] for record in listed}
    accepted, rejected = [], []
    for record in records:
        flags = outliers.get(record["id"], [])
        if record["status"] == "rejected":
            rejected.append(record)
        elif record["id"] not in ids:
            lists = f"the published split {published_split} lists this photo"
            reason = f"{lists} neither to train nor to test on"
            refusal = {"kind": "not in the split", "reason": reason, "measured": None}
            rejected.append({**record, **refusal})
        elif flags and drop_outliers:
            reason = f"the edit is unlike the others in this data set: {'; '.join(flags)}"
            measured = {name: record["measurements"][name] for name in tone.RATIOS}
            refusal = {"kind": "unusual edit", "reason": reason, "measured": measured}
            rejected.append({**record, **refusal})
        else:
            accepted.append({**record, "flags": flags})
    return accepted, rejected


def find_groups(accepted: list[PairRecord], output: Path) -> list[list[PairRecord]]:
    """Find near-duplicates among the stored pictures of `output`."""
    measured = [record["measurements"] for record in accepted]
    hashes = [(row["input_hash"], row["target_hash"]) for row in measured]
    # The same input or target: one photo edited twice, or one edit of two exposures.
    first_of: dict[tuple[str, str], int] = {}
    copies = [
        (first_of.setdefault((role, record[f"{role}_sha256"]), index), index)
        for index, record in enumerate(accepted)
        for role in ("input", "target")
    ]

    def read_target(index: int) -> np.ndarray:
        return read_photo(output / accepted[index]["target"]).pixels

    groups = near_duplicates.find_groups(hashes, read_target, copies)
    return [[accepted[index] for index in group] for group in groups]
