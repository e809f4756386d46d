"""Signals that ask the program to end: Ctrl-C, and what Slurm sends before it takes the machine."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

NOTHING, SAVE, STOP = 0, 1, 2
"""What a process asks all processes to do after a step."""


class Interrupted(SystemExit):
    """A signal asked the program to end, and what was to be saved is saved. Not an error: a script
    that does not catch it ends without a traceback.
    Its `exit_code` is 130 after Ctrl-C, and 75, "try again", after the others."""

    def __init__(self, signal_number: int):
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number
        self.exit_code = self.code = 130 if signal_number == signal.SIGINT else 75


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """Turn the signals into `Interrupted`, raised wherever the program is."""

    def handle(number: int, _: object) -> None:
        raise Interrupted(number)

    with _handled_by(handle):
        yield


class SaveRequests:
    """Notes signals instead of obeying them at once, and when it is time for a checkpoint.

    A second Ctrl-C does not wait any longer. Checkpoints come every `save_minutes`; with `agree`
    several processes come to one request, such as the greatest.
    """

    def __init__(self, save_minutes: float, agree: Callable[[int], int] = lambda request: request):
        self._agree = agree
        self._seconds, self._saved = save_minutes * 60, time.monotonic()
        self.signal_number: int | None = None
        self._at_once = False

    @contextlib.contextmanager
    def noting_signals(self) -> Iterator["SaveRequests"]:
        """Note signals inside. One that nobody acted upon raises `Interrupted` at the end."""
        with _handled_by(self._note):
            yield self
        self._obey()

    @contextlib.contextmanager
    def obeyed_at_once(self, *, alone: bool = True) -> Iterator[None]:
        """Where nothing would be lost: a signal that came before raises `Interrupted`, and one that
        comes inside does so at once, unless others train with this process and would wait."""
        self._at_once = alone
        try:
            self._obey()
            yield
        finally:
            self._at_once = False

    def _obey(self) -> None:
        if self._agree(NOTHING if self.signal_number is None else STOP) == STOP:
            raise self.interrupted()

    def now(self) -> int:
        """NOTHING, SAVE or STOP."""
        if self.signal_number is not None:
            return STOP
        return SAVE if time.monotonic() - self._saved > self._seconds else NOTHING

    def saved(self) -> None:
        """Start counting the minutes again."""
        self._saved = time.monotonic()

    def interrupted(self) -> Interrupted:
        """What to raise when all were asked to stop: by this process's signal, or another's."""
        return Interrupted(self.signal_number or signal.SIGTERM)

    def _note(self, number: int, _: object) -> None:
        if self.signal_number == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_number = number
        what = (
            "stopping; nothing is lost" if self._at_once else "saving a checkpoint, then stopping"
        )
        # Not print: the signal may have come in the middle of one.
        os.write(2, f"\n{signal.Signals(number).name}: {what}.\n".encode())
        if self._at_once:
            self._at_once = False
            raise Interrupted(number)


@contextlib.contextmanager
def _handled_by(handle) -> Iterator[None]:
    # Python lets no other thread do this.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
