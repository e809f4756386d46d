"""Source pairs -> a folder of validated, upright, sRGB, downscaled JPEG pairs with split lists; resumable.

The expensive part of building a data set (developing RAW files, reading 300 GB of TIFFs) happens here, once. The folder is
plain: `images/<id>_input.jpg` and `images/<id>_target.jpg`, `train.jsonl`, `val.jsonl`, `test.jsonl`, `rejected.jsonl`,
`progress.jsonl` (one line per finished pair) and, when it is complete, `dataset_metadata.json`.
"""

import collections
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import tqdm

from datasets.pair import PairRejected, prepare_pair
from datasets.sources import SPLITS, FindPairs, SourcePair, Split, source_files
from enhancer.atomic_file import write_atomically
from enhancer.photo_io import decoder_versions, encode_jpeg

PREPARATION_VERSION = 2
"""Raised whenever the same source gives other pixels, other splits or other refusals."""
JPEG_QUALITY = 95
VALIDATION_SHARE = 0.05
LIST_NAMES: dict[Split, str] = {"train": "train.jsonl", "validation": "val.jsonl", "test": "test.jsonl"}
_METADATA, _PROGRESS, _REJECTED, _IMAGES = "dataset_metadata.json", "progress.jsonl", "rejected.jsonl", "images"
_MAX_WORKERS = 4  # each holds two full-size photos in memory

Row = dict[str, Any]


class PreparationError(RuntimeError):
    """Preparation that cannot give a usable folder; the message says why and what to do."""


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
    metadata = read_metadata(output)
    header = {"source_fingerprint": fingerprint, "versions": decoder_versions()}
    if metadata and metadata["source_fingerprint"] == fingerprint:
        current = metadata["versions"] == header["versions"]
        listed = [row for split in SPLITS for row in read_rows(output, split)]
        if (current or not refresh) and all(_has_images(row, output) for row in listed):
            return metadata
    finished = _resume(output, header)
    _prepare_remaining(pairs, finished, output, options)
    rows = [finished[pair.id] for pair in pairs]
    metadata = _finish(rows, output, options, header, source)
    _print_summary(metadata, output)
    return metadata


def source_fingerprint(pairs: list[SourcePair], source: Path, options: Options) -> str:
    """Hash of the options and of every source file's name, size and modification time; hexadecimal."""
    description = [PREPARATION_VERSION, dataclasses.asdict(options), source_files(pairs, source)]
    return hashlib.sha256(json.dumps(description).encode()).hexdigest()


