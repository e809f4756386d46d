"""Source pairs -> a folder of validated, upright, sRGB, downscaled JPEG pairs with split lists; resumable.

The expensive part of building a data set (developing RAW files, reading 300 GB of TIFFs) happens here, once. The folder is
plain: `images/<id>_input.jpg` and `images/<id>_target.jpg`, `train.jsonl`, `val.jsonl`, `test.jsonl`, `rejected.jsonl`,
`progress.jsonl` (one line per finished pair) and, when it is complete, `dataset_metadata.json`.
"""

import collections
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from datasets import prepared_folder
from datasets.prepared_folder import PreparationError, Row
from datasets.sources import SPLITS, FindPairs, SourcePair, source_files
from datasets.splits import assign_splits, refuse_leaks
from datasets.workers import JPEG_QUALITY, prepare_remaining
from enhancer.atomic_file import write_atomically
from enhancer.photo_io import decoder_versions

PREPARATION_VERSION = 2
"""Raised whenever the same source gives other pixels, other splits or other refusals."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What decides the content of a prepared folder, apart from the source."""

    dataset: str
    """Name of the data set, such as "fivek"."""
    variant: str
    """What is taken from the source, such as "expert C"."""
    long_edge: int | None
    """Longer side of the stored photos at most, in pixels; None keeps the size."""


def prepare(
    source: Path, find_pairs: FindPairs, output: Path, options: Options, *, refresh: bool = False
) -> dict[str, Any]:
    """Fill `output` from `source`, continuing where an earlier call with the same source and options was stopped.

    A pair that cannot be used is named, counted and skipped. The source is only read. A complete folder is left as it
    is; one that was made from another source or with other options is emptied first.

    Args:
        source: the folder with the source photos.
        find_pairs: reads that folder's layout.
        output: the folder to fill, outside the source.
        options: what to store.
        refresh: also redo a complete folder that was made with other versions of the photo decoders.

    Returns:
        The content of `dataset_metadata.json`.

    Raises:
        SourceError: the source folder has no layout that `find_pairs` knows.
        PreparationError: `output` belongs to something else, no pair can be used, or one photo is in two splits.
    """
    source, output = source.resolve(), output.resolve()
    if output.is_relative_to(source):
        raise PreparationError(
            f"{output} is inside the source folder {source}, which is never written to. Move it out."
        )
    pairs = find_pairs(source)
    fingerprint = source_fingerprint(pairs, source, options)
    metadata = prepared_folder.read_metadata(output)
    header = {"source_fingerprint": fingerprint, "versions": decoder_versions()}
    if metadata and metadata["source_fingerprint"] == fingerprint:
        current = metadata["versions"] == header["versions"]
        listed = [row for split in SPLITS for row in prepared_folder.read_rows(output, split)]
        if (current or not refresh) and all(prepared_folder.has_images(row, output) for row in listed):
            return metadata
    finished = prepared_folder.resume(output, header)
    prepare_remaining(pairs, finished, output, options.long_edge, f"preparing {options.dataset}")
    rows = [finished[pair.id] for pair in pairs]
    metadata = _finish(rows, output, options, header, source)
    _print_summary(metadata, output)
    return metadata


def source_fingerprint(pairs: list[SourcePair], source: Path, options: Options) -> str:
    """Hash of the options and of every source file's name, size and modification time; hexadecimal."""
    description = [PREPARATION_VERSION, dataclasses.asdict(options), source_files(pairs, source)]
    return hashlib.sha256(json.dumps(description).encode()).hexdigest()


def _finish(rows: list[Row], output: Path, options: Options, header: Row, source: Path) -> dict[str, Any]:
    """Write the lists and, last of all, the metadata that marks the folder as complete."""
    accepted = [row for row in rows if row["status"] == "accepted"]
    rejected = [row for row in rows if row["status"] == "rejected"]
    prepared_folder.write_rejected(output, rejected)
    reasons = dict(collections.Counter(row["kind"] for row in rejected).most_common())
    if not accepted:
        raise PreparationError(
            f"None of the {len(rows)} pairs in {source} can be used: {_describe_reasons(reasons)}. "
            f"{output / prepared_folder.REJECTED} has the reason for each."
        )
    splits = assign_splits(accepted, source)
    refuse_leaks(splits, source)
    prepared_folder.write_lists(output, splits)
    prepared_folder.remove_unlisted(output, accepted)
    # Pairs that were redone are at the end of the log: two complete folders are the same whatever happened on the way.
    prepared_folder.write_rows(output / prepared_folder.PROGRESS, [header, *rows])
    content = "".join(f"{row['id']} {row['input_sha256']} {row['target_sha256']}\n" for row in accepted)
    metadata = {
        "preparation_version": PREPARATION_VERSION,
        **dataclasses.asdict(options),
        "jpeg_quality": JPEG_QUALITY,
        "versions": header["versions"],
        "source": str(source),
        "source_fingerprint": header["source_fingerprint"],
        "images_sha256": hashlib.sha256(content.encode()).hexdigest(),
        "counts": {
            "found": len(rows),
            "accepted": len(accepted),
            "rejected": len(rejected),
            **{split: len(splits[split]) for split in SPLITS},
        },
        "rejected_by_reason": reasons,
    }
    write_atomically(output / prepared_folder.METADATA, (json.dumps(metadata, indent=2) + "\n").encode())
    return metadata


def _print_summary(metadata: dict[str, Any], output: Path) -> None:
    counts = metadata["counts"]
    splits = ", ".join(f"{counts[split]} {split}" for split in SPLITS if counts[split])
    print(f"{metadata['dataset']}: {counts['accepted']} of {counts['found']} pairs prepared ({splits}) in {output}")
    if counts["rejected"]:
        print(f"  {counts['rejected']} rejected: {_describe_reasons(metadata['rejected_by_reason'])}")
        print(f"  reasons: {output / prepared_folder.REJECTED}")


def _describe_reasons(reasons: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in reasons.items())
