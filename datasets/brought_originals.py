"""Originals that are brought from elsewhere while other pairs are developed, and taken away when they were used."""

import abc
import concurrent.futures
import threading
from collections.abc import Callable, Iterator

from datasets import workers
from datasets.originals import Originals
from datasets.pair_feed import PairFeed
from datasets.prepared_folder import Row
from datasets.sources import SourcePair

Develop = Callable[[SourcePair], Row]
"""Lets a worker process decode, check, shrink and store a pair whose files are there; returns its row of the log."""


class BroughtOriginals(Originals):
    """Base of the kinds that differ in where the files are brought from.

    Each pair in hand has a thread, which brings its files, waits for a worker process to develop them and takes them away:
    never more pairs are on the disk than there are threads.
    """

    pairs_at_once = 8
    """Pairs in hand at a time."""

    @abc.abstractmethod
    def prepare(self, pair: SourcePair, develop: Develop) -> Row:
        """Bring a pair's files, develop them and take them away. Called from several threads."""

    def stop(self) -> None:
        """Let every `prepare` that is under way end soon, with an exception."""

    def run(
        self, job: workers.Job, pairs: list[SourcePair], num_workers: int | None
    ) -> Iterator[Row]:
        """Do a job for every pair in worker processes, and yield the rows as they are finished."""
        darkroom = _Darkroom(job, num_workers)
        threads = concurrent.futures.ThreadPoolExecutor(
            self.pairs_at_once, thread_name_prefix="pair"
        )
        try:
            jobs = [threads.submit(self.prepare, pair, darkroom.develop) for pair in pairs]
            for finished in concurrent.futures.as_completed(jobs):
                yield finished.result()
        finally:
            self.stop()
            darkroom.close()
            threads.shutdown(cancel_futures=True)


class _Darkroom:
    """Worker processes that several threads bring pairs to."""

    def __init__(self, job: workers.Job, num_workers: int | None) -> None:
        self._feed = PairFeed()
        self._results: dict[str, concurrent.futures.Future[Row]] = {}
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, args=(job, num_workers), name="darkroom")
        self._thread.start()

    def develop(self, pair: SourcePair) -> Row:
        """Wait until a pair is developed; raise what stopped the workers if they were."""
        result: concurrent.futures.Future[Row] = concurrent.futures.Future()
        with self._lock:
            if self._is_closed:
                raise concurrent.futures.CancelledError
            self._results[pair.id] = result
            self._feed.put(pair)
        return result.result()

    def close(self) -> None:
        """End the workers after what they are at."""
        with self._lock:
            self._is_closed = True
        while self._feed.take():
            pass
        self._feed.close()
        self._thread.join()

    def _run(self, job: workers.Job, num_workers: int | None) -> None:
        stopped: BaseException = concurrent.futures.CancelledError()
        try:
            for row in workers.run(job, self._feed, num_workers):
                self._results.pop(row["id"]).set_result(row)
        except BaseException as error:
            stopped = error
        with self._lock:
            self._is_closed = True
            for result in self._results.values():
                result.set_exception(stopped)
