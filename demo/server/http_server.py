"""HTTP on a port, until a signal comes. Nothing heavy is imported here.

While the model is loaded `STARTING` answers; the page takes its place on the same socket.
"""

import asyncio
import contextlib
import ctypes
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.responses import HTMLResponse, JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from demo.photos.photo_queue import PhotoQueue
from demo.photos.visitor import is_loopback, network
from demo.server.middleware import SafeHeaders

_HEADER_SECONDS = 10.0
"""From the opening of a connection, or the end of the last answer, to a whole request header."""
_MOST_HEADER = 32_768
_MOST_CONNECTIONS, _MOST_OF_ADDRESS = 512, 64
"""In all, and of one address that is not this computer's own (a proxy's are on this computer)."""
_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 10\r\n"
    b"Content-Length: 0\r\n\r\n"
)
_CLOSE_SECONDS = 2
_M_ARENA_MAX = -8  # malloc.h
_FETCH_SECONDS = 5.0
"""How long a stopping server still hands out results, after the last photo was finished."""
_STARTING_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta http-equiv="refresh" content="3"><title>Photo enhancer</title>
<p style="font: 1rem system-ui, sans-serif; margin: 20vh auto; max-width: 30rem">
The server is starting; this page comes back by itself.</p></html>"""


async def _tell_starting(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        headers = {"Cache-Control": "no-store", "Retry-After": "3"}
        if scope["path"] == "/health":
            answer = JSONResponse({"status": "starting"}, 503, headers)
        else:
            answer = HTMLResponse(_STARTING_PAGE, 503, headers)
        await answer(scope, receive, send)


STARTING = SafeHeaders(_tell_starting)
"""Answers with 503 that the server is starting."""


class BoundedConnection(H11Protocol):
    """Closes a connection that is one too many, or on which no whole header comes in time.

    uvicorn counts only when the header is there, and waits for it for ever.
    """

    _deadline: asyncio.TimerHandle | None = None
    _place = ""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._place = network(self.client[0]) if self.client else ""
        self._await_request()
        if self._is_too_many():
            transport.write(_TOO_MANY)
            transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _is_too_many(self) -> bool:
        others = [other for other in self.connections if isinstance(other, BoundedConnection)]
        beside = sum(other._place == self._place for other in others)
        most = _MOST_CONNECTIONS if is_loopback(self._place) else _MOST_OF_ADDRESS
        return beside > most or len(others) > _MOST_CONNECTIONS

    def _await_request(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(_HEADER_SECONDS, self._close_unless_asked, self.cycle)

    def _close_unless_asked(self, last_request: object) -> None:
        if self.cycle is last_request:
            self.transport.abort()


@contextlib.contextmanager
def running(app: ASGIApp, listening: socket.socket) -> Iterator[None]:
    """Serve in a thread of its own, which leaves the signals to the caller.

    The socket stays open afterwards: who connects in between waits for the next server on it.
    """
    config = uvicorn.Config(
        app,
        http=BoundedConnection,
        ws="none",
        log_config=None,  # its own closes what other libraries log to
        log_level="critical",  # its lines hold addresses, which hold the names of files
        access_log=False,
        timeout_graceful_shutdown=_CLOSE_SECONDS,
        h11_max_incomplete_event_size=_MOST_HEADER,
        server_header=False,
        proxy_headers=False,  # see `TrustedProxy`
    )
    server = uvicorn.Server(config)
    # uvicorn closes what it is given.
    own = {"sockets": [listening.dup()]}
    thread = threading.Thread(target=server.run, kwargs=own, name="server")
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        if not server.started:
            raise RuntimeError("The server did not start.")
        yield
    finally:
        server.should_exit = True
        thread.join()


def share_arenas() -> None:
    """Let all threads allocate from two arenas instead of eight for each core (glibc only).

    Each request may run in another thread, and each arena keeps some of what was freed in it:
    under load the server held 15 % more memory than after a single photo, for good.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)


def finish(queue: PhotoQueue) -> None:
    """Take no more photos; return when the one in hand is finished and its result fetched."""
    queue.close()
    if queue.is_idle:
        return
    print(
        "Stopping: the photo in hand is finished, no more are taken. Ctrl-C again ends at once.",
        flush=True,
    )
    while not queue.is_idle:
        time.sleep(0.05)
    time.sleep(_FETCH_SECONDS)
