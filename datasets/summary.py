"""What a preparation says in the end."""

from pathlib import Path
from typing import Any

from datasets import prepared_folder
from datasets.sources import SPLITS


def print_summary(metadata: dict[str, Any], output: Path, report: str) -> None:
    """Print how a preparation ended.

    Args:
        metadata: of the complete folder.
        output: that folder.
        report: what bringing the originals took, in a line, or nothing.
    """
    counts = metadata["counts"]
    splits = ", ".join(f"{counts[split]} {split}" for split in SPLITS if counts[split])
    print(
        f"{metadata['dataset']}: {counts['accepted']} of {counts['found']} pairs prepared ({splits}) in {output}"
    )
    if report:
        print(f"  {report}")
    if counts["rejected"]:
        print(
            f"  {counts['rejected']} rejected: {describe_reasons(metadata['rejected_by_reason'])}"
        )
        print(f"  reasons: {output / prepared_folder.REJECTED}")
    if prepared_folder.NOT_FETCHED in metadata["rejected_by_reason"]:
        print("  --overwrite tries those again that were not fetched")
    if metadata["flagged"]:
        print(
            f"  {metadata['flagged']} have an edit unlike the others; kept (--drop-outliers leaves them out)"
        )
    for remark, count in metadata["remarks"].items():
        print(f"  {count} kept with a remark, {remark}")
    near = metadata["near_duplicates"]
    if near["groups"]:
        across = near["groups_in_several_splits"]
        where = (
            f"{across} of them in more than one split, as listed" if across else "each in one split"
        )
        scenes = "one scene" if near["groups"] == 1 else f"{near['groups']} scenes"
        print(f"  {near['photos']} photos show {scenes} more than once, {where}")
    print(f"  report: {output / prepared_folder.REPORT}")


def describe_reasons(reasons: dict[str, int]) -> str:
    """Name the kinds of refusals with their numbers."""
    return ", ".join(f"{count} {kind}" for kind, count in reasons.items())
