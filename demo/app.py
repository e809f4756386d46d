"""The page: drop photos, press Enhance, compare, choose the strength, download at full size.

`mount_page` puts it into any FastAPI application:

    mount_page(app, Enhancer.load("runs/a"), path="/enhance")
"""

import os
import tempfile
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

# Before gradio is imported: no usage statistics and no look-ups on the Hugging Face Hub.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from gradio import utils as gradio_utils
from starlette.routing import Mount

from demo.handlers import Handlers
from demo.page.blocks import GuardedBlocks
from demo.page.cookie import IdentifyVisitor, VisitorCookie
from demo.page.events import Events
from demo.page.layout import CSS, THEME, Layout
from demo.page.model_card import ModelCard
from demo.page.routes import SCRIPT, Routes
from demo.page.streams import Streams
from demo.photos.limits import Limits
from demo.photos.photo_queue import PhotoQueue
from demo.photos.storage import Storage

if TYPE_CHECKING:
    from enhancer.inference.enhancer import Enhancer

_SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.jpg"))
"""Rendered rooms to try the page with; `python -m datasets samples demo/samples` makes them."""
_FAVICON = Path(__file__).parent / "page" / "favicon.png"


def mount_page(
    app: FastAPI,
    model: "Enhancer | Future[Enhancer]",
    path: str = "/",
    *,
    card: ModelCard | None = None,
    limits: Limits | None = None,
    queue: PhotoQueue | None = None,
) -> None:
    """Put the page into an application.

    Its files lie in `GRADIO_TEMP_DIR`, which has to be a folder of this page alone.

    Args:
        app: where to.
        model: may still be loading; photos wait for it.
        path: of the page in the application.
        card: what is said about the model; by default its description alone.
        limits: what a visitor may ask for.
        queue: where photos wait; pass one to watch it, or to close it before the server stops.
    """
    limits, loading = limits or Limits(), model
    if not isinstance(loading, Future):
        loading = Future()
        loading.set_result(model)
    if card is None:
        enhancer = loading.result()
        card = ModelCard(enhancer.description, enhancer.retouches)
    folder = Path(tempfile.gettempdir()) / gradio_utils.get_upload_folder()
    folder.mkdir(parents=True, exist_ok=True)
    storage, streams = Storage(folder.resolve(), limits), Streams()
    handlers = Handlers(loading, queue or PhotoQueue(limits), storage, limits)
    page = GuardedBlocks(storage, streams, title="Photo enhancer")
    with page:
        _fill(handlers, card, limits, storage)
    page.queue(default_concurrency_limit=None, max_size=20 * limits.visitors)
    page.guard_queue()
    gr.mount_gradio_app(
        app,
        page,
        path,
        theme=THEME,
        css=CSS,
        head=f'<script src=".{SCRIPT}" defer></script>',
        max_file_size=limits.upload_megabytes * 1_000_000,
        favicon_path=str(_FAVICON) if path == "/" else None,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        show_error=False,
    )
    page.has_launched = True  # Gradio's own check of paths, see `demo.page.blocks`
    mount = app.routes[-1]
    assert isinstance(mount, Mount)
    assert isinstance(mount.app, FastAPI)
    mount.app.add_exception_handler(RequestValidationError, _refuse)
    mount.app = IdentifyVisitor(Routes(mount.app, storage, limits, streams), VisitorCookie())
    storage.sweep_regularly()


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    """Answer without what was sent: FastAPI's own answer repeats it, and fails where it cannot."""
    return JSONResponse({"detail": "This request cannot be understood."}, 422)


def _fill(handlers: Handlers, card: ModelCard, limits: Limits, storage: Storage) -> None:
    samples = storage.publish("samples", _SAMPLES)
    session = gr.State(None, time_to_live=limits.keep_minutes * 60, delete_callback=handlers.forget)
    layout = Layout(limits, card, samples)
    # The endpoint `/enhance` for programs; its components are not on the page.
    gr.Button(visible=False).click(
        handlers.enhance_file,
        [gr.File(visible=False, label="photo"), gr.Number(1.0, visible=False, label="strength")],
        gr.File(visible=False, label="result"),
        api_name="enhance",
        concurrency_limit=None,
        show_progress="hidden",
    )
    Events(layout, session, handlers, storage, samples).connect()
