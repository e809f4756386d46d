"""Pairs that wait for a worker, while further ones may still come."""

import collections
import contextlib
import os
import threading
from collections.abc import Iterable, Iterator

from datasets.sources import SourcePair


class PairFeed:
    """A queue that one thread takes from and any thread adds to; its `fileno` is readable when something has changed."""

    def __init__(self, pairs: Iterable[SourcePair] = ()) -> None:
        """Begin with some pairs."""
        self._pairs = collections.deque(pairs)
        self._changed = threading.Condition()
        self._more_may_come = True
        self._hear, self._tell = os.pipe()
        os.set_blocking(self._tell, False)

    @property
    def is_open(self) -> bool:
        """Whether there are pairs, or may be later."""
        return bool(self._pairs) or self._more_may_come

    def put(self, pair: SourcePair) -> None:
        """Add a pair at the end."""
        with self._changed:
            self._pairs.append(pair)
            self._notify()

    def put_back(self, pair: SourcePair) -> None:
        """Add a pair that was taken at the front."""
        with self._changed:
            self._pairs.appendleft(pair)
            self._notify()

    def close(self) -> None:
        """Say that no more pairs come."""
        with self._changed:
            self._more_may_come = False
            self._notify()

    def take(self) -> SourcePair | None:
        """Return the first pair, or None when there is none at the moment."""
        with self._changed:
            return self._pairs.popleft() if self._pairs else None

    def __iter__(self) -> Iterator[SourcePair]:
        """Take the pairs one by one, waiting for those that may still come."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pairs or not self._more_may_come)
                if not self._pairs:
                    return
                pair = self._pairs.popleft()
            yield pair

    def fileno(self) -> int:
        """Return what a selector waits for."""
        return self._hear

    def hear(self) -> None:
        """Take note of all changes so far."""
        os.read(self._hear, 1 << 16)

    def __del__(self) -> None:
        """Close the pipe."""
        for end in (self._hear, self._tell):
            os.close(end)

    def _notify(self) -> None:
        self._changed.notify_all()
        with contextlib.suppress(BlockingIOError):  # full of news that nobody has heard yet
            os.write(self._tell, b".")
