"""Worker processes that prepare pairs side by side, and what happens when one of them dies over a file.

Processes of our own and none of `multiprocessing`: those start the caller's program a second time, cannot find this package where
another one goes by the name `datasets` (in the stock `tfds build`), and as a pool do not tell over which file they died.
"""

import contextlib
import dataclasses
import os
import pickle
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tqdm

from datasets import messages
from datasets.memory_budget import SHARE, MemoryBudget, machine_memory
from datasets.pair_feed import PairFeed
from datasets.prepared_folder import PreparationError, Row
from datasets.sources import SourcePair

Reserve = Callable[[int], None]
"""Called with the bytes of memory that a pair is going to need; returns when they are free."""
Job = Callable[[SourcePair, Reserve], Row]
"""Prepares one pair. It is pickled: a function of a module, or a `functools.partial` of one."""

_ROOT = str(Path(__file__).resolve().parents[1])
_PROGRAM = (
    f"import sys; sys.path.insert(0, {_ROOT!r}); from datasets.pair_worker import main; main()"
)
# The processes are as many as the cores; threads of the libraries in them would only get in each other's way.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TIFFFILE_NUM_THREADS": "1"}


def default_count() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    job: Job,
    pairs: Sequence[SourcePair] | PairFeed,
    count: int | None = None,
    *,
    memory: int | None = None,
) -> Iterator[Row]:
    """Do a job for every pair, and yield the rows as they are finished.

    A pair whose worker dies gets another try with no other pair beside it, and is rejected when it dies again.

    Args:
        job: what to do.
        pairs: with what; a feed may get further ones while the first are prepared.
        count: of worker processes, by default that of the CPU cores; 0 works in this process, where a file that crashes its decoder ends everything.
        memory: bytes that the photos may take together while they are decoded, by default half of the machine's.

    Raises:
        PreparationError: the processes cannot be started.
        Exception: what the job raised, such as OSError on a full disk.
    """
    count = default_count() if count is None else count
    if not count:
        for pair in pairs:
            yield job(pair, lambda num_bytes: None)
        return
    budget = MemoryBudget(round(SHARE * machine_memory()) if memory is None else memory)
    if not isinstance(pairs, PairFeed):
        count, pairs = min(count, len(pairs)), PairFeed(pairs)
        pairs.close()
    pool = _Pool(job, pairs, budget)
    try:
        yield from pool.run(count)
    finally:
        pool.stop()


@dataclasses.dataclass(eq=False)
class _Worker:
    process: "subprocess.Popen[bytes]"
    pair: SourcePair | None = None
    ready: bool = False

    def send(self, kind: str, content: Any) -> None:
        # A worker that died shows at its output, which is always looked at.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(messages.dumps((kind, content)))
            self.process.stdin.flush()

    def receive(self) -> tuple[str, Any]:
        try:
            return pickle.load(self.process.stdout)
        except (EOFError, pickle.UnpicklingError):
            return "died", None


class _Pool:
    def __init__(self, job: Job, pairs: PairFeed, budget: MemoryBudget):
        self._job, self._pairs, self._budget = job, pairs, budget
        self._workers: dict[int, _Worker] = {}
        self._tried_again: set[str] = set()
        self._selector = selectors.DefaultSelector()

    def run(self, count: int) -> Iterator[Row]:
        for _ in range(count):
            self._start()
        self._selector.register(self._pairs, selectors.EVENT_READ)
        while self._pairs.is_open or any(worker.pair for worker in self._workers.values()):
            for key, _ in self._selector.select():
                if (number := key.data) is None:
                    self._pairs.hear()
                    for idle in [
                        number
                        for number, worker in self._workers.items()
                        if worker.ready and not worker.pair
                    ]:
                        self._next_job(idle)
                    continue
                match self._workers[number].receive():
                    case "ready", _:
                        self._workers[number].ready = True
                        self._next_job(number)
                    case "bytes", num_bytes:
                        alone = self._workers[number].pair.id in self._tried_again
                        self._budget.ask(number, self._budget.limit if alone else num_bytes)
                    case "row", row:
                        self._budget.leave(number)
                        self._next_job(number)
                        yield row
                    case "error", error:
                        raise error
                    case "died", _:
                        yield from self._bury(number)
                for granted in self._budget.grant():
                    self._workers[granted].send("go", None)

    def stop(self) -> None:
        """End all processes, whatever they are at, and wait until they are gone."""
        for worker in self._workers.values():
            worker.process.kill()
        for number in list(self._workers):
            self._remove(number)
        self._selector.close()

    def _start(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | _ENVIRONMENT,
            process_group=0,  # Ctrl-C is for the parent, which ends its workers itself
        )
        self._workers[process.pid] = _Worker(process)
        self._selector.register(process.stdout, selectors.EVENT_READ, process.pid)

    def _next_job(self, number: int) -> None:
        worker = self._workers[number]
        worker.pair = self._pairs.take()
        if worker.pair:
            worker.send("job", (self._job, worker.pair))

    def _bury(self, number: int) -> Iterator[Row]:
        """Replace a dead worker; its pair is tried once more, then it is refused."""
        worker = self._remove(number)
        cause = _describe_death(worker.process.returncode)
        if not worker.ready:
            raise PreparationError(
                f"A worker process {cause} before it could begin. What it printed is above."
            )
        if pair := worker.pair:
            if pair.id in self._tried_again:
                yield _refused(pair, cause)
            else:
                self._tried_again.add(pair.id)
                tqdm.tqdm.write(
                    f"The process that read {pair.id} {cause}. It is tried once more, alone.",
                    file=sys.stderr,
                )
                self._pairs.put_back(pair)
        self._start()

    def _remove(self, number: int) -> _Worker:
        worker = self._workers.pop(number)
        self._budget.leave(number)
        self._selector.unregister(worker.process.stdout)
        worker.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            worker.process.stdin.close()
        worker.process.wait()
        return worker


def _refused(pair: SourcePair, cause: str) -> Row:
    reason = f"the process that read {pair.input.name} and {pair.target.name} {cause}, twice. Open both in a photo editor."
    row = {"id": pair.id, "split": pair.split, "status": "rejected", "kind": "reader died"}
    return {**row, "reason": reason, "measured": None}


def _describe_death(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    why = {
        "SIGKILL": ", as the system does when memory runs out",
        "SIGSEGV": ": the file makes its decoder crash",
    }
    return f"was killed by {name}{why.get(name, '')}"
