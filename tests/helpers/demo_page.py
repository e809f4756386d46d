"""What the tests of the demo share: a model that inverts, a server that runs as in production, and a browser."""

import contextlib
import shutil
import socket
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from demo.limits import Limits
from demo.model_card import ModelCard
from demo.photo_queue import PhotoQueue
from demo.server import create_app, open_port, running
from demo.temporary_files import private_folder
from enhancer.inference.edit import Edit
from enhancer.photo.io import write_photo

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

    def warm_up(self, on_progress=None) -> None:
        if on_progress is not None:
            on_progress(1, 1)


@contextlib.contextmanager
def serving(
    enhancer, *, limits: Limits | None = None, credentials=None, queue: PhotoQueue | None = None
):
    """Serve the page on a free port; yield its address."""
    limits = limits or Limits()
    queue = queue or PhotoQueue(limits.photos_at_once, limits.visitors)
    with private_folder(), open_port("127.0.0.1", 0) as listening:
        app = create_app(enhancer, ModelCard(enhancer.description), limits, queue, credentials)
        with running(app, listening):
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


def write_gradient(path: Path, height: int, width: int, *, blue: int = 200) -> Path:
    """Write a photo with a caption in its EXIF block; `blue` tells it from others."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    pixels = np.stack([60 + 150 * x, 50 + 130 * y, np.full_like(x, blue)], axis=-1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x010E] = "Kitchen"  # ImageDescription
    write_photo(path, pixels, exif=exif.tobytes())
    return path


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
