"""What is done with one pair: it is validated, stored as two JPEG files, and described in a row of the log."""

import hashlib
from pathlib import Path

from datasets.memory_budget import bytes_to_decode
from datasets.pair import PairRejected, prepare_pair
from datasets.prepared_folder import IMAGES, Row
from datasets.sources import SourcePair
from datasets.workers import Reserve
from enhancer.photo.io import encode_jpeg
from enhancer.system.files import write_atomically

JPEG_QUALITY = 95


def prepare_one(pair: SourcePair, reserve: Reserve, *, output: Path, long_edge: int | None) -> Row:
    """Prepare a pair and write its pictures.

    Args:
        pair: the two files.
        reserve: waits for the memory that decoding them takes.
        output: the prepared folder.
        long_edge: of the stored photos at most, in pixels; None keeps the size.

    Returns:
        A row of the log: `id`, `split`, `status`, the SHA-256 of the source files that can be read, and either the
        stored pictures with their size, hashes and `measurements`, or `kind`, `reason`, `measured` and `thumbnails` of
        the refusal.
    """
    row: Row = {"id": pair.id, "split": pair.split}
    for role, path in (("input", pair.input), ("target", pair.target)):
        row[f"{role}_source_sha256"] = _hash_file(path)
    reserve(bytes_to_decode(pair.input) + bytes_to_decode(pair.target))
    try:
        prepared = prepare_pair(pair.input, pair.target, long_edge)
    except PairRejected as rejection:
        reasons = {
            "kind": rejection.kind,
            "reason": rejection.reason,
            "measured": rejection.measured,
        }
        return {**row, "status": "rejected", **reasons, "thumbnails": rejection.thumbnails}
    height, width = prepared.input.shape[:2]
    row |= {
        "status": "accepted",
        "width": width,
        "height": height,
        "measurements": prepared.measurements,
    }
    for role, pixels in (("input", prepared.input), ("target", prepared.target)):
        content = encode_jpeg(pixels, quality=JPEG_QUALITY)
        row[role] = f"{IMAGES}/{pair.id}_{role}.jpg"
        row[f"{role}_sha256"] = hashlib.sha256(content).hexdigest()
        write_atomically(output / row[role], content)
    return row


def _hash_file(path: Path) -> str | None:
    """Return the SHA-256, hexadecimal; None for a file that cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
