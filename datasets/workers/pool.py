"""Worker processes that several threads bring work to, and what happens when one dies over a file.

A damaged file can crash the library that decodes it, or make the system kill whoever asked for too
much memory: that may cost one pair, not the run. Decision 6 says why they are processes of our own.
"""

import concurrent.futures
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import tqdm

from datasets.types import PreparationError
from datasets.workers.memory import SHARE, MemoryBudget, bytes_to_decode, machine_memory

_ROOT = str(Path(__file__).resolve().parents[2])
_PROGRAM = (
    f"import sys; sys.path.insert(0, {_ROOT!r}); from datasets.workers.process import main; main()"
)
# The processes are as many as the cores: threads of libraries would only get in each other's way.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TIFFFILE_NUM_THREADS": "1"}
_DEATHS = {
    "SIGKILL": ", as the system does when memory runs out",
    "SIGSEGV": ": the file makes its decoder crash",
}


class WorkerDied(Exception):
    """A process ended over its work; the message says how, such as "was killed by SIGSEGV"."""


def default_count() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class WorkerPool:
    """Processes that do one piece of work at a time each; a dead one is replaced."""

    def __init__(self, count: int | None = None, memory: int | None = None):
        """Start nothing yet.

        Args:
            count: of processes, by default that of the CPU cores; 0 works in this process, where a
                file that crashes its decoder ends everything.
            memory: bytes that all photos together may take, by default half of the machine's.
        """
        self.count = default_count() if count is None else count
        self._budget = MemoryBudget(memory or round(SHARE * machine_memory()))
        self._lock, self._is_closed = threading.Lock(), False
        self._workers = [_Worker() for _ in range(self.count)]
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def call(
        self, name: str, function: Callable[..., Any], photos: Sequence[str], *arguments: Any
    ) -> Any:
        """Wait for a free process and for memory, call `function(*photos, *arguments)` there, and
        return its result. A process that dies gets another try with nothing else at work beside it.

        Args:
            name: of the work, for messages.
            function: of a module.
            photos: files that it decodes.
            arguments: and its result: built-in types, since `datasets` may be another library here.

        Raises:
            WorkerDied: twice.
            PreparationError: the process cannot be started.
            OSError: as the function raised it.
            RuntimeError: the function raised something else, with its traceback.
            CancelledError: the pool was closed.
        """
        if not self.count:
            return function(*photos, *arguments)
        try:
            return self._call(function, photos, arguments)
        except WorkerDied as death:
            sentence = f"The process that read {name} {death}. It is tried once more, alone."
            tqdm.tqdm.write(sentence, file=sys.stderr)
            return self._call(function, photos, arguments, alone=True)

    def _call(
        self, function: Callable, photos: Sequence, arguments: Sequence, *, alone: bool = False
    ) -> Any:
        worker = self._idle.get()
        try:
            with self._lock:
                if self._is_closed:
                    raise concurrent.futures.CancelledError
                worker.start()
            needed = worker.do(bytes_to_decode, *photos)
            with self._budget.hold(self._budget.limit if alone else needed):
                return worker.do(function, *photos, *arguments)
        except WorkerDied:
            if self._is_closed:
                raise concurrent.futures.CancelledError from None
            raise
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End all processes, whatever they are at; calls that wait raise CancelledError."""
        with self._lock:
            self._is_closed = True
            for worker in self._workers:
                if process := worker.process:
                    process.kill()
        for _ in self._workers:
            self._idle.get().end()


class _Worker:
    """A process, started when there is something to do."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self.process is not None:
            return
        self._has_answered = False
        self._connection, theirs = Pipe()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what C libraries print
                env=os.environ | _ENVIRONMENT,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C is for the parent, which ends its workers itself
            )

    def do(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            self._connection.send((f"{function.__module__}:{function.__qualname__}", arguments))
            error, result = self._connection.recv()
        except (EOFError, ConnectionError):
            raise self._death() from None
        self._has_answered = True
        if error is not None:
            raise error
        return result

    def end(self) -> int:
        """Wait for a process that ends, and return its exit code."""
        if self.process is None:
            return 0
        self._connection.close()
        code, self.process = self.process.wait(), None
        return code

    def _death(self) -> Exception:
        code = self.end()
        death = f"ended with exit code {code}"
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            death = f"was killed by {name}{_DEATHS.get(name, '')}"
        if self._has_answered or code < 0:
            return WorkerDied(death)
        return PreparationError(
            f"A worker process {death} before it could begin. What it printed is above."
        )
