"""The page as a server of its own, which finishes the photo in hand when it is told to stop."""

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI

from demo.app import build_page, mount_options
from demo.credentials import Credentials
from demo.health import add_health
from demo.limits import Limits
from demo.model_card import ModelCard
from demo.photo_queue import PhotoQueue
from enhancer.inference.enhancer import Enhancer

_LOG = logging.getLogger(__name__)
FETCH_SECONDS = 5.0
"""How long a stopping server still hands out results, after the last photo was finished."""
_CLOSE_SECONDS = 2
_FAVICON = Path(__file__).with_name("favicon.png")


def create_app(
    enhancer: Enhancer, card: ModelCard, limits: Limits, queue: PhotoQueue, credentials: Credentials | None = None
) -> FastAPI:
    """Return the application: the page at `/` and `/health`."""
    app = FastAPI(title="Photo enhancer", docs_url=None, redoc_url=None, openapi_url=None)
    add_health(app, queue, enhancer.description)
    return gr.mount_gradio_app(
        app,
        build_page(enhancer, card=card, limits=limits, queue=queue),
        path="/",
        auth=(credentials.user, credentials.password) if credentials else None,
        favicon_path=str(_FAVICON),
        **mount_options(limits),
    )


def open_port(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        OSError: the port is taken, or the host is none of this computer's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        # At once, and not when the model is ready: until somebody listens, a second server could be bound here as well.
        listening.listen()
    except BaseException:
        listening.close()
        raise
    return listening


@contextlib.contextmanager
def running(app: FastAPI, listening: socket.socket) -> Iterator[None]:
    """Serve in a thread of its own, which leaves the signals to the caller."""
    config = uvicorn.Config(
        app,
        log_level="critical",  # its lines hold addresses, which hold the names of files
        access_log=False,
        timeout_graceful_shutdown=_CLOSE_SECONDS,
        server_header=False,
        proxy_headers=True,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="server")
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


def wait_for_stop(queue: PhotoQueue) -> None:
    """Return after Ctrl-C or SIGTERM, when the photo in hand is finished and its result was fetched.

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
            print("Stopping: the photo in hand is finished, no more are taken. Ctrl-C again ends at once.", flush=True)
            while not queue.is_idle:
                time.sleep(0.05)
            time.sleep(FETCH_SECONDS)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
