"""What is done with a pair: it is checked, stored as two JPEG files, and described in a record."""

import hashlib
from pathlib import Path

from datasets.checks.pair import prepare_pair
from datasets.preparation.prepared_folder import IMAGES
from datasets.types import PairRecord, PairRejected, SourcePair, Split
from datasets.workers.pool import WorkerDied, WorkerPool
from enhancer.photo.io import encode_jpeg
from enhancer.system.files import write_atomically

JPEG_QUALITY = 95


def develop(pool: WorkerPool, pair: SourcePair, output: Path, long_edge: int | None) -> PairRecord:
    """Let a worker prepare a pair; refuse the pair if the worker dies over it, twice."""
    photos = [str(pair.input), str(pair.target)]
    try:
        return pool.call(pair.id, prepare_one, photos, pair.id, pair.split, str(output), long_edge)
    except WorkerDied as death:
        return pair.rejected(
            "reader died",
            f"the process that read {pair.input.name} and {pair.target.name} {death}, twice. Open "
            "both in a photo editor.",
        )


def prepare_one(
    before: str,
    after: str,
    pair_id: str,
    split: Split | None,
    output: str,
    long_edge: int | None,
) -> PairRecord:
    """Prepare a pair of files and write its pictures to the prepared folder `output`.

    Returns:
        `id`, `split`, `status`, the SHA-256 of the source files that can be read, and either the
        stored pictures with their size, hashes and `measurements`, or `kind`, `reason`, `measured`
        and `thumbnails` of the refusal.
    """
    record: PairRecord = {"id": pair_id, "split": split}
    record["input_source_sha256"], record["target_source_sha256"] = map(_hash_file, (before, after))
    try:
        prepared = prepare_pair(Path(before), Path(after), long_edge)
    except PairRejected as rejection:
        return {**record, "status": "rejected", **vars(rejection)}
    height, width = prepared.input.shape[:2]
    record |= {"status": "accepted", "width": width, "height": height}
    record["measurements"] = prepared.measurements
    for role, pixels in (("input", prepared.input), ("target", prepared.target)):
        content = encode_jpeg(pixels, quality=JPEG_QUALITY)
        record[role] = f"{IMAGES}/{pair_id}_{role}.jpg"
        record[f"{role}_sha256"] = hashlib.sha256(content).hexdigest()
        write_atomically(Path(output) / record[role], content)
    return record


def _hash_file(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
