"""Prepare the pairs that are not finished yet, several at once, in the order of the pairs."""

import concurrent.futures
import hashlib
import os
import sys
from pathlib import Path

import tqdm

from datasets.pair import PairRejected, prepare_pair
from datasets.prepared_folder import IMAGES, PROGRESS, Row, encode_row
from datasets.sources import SourcePair
from enhancer.atomic_file import write_atomically
from enhancer.photo_io import encode_jpeg

JPEG_QUALITY = 95
_MAX_WORKERS = 4  # each holds two full-size photos in memory


def prepare_remaining(
    pairs: list[SourcePair], finished: dict[str, Row], output: Path, long_edge: int | None, title: str
) -> None:
    """Prepare the pairs that are not in `finished`, log each and add its row there.

    Args:
        pairs: all of the source's.
        finished: rows by id.
        output: the prepared folder.
        long_edge: of the stored photos at most, in pixels; None keeps the size.
        title: of the progress bar.
    """
    remaining = [pair for pair in pairs if pair.id not in finished]
    pool = concurrent.futures.ThreadPoolExecutor(min(os.cpu_count() or 1, _MAX_WORKERS))
    bar = tqdm.tqdm(total=len(pairs), initial=len(finished), desc=title, unit="pair")
    with pool, bar, open(output / PROGRESS, "ab") as progress:
        try:
            # In the order of the pairs, whichever is finished first: the log of two runs is the same.
            for row in pool.map(lambda pair: _prepare_one(pair, output, long_edge), remaining):
                if row["status"] == "rejected":
                    bar.write(f"rejected {row['id']}: {row['reason']}", file=sys.stderr)
                progress.write(encode_row(row))
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
        row[role] = f"{IMAGES}/{pair.id}_{role}.jpg"
        row[f"{role}_sha256"] = hashlib.sha256(content).hexdigest()
        write_atomically(output / row[role], content)
    return row
