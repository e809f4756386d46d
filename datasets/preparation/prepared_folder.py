"""The folder that preparation fills: how its files are named, read, continued and tidied."""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from datasets.types import PairRecord, PreparationError, Split
from enhancer.system.files import write_atomically

LIST_NAMES: dict[Split, str] = {
    "train": "train.jsonl",
    "validation": "val.jsonl",
    "test": "test.jsonl",
}
METADATA, PROGRESS = "dataset_metadata.json", "progress.jsonl"
REJECTED, REPORT, IMAGES = "rejected.jsonl", "preparation_report.html", "images"
NOT_ON_SERVER, NOT_FETCHED = "not on the server", "not fetched"
"""Refusals that say nothing about the pair: they are tried again when the folder is continued."""
_RECORDS = "records_"
_LISTED = ("id", "input", "target", "width", "height", "flags")
REJECTED_COLUMNS = ("id", "kind", "reason", "measured")


def read_metadata(folder: Path) -> dict[str, Any] | None:
    """Return the metadata of a complete prepared folder, or None when `folder` is none."""
    path = folder / METADATA
    metadata = _decode(path.read_bytes()) if path.is_file() else {}
    # Other tools write a file of the same name.
    return metadata if "preparation_version" in metadata else None


def read_rows(folder: Path, split: Split) -> list[PairRecord]:
    """Return a prepared split's pairs.

    Each has `id`, `input` and `target` (paths in the folder), `width` and `height` in pixels, and
    `flags`: what is unusual about the edit, in words.
    """
    path = folder / LIST_NAMES[split]
    # Not splitlines(): an id may hold what Unicode calls a line separator.
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    return [json.loads(line) for line in lines if line]


def refuse_inside(source: Path, output: Path) -> None:
    """Raise PreparationError where a folder to be written lies in the one that is only read."""
    if output.resolve().is_relative_to(source.resolve()):
        raise PreparationError(
            f"{output} is inside the source folder {source}, which is never written to. Move it "
            "out."
        )


def resume(output: Path, header: PairRecord) -> dict[str, PairRecord]:
    """Make the folder ready for the remaining pairs, and return the finished ones by id."""
    progress = output / PROGRESS
    if not progress.exists():
        # The log comes first and marks the folder as ours; killed while it was written, its
        # temporary file is left.
        ours = set(output.glob(f".{PROGRESS}.*.tmp"))
        if output.exists() and not ours.issuperset(output.iterdir()):
            raise PreparationError(
                f"{output} is not empty and was not made by this program. Name another folder."
            )
        output.mkdir(parents=True, exist_ok=True)
        write_rows(progress, [header])
    (output / METADATA).unlink(missing_ok=True)
    # The last record is empty, or torn by a kill.
    first, *records = map(_decode, progress.read_bytes().split(b"\n"))
    if first != header:
        print(
            f"{output} was made from another source or with other options: starting it anew.",
            file=sys.stderr,
        )
        records = []
    finished = {
        record["id"]: record
        for record in records
        if "id" in record
        and record.get("kind") not in (NOT_ON_SERVER, NOT_FETCHED)
        and has_images(record, output)
    }
    write_rows(progress, [header, *finished.values()])
    if finished:
        print(f"Continuing {output}: {len(finished)} pairs are done.", file=sys.stderr)
    (output / IMAGES).mkdir(exist_ok=True)
    return finished


def records_folder(output: Path, header: PairRecord) -> Path:
    """Return where the machines of a pipeline leave their records; another source, another one."""
    return output / f"{_RECORDS}{hashlib.sha256(json.dumps(header).encode()).hexdigest()[:16]}"


def has_images(record: PairRecord, output: Path) -> bool:
    """Whether the files of a finished pair are there; a rejected pair has none."""
    return all((output / record[role]).is_file() for role in ("input", "target") if role in record)


def write_lists(output: Path, splits: dict[Split, list[PairRecord]]) -> None:
    """Write the list of each split that has pairs, and remove the lists of the others."""
    for split, name in LIST_NAMES.items():
        (output / name).unlink(missing_ok=True)
        if splits[split]:
            write_rows(output / name, splits[split], _LISTED)


def remove_unlisted(output: Path, accepted: list[PairRecord]) -> None:
    """Delete pictures of an earlier source, records of a pipeline, and what a kill has left."""
    listed = {output / record[role] for record in accepted for role in ("input", "target")}
    for path in {*(output / IMAGES).iterdir(), *output.glob(".*.tmp")} - listed:
        path.unlink()
    for path in output.glob(f"{_RECORDS}*"):
        shutil.rmtree(path)


def write_rows(path: Path, rows: list[PairRecord], columns: tuple[str, ...] = ()) -> None:
    """Write JSON lines, of some columns or all; the file appears complete or not at all."""
    chosen = ({name: row[name] for name in columns or row} for row in rows)
    write_atomically(path, b"".join(map(encode, chosen)))


def encode(row: PairRecord) -> bytes:
    """Return one line of JSON."""
    return (json.dumps(row, ensure_ascii=False) + "\n").encode()


def _decode(content: bytes) -> PairRecord:
    """An empty record for what is damaged, as a power cut leaves lines: its pair is done again."""
    try:
        row = json.loads(content)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}
