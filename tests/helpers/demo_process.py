"""The demo's server as a process of its own."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.demo_page import free_port

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def running_command(
    temporary: Path, *program: str
) -> Iterator[tuple[subprocess.Popen, str, list[str]]]:
    """Run `python -m demo`, or another program, with a temporary folder of its own.

    Yields the process, its address, and the lines that it prints.
    """
    port = free_port()
    environment = {**os.environ, "TMPDIR": str(temporary), "GRADIO_TEMP_DIR": ""}
    server = subprocess.Popen(
        [sys.executable, *(program or ("-m", "demo")), "--port", str(port)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(iter(server.stdout.readline, "")))
    reader.start()
    try:
        yield server, f"http://127.0.0.1:{port}/", lines
    finally:
        server.kill()
        server.wait()
        reader.join()
        server.stdout.close()


def wait_for(condition, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
