"""Which pair is trained on, validated on and tested on; nothing that was trained on is tested on."""

import hashlib

from datasets.prepared_folder import PreparationError, Row
from datasets.sources import SPLITS, Split

VALIDATION_SHARE = 0.05


def assign_splits(accepted: list[Row], source: str) -> dict[Split, list[Row]]:
    """Take the source's splits; where it has none, 5 % become validation, chosen by a hash of the id."""
    if accepted[0]["split"] is not None:
        return {split: [row for row in accepted if row["split"] == split] for split in SPLITS}
    if len(accepted) < 2:
        raise PreparationError(f"{source} has one usable pair; training and validation need at least one each.")
    by_hash = sorted(accepted, key=lambda row: hashlib.sha256(row["id"].encode()).hexdigest())
    validation = {row["id"] for row in by_hash[: max(1, round(VALIDATION_SHARE * len(accepted)))]}
    return {
        "train": [row for row in accepted if row["id"] not in validation],
        "validation": [row for row in accepted if row["id"] in validation],
        "test": [],
    }


def refuse_leaks(splits: dict[Split, list[Row]], source: str) -> None:
    """Copies of a photo under other names count as the photo: tested on what was trained on, the test is worthless."""
    seen: dict[str, tuple[Split, Row]] = {}
    for split, rows in splits.items():
        for row in rows:
            first_split, first = seen.setdefault(row["input_sha256"], (split, row))
            if first_split != split:
                raise PreparationError(
                    f"{source}: the inputs of '{first['id']}' ({first_split}) and '{row['id']}' ({split}) are the same "
                    "picture. A photo may be in one split only; remove one of the two pairs."
                )
