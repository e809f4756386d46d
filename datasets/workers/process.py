"""A process that works for `datasets.workers.pool`.

It receives (function, arguments), and sends (exception or None, result) for each.
When its connection is closed it ends at once, so that it does not outlive a parent that was killed.
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
    work: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, work), daemon=True).start()
    while True:
        function, arguments = work.get()
        try:
            answer = None, pkgutil.resolve_name(function)(*arguments)
        except OSError as error:
            answer = OSError(error.errno, error.strerror or str(error), error.filename), None
        except Exception:
            answer = RuntimeError(f"A worker process failed:\n{traceback.format_exc()}"), None
        with contextlib.suppress(ConnectionError):
            connection.send(answer)


def _listen(connection: Connection, work: "queue.SimpleQueue[Any]") -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            work.put(connection.recv())
    os._exit(0)
