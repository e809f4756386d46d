"""Ctrl-C and SIGTERM. Nothing heavy is imported here: they are listened to from the beginning."""

import os
import signal
from typing import Self


class StopSignal:
    """While entered: a first signal is noted in `is_told`, a second ends the process, with 130."""

    is_told = False

    def __enter__(self) -> Self:
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, *_) -> None:
        if self.is_told:
            os._exit(130)
        self.is_told = True
