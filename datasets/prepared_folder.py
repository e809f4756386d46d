"""The folder that preparation fills: the names of its files, how they are read, continued, written and tidied."""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from datasets.sources import Split
from enhancer.system.errors import EnhancerError
from enhancer.system.files import write_atomically

LIST_NAMES: dict[Split, str] = {
    "train": "train.jsonl",
    "validation": "val.jsonl",
    "test": "test.jsonl",
}
METADATA, PROGRESS, REJECTED, IMAGES = (
    "dataset_metadata.json",
    "progress.jsonl",
    "rejected.jsonl",
    "images",
)
NOT_ON_SERVER, NOT_FETCHED = "not on the server", "not fetched"
"""Kinds of refusals that say nothing about the pair: they are tried again whenever the folder is continued."""
REPORT = "preparation_report.html"
_ROWS = "rows_"
_LISTED = ("id", "input", "target", "width", "height", "flags")
_REJECTED_COLUMNS = ("id", "kind", "reason", "measured")

Row = dict[str, Any]


class PreparationError(EnhancerError, RuntimeError):
    """Preparation that cannot give a usable folder; the message says why and what to do."""


def read_metadata(folder: Path) -> dict[str, Any] | None:
    """Return the metadata of a complete prepared folder, or None when `folder` is none."""
    try:
        metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    # Other tools write a file of the same name.
    return metadata if isinstance(metadata, dict) and "preparation_version" in metadata else None


def read_rows(folder: Path, split: Split) -> list[Row]:
    """Return a prepared split's rows.

    Each has `id`, `input` and `target` (paths in the folder), `width` and `height` in pixels, and `flags`: what is unusual
    about the edit, in words.
    """
    path = folder / LIST_NAMES[split]
    if not path.exists():
        return []
    # Not splitlines(): an id may hold what Unicode calls a line separator.
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def refuse_inside(source: Path, output: Path) -> None:
    """Raise PreparationError where a folder to be written lies in the one that is only read."""
    if output.resolve().is_relative_to(source.resolve()):
        raise PreparationError(
            f"{output} is inside the source folder {source}, which is never written to. Move it out."
        )


def resume(output: Path, header: Row) -> dict[str, Row]:
    """Return the finished pairs of a stopped run by id, after making the folder ready for the remaining ones."""
    progress = output / PROGRESS
    if not progress.exists():
        # The log comes first and marks the folder as ours; killed while it was written, its temporary file is left.
        ours = set(output.glob(f".{PROGRESS}.*.tmp"))
        if output.exists() and any(path not in ours for path in output.iterdir()):
            raise PreparationError(
                f"{output} is not empty and was not made by this program. Name another folder."
            )
        output.mkdir(parents=True, exist_ok=True)
        write_rows(progress, [header])
        (output / IMAGES).mkdir()
        return {}
    complete_lines, _, torn = progress.read_bytes().rpartition(b"\n")
    rows = [_decode_row(line) for line in complete_lines.splitlines()]
    (output / METADATA).unlink(missing_ok=True)
    if not rows or rows[0] != header:
        print(
            f"{output} was made from another source or with other options: starting it anew.",
            file=sys.stderr,
        )
        write_rows(progress, [header])
        rows = [header]
    tried = [
        row
        for row in rows[1:]
        if "id" in row and row.get("kind") not in (NOT_ON_SERVER, NOT_FETCHED)
    ]
    intact = [rows[0], *(row for row in tried if has_images(row, output))]
    if torn or len(intact) < len(
        rows
    ):  # torn: the line that was being written when the process was killed
        write_rows(progress, intact)
        rows = intact
    if len(rows) > 1:
        print(f"Continuing {output}: {len(rows) - 1} pairs are done.", file=sys.stderr)
    (output / IMAGES).mkdir(exist_ok=True)
    return {row["id"]: row for row in rows[1:]}


def rows_folder(output: Path, header: Row) -> Path:
    """Return where the machines of a pipeline leave their rows; another source or other options, another folder."""
    return output / f"{_ROWS}{hashlib.sha256(json.dumps(header).encode()).hexdigest()[:16]}"


def has_images(row: Row, output: Path) -> bool:
    """Whether the files of a finished row are there; a rejected pair has none."""
    return all((output / row[role]).is_file() for role in ("input", "target") if role in row)


def write_lists(output: Path, splits: dict[Split, list[Row]]) -> None:
    """Write the list of each split that has pairs, and remove the lists of the others."""
    for split, name in LIST_NAMES.items():
        (output / name).unlink(missing_ok=True)
        if splits[split]:
            write_rows(output / name, [{key: row[key] for key in _LISTED} for row in splits[split]])


def write_rejected(output: Path, rejected: list[Row]) -> None:
    """Write the list of the pairs that were refused, with the reasons."""
    write_rows(
        output / REJECTED, [{key: row[key] for key in _REJECTED_COLUMNS} for row in rejected]
    )


def hash_lists(output: Path) -> dict[str, str]:
    """Return the SHA-256, hexadecimal, of each list that is there, by file name."""
    paths = [output / name for name in (*LIST_NAMES.values(), REJECTED)]
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.exists()
    }


def remove_unlisted(output: Path, accepted: list[Row]) -> None:
    """Delete pictures of an earlier source, rows of a pipeline, and files that were being written at a kill."""
    listed = {row[role] for row in accepted for role in ("input", "target")}
    for path in (output / IMAGES).iterdir():
        if f"{IMAGES}/{path.name}" not in listed:
            path.unlink()
    for path in output.glob(".*.tmp"):
        path.unlink()
    for path in output.glob(f"{_ROWS}*"):
        shutil.rmtree(path)


def write_rows(path: Path, rows: list[Row]) -> None:
    """Write JSON lines; the file appears complete or not at all."""
    write_atomically(path, b"".join(encode_row(row) for row in rows))


def _decode_row(line: bytes) -> Row:
    """Return an empty row for a damaged line, such as a disk leaves whose power was cut: its pair is done again."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def encode_row(row: Row) -> bytes:
    """Return a row as one line of JSON."""
    return (json.dumps(row, ensure_ascii=False) + "\n").encode()
