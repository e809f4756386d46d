"""How fast are pairs prepared, with how much memory, against a plain loop over the same files?

    python -m benchmarks.preparation --source FIVEK
    python -m benchmarks.preparation --pairs 12 --rounds 5

Four programs take turns, each in a process of its own, start-up included: the preparation with its worker processes, the same work
in threads, the same in one process, and a loop of rawpy and Pillow that checks nothing. Processor use is that of all processes
together, 100 % being all cores; memory is the most that they held at a time, pages that they share counted for each.
"""

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import tyro

INTERRUPTED = 130
_POLL_SECONDS = 0.05


@dataclasses.dataclass(frozen=True)
class Arguments:
    __doc__ = __doc__

    source: Path | None = None
    """Folder for the source files, kept for the next call; by default a temporary one."""
    pairs: int = 6
    """Number of pairs."""
    long_edge: int = 4608
    """Of the source photos, in pixels; 4608 makes 14 megapixels."""
    rounds: int = 3
    """Turns of each program."""
    json: Path | None = None
    """File for the numbers."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m benchmarks.preparation")
    from benchmarks import large_fivek, machine
    from benchmarks.preparation_programs import NAMES
    from enhancer.system.files import write_json

    about = machine.describe()
    print(machine.sentence(about), flush=True)
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES}
    with tempfile.TemporaryDirectory(prefix="enhancer-preparation-") as scratch:
        source = arguments.source or Path(scratch) / "source"
        large_fivek.write(source, arguments.pairs, arguments.long_edge)
        number = len(list((source / "img" / "dng").iterdir()))
        try:
            for turn in range(arguments.rounds):
                first = turn % len(NAMES)
                for name in NAMES[first:] + NAMES[:first]:
                    print(
                        f"round {turn + 1} of {arguments.rounds}: {name}",
                        file=sys.stderr,
                        flush=True,
                    )
                    measured[name].append(_run(name, source, Path(scratch) / "output"))
        except KeyboardInterrupt:
            print("\ninterrupted", file=sys.stderr)
            return INTERRUPTED
    rows = _rows(measured, number)
    _print(rows)
    if arguments.json:
        write_json(
            arguments.json, {"machine": about, "pairs": number, "runs": measured, "rows": rows}
        )
    return 0


def _run(name: str, source: Path, output: Path) -> dict[str, float]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.preparation_programs",
        name,
        str(source),
        str(output),
    ]
    before, began = os.times(), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    memory = _PeakMemory(process.pid)
    _, printed = process.communicate()
    seconds = time.perf_counter() - began
    peak = memory.stop()
    if process.returncode:
        sys.exit(printed.decode())
    after = os.times()
    busy = (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )
    shutil.rmtree(output)
    return {
        "seconds": seconds,
        "cpu_share": busy / seconds / (os.cpu_count() or 1),
        "peak_bytes": peak,
    }


class _PeakMemory:
    """The most memory that a process and all its descendants have held together, looked at twenty times a second."""

    def __init__(self, pid: int):
        self._pid, self._peak, self._ended = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> int:
        self._ended.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            self._peak = max(self._peak, sum(_resident_bytes(pid) for pid in _family(self._pid)))


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in _family(int(child)))]


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def _rows(measured: dict[str, list[dict[str, float]]], number: int) -> list[dict[str, Any]]:
    from benchmarks.timing import median, ratio

    plain = [run["seconds"] for run in measured["plain loop"]]
    rows = []
    for name, runs in measured.items():
        seconds = [run["seconds"] for run in runs]
        faster = ratio(plain, seconds)
        rows.append(
            {
                "program": name,
                "pairs/s": number / median(seconds),
                "times the plain loop": faster.median,
                "low": faster.low,
                "high": faster.high,
                "CPU %": 100 * median([run["cpu_share"] for run in runs]),
                "peak MB": median([run["peak_bytes"] for run in runs]) / 1e6,
            }
        )
    return rows


def _print(rows: list[dict[str, Any]]) -> None:
    from benchmarks.table import aligned

    print("\n" + aligned(rows))


if __name__ == "__main__":
    sys.exit(main())
