"""The page: drop photos, press Enhance, compare, choose the strength, download at full size.

`mount_page` puts it into any FastAPI application:

    mount_page(app, Enhancer.load("runs/a"), path="/enhance")
"""

import os
import tempfile
from pathlib import Path

# Before gradio is imported: no usage statistics and no look-ups on the Hugging Face Hub.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gradio as gr
from fastapi import FastAPI
from gradio import utils as gradio_utils
from starlette.routing import Mount

from demo.handlers import Handlers
from demo.page.doors import SCRIPT, Doors, Listeners
from demo.page.events import Events
from demo.page.gate import GatedBlocks
from demo.page.layout import lay_out
from demo.page.model_card import ModelCard
from demo.page.theme import CSS, THEME
from demo.page.visitors import VisitorCookie, Visitors
from demo.photos.limits import Limits
from demo.photos.photo_queue import PhotoQueue
from demo.photos.shelf import Shelf
from enhancer.inference.enhancer import Enhancer

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.jpg"))
"""Rendered rooms to try the page with; `python -m datasets samples demo/samples` makes them."""
_FAVICON = Path(__file__).parent / "page" / "favicon.png"
_SESSIONS = 10_000


def mount_page(
    app: FastAPI,
    enhancer: Enhancer,
    path: str = "/",
    *,
    card: ModelCard | None = None,
    limits: Limits | None = None,
    queue: PhotoQueue | None = None,
) -> Shelf:
    """Put the page into an application, and return where its files lie.

    They lie in `GRADIO_TEMP_DIR`, which has to be a folder of this page alone.

    Args:
        app: where to.
        enhancer: the model.
        path: of the page in the application.
        card: what is said about the model; by default its description alone.
        limits: what a visitor may ask for.
        queue: where photos wait; pass one to watch it, or to close it before the server stops.
    """
    limits = limits or Limits()
    queue = queue or PhotoQueue(limits.photos_at_once, limits.visitors, limits.batches_per_visitor)
    shelf, listeners = Shelf(_folder(), limits), Listeners()
    page = _build_page(
        GatedBlocks(shelf, listeners, title="Photo enhancer"),
        Handlers(enhancer, queue, shelf, limits),
        card or ModelCard(enhancer.description),
        limits,
        shelf,
    )
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
    page.has_launched = True  # Gradio's own check of paths, see `demo.page.gate`
    mount = app.routes[-1]
    assert isinstance(mount, Mount)
    mount.app = Visitors(Doors(mount.app, shelf, limits, listeners), VisitorCookie())
    shelf.sweep_regularly()
    return shelf


def _build_page(
    page: GatedBlocks, handlers: Handlers, card: ModelCard, limits: Limits, shelf: Shelf
) -> GatedBlocks:
    samples = shelf.publish("samples", SAMPLES)
    with page:
        visit = gr.State(
            None, time_to_live=limits.keep_minutes * 60, delete_callback=handlers.forget
        )
        layout = lay_out(limits, card, samples)
        _offer_api(handlers)
        Events(layout, visit, handlers, shelf, samples).connect()
    page.state_session_capacity = _SESSIONS
    page.queue(default_concurrency_limit=None, max_size=20 * limits.visitors)
    page.guard_queue()
    return page


def _offer_api(handlers: Handlers) -> None:
    """Add the endpoint `/enhance` for programs; its components are not on the page."""
    gr.Button(visible=False).click(
        handlers.enhance_file,
        [gr.File(visible=False, label="photo"), gr.Number(1.0, visible=False, label="strength")],
        gr.File(visible=False, label="result"),
        api_name="enhance",
        concurrency_limit=None,
        show_progress="hidden",
    )


def _folder() -> Path:
    """Return the folder for files, Gradio's own too: what lies there Gradio leaves alone."""
    folder = Path(gradio_utils.get_upload_folder())
    if not folder.is_absolute():
        folder = Path(tempfile.gettempdir()) / folder
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()
