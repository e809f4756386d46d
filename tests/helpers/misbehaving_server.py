"""A file server that does what real ones do.

It drops connections, is busy, lies about lengths, and damages files.
"""

import collections
import contextlib
import functools
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Fault = Callable[["_Handler", bytes], bool]
"""Answers a request in its own way; False leaves the answer to the server."""


class Server(ThreadingHTTPServer):
    """Serves the files of a folder on localhost, with byte ranges and ETags."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.faults: dict[str, list[Fault]] = collections.defaultdict(list)
        """By path, such as "/img/dng/a.dng": each is used for one request, in their order."""
        self.always: dict[str, Fault] = {}
        """By path: used for every request."""
        self.requests: list[tuple[str, str | None]] = []
        """Path and Range header of every request."""
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request, client_address) -> None:
        """Keep quiet about clients that hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        server = self.server
        with server.lock:
            server.requests.append((self.path, self.headers.get("Range")))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            fault = server.always.get(self.path) or (server.faults[self.path] or [None]).pop(0)
        try:
            file = server.folder / self.path.lstrip("/")
            if not file.is_file():
                self.send_error(404)
                return
            content = file.read_bytes()
            answered = fault is not None and fault(self, content)
        finally:
            with server.lock:  # before the answer: who has read it may ask again at once
                server.at_once -= 1
        if not answered:
            self.answer(content)

    def answer(
        self,
        content: bytes,
        *,
        ranges: bool = True,
        length: int | None = None,
        limit: int | None = None,
    ) -> None:
        """Send the file or the part that was asked for.

        Args:
            content: of the whole file.
            ranges: whether a Range header is honoured.
            length: Content-Length to state instead of the right one.
            limit: number of bytes after which the connection is dropped.
        """
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        first, status = 0, 200
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if ranges and asked and self.headers.get("If-Range", etag) == etag:
            first, status = int(asked[1]), 206
            if first >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        body = content[first:]
        self.send_response(status)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(body[:limit])
        if limit is not None or length is not None:
            self.close_connection = True

    def log_message(self, format: str, *arguments) -> None:
        """Print nothing."""


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """Serve a folder until the block ends."""
    with Server(folder) as server:
        thread = threading.Thread(
            target=functools.partial(server.serve_forever, poll_interval=0.01)
        )
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def drop_after(num_bytes: int) -> Fault:
    """Close the connection in the middle of the body."""
    return lambda handler, content: handler.answer(content, limit=num_bytes) is None


def busy(status: int = 503, retry_after: str | None = None) -> Fault:
    """Answer with an error status."""

    def answer(handler: _Handler, content: bytes) -> bool:
        handler.send_response(status)
        if retry_after is not None:
            handler.send_header("Retry-After", retry_after)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return answer


def wrong_length(difference: int) -> Fault:
    """State another length than the file has, and close the connection after the file."""

    def answer(handler: _Handler, content: bytes) -> bool:
        handler.answer(
            content[: len(content) + min(0, difference)], length=len(content) + difference
        )
        return True

    return answer


def login_page() -> Fault:
    """A web page in place of the file, as in the network of a hotel."""

    def answer(handler: _Handler, content: bytes) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html; charset=utf-8")
        handler.send_header("Content-Length", "13")
        handler.end_headers()
        handler.wfile.write(b"<html>Welcome")
        return True

    return answer


def corrupted() -> Fault:
    """Send a body of the right length whose bytes are wrong from its beginning."""
    return lambda handler, content: handler.answer(bytes(byte ^ 0x5A for byte in content)) is None


def ignores_ranges() -> Fault:
    """Send all of the file whatever was asked for."""
    return lambda handler, content: handler.answer(content, ranges=False) is None


def trickle(num_bytes: int, pause_s: float) -> Fault:
    """Send the body so slowly that nobody wants to wait."""

    def answer(handler: _Handler, content: bytes) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        for first in range(0, len(content), num_bytes):
            handler.wfile.write(content[first : first + num_bytes])
            time.sleep(pause_s)
        return True

    return answer


def silence(seconds: float) -> Fault:
    """Accept the request and say nothing."""

    def answer(handler: _Handler, content: bytes) -> bool:
        time.sleep(seconds)
        handler.close_connection = True
        return True

    return answer
