"""What only shows when a data set's pairs are seen together: edits unlike the others, and scenes that occur twice."""

import dataclasses
from pathlib import Path

import numpy as np
import tqdm

from datasets import near_duplicates, tone
from datasets.prepared_folder import Row
from datasets.sources import Split
from enhancer.photo.io import read_photo


@dataclasses.dataclass(frozen=True)
class Findings:
    """Everything that the report tells about a data set."""

    splits: dict[Split, list[Row]]
    rejected: list[Row]
    outliers: dict[str, list[str]]
    """By id what is unusual about the edit, in words; of accepted pairs, or of rejected ones where these are dropped."""
    groups: list[list[Row]]
    """Of near-duplicates, two rows and more each."""
    straddling: list[list[tuple[str, Split]]]
    """The groups that are in more than one split."""


def flag_outliers(
    rows: list[Row], *, drop: bool
) -> tuple[list[Row], list[Row], dict[str, list[str]]]:
    """Separate what is used from what is refused.

    Args:
        rows: of all pairs.
        drop: refuse the outliers too; otherwise they are accepted with `flags`.

    Returns:
        Accepted rows with their `flags`, rejected rows, and what is unusual by id.
    """
    accepted = [row for row in rows if row["status"] == "accepted"]
    rejected = [row for row in rows if row["status"] == "rejected"]
    outliers = tone.find_outliers(accepted)
    accepted = [{**row, "flags": outliers.get(row["id"], [])} for row in accepted]
    if not drop:
        return accepted, rejected, outliers
    refused = {
        row["id"]: {
            **row,
            "kind": "unusual edit",
            "reason": f"the edit is unlike the others in this data set: {'; '.join(row['flags'])}",
            "measured": {name: row["measurements"][name] for name in tone.RATIOS},
        }
        for row in accepted
        if row["flags"]
    }
    order = {row["id"]: position for position, row in enumerate(rows)}
    rejected = sorted([*rejected, *refused.values()], key=lambda row: order[row["id"]])
    return [row for row in accepted if not row["flags"]], rejected, outliers


def refuse_unlisted(rows: list[Row], published_split: str) -> list[Row]:
    """Mark the accepted pairs without a split as rejected where a published split is reproduced."""
    if not published_split:
        return rows
    reason = (
        f"the published split {published_split} lists this photo neither to train nor to test on"
    )
    refusal = {"status": "rejected", "kind": "not in the split", "reason": reason, "measured": None}
    return [
        row | refusal if row["status"] == "accepted" and row["split"] is None else row
        for row in rows
    ]


def find_groups_with_progress(accepted: list[Row], output: Path) -> list[list[Row]]:
    """Find near-duplicates among the stored pictures of `output`; a bar shows when it takes more than two seconds."""
    hashes = [
        (row["measurements"]["input_hash"], row["measurements"]["target_hash"]) for row in accepted
    ]

    def read_target(index: int) -> np.ndarray:
        return read_photo(output / accepted[index]["target"]).pixels

    with tqdm.tqdm(
        total=len(accepted), desc="looking for near-duplicates", unit="photo", delay=2, leave=False
    ) as bar:
        copies = _find_copies(accepted)
        groups = near_duplicates.find_groups(
            hashes, read_target, lambda compared: bar.update(compared - bar.n), copies
        )
    return [[accepted[index] for index in group] for group in groups]


def _find_copies(accepted: list[Row]) -> list[tuple[int, int]]:
    """Pairs of indices whose inputs or whose targets are the same picture: one photo edited twice, one edit of two exposures."""
    first_of: dict[tuple[str, str], int] = {}
    copies = []
    for index, row in enumerate(accepted):
        for role in ("input_sha256", "target_sha256"):
            first = first_of.setdefault((role, row[role]), index)
            if first != index:
                copies.append((first, index))
    return copies
