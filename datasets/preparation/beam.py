"""The work of the worker processes as an Apache Beam pipeline, for who outgrows one machine.

What goes through the pipeline are command lines of a few pairs each: no code of ours is pickled,
and the machines need not agree on what is called `datasets`. They see this project, its Python
environment, the source and the prepared folder under the same paths. Each command leaves a file per
pair, which the process that started the pipeline collects.
"""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets.preparation.pair_job import develop
from datasets.types import PairRecord, PreparationError, SourcePair
from datasets.workers.pool import WorkerPool
from enhancer.system.files import write_atomically

PAIRS_PER_COMMAND = 16
"""Starting a command and its worker takes two seconds; a pair of FiveK about three."""
_ROOT = str(Path(__file__).resolve().parents[2])
_PROGRAM = (
    f"import sys; sys.path.insert(0, {_ROOT!r}); "
    "from datasets.preparation.beam import main; main(sys.argv[1])"
)
_POLL_SECONDS = 0.2


def run(
    pairs: Sequence[SourcePair], output: Path, long_edge: int | None, options: Any, folder: Path
) -> Generator[PairRecord]:
    """Prepare pairs in a Beam pipeline, and yield their records as they are finished.

    Args:
        pairs, output, long_edge: as for `prepare_one`, with paths that all machines know.
        options: Beam's `PipelineOptions`, which say what runs the pipeline and where.
        folder: where the records are collected; it is kept, for a call that continues.

    Raises:
        PreparationError: the pipeline failed.
    """
    import apache_beam as beam  # pyright: ignore[reportMissingImports]  # who has options has it

    folder.mkdir(parents=True, exist_ok=True)
    missing = {pair.id for pair in pairs}
    yield from _collect(missing, folder)
    left = [pair for pair in pairs if pair.id in missing]
    commands = [
        command(left[start : start + PAIRS_PER_COMMAND], output, long_edge, folder)
        for start in range(0, len(left), PAIRS_PER_COMMAND)
    ]
    failures: list[Exception] = []

    def run_pipeline() -> None:
        try:
            with beam.Pipeline(options=options) as pipeline:
                # Reshuffled, or one worker may get all of them.
                started = pipeline | beam.Create(commands) | beam.Reshuffle()
                _ = started | beam.Map(subprocess.check_call)
        except Exception as error:  # Beam raises what its runners raise
            failures.append(error)

    thread = threading.Thread(target=run_pipeline, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_POLL_SECONDS)
        yield from _collect(missing, folder)
    if failures:
        reason = (str(failures[0]).strip().splitlines() or [type(failures[0]).__name__])[-1]
        # The command itself has thousands of characters.
        reason = re.sub(r"Command '.*' (?=returned|died)", "a command that ", reason)[:300]
        raise PreparationError(
            f"The Beam pipeline failed: {reason}. What its workers printed is above; the same "
            "command continues."
        ) from failures[0]
    if missing:
        raise PreparationError(
            f"The Beam pipeline ended, but {len(missing)} pairs are not in {folder}. Do all of its "
            "machines see this folder?"
        )


def command(
    pairs: Sequence[SourcePair], output: Path, long_edge: int | None, folder: Path
) -> list[str]:
    """The command line that prepares some pairs."""
    rows = [(pair.id, str(pair.input), str(pair.target), pair.split) for pair in pairs]
    argument = json.dumps([rows, str(output), long_edge, str(folder)])
    return [sys.executable, "-P", "-c", _PROGRAM, argument]


def main(argument: str) -> None:
    """Run one command of the pipeline, see `command`: write a record for each of its pairs."""
    rows, output, long_edge, folder = json.loads(argument)
    pool = WorkerPool(1)
    try:
        for pair_id, before, after, split in rows:
            pair = SourcePair(pair_id, Path(before), Path(after), split)
            record = develop(pool, pair, Path(output), long_edge)
            write_atomically(Path(folder) / f"{pair_id}.json", json.dumps(record).encode())
    finally:
        pool.close()


def _collect(missing: set[str], folder: Path) -> Iterator[PairRecord]:
    """Yield the records that are there, and take their pairs out of `missing`."""
    for path in sorted(folder.glob("*.json")):
        if path.stem in missing:
            missing.remove(path.stem)
            yield json.loads(path.read_bytes())
