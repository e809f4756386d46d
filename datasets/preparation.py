"""Source pairs -> a folder of validated, upright, sRGB, downscaled JPEG pairs with split lists; resumable.

The expensive part of building a data set (developing RAW files, reading 300 GB of TIFFs) happens here, once. The folder is
plain: `images/<id>_input.jpg` and `images/<id>_target.jpg`, `train.jsonl`, `val.jsonl`, `test.jsonl`, `rejected.jsonl`,
`preparation_report.html`, `progress.jsonl` (one line per finished pair) and, when it is complete, `dataset_metadata.json`.
"""

import collections
import contextlib
import dataclasses
import datetime
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from datasets import beam_workers, prepared_folder
from datasets.findings import Findings, find_groups_with_progress, flag_outliers, refuse_unlisted
from datasets.originals import Originals
from datasets.pair_job import JPEG_QUALITY, prepare_one
from datasets.preparation_report import write_report
from datasets.prepared_folder import PreparationError, Row
from datasets.sources import SPLITS, FindPairs, SourcePair
from datasets.splits import Shares, assign_splits, find_straddling, refuse_leaks, refuse_straddling
from datasets.summary import describe_reasons, print_summary
from enhancer.photo.io import decoder_versions
from enhancer.system.files import write_atomically

PREPARATION_VERSION = 4
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
    validation_share: float = 0.05
    """Of the pairs, where the source assigns no splits."""
    test_share: float = 0.0
    """The same for the test split; 0 makes none."""
    published_split: str = ""
    """Name of the published split that is reproduced, near-duplicates in it included; empty where there is none."""


@dataclasses.dataclass(frozen=True)
class Choices:
    """What the user decides about doubtful pairs. No pair has to be done again when it changes."""

    drop_outliers: bool = False
    """Refuse the pairs whose edit is unlike the others' instead of flagging them."""
    allow_near_duplicates: bool = False
    """Accept lists that have one scene in several splits."""


DEFAULT_CHOICES = Choices()


def prepare(
    source: Path,
    find_pairs: FindPairs,
    output: Path,
    options: Options,
    choices: Choices = DEFAULT_CHOICES,
    *,
    refresh: bool = False,
    num_workers: int | None = None,
    originals: Originals | None = None,
    beam_options: Any = None,
) -> dict[str, Any]:
    """Fill `output` from `source`, continuing where an earlier call with the same source and options was stopped.

    A pair that cannot be used is named, counted and skipped. The source is only read. A complete folder is left as it
    is; one that was made from another source or with other options is emptied first.

    Args:
        source: the folder with the source photos.
        find_pairs: reads that folder's layout.
        output: the folder to fill, outside the source.
        options: what to store.
        choices: what to do with doubtful pairs.
        refresh: also redo a complete folder that was made with other versions of the photo decoders, or that lacks pairs
            which could not be fetched.
        num_workers: processes that work side by side, by default as many as there are CPU cores; 0 works in this one,
            where a file that makes its decoder crash ends everything.
        originals: brings the files of each pair into the source folder; by default they are there.
        beam_options: Apache Beam's `PipelineOptions`, to work in a pipeline of its own instead of on this machine; for
            originals that are there.

    Returns:
        The content of `dataset_metadata.json`.

    Raises:
        SourceError: the source folder has no layout that `find_pairs` knows.
        PreparationError: `output` belongs to something else, no pair can be used, or one photo or scene is in two splits.
    """
    source, output = source.resolve(), output.resolve()
    originals = originals or Originals()
    prepared_folder.refuse_inside(source, output)
    pairs = find_pairs(source)
    fingerprint = source_fingerprint(pairs, source, options, originals)
    metadata = prepared_folder.read_metadata(output)
    header = {"source_fingerprint": fingerprint, "versions": decoder_versions()}
    if (
        metadata
        and metadata["source_fingerprint"] == fingerprint
        and metadata["choices"] == vars(choices)
    ):
        fetched = prepared_folder.NOT_FETCHED not in metadata["rejected_by_reason"]
        current = fetched and metadata["versions"] == header["versions"]
        listed = [row for split in SPLITS for row in prepared_folder.read_rows(output, split)]
        if (current or not refresh) and all(
            prepared_folder.has_images(row, output) for row in listed
        ):
            return metadata
    finished = prepared_folder.resume(output, header)
    began = datetime.datetime.now(datetime.UTC)
    job = functools.partial(prepare_one, output=output, long_edge=options.long_edge)
    remaining = [pair for pair in pairs if pair.id not in finished]
    if beam_options is not None and type(originals) is not Originals:
        raise PreparationError(
            "A Beam pipeline reads folders that all its workers see. Fetch the originals first, with --keep-originals FOLDER and "
            "without --beam-pipeline-options, or extract the archive; then name the folder with --manual-dir."
        )
    originals.begin(remaining, output)
    if beam_options is None:
        running = originals.run(job, remaining, num_workers)
    else:
        running = beam_workers.run(
            job, remaining, beam_options, prepared_folder.rows_folder(output, header)
        )
    with contextlib.closing(running) as done:
        _log(done, pairs, finished, output, options.dataset, originals)
    rows = [finished[pair.id] for pair in pairs]
    seconds = (datetime.datetime.now(datetime.UTC) - began).total_seconds()
    run = {
        "started": began.isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "pairs": len(remaining),
    }
    run |= originals.finish(rows, output)
    metadata = _finish(rows, output, options, choices, header, originals.source(source), run)
    print_summary(metadata, output, originals.report())
    return metadata


