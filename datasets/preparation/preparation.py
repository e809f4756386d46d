"""Source pairs -> a folder of validated, upright, sRGB, downscaled JPEG pairs; resumable.

The expensive part of building a data set (developing RAW files, reading 300 GB of TIFFs) happens
here, once. The folder is plain: `images/<id>_input.jpg` and `images/<id>_target.jpg`,
`train.jsonl`, `val.jsonl`, `test.jsonl`, `rejected.jsonl`, `preparation_report.html`,
`progress.jsonl` (a record per finished pair) and, when all is done, `dataset_metadata.json`.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import datetime
import hashlib
import json
import os
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from datasets.preparation import beam, findings, prepared_folder, splits
from datasets.preparation.pair_job import JPEG_QUALITY, develop
from datasets.preparation.report import describe_reasons, print_summary, write_report
from datasets.sources.pair_source import PairSource
from datasets.types import (
    DEFAULT_CHOICES,
    SPLITS,
    Choices,
    PairRecord,
    PreparationError,
    SourcePair,
)
from datasets.workers.pool import WorkerPool
from enhancer.photo.io import decoder_versions
from enhancer.system.files import write_atomically
from enhancer.system.progress import progress_bar

PREPARATION_VERSION = 4
"""Raised whenever the same source gives other pixels, other splits or other refusals."""


@dataclasses.dataclass(frozen=True)
class Variant:
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
    """Name of the published split that is reproduced, near-duplicates included; or empty."""


def prepare(
    source: PairSource,
    output: Path,
    variant: Variant,
    choices: Choices = DEFAULT_CHOICES,
    *,
    num_workers: int | None = None,
    beam_options: Any = None,
) -> dict[str, Any]:
    """Fill `output` from `source`, continuing where an earlier call of the same kind was stopped.

    A pair that cannot be used is named, counted and skipped. The source is only read. A complete
    folder is left as it is, unless it lacks pairs that could not be fetched or was made with other
    versions of the photo decoders; one that was made from something else is emptied first.

    Args:
        source: of the photos.
        output: the folder to fill, outside the source.
        variant, choices: what to store, and what to do with doubtful pairs.
        num_workers: as for `WorkerPool`.
        beam_options: Apache Beam's `PipelineOptions`, to work in a pipeline instead of on this
            machine; for a source whose files are there.

    Returns:
        The content of `dataset_metadata.json`.

    Raises:
        SourceError: the source is missing, or has no known layout.
        PreparationError: `output` belongs to something else, no pair can be used, or one photo or
            scene is in two splits.
    """
    output = output.resolve()
    prepared_folder.refuse_inside(source.folder, output)
    pairs = source.find_pairs()
    header = {
        "source_fingerprint": source_fingerprint(source, pairs, variant),
        "versions": decoder_versions(),
    }
    metadata = prepared_folder.read_metadata(output)
    if metadata and _is_current(metadata, output, {**header, "choices": vars(choices)}):
        return metadata
    if beam_options is not None and type(source) is not PairSource:
        raise PreparationError(
            "A Beam pipeline reads folders that all its workers see. Fetch the originals first, "
            "with --keep-originals FOLDER and without --beam-pipeline-options; then name the "
            "folder with --manual-dir."
        )
    finished = prepared_folder.resume(output, header)
    began, start, num_bytes = datetime.datetime.now(datetime.UTC), time.monotonic(), 0
    remaining = [pair for pair in pairs if pair.id not in finished]
    files = {pair.id: (pair.input, pair.target) for pair in remaining}
    source.begin(remaining, output)
    if beam_options is None:
        running = _develop_all(source, remaining, output, variant.long_edge, num_workers)
    else:
        collected = prepared_folder.records_folder(output, header)
        running = beam.run(remaining, output, variant.long_edge, beam_options, collected)
    bar = progress_bar(
        total=len(pairs), initial=len(finished), desc=f"preparing {variant.dataset}", unit="pair"
    )
    with contextlib.closing(running), bar, open(output / prepared_folder.PROGRESS, "ab") as log:
        for record in running:
            finished[record["id"]] = record
            if record["status"] == "rejected":
                bar.write(f"rejected {record['id']}: {record['reason']}", file=sys.stderr)
            log.write(prepared_folder.encode(record))
            log.flush()
            os.fsync(log.fileno())
            num_bytes += sum(path.stat().st_size for path in files[record["id"]] if path.is_file())
            rate = f"{num_bytes / 1e6 / (time.monotonic() - start):.1f} MB/s"
            bar.set_postfix_str(source.status() or rate, refresh=False)
            bar.update()
    records = [finished[pair.id] for pair in pairs]
    run = {
        "started": began.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - start, 1),
        "pairs": len(remaining),
        **source.finish(records, output),
    }
    metadata = _finish(records, output, variant, choices, header, source.name, run)
    print_summary(metadata, output, source.status())
    return metadata


def source_fingerprint(source: PairSource, pairs: list[SourcePair], variant: Variant) -> str:
    """Hash of the variant and of what the source says about itself; hexadecimal."""
    described = [PREPARATION_VERSION, dataclasses.asdict(variant), source.describe(pairs)]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def _is_current(metadata: dict[str, Any], output: Path, wanted: dict[str, Any]) -> bool:
    """Whether a complete folder may stay as it is."""
    if not wanted.items() <= metadata.items():
        return False
    if prepared_folder.NOT_FETCHED in metadata["rejected_by_reason"]:
        return False
    listed = [record for split in SPLITS for record in prepared_folder.read_rows(output, split)]
    return all(prepared_folder.has_images(record, output) for record in listed)


def _develop_all(
    source: PairSource,
    pairs: list[SourcePair],
    output: Path,
    long_edge: int | None,
    num_workers: int | None,
) -> Generator[PairRecord]:
    """Prepare every pair in worker processes, and yield the records as they are finished."""
    pool = WorkerPool(num_workers)
    # A thread per pair in hand: it brings the files and waits for a process to develop them.
    threads = concurrent.futures.ThreadPoolExecutor(source.pairs_at_once or max(1, pool.count))

    def develop_it(pair: SourcePair) -> PairRecord:
        return develop(pool, pair, output, long_edge)

    try:
        jobs = [threads.submit(source.prepare, pair, develop_it) for pair in pairs]
        for job in concurrent.futures.as_completed(jobs):
            yield job.result()
    finally:
        source.stop()
        pool.close()
        threads.shutdown(cancel_futures=True)


def _finish(
    records: list[PairRecord],
    output: Path,
    variant: Variant,
    choices: Choices,
    header: PairRecord,
    source: str,
    run: dict[str, Any],
) -> dict[str, Any]:
    """Write the lists, the report and, last, the metadata that marks the folder as complete.

    Apart from `run` in the metadata, the same source and variant always give the same folder.
    """
    published = variant.published_split
    accepted, rejected = findings.judge(records, published, drop_outliers=choices.drop_outliers)
    prepared_folder.write_rows(
        output / prepared_folder.REJECTED, rejected, prepared_folder.REJECTED_COLUMNS
    )
    reasons = dict(collections.Counter(record["kind"] for record in rejected).most_common())
    if not accepted:
        raise PreparationError(
            f"None of the {len(records)} pairs in {source} can be used: "
            f"{describe_reasons(reasons)}. {output / prepared_folder.REJECTED} has the reason for "
            "each."
        )
    groups = findings.find_groups(accepted, output)
    share = 0 if published else variant.validation_share
    assigned = splits.assign_splits(
        accepted, source, groups, validation=share, test=variant.test_share
    )
    splits.refuse_leaks(assigned, source)
    straddling = splits.find_straddling(assigned, groups)
    title = f"{variant.dataset}, {variant.variant}"
    write_report(output, assigned, rejected, groups, straddling, title=title, source=source)
    if not (choices.allow_near_duplicates or published):
        splits.refuse_straddling(straddling, source, output / prepared_folder.REPORT)
    prepared_folder.write_lists(output, assigned)
    prepared_folder.remove_unlisted(output, accepted)
    # Pairs that were redone are at the end of the log: ordered, complete folders are the same.
    prepared_folder.write_rows(output / prepared_folder.PROGRESS, [header, *records])
    counts = {"found": len(records), "accepted": len(accepted), "rejected": len(rejected)}
    remarks = [text for record in accepted for text in record["measurements"].get("remarks", ())]
    metadata = {
        "preparation_version": PREPARATION_VERSION,
        **dataclasses.asdict(variant),
        "choices": dataclasses.asdict(choices),
        "jpeg_quality": JPEG_QUALITY,
        "versions": header["versions"],
        "source": source,
        "source_fingerprint": header["source_fingerprint"],
        "source_sha256": _hash_columns(records, "input_source_sha256", "target_source_sha256"),
        "images_sha256": _hash_columns(accepted, "input_sha256", "target_sha256"),
        "counts": counts | {split: len(assigned[split]) for split in SPLITS},
        "rejected_by_reason": reasons,
        "flagged": sum(bool(record["flags"]) for record in accepted),
        "remarks": dict(collections.Counter(remarks).most_common()),
        "near_duplicates": {
            "groups": len(groups),
            "photos": sum(map(len, groups)),
            "groups_in_several_splits": len(straddling),
        },
        "run": run,
    }
    content = json.dumps(metadata, indent=2) + "\n"
    write_atomically(output / prepared_folder.METADATA, content.encode())
    return metadata


def _hash_columns(records: list[PairRecord], *columns: str) -> str:
    """SHA-256 over ids and hashes of files; a file that could not be read counts as "None"."""
    rows = ([str(record.get(column)) for column in ("id", *columns)] for record in records)
    return hashlib.sha256("".join(" ".join(row) + "\n" for row in rows).encode()).hexdigest()
