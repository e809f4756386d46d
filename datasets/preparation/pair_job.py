"""What is done with a pair: it is checked, stored as two JPEG files, and described in a record."""

import hashlib
from pathlib import Path

from datasets.checks.pair import prepare_pair
from datasets.preparation.prepared_folder import IMAGES
from datasets.types import PairRecord, PairRejected, SourcePair, Split
from datasets.workers.memory import bytes_to_decode
from datasets.workers.pool import Reserve, WorkerDied, WorkerPool
from enhancer.photo.io import encode_jpeg
from enhancer.system.files import write_atomically

JPEG_QUALITY = 95


def develop(pool: WorkerPool, pair: SourcePair, output: Path, long_edge: int | None) -> PairRecord:
    """Let a worker prepare a pair; refuse the pair if the worker dies over it, twice."""
    photos = {"before": str(pair.input), "after": str(pair.target)}
    stored = {"output": str(output), "long_edge": long_edge}
    try:
        return pool.call(
            pair.id, prepare_one, pair_id=pair.id, split=pair.split, **photos, **stored
        )
    except WorkerDied as death:
        return pair.rejected(
            "reader died",
            f"the process that read {pair.input.name} and {pair.target.name} {death}, twice. Open "
            "both in a photo editor.",
        )


def prepare_one(
    reserve: Reserve,
    pair_id: str,
    split: Split | None,
    before: str,
    after: str,
    output: str,
    long_edge: int | None,
) -> PairRecord:
    """Prepare a pair and write its pictures.

    Args:
        reserve: waits for the memory that decoding them takes.
        pair_id, split: of the pair.
        before, after: the two files.
        output: the prepared folder.
        long_edge: of the stored photos at most, in pixels; None keeps the size.

    Returns:
        `id`, `split`, `status`, the SHA-256 of the source files that can be read, and either the
        stored pictures with their size, hashes and `measurements`, or `kind`, `reason`, `measured`
        and `thumbnails` of the refusal.
    """
    record: PairRecord = {"id": pair_id, "split": split}
    paths = {"input": Path(before), "target": Path(after)}
    for role, path in paths.items():
        record[f"{role}_source_sha256"] = _hash_file(path)
    reserve(sum(map(bytes_to_decode, paths.values())))
    try:
        prepared = prepare_pair(paths["input"], paths["target"], long_edge)
    except PairRejected as rejection:
        return {**record, "status": "rejected", **vars(rejection), "reason": str(rejection)}
    height, width = prepared.input.shape[:2]
    record |= {"status": "accepted", "width": width, "height": height}
    record["measurements"] = prepared.measurements
    for role, pixels in (("input", prepared.input), ("target", prepared.target)):
        content = encode_jpeg(pixels, quality=JPEG_QUALITY)
        record[role] = f"{IMAGES}/{pair_id}_{role}.jpg"
        record[f"{role}_sha256"] = hashlib.sha256(content).hexdigest()
        write_atomically(Path(output) / record[role], content)
    return record


def _hash_file(path: Path) -> str | None:
    """Return the SHA-256, hexadecimal; None for a file that cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
