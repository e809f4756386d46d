"""Worker processes that several threads bring work to, and what happens when one dies over a file.

A damaged file can crash the library that decodes it, or make the system kill whoever asked for too
much memory: that may cost one pair, not the run. They are processes of our own because those of
`multiprocessing` start the caller's program a second time, and do not find this package where
another library goes by the name `datasets`, as in the stock `tfds build`: see decision 6.
"""

import concurrent.futures
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tqdm

from datasets.types import PreparationError
from datasets.workers.memory import SHARE, MemoryBudget, machine_memory

Reserve = Callable[[int], None]
"""Called with the bytes of memory that a pair is going to need; returns when they are free."""

_ROOT = str(Path(__file__).resolve().parents[2])
_PROGRAM = (
    f"import sys; sys.path.insert(0, {_ROOT!r}); from datasets.workers.process import main; main()"
)
# The processes are as many as the cores: threads of libraries would only get in each other's way.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TIFFFILE_NUM_THREADS": "1"}


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
            memory: bytes that all work together may reserve, by default half of the machine's.
        """
        self.count = default_count() if count is None else count
        self._budget = MemoryBudget(memory or round(SHARE * machine_memory()))
        self._lock, self._is_closed = threading.Lock(), False
        self._workers = [_Worker() for _ in range(self.count)]
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def call(self, name: str, function: Callable[..., Any], **arguments: Any) -> Any:
        """Wait for a free process, let it call a function, and return the result.

        A process that dies gets another try with nothing else at work beside it.

        Args:
            name: of the work, for messages.
            function: of a module, which takes a `Reserve` and the arguments.
            arguments: and its result: as JSON has them.

        Raises:
            WorkerDied: twice.
            PreparationError: the process cannot be started.
            OSError: as the function raised it.
            RuntimeError: the function raised something else, with its traceback.
            CancelledError: the pool was closed.
        """
        if not self.count:
            return function(lambda num_bytes: None, **arguments)
        work = [f"{function.__module__}:{function.__qualname__}", arguments]
        try:
            return self._call(work, self._budget.hold)
        except WorkerDied as death:
            sentence = f"The process that read {name} {death}. It is tried once more, alone."
            tqdm.tqdm.write(sentence, file=sys.stderr)
            return self._call(work, lambda num_bytes: self._budget.hold(self._budget.limit))

    def _call(self, work: list[Any], hold: Callable[[int], Any]) -> Any:
        worker = self._idle.get()
        try:
            with self._lock:
                if self._is_closed:
                    raise concurrent.futures.CancelledError
                worker.start()
            return worker.do(work, hold)
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
                worker.kill()
        for _ in self._workers:
            self._idle.get().end()


class _Worker:
    """A process, started when there is something to do."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._is_ready = False

    def start(self) -> None:
        if self._process is None:
            self._process, self._is_ready = _start_process(), False

    def do(self, work: list[Any], hold: Callable[[int], Any]) -> Any:
        process = self._process
        assert process is not None
        with contextlib.ExitStack() as held:
            self._tell(process, "call", work)
            while True:
                match self._hear(process):
                    case "ready", _:
                        self._is_ready = True
                    case "bytes", num_bytes:
                        held.enter_context(hold(num_bytes))
                        self._tell(process, "go", None)
                    case "done", result:
                        return result
                    case "os error", arguments:
                        raise OSError(*arguments)
                    case _, trace:
                        raise RuntimeError(f"A worker process failed:\n{trace}")

    def kill(self) -> None:
        if self._process:
            self._process.kill()

    def end(self) -> str | None:
        """Wait for a process that ends, and return how it did."""
        process, self._process = self._process, None
        if process is None:
            return None
        with process, contextlib.suppress(BrokenPipeError):
            process.stdin.close()  # pyright: ignore[reportOptionalMemberAccess]
        return _describe_death(process.returncode)

    def _tell(self, process: "subprocess.Popen[str]", kind: str, content: Any) -> None:
        # A worker that died shows at its output.
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps([kind, content]), file=process.stdin, flush=True)

    def _hear(self, process: "subprocess.Popen[str]") -> list[Any]:
        line = process.stdout.readline()  # pyright: ignore[reportOptionalMemberAccess]
        if line.endswith("\n"):
            return json.loads(line)
        death = self.end()
        if self._is_ready or process.returncode < 0:
            raise WorkerDied(death)
        raise PreparationError(
            f"A worker process {death} before it could begin. What it printed is above."
        )


def _start_process() -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | _ENVIRONMENT,
        process_group=0,  # Ctrl-C is for the parent, which ends its workers itself
    )


def _describe_death(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    why = {
        "SIGKILL": ", as the system does when memory runs out",
        "SIGSEGV": ": the file makes its decoder crash",
    }
    return f"was killed by {name}{why.get(name, '')}"
