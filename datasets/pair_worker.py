"""A process that prepares pairs one after another for `datasets.workers`, told what to do through its standard input.

A process of its own, because a damaged file can crash the library that decodes it, or make the system kill whoever asks for too
much memory. Both ends speak in pickles. A closed input ends it at once, so that it does not outlive a parent that was killed.
"""

import contextlib
import os
import pickle
import queue
import sys
import threading
from pathlib import Path
from typing import Any

Message = tuple[str, Any]
"""To the parent: ("ready", None), ("bytes", number), ("row", row), ("error", exception). From it: ("job", (function, pair)),
("go", None)."""


def main() -> None:
    """Serve until the input is closed."""
    # What C libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(
        OSError
    ):  # Linux only: when memory runs out, this process goes, not the user's others
        Path("/proc/self/oom_score_adj").write_text("500")
    messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(messages,), daemon=True).start()
    _run_on_one_core()
    _send(answers, "ready", None)

    def reserve(num_bytes: int) -> None:
        _send(answers, "bytes", num_bytes)
        messages.get()

    while True:
        _, (function, pair) = messages.get()
        try:
            _send(answers, "row", function(pair, reserve))
        # Whatever it is, the parent raises it.
        except Exception as error:
            _send(answers, "error", error)


def _listen(messages: "queue.SimpleQueue[Message]") -> None:
    with contextlib.suppress(Exception):  # a torn message: the parent is gone as well
        while True:
            messages.put(pickle.load(sys.stdin.buffer))
    os._exit(0)


def _run_on_one_core() -> None:
    """There is a process per core already."""
    import cv2

    cv2.setNumThreads(1)


def _send(answers: Any, kind: str, content: Any) -> None:
    try:
        message = pickle.dumps((kind, content))
    except Exception as error:
        message = pickle.dumps(
            ("error", RuntimeError(f"{content!r} cannot be sent to the parent process: {error}"))
        )
    with contextlib.suppress(BrokenPipeError):  # the parent is gone, and with it the input
        answers.write(message)
        answers.flush()
