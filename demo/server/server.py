"""The page as a server of its own, which finishes the photo in hand when it is told to stop."""

import os
import signal
import threading
import time
from collections.abc import Sequence

from fastapi import FastAPI
from starlette.types import ASGIApp

from demo.app import mount_page
from demo.page.doors import UPLOAD
from demo.page.model_card import ModelCard
from demo.page.visitors import VisitorCookie, Visitors
from demo.photos.limits import Limits
from demo.photos.photo_queue import PhotoQueue
from demo.server.credentials import Credentials
from demo.server.health import add_health
from demo.server.login import LoginWall
from demo.server.walls import BoundedRequests, KnownHosts, SafeHeaders
from enhancer.inference.enhancer import Enhancer

FETCH_SECONDS = 5.0
"""How long a stopping server still hands out results, after the last photo was finished."""


def create_app(
    enhancer: Enhancer,
    card: ModelCard,
    limits: Limits,
    queue: PhotoQueue,
    credentials: Credentials | None = None,
    *,
    host: str = "127.0.0.1",
    allowed_hosts: Sequence[str] = (),
) -> ASGIApp:
    """Return the application, the page at `/` and `/health`, behind its walls.

    Args:
        credentials: what visitors have to give; None lets everybody in.
        host: address that the server listens on.
        allowed_hosts: names that it is known by besides.
    """
    app = FastAPI(title="Photo enhancer", docs_url=None, redoc_url=None, openapi_url=None)
    add_health(app, queue, enhancer.description)
    mount_page(app, enhancer, card=card, limits=limits, queue=queue)
    cookie = VisitorCookie()
    walled: ASGIApp = app
    if credentials is not None:
        walled = LoginWall(walled, credentials, cookie)
    walled = Visitors(walled, cookie)
    walled = SafeHeaders(KnownHosts(walled, host, allowed_hosts))
    return BoundedRequests(walled, unbounded=[UPLOAD])


def wait_for_stop(queue: PhotoQueue) -> None:
    """Return after Ctrl-C or SIGTERM, when the photo in hand is finished and its result fetched.

    A second signal ends the process at once, with 130.
    """
    told = threading.Event()

    def stop(number: int, _) -> None:
        if told.is_set():
            os._exit(130)
        told.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while not told.wait(0.5):
            pass
        queue.close()
        if not queue.is_idle:
            print(
                "Stopping: the photo in hand is finished, no more are taken. "
                "Ctrl-C again ends at once.",
                flush=True,
            )
            while not queue.is_idle:
                time.sleep(0.05)
            time.sleep(FETCH_SECONDS)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
