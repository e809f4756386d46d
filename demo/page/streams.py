"""Streams of answers: whose they are, how many one visitor has, and who still listens."""

import contextlib
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Any

from demo.photos.visitor import Visitor

GONE_SECONDS = 15.0
"""For so long an answer is still made that nobody listens for: a connection may have broken off."""
ANOTHERS = "This session is another visitor's."
_REMEMBERED = 10_000
_NAMES_OF_ONE = 512
_MOST = 64
"""Of one account: a page holds two, and an office behind one address has many pages."""


class Streams:
    """Those that are open now, by the name of their session or event."""

    def __init__(self):
        self._owners: OrderedDict[str, str] = OrderedDict()
        self._names_of: OrderedDict[str, deque[str]] = OrderedDict()
        self._of_account: Counter[str] = Counter()
        self._open: Counter[str] = Counter()
        self._closed: OrderedDict[str, float] = OrderedDict()

    def belongs(self, name: str, visitor: Visitor) -> bool:
        """Whether the session or event is this visitor's: whoever comes first has it."""
        if name not in self._owners:
            # Whoever makes up names forgets his own, and not those of others.
            own = self._names_of.setdefault(visitor.account, deque(maxlen=_NAMES_OF_ONE))
            if len(own) == own.maxlen:
                self._owners.pop(own[0], None)
            own.append(name)
            _remember(self._names_of, visitor.account, own)
        owner = self._owners.setdefault(name, visitor.owner)
        _remember(self._owners, name, owner)
        return owner == visitor.owner

    def are_too_many(self, visitor: Visitor) -> bool:
        return self._of_account[visitor.account] >= _MOST

    @contextlib.contextmanager
    def open(self, visitor: Visitor, name: str | None) -> Iterator[None]:
        """Count an open stream, and with a name of a session or event whoever listens on it."""
        self._of_account[visitor.account] += 1
        self._open[name or ""] += 1
        try:
            yield
        finally:
            self._of_account[visitor.account] -= 1
            self._open[name or ""] -= 1
            self._of_account, self._open = +self._of_account, +self._open  # those above zero
            _remember(self._closed, name or "", time.monotonic())

    def watch(self, *names: str | None) -> Callable[[], bool]:
        """Return a function that says whether anybody listens, or did so a moment ago."""
        asked, known = time.monotonic(), [name for name in names if name]

        def is_listening() -> bool:
            last = max([asked, *(self._closed.get(name, asked) for name in known)])
            is_open = any(name in self._open for name in known)
            return is_open or time.monotonic() - last < GONE_SECONDS

        return is_listening


def _remember(known: OrderedDict[str, Any], name: str, value: Any) -> None:
    """Set a value; beyond the last 10,000 forget those that were set longest ago."""
    known[name] = value
    known.move_to_end(name)
    while len(known) > _REMEMBERED:
        known.popitem(last=False)