def read_metadata(folder: Path) -> dict[str, Any] | None:
    """Return the metadata of a complete prepared folder, or None when `folder` is none."""
    try:
        metadata = json.loads((folder / _METADATA).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    # Other tools write a file of the same name.
    return metadata if isinstance(metadata, dict) and "preparation_version" in metadata else None


def read_rows(folder: Path, split: Split) -> list[Row]:
    """Return a prepared split's rows: `id`, `input` and `target` (paths in the folder), `width` and `height` in pixels."""
    path = folder / LIST_NAMES[split]
    if not path.exists():
        return []
    # Not splitlines(): an id may hold what Unicode calls a line separator.
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def _resume(output: Path, header: Row) -> dict[str, Row]:
    """Return the finished pairs of a stopped run by id, after making the folder ready for the remaining ones."""
    progress = output / _PROGRESS
    if not progress.exists():
        # The log comes first and marks the folder as ours; killed while it was written, its temporary file is left.
        ours = set(output.glob(f".{_PROGRESS}.*.tmp"))
        if output.exists() and any(path not in ours for path in output.iterdir()):
            raise PreparationError(f"{output} is not empty and was not made by this program. Name another folder.")
        output.mkdir(parents=True, exist_ok=True)
        _write_rows(progress, [header])
        (output / _IMAGES).mkdir()
        return {}
    complete_lines, _, torn = progress.read_bytes().rpartition(b"\n")
    rows = [json.loads(line) for line in complete_lines.splitlines()]
    (output / _METADATA).unlink(missing_ok=True)
    if not rows or rows[0] != header:
        print(f"{output} was made from another source or with other options: starting it anew.", file=sys.stderr)
        _write_rows(progress, [header])
        rows = [header]
    intact = [rows[0], *(row for row in rows[1:] if _has_images(row, output))]
    if torn or len(intact) < len(rows):  # torn: the line that was being written when the process was killed
        _write_rows(progress, intact)
        rows = intact
    if len(rows) > 1:
        print(f"Continuing {output}: {len(rows) - 1} pairs are done.", file=sys.stderr)
    (output / _IMAGES).mkdir(exist_ok=True)
    return {row["id"]: row for row in rows[1:]}


def _has_images(row: Row, output: Path) -> bool:
    """Whether the files of a finished row are there; a rejected pair has none."""
    return all((output / row[role]).is_file() for role in ("input", "target") if role in row)


def _prepare_remaining(pairs: list[SourcePair], finished: dict[str, Row], output: Path, options: Options) -> None:
    remaining = [pair for pair in pairs if pair.id not in finished]
    pool = concurrent.futures.ThreadPoolExecutor(min(os.cpu_count() or 1, _MAX_WORKERS))
    bar = tqdm.tqdm(total=len(pairs), initial=len(finished), desc=f"preparing {options.dataset}", unit="pair")
    with pool, bar, open(output / _PROGRESS, "ab") as progress:
        try:
            # In the order of the pairs, whichever is finished first: the log of two runs is the same.
            for row in pool.map(lambda pair: _prepare_one(pair, output, options.long_edge), remaining):
                if row["status"] == "rejected":
                    bar.write(f"rejected {row['id']}: {row['reason']}", file=sys.stderr)
                progress.write(_line(row))
                progress.flush()
                os.fsync(progress.fileno())
                finished[row["id"]] = row
                bar.update()
        finally:
            pool.shutdown(cancel_futures=True)


def _prepare_one(pair: SourcePair, output: Path, long_edge: int | None) -> Row:
    row: Row = {"id": pair.id, "split": pair.split}
    try:
        prepared = prepare_pair(pair.input, pair.target, long_edge)
    except PairRejected as rejection:
        reasons = {"kind": rejection.kind, "reason": rejection.reason, "measured": rejection.measured}
        return {**row, "status": "rejected", **reasons}
    height, width = prepared.input.shape[:2]
    row |= {"status": "accepted", "width": width, "height": height}
    for role, pixels in (("input", prepared.input), ("target", prepared.target)):
        content = encode_jpeg(pixels, quality=JPEG_QUALITY)
        row[role] = f"{_IMAGES}/{pair.id}_{role}.jpg"
        row[f"{role}_sha256"] = hashlib.sha256(content).hexdigest()
        write_atomically(output / row[role], content)
    return row


def _finish(rows: list[Row], output: Path, options: Options, header: Row, source: Path) -> dict[str, Any]:
    """Write the lists and, last of all, the metadata that marks the folder as complete."""
    accepted = [row for row in rows if row["status"] == "accepted"]
    rejected = [row for row in rows if row["status"] == "rejected"]
    _write_rows(
        output / _REJECTED, [{key: row[key] for key in ("id", "kind", "reason", "measured")} for row in rejected]
    )
    reasons = dict(collections.Counter(row["kind"] for row in rejected).most_common())
    if not accepted:
        raise PreparationError(
            f"None of the {len(rows)} pairs in {source} can be used: {_describe_reasons(reasons)}. "
            f"{output / _REJECTED} has the reason for each."
        )
    splits = _assign_splits(accepted, source)
    _refuse_leaks(splits, source)
    for split, name in LIST_NAMES.items():
        (output / name).unlink(missing_ok=True)
        if splits[split]:
            columns = ("id", "input", "target", "width", "height")
            _write_rows(output / name, [{key: row[key] for key in columns} for row in splits[split]])
    _remove_unlisted(output, accepted)
    # Pairs that were redone are at the end of the log: two complete folders are the same whatever happened on the way.
    _write_rows(output / _PROGRESS, [header, *rows])
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
    write_atomically(output / _METADATA, (json.dumps(metadata, indent=2) + "\n").encode())
    return metadata


def _assign_splits(accepted: list[Row], source: Path) -> dict[Split, list[Row]]:
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


def _refuse_leaks(splits: dict[Split, list[Row]], source: Path) -> None:
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


def _remove_unlisted(output: Path, accepted: list[Row]) -> None:
    """Delete pictures of an earlier source, and files that were being written when the process was killed."""
    listed = {row[role] for row in accepted for role in ("input", "target")}
    for path in (output / _IMAGES).iterdir():
        if f"{_IMAGES}/{path.name}" not in listed:
            path.unlink()
    for path in output.glob(".*.tmp"):
        path.unlink()


def _print_summary(metadata: dict[str, Any], output: Path) -> None:
    counts = metadata["counts"]
    splits = ", ".join(f"{counts[split]} {split}" for split in SPLITS if counts[split])
    print(f"{metadata['dataset']}: {counts['accepted']} of {counts['found']} pairs prepared ({splits}) in {output}")
    if counts["rejected"]:
        print(f"  {counts['rejected']} rejected: {_describe_reasons(metadata['rejected_by_reason'])}")
        print(f"  reasons: {output / _REJECTED}")


def _describe_reasons(reasons: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in reasons.items())


def _write_rows(path: Path, rows: list[Row]) -> None:
    write_atomically(path, b"".join(_line(row) for row in rows))


def _line(row: Row) -> bytes:
    return (json.dumps(row, ensure_ascii=False) + "\n").encode()
