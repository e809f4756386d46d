"""A process that works for `datasets.workers.pool`.

It receives (function, arguments), and "go" after asking for memory; it sends ("ready", None),
("bytes", number), ("done", result) or ("failed", exception). When its connection is closed it ends
at once, so that it does not outlive a parent that was killed.
"""

import contextlib
import os
import pkgutil
import queue
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2


def main() -> None:
    """Serve the connection whose file descriptor is the argument, until it is closed."""
    connection = Connection(int(sys.argv[1]))
    # Linux only: when memory runs out, this process goes, not the user's others.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    cv2.setNumThreads(1)  # there is a process for each core already
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, messages), daemon=True).start()

    def reserve(num_bytes: int) -> None:
        connection.send(("bytes", num_bytes))
        messages.get()

    connection.send(("ready", None))
    while True:
        function, arguments = messages.get()
        try:
            answer = "done", pkgutil.resolve_name(function)(reserve, **arguments)
        except OSError as error:
            reason = error.strerror or str(error)
            answer = "failed", OSError(error.errno, reason, error.filename)
        except Exception:
            answer = "failed", RuntimeError(f"A worker process failed:\n{traceback.format_exc()}")
        with contextlib.suppress(ConnectionError):
            connection.send(answer)


def _listen(connection: Connection, messages: "queue.SimpleQueue[Any]") -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            messages.put(connection.recv())
    os._exit(0)
