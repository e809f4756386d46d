"""A process that works for `datasets.workers.pool`; both speak in JSON lines.

It hears ["call", ["module:function", arguments]] and ["go", null]; it says ["ready", null],
["bytes", number], ["done", result], ["os error", [number, message, file]] or ["error", traceback].
When its input is closed it ends at once, so that it does not outlive a parent that was killed.
"""

import contextlib
import json
import os
import pkgutil
import queue
import sys
import threading
import traceback
from pathlib import Path
from typing import Any


def main() -> None:
    """Serve until the input is closed."""
    # What C libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # Linux only: when memory runs out, this process goes, not the user's others.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    messages: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(messages,), daemon=True).start()
    import cv2

    cv2.setNumThreads(1)  # there is a process for each core already

    def say(kind: str, content: Any = None) -> None:
        with contextlib.suppress(BrokenPipeError):  # the parent is gone, and with it the input
            answers.write(json.dumps([kind, content]) + "\n")
            answers.flush()

    def reserve(num_bytes: int) -> None:
        say("bytes", num_bytes)
        messages.get()

    say("ready")
    while True:
        _, (function, arguments) = messages.get()
        try:
            say("done", pkgutil.resolve_name(function)(reserve, **arguments))
        except OSError as error:
            say("os error", [error.errno, error.strerror or str(error), error.filename])
        except Exception:
            say("error", traceback.format_exc())


def _listen(messages: "queue.SimpleQueue[list[Any]]") -> None:
    with contextlib.suppress(Exception):  # a torn message: the parent is gone as well
        for line in sys.stdin:
            messages.put(json.loads(line))
    os._exit(0)
