"""What the tests of the demo share: a model that inverts, servers, and a browser."""

import asyncio
import concurrent.futures
import contextlib
import json
import shutil
import socket
import threading
import urllib.parse
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from demo.page.model_card import ModelCard
from demo.photos.batch import enhance_batch
from demo.photos.darkroom import Darkroom
from demo.photos.limits import Limits
from demo.photos.photo_queue import PhotoQueue
from demo.photos.session import Session
from demo.photos.storage import Storage
from demo.photos.taste import Taste
from demo.photos.visitor import Visitor
from demo.server.application import create_app
from demo.server.http_server import running
from demo.server.temporary_files import private_folder
from enhancer.inference.edit import Edit
from enhancer.photo.io import write_photo
from enhancer.photo.metadata import Metadata

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]


SECRET = f"secret detail in {__file__}"


class FakeEnhancer:
    """Inverts photos; breaks on photos of one colour; counts how often the network ran."""

    description = "inverts photos (for tests)"
    retouches = False
    calls = 0

    def __init__(self) -> None:
        self.may_finish = threading.Event()
        """Cleared, the network works until it is set."""
        self.may_finish.set()

    def find_edit(self, photo: np.ndarray) -> Edit:
        self.calls += 1
        self.may_finish.wait(60)
        if photo.min() == photo.max():
            raise RuntimeError(SECRET)
        return Edit(photo, 1.0 - photo.astype(np.float32) / np.iinfo(photo.dtype).max)

    def warm_up(self, on_progress=None, *, keep_to_these=False) -> None:
        if on_progress is not None:
            on_progress(1, 1)


def loaded(enhancer) -> concurrent.futures.Future:
    """Return what the server takes for a model: it might still be loading."""
    model = concurrent.futures.Future()
    model.set_result(enhancer)
    return model


def run_batch(queue, entries, folder, enhancer=None) -> list[tuple[int, str, str]]:
    """Work on entries; number, state and text of each, whenever it changed."""
    darkroom, session = Darkroom(enhancer or FakeEnhancer(), Limits()), Session("anna", folder)

    def work(entry, on_step):
        place = session.folder_of(entry)
        return darkroom.enhance(entry.source, place, Taste(), lambda size: None, on_step)

    async def collect():
        return [
            (entry.number, entry.state, entry.text)
            async for entry in enhance_batch(work, queue, entries, account="anna")
        ]

    return asyncio.run(collect())


@contextlib.contextmanager
def serving(
    enhancer, *, limits: Limits | None = None, credentials=None, queue: PhotoQueue | None = None
):
    """Serve the page on a free port; yield its address."""
    limits = limits or Limits()
    queue = queue or PhotoQueue(limits)
    with private_folder(), socket.create_server(("127.0.0.1", 0)) as listening:
        app = create_app(
            loaded(enhancer), ModelCard(enhancer.description), limits, queue, credentials
        )
        with running(app, listening):
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


class Inside:
    """Clients of an application in this process, without a socket.

    Args:
        app: with its lifespan, which is begun here.
    """

    ADDRESS = "http://127.0.0.1:7860"

    def __init__(self, app):
        self._app = app
        self._runner = asyncio.Runner()
        self._end: asyncio.Event
        self.run(self._begin())

    def run(self, work):
        return self._runner.run(work)

    def client(self, address: str = "127.0.0.1", **options) -> httpx.AsyncClient:
        """Return a visitor with cookies of its own."""
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url=self.ADDRESS, timeout=30, **options)

    def close(self) -> None:
        self.run(self._finish())
        self._runner.close()

    async def _begin(self) -> None:
        begun, self._end = asyncio.Event(), asyncio.Event()
        messages = iter([{"type": "lifespan.startup"}])

        async def receive():
            if (message := next(messages, None)) is None:
                await self._end.wait()
                message = {"type": "lifespan.shutdown"}
            return message

        async def send(message):
            begun.set()

        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._lifespan = asyncio.create_task(self._app(scope, receive, send))
        await begun.wait()

    async def _finish(self) -> None:
        self._end.set()
        await self._lifespan


@contextlib.contextmanager
def inside(enhancer=None, *, limits: Limits | None = None, credentials=None, model=None, **options):
    """Yield the application in this process as `Inside`, and the folder of its files.

    `model` is a future of the enhancer, where it is still loading.
    """
    enhancer, limits = enhancer or FakeEnhancer(), limits or Limits()
    queue = PhotoQueue(limits)
    with private_folder() as folder:
        card = ModelCard(enhancer.description)
        server = Inside(
            create_app(model or loaded(enhancer), card, limits, queue, credentials, **options)
        )
        try:
            yield server, folder
        finally:
            server.close()


def as_file(path: str) -> dict:
    """Return how Gradio's requests name a file."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


async def call(client: httpx.AsyncClient, data: list, kind: str = "application/json") -> str:
    """Return the events of a call of the programs' interface, or the refusal of the call."""
    body = json.dumps({"data": data})
    begun = await client.post(
        "/gradio_api/call/enhance", content=body, headers={"content-type": kind}
    )
    if begun.status_code != 200:
        return begun.text
    return (await client.get(f"/gradio_api/call/enhance/{begun.json()['event_id']}")).text


def put_file(storage: Storage, visitor: Visitor, file: Path) -> str:
    """Upload a file as the page does; return its handle."""
    with storage.receiving(visitor, file.stat().st_size) as folder:
        return storage.put(visitor, [(file.rename(folder / file.name), file.name)])[0]


def say(address: str, request: bytes) -> bytes:
    """Send bytes as they are; return what comes until the server closes, or for ten seconds."""
    host, port = urllib.parse.urlsplit(address).hostname, urllib.parse.urlsplit(address).port
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer


def write_gradient(path: Path, height: int, width: int, *, blue: int = 200) -> Path:
    """Write a photo with a caption in its EXIF block; `blue` tells it from others."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    pixels = np.stack([60 + 150 * x, 50 + 130 * y, np.full_like(x, blue)], axis=-1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x010E] = "Kitchen"  # ImageDescription
    write_photo(path, pixels, metadata=Metadata(exif.tobytes()[6:]))
    return path


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
