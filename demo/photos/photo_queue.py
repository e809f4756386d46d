"""Photos wait here for their turn: a bounded number is worked on at once, visitors take turns.

A stopping server takes no more, and a photo that nobody waits for any more is not worked on.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

from demo.photos.limits import Limits, Refused

T = TypeVar("T")
_BUSY = "The server is busy with the photos of {} visitors. Try again in a few minutes."
_YOURS = "{} batches of yours are being worked on. Wait for their results, then try again."
_LEFT = "Nobody waited for this photo any more, so it was not worked on."
_STOPPING = "The server is being stopped and takes no more photos. Try again in a few minutes."


class PhotoQueue:
    """First come, first served, one photo of each visitor at a time: a batch keeps nobody waiting.

    Safe to use from several threads and event loops.
    """

    def __init__(self, limits: Limits | None = None):
        self._limits = limits or Limits()
        self._workers = concurrent.futures.ThreadPoolExecutor(
            self._limits.photos_at_once, thread_name_prefix="photo"
        )
        self._lock = threading.Lock()
        self._places: collections.Counter[str] = collections.Counter()
        self._waiting: list[object] = []
        self._working = self._done = 0
        self.is_closed = False

    @contextlib.contextmanager
    def place(self, account: str) -> Iterator[None]:
        """Keep a place for a batch of an account's photos, or raise Refused."""
        with self._lock:
            if self.is_closed:
                raise Refused(_STOPPING)
            if (own := self._places[account]) >= self._limits.batches_per_visitor:
                raise Refused(_YOURS.format(own))
            if self._places.total() >= self._limits.visitors:
                raise Refused(_BUSY.format(self._places.total()))
            self._places[account] += 1
        try:
            yield
        finally:
            with self._lock:
                self._places[account] -= 1
                self._places = +self._places  # drops those at zero

    async def run(
        self,
        work: Callable[[Callable[[str], None]], T],
        is_awaited: Callable[[], bool] = lambda: True,
    ) -> AsyncIterator[Any]:
        """Do one photo's work in its turn.

        Yields what happens as `("ahead", n)`, `("step", text)` and at last `("done", result)`.
        Raises what `work` raised, or Refused: the server stops, or nobody waits for the photo.

        Args:
            work: runs in a thread; gets a function that it calls with each step's name.
            is_awaited: asked while the photo waits; False gives its place away.
        """
        loop, events = asyncio.get_running_loop(), asyncio.Queue()
        ticket = object()

        def tell(kind: str, value: Any = None) -> None:
            with contextlib.suppress(RuntimeError):  # the visitor's event loop is gone
                loop.call_soon_threadsafe(events.put_nowait, (kind, value))

        def take_turn() -> T:
            with self._lock:
                self._waiting.remove(ticket)
                if self.is_closed:
                    raise Refused(_STOPPING)
                self._working += 1
            try:
                if not is_awaited():
                    raise Refused(_LEFT)
                return work(lambda text: tell("step", text))
            finally:
                with self._lock:
                    self._working -= 1
                    self._done += 1

        with self._lock:
            if self.is_closed:
                raise Refused(_STOPPING)
            self._waiting.append(ticket)
        future = self._workers.submit(take_turn)
        future.add_done_callback(lambda _: tell("end"))
        try:
            while True:
                ahead = self._ahead_of(ticket)
                if ahead is not None:
                    if not is_awaited():
                        raise Refused(_LEFT)
                    yield "ahead", ahead
                # Nobody reports that another visitor's photo is done; a second is soon enough.
                pause = None if ahead is None else 1.0
                try:
                    async with asyncio.timeout(pause):
                        kind, value = await events.get()
                except TimeoutError:
                    continue
                if kind == "end":
                    break
                yield kind, value
        finally:
            if future.cancel():  # only what has not begun: the photo in hand is finished
                with self._lock:
                    self._waiting.remove(ticket)
        yield "done", future.result()

    def close(self) -> None:
        """Take no more photos. Those that wait are refused, those in hand are finished."""
        with self._lock:
            self.is_closed = True

    @property
    def is_idle(self) -> bool:
        """Whether no photo is in hand and no visitor waits for an answer."""
        with self._lock:
            return not (self._working or self._waiting or self._places.total())

    def counts(self) -> dict[str, int]:
        """Return the photos that wait, are in hand, and were worked on since the start."""
        with self._lock:
            return {"waiting": len(self._waiting), "working": self._working, "done": self._done}

    def _ahead_of(self, ticket: object) -> int | None:
        """Return how many photos come before this one, or None when it is in hand or done."""
        with self._lock:
            if ticket not in self._waiting:
                return None
            return self._waiting.index(ticket) + self._working