def source_fingerprint(
    pairs: list[SourcePair], source: Path, options: Options, originals: Originals | None = None
) -> str:
    """Hash of the options and of every source file's name, size and modification time; hexadecimal."""
    described = (originals or Originals()).describe(pairs, source)
    description = [PREPARATION_VERSION, dataclasses.asdict(options), described]
    return hashlib.sha256(json.dumps(description).encode()).hexdigest()


def _log(
    done: Iterator[Row],
    pairs: list[SourcePair],
    finished: dict[str, Row],
    output: Path,
    dataset: str,
    originals: Originals,
) -> None:
    """Write each row to the log and add it to `finished`, whichever comes first; show how far it is."""
    sizes = {pair.id: sum(_size(path) for path in (pair.input, pair.target)) for pair in pairs}
    bar = tqdm.tqdm(
        total=len(pairs), initial=len(finished), desc=f"preparing {dataset}", unit="pair"
    )
    began, num_bytes = time.monotonic(), 0
    with bar, open(output / prepared_folder.PROGRESS, "ab") as progress:
        for row in done:
            if row["status"] == "rejected":
                bar.write(f"rejected {row['id']}: {row['reason']}", file=sys.stderr)
            progress.write(prepared_folder.encode_row(row))
            progress.flush()
            os.fsync(progress.fileno())
            finished[row["id"]] = row
            num_bytes += sizes[row["id"]]
            rate = f"{num_bytes / 1e6 / (time.monotonic() - began):.1f} MB/s"
            bar.set_postfix_str(originals.status() or rate, refresh=False)
            bar.update()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _finish(
    rows: list[Row],
    output: Path,
    options: Options,
    choices: Choices,
    header: Row,
    source: str,
    run: Row,
) -> dict[str, Any]:
    """Write the lists, the report and, last of all, the metadata that marks the folder as complete.

    All of the folder is the same on every run with the same source and options, apart from `run` in the metadata.
    """
    accepted, rejected, outliers = flag_outliers(
        refuse_unlisted(rows, options.published_split), drop=choices.drop_outliers
    )
    prepared_folder.write_rejected(output, rejected)
    reasons = dict(collections.Counter(row["kind"] for row in rejected).most_common())
    if not accepted:
        raise PreparationError(
            f"None of the {len(rows)} pairs in {source} can be used: {describe_reasons(reasons)}. "
            f"{output / prepared_folder.REJECTED} has the reason for each."
        )
    groups = find_groups_with_progress(accepted, output)
    splits = assign_splits(
        accepted, source, groups, Shares(options.validation_share, options.test_share)
    )
    refuse_leaks(splits, source)
    straddling = find_straddling(splits, groups)
    findings = Findings(splits, rejected, outliers, groups, straddling)
    write_report(output, findings, title=f"{options.dataset}, {options.variant}", source=source)
    if not (choices.allow_near_duplicates or options.published_split):
        refuse_straddling(straddling, source, output / prepared_folder.REPORT)
    prepared_folder.write_lists(output, splits)
    prepared_folder.remove_unlisted(output, accepted)
    # Pairs that were redone are at the end of the log: two complete folders are the same whatever happened on the way.
    prepared_folder.write_rows(output / prepared_folder.PROGRESS, [header, *rows])
    metadata = {
        "preparation_version": PREPARATION_VERSION,
        **dataclasses.asdict(options),
        "choices": dataclasses.asdict(choices),
        "jpeg_quality": JPEG_QUALITY,
        "versions": header["versions"],
        "source": source,
        "source_fingerprint": header["source_fingerprint"],
        "source_sha256": _hash_columns(rows, "input_source_sha256", "target_source_sha256"),
        "images_sha256": _hash_columns(accepted, "input_sha256", "target_sha256"),
        "lists_sha256": prepared_folder.hash_lists(output),
        "counts": {
            "found": len(rows),
            "accepted": len(accepted),
            "rejected": len(rejected),
            **{split: len(splits[split]) for split in SPLITS},
        },
        "rejected_by_reason": reasons,
        "flagged": len(outliers) if not choices.drop_outliers else 0,
        "remarks": _count_remarks(accepted),
        "near_duplicates": {
            "groups": len(groups),
            "photos": sum(map(len, groups)),
            "groups_in_several_splits": len(straddling),
        },
        "environment": _environment(),
        "run": run,
    }
    write_atomically(
        output / prepared_folder.METADATA, (json.dumps(metadata, indent=2) + "\n").encode()
    )
    return metadata


def _count_remarks(accepted: list[Row]) -> dict[str, int]:
    remarks = (remark for row in accepted for remark in row["measurements"].get("remarks", ()))
    return dict(collections.Counter(remarks).most_common())


def _hash_columns(rows: list[Row], *columns: str) -> str:
    """SHA-256 over ids and hashes of single files; a file that could not be read counts as "None"."""
    lines = "".join(
        " ".join(str(row.get(column)) for column in ("id", *columns)) + "\n" for row in rows
    )
    return hashlib.sha256(lines.encode()).hexdigest()


def _environment() -> dict[str, str]:
    """Versions that are good to know but decide nothing; `versions` has those that change pixels."""
    try:
        package = importlib.metadata.version("enhancer")
    except importlib.metadata.PackageNotFoundError:  # used from its source folder
        package = "not installed"
    return {"enhancer": package, "python": platform.python_version(), "numpy": np.__version__}
