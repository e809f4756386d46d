"""Sessions and their streams of answers: whose they are, how many one has, who still listens."""

import contextlib
import dataclasses
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator

from demo.photos.visitor import Visitor

GONE_SECONDS = 15.0
"""For so long an answer is still made that nobody listens for: a connection may have broken off."""
_DESERTED_SECONDS = 60.0
"""For so long answers that were made are kept for somebody who comes to read them."""
ANOTHERS = "This session is another visitor's."
_OF_VISITOR, _OF_ACCOUNT, _IN_ALL = 16, 64, 2000
_STREAMS = 64
"""Of one account: a page holds two, and an office behind one address has many pages."""


@dataclasses.dataclass
class _Session:
    visitor: Visitor
    pages: int = 0
    """Open pages that only say that they are there."""
    listeners: int = 0
    """Open streams on which answers are read."""
    heard: float = dataclasses.field(default_factory=time.monotonic)
    """When a stream of answers was closed last."""

    @property
    def is_open(self) -> bool:
        return bool(self.pages or self.listeners)


class Streams:
    """Sessions by name, the longest unused first; a program's call has its event's name."""

    def __init__(self):
        self.on_forgotten: Callable[[str], None] = lambda name: None
        """Called with the name of a session that has to give way to another."""
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._of_account: Counter[str] = Counter()

    def belongs(self, name: str, visitor: Visitor) -> bool:
        """Whether the session is this visitor's: whoever comes first has it."""
        if name not in self._sessions:
            self._make_place(visitor)
            self._sessions[name] = _Session(visitor)
        self._sessions.move_to_end(name)
        return self._sessions[name].visitor.owner == visitor.owner

    def __contains__(self, name: str) -> bool:
        return name in self._sessions

    def of_account(self, account: str) -> list[str]:
        """Return the names of all sessions that count on an account."""
        return [n for n, session in self._sessions.items() if session.visitor.account == account]

    def is_deserted(self, name: str) -> bool:
        """Whether nobody comes to read the session's answers any more."""
        session = self._sessions[name]
        return not session.listeners and time.monotonic() - session.heard > _DESERTED_SECONDS

    def are_too_many(self, visitor: Visitor) -> bool:
        return self._of_account[visitor.account] >= _STREAMS

    @contextlib.contextmanager
    def open(self, visitor: Visitor, name: str, *, is_page: bool) -> Iterator[None]:
        """Count an open stream, and unless it is a page's whoever listens on it."""
        session = self._sessions.setdefault(name, _Session(visitor))
        self._of_account[visitor.account] += 1
        session.pages += is_page
        session.listeners += not is_page
        try:
            yield
        finally:
            self._of_account[visitor.account] -= 1
            self._of_account = +self._of_account  # those above zero
            session.pages -= is_page
            session.listeners -= not is_page
            session.heard = session.heard if is_page else time.monotonic()

    def watch(self, *names: str | None) -> Callable[[], bool]:
        """Return a function that says whether anybody listens, or did so a moment ago."""
        asked = time.monotonic()

        def is_listening() -> bool:
            known = [self._sessions[name] for name in names if name and name in self._sessions]
            last = max([asked, *(session.heard for session in known)])
            return any(session.listeners for session in known) or (
                time.monotonic() - last < GONE_SECONDS
            )

        return is_listening

    def _make_place(self, visitor: Visitor) -> None:
        """Forget the longest unused of the same visitor, address or all; those without a page."""
        whose = {name: session.visitor for name, session in self._sessions.items()}
        own = [name for name, other in whose.items() if other.owner == visitor.owner]
        beside = [name for name, other in whose.items() if other.account == visitor.account]
        for names, most in ((own, _OF_VISITOR), (beside, _OF_ACCOUNT), (list(whose), _IN_ALL)):
            if len(names) >= most:
                first = min(names, key=lambda name: self._sessions[name].is_open)
                del self._sessions[first]
                self.on_forgotten(first)
                return
