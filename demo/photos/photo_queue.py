"""Photos wait here for their turn: a bounded number is worked on at once, visitors take turns.

A stopping server takes no more, and a photo that nobody waits for any more is not worked on.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

T = TypeVar("T")
BUSY = "The server is busy with the photos of {visitors} visitors. Try again in a few minutes."
YOURS = "{batches} batches of yours are being worked on. Wait for their results, then try again."
LEFT = "Nobody waited for this photo any more, so it was not worked on."
STOPPING = "The server is being stopped and takes no more photos. Try again in a few minutes."


class Refused(Exception):
    """The photo is not taken; the message is one sentence for the visitor."""


class PhotoQueue:
    """First come, first served, one photo of each visitor at a time: a batch keeps nobody waiting.

    Safe to use from several threads and event loops.

    Args:
        photos_at_once: photos that are worked on at the same time.
        visitors: visits that may be open; further ones are refused.
        batches_per_visitor: how many of those may be one visitor's.
    """

    def __init__(
        self, photos_at_once: int = 1, visitors: int = 32, batches_per_visitor: int | None = None
    ):
        self._workers = concurrent.futures.ThreadPoolExecutor(
            photos_at_once, thread_name_prefix="photo"
        )
        self._most_visitors = visitors
        self._most_of_one = batches_per_visitor or visitors
        self._lock = threading.Lock()
        self._visits: collections.Counter[str] = collections.Counter()
        self._waiting: list[object] = []
        self._working = 0
        self._done = 0
        self._is_closed = False

    @contextlib.contextmanager
    def visit(self, account: str):
        """Keep a place for a visitor's photos.

        Args:
            account: whose place it is, see `Visitor.account`.

        Raises:
            Refused: there are too many visitors or visits of this one, or the server is stopping.
        """
        with self._lock:
            if self._is_closed:
                raise Refused(STOPPING)
            if self._visits[account] >= self._most_of_one:
                raise Refused(YOURS.format(batches=self._visits[account]))
            if self._visits.total() >= self._most_visitors:
                raise Refused(BUSY.format(visitors=self._visits.total()))
            self._visits[account] += 1
        try:
            yield
        finally:
            with self._lock:
                self._visits[account] -= 1
                self._visits += collections.Counter()  # drops those at zero

    async def run(
        self,
        work: Callable[[Callable[[str], None]], T],
        is_awaited: Callable[[], bool] = lambda: True,
    ) -> AsyncIterator[Any]:
        """Do one photo's work in its turn.

        Yields what happens as `("ahead", n)`, `("step", text)` and at last `("done", result)`.

        Args:
            work: runs in a thread; gets a function that it calls with each step's name.
            is_awaited: asked while the photo waits; False gives its place away.

        Raises:
            Refused: the server is being stopped, or nobody waits for the photo.
            Exception: whatever `work` raised.
        """
        loop = asyncio.get_running_loop()
        events: asyncio.Queue = asyncio.Queue()

        def tell(kind: str, value: Any = None) -> None:
            with contextlib.suppress(RuntimeError):  # the visitor's event loop is gone
                loop.call_soon_threadsafe(events.put_nowait, (kind, value))

        ticket = object()

        def work_if_awaited() -> T:
            if not is_awaited():
                raise Refused(LEFT)
            return work(lambda text: tell("step", text))

        future = self._submit(ticket, work_if_awaited)
        future.add_done_callback(lambda _: tell("end"))
        try:
            while True:
                ahead = self._ahead_of(ticket)
                if ahead is not None:
                    if not is_awaited():
                        raise Refused(LEFT)
                    yield "ahead", ahead
                try:
                    # Nobody reports that another visitor's photo is done; one second is soon
                    # enough.
                    kind, value = await asyncio.wait_for(
                        events.get(), 1.0 if ahead is not None else None
                    )
                except TimeoutError:
                    continue
                if kind == "end":
                    break
                yield kind, value
        except BaseException:
            future.cancel()  # only if it has not begun: the photo in hand is finished
            raise
        yield "done", future.result()

    def close(self) -> None:
        """Take no more photos. Those that wait are refused, those in hand are finished."""
        with self._lock:
            self._is_closed = True

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    @property
    def is_idle(self) -> bool:
        """Whether no photo is in hand and no visitor waits for an answer."""
        with self._lock:
            return not (self._working or self._waiting or self._visits.total())

    def counts(self) -> dict[str, int]:
        """Return the photos that wait, are in hand, and were worked on since the start."""
        with self._lock:
            return {"waiting": len(self._waiting), "working": self._working, "done": self._done}

    def _submit(self, ticket: object, work: Callable[[], T]) -> "concurrent.futures.Future[T]":
        def take_turn() -> T:
            with self._lock:
                self._waiting.remove(ticket)
                if self._is_closed:
                    raise Refused(STOPPING)
                self._working += 1
            try:
                return work()
            finally:
                with self._lock:
                    self._working -= 1
                    self._done += 1

        with self._lock:
            if self._is_closed:
                raise Refused(STOPPING)
            self._waiting.append(ticket)
        future = self._workers.submit(take_turn)
        future.add_done_callback(lambda done: self._forget(ticket) if done.cancelled() else None)
        return future

    def _forget(self, ticket: object) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._waiting.remove(ticket)

    def _ahead_of(self, ticket: object) -> int | None:
        """Return how many photos come before this one, or None when it is in hand or done."""
        with self._lock:
            if ticket not in self._waiting:
                return None
            return self._waiting.index(ticket) + self._working
