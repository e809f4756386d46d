"""The work of `datasets.workers` as an Apache Beam pipeline, for who outgrows one machine.

What goes through the pipeline are command lines, a few dozen pairs each, and what runs them is the standard library: no code of ours
is pickled, and the machines need not agree on what is called `datasets` or `__main__`. They need this project and its Python
environment under the same paths, and see the source and the prepared folder under the same paths too (a shared file system). Each
command prepares its pairs in a worker process and leaves a file per pair, which the process that started the pipeline collects.
"""

import base64
import contextlib
import json
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets import messages, workers
from datasets.prepared_folder import PreparationError, Row
from datasets.sources import SourcePair
from enhancer.system.files import write_atomically

PAIRS_PER_COMMAND = 16
"""Starting a command and its worker takes two seconds; a pair of FiveK about three."""
_ROOT = str(Path(__file__).resolve().parents[1])
_PROGRAM = f"import sys; sys.path.insert(0, {_ROOT!r}); from datasets.beam_workers import main; main(sys.argv[1])"
_POLL_SECONDS = 0.2


def run(job: workers.Job, pairs: Sequence[SourcePair], options: Any, folder: Path) -> Iterator[Row]:
    """Do a job for every pair in a Beam pipeline, and yield the rows as they are finished.

    Args:
        job: what to do.
        pairs: with what.
        options: Beam's `PipelineOptions`, which say what runs the pipeline and where.
        folder: where the rows are collected, on storage that all machines see; it is kept, for a call that continues.

    Raises:
        PreparationError: the pipeline failed.
    """
    import apache_beam as beam  # pyright: ignore[reportMissingImports]  # of an extra; who has options of it has it

    folder.mkdir(parents=True, exist_ok=True)
    missing = {pair.id: pair for pair in pairs}
    yield from _collect(missing, folder)
    commands = [_command(job, chunk, folder) for chunk in _chunks(list(missing.values()))]
    failures: list[Exception] = []

    def run_pipeline() -> None:
        try:
            with beam.Pipeline(options=options) as pipeline:
                # Reshuffled, or one worker may get all of them.
                _ = (
                    pipeline
                    | beam.Create(commands)
                    | beam.Reshuffle()
                    | beam.Map(subprocess.check_call)
                )
        # Beam raises what its runners raise.
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=run_pipeline, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_POLL_SECONDS)
        yield from _collect(missing, folder)
    if failures:
        reason = (str(failures[0]).strip().splitlines() or [type(failures[0]).__name__])[-1]
        reason = re.sub(
            r"Command '.*' (?=returned|died)", "a command that ", reason
        )  # thousands of characters
        raise PreparationError(
            f"The Beam pipeline failed: {reason[:300]}. What its workers printed is above; the same command continues."
        ) from failures[0]
    if missing:
        raise PreparationError(
            f"The Beam pipeline ended, but {len(missing)} pairs are not in {folder}. Do all of its machines see this folder?"
        )


def main(argument: str) -> None:
    """Run one command of the pipeline: prepare its pairs in a worker process, and write a row for each.

    Args:
        argument: what `_command` packed.
    """
    job, pairs, folder = pickle.loads(base64.b85decode(argument))
    with contextlib.closing(workers.run(job, pairs, 1)) as done:
        for row in done:
            write_atomically(_row_path(folder, row["id"]), json.dumps(row).encode())


def _command(job: workers.Job, pairs: list[SourcePair], folder: Path) -> list[str]:
    argument = base64.b85encode(messages.dumps((job, pairs, folder))).decode()
    return [sys.executable, "-P", "-c", _PROGRAM, argument]


def _chunks(pairs: list[SourcePair]) -> Iterator[list[SourcePair]]:
    for start in range(0, len(pairs), PAIRS_PER_COMMAND):
        yield pairs[start : start + PAIRS_PER_COMMAND]


def _collect(missing: dict[str, SourcePair], folder: Path) -> Iterator[Row]:
    """Yield the rows that are there, and take their pairs out of `missing`."""
    there = {path.name for path in folder.iterdir()}
    for pair_id in [pair_id for pair_id in missing if _row_path(folder, pair_id).name in there]:
        yield json.loads(_row_path(folder, pair_id).read_bytes())
        del missing[pair_id]


def _row_path(folder: Path, pair_id: str) -> Path:
    return folder / f"{pair_id}.json"
