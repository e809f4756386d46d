"""Signals that ask the program to end: Ctrl-C, and what Slurm sends before it takes the machine away."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

NOTHING, SAVE, STOP = 0, 1, 2
"""What a process asks all processes to do after a step."""


class Interrupted(BaseException):
    """A signal asked the program to end, and what was to be saved is saved. Like KeyboardInterrupt no error.

    Attributes:
        signal_number: which one.
    """

    def __init__(self, signal_number: int):
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """Turn the signals into `Interrupted`, raised wherever the program is."""

    def handle(number: int, _: object) -> None:
        raise Interrupted(number)

    with _handled_by(handle):
        yield


class SaveRequests:
    """Notes signals instead of obeying them at once, and when it is time for a checkpoint.

    A second Ctrl-C does not wait any longer.
    """

    def __init__(self, save_minutes: float, agree: Callable[[int], int] = lambda request: request):
        """Count from now.

        Args:
            save_minutes: between checkpoints.
            agree: what several processes do about their requests, such as taking the greatest.
        """
        self._agree = agree
        self._seconds, self._saved = save_minutes * 60, time.monotonic()
        self.signal_number: int | None = None

    @contextlib.contextmanager
    def noting_signals(self) -> Iterator["SaveRequests"]:
        """Note signals inside the context. One that nobody acted upon raises `Interrupted` when it is left."""
        with _handled_by(self._note):
            yield self
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
        """What to raise when all processes were asked to stop: by this one's signal, or another's."""
        return Interrupted(self.signal_number or signal.SIGTERM)

    def _note(self, number: int, _: object) -> None:
        if self.signal_number == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_number = number
        # Not print: the signal may have come in the middle of one.
        os.write(
            2, f"\n{signal.Signals(number).name}: saving a checkpoint, then stopping.\n".encode()
        )


@contextlib.contextmanager
def _handled_by(handle) -> Iterator[None]:
    if (
        threading.current_thread() is not threading.main_thread()
    ):  # Python lets no other thread do this
        yield
        return
    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
