"""The page: drop a photo, press Enhance, compare before and after, download the result at full size."""

import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

# Before gradio is imported: no usage statistics and no look-ups on the Hugging Face Hub.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import cv2
import gradio as gr
import numpy as np

from enhancer.inference import Enhancer
from enhancer.photo_io import PhotoError, encode_jpeg, read_photo, write_photo

PREVIEW_PIXELS = 1600
"""Long edge of the pictures in the before/after view; the download is at full size."""
MAX_UPLOAD = "200mb"
_KEEP_SECONDS = 3600
_WAITING_PHOTOS = 20

_LOG = logging.getLogger(__name__)
# Names given as text are fonts of the visitor's own system; gradio's default theme would fetch some from the web.
THEME = gr.themes.Base(
    primary_hue="sky", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
).set(
    # White on the theme's own blue is too faint to read.
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_600",
    button_primary_text_color="white",
    button_primary_text_color_dark="white",
)
CSS = """
.gradio-container { max-width: 60rem !important; margin: 0 auto !important; }
#heading h1 { margin: 0.5rem 0 0.15rem; letter-spacing: -0.01em; }
#heading p, #model p { opacity: 0.8; }
#model p { font-size: 0.85rem; }
#message.problem { border-left: 4px solid #d3543a; padding: 0.5rem 0.9rem; background: var(--background-fill-secondary); }
#message.busy::after { content: ""; display: block; height: 4px; margin-top: 0.5rem; border-radius: 2px;
  background: linear-gradient(90deg, transparent, var(--primary-500), transparent) 0 / 40% 100% no-repeat,
    var(--border-color-primary); animation: busy 1.4s ease-in-out infinite alternate; }
@keyframes busy { to { background-position: 100% 0, 0 0; } }
@media (prefers-reduced-motion: reduce) { #message.busy::after { animation: none; } }
"""


def build_page(enhancer: Enhancer) -> gr.Blocks:
    """Return the page; `launch_options` holds what its `launch` needs."""
    with gr.Blocks(title="Photo enhancer", delete_cache=(_KEEP_SECONDS, _KEEP_SECONDS)) as page:
        gr.Markdown(
            "# Photo enhancer\nDrop a photo, press Enhance, compare, download. The result has the photo's full size.",
            elem_id="heading",
        )
        # gr.File keeps the uploaded bytes; gr.Image would re-encode them and lose depth, profile and EXIF.
        upload = gr.File(label="Photo (JPEG, PNG, TIFF, WebP or camera RAW)", height=170, elem_id="upload")
        button = gr.Button("Enhance", variant="primary", interactive=False, elem_id="enhance")
        message = gr.Markdown(elem_id="message", visible=False)
        comparison = gr.ImageSlider(
            label="Before (left) and after (right)",
            type="filepath",
            max_height=640,
            interactive=False,
            visible=False,
            buttons=["fullscreen"],  # no download here: these are previews
            elem_id="comparison",
        )
        download = gr.DownloadButton("Download", variant="primary", visible=False, elem_id="download")
        gr.Markdown(
            f"Model: {enhancer.description}. Photos are passed on to nobody, and deleted after an hour.",
            elem_id="model",
        )

        results = [message, comparison, download]

        def show_upload(path: str | None) -> tuple[Any, ...]:
            return gr.Button(interactive=path is not None), *_message(None)

        def wait() -> tuple[Any, ...]:
            return gr.Button(interactive=False), *_message("Waiting for its turn", "busy")

        def enhance(path: str | None) -> Iterator[tuple[Any, ...]]:
            yield from _enhance(enhancer, path)

        upload.change(
            show_upload, upload, [button, *results], show_progress="hidden", queue=False, api_visibility="private"
        )
        button.click(
            wait, None, [button, *results], show_progress="hidden", queue=False, api_visibility="private"
        ).then(enhance, upload, results, show_progress="hidden", api_name="enhance").then(
            lambda: gr.Button(interactive=True), None, button, queue=False, api_visibility="private"
        )
    return page.queue(max_size=_WAITING_PHOTOS, default_concurrency_limit=1)


def launch_options(host: str, port: int) -> dict[str, Any]:
    """Return the arguments of the page's `launch`."""
    return {
        "server_name": host,
        "server_port": port,
        "theme": THEME,
        "css": CSS,
        "max_file_size": MAX_UPLOAD,
        "footer_links": [],
        "run_history": False,
        "ssr_mode": False,
        "share": False,
        "show_error": False,
        "quiet": True,  # its own greeting advertises public links
    }


def _enhance(enhancer: Enhancer, path: str | None) -> Iterator[tuple[Any, ...]]:
    """Yield the updates of message, comparison and download, the steps first and the result last."""
    if path is None:
        yield _message("There is no photo yet; drop one above.", "problem")
        return
    source = Path(path)
    started = time.perf_counter()
    try:
        # Gradio copies what is yielded into its own cache, which it clears; the originals go when the photo is done.
        with tempfile.TemporaryDirectory(prefix="enhancer-") as folder:
            yield _message("Reading the photo", "busy")
            photo = read_photo(source)
            height, width = photo.pixels.shape[:2]
            yield _message(f"Enhancing {width} × {height} pixels; the first photo of a size takes longer", "busy")
            edited = enhancer.enhance(photo.pixels)
            yield _message("Writing the result at full size", "busy")
            result = Path(folder) / f"{source.stem}_enhanced.jpg"
            write_photo(result, edited, exif=photo.exif)
            previews = [
                _preview(pixels, Path(folder) / name)
                for pixels, name in ((photo.pixels, "before.jpg"), (edited, "after.jpg"))
            ]
            seconds = time.perf_counter() - started
            _LOG.info("enhanced %d x %d in %.1f s", width, height, seconds)
            done = "  \n".join([f"**{source.name}**, {width} × {height} pixels, in {seconds:.1f} s.", *photo.notes])
            yield (
                gr.Markdown(done, visible=True, elem_classes=[]),
                gr.ImageSlider((previews[0], previews[1]), visible=True),
                gr.DownloadButton(
                    f"Download at full size ({result.stat().st_size / 1e6:.1f} MB)", value=str(result), visible=True
                ),
            )
    except PhotoError as error:
        yield _message(_without_paths(str(error), source), "problem")
    except Exception:
        _LOG.exception("enhancing an upload failed")
        yield _message(f"{source.name} could not be enhanced; the server's log says why.", "problem")


def _message(sentence: str | None, kind: Literal["busy", "problem"] = "busy") -> tuple[Any, ...]:
    """Return the updates that show a sentence, or nothing, and no result."""
    return (
        gr.Markdown(sentence or "", visible=sentence is not None, elem_classes=[kind]),
        gr.ImageSlider(None, visible=False),
        gr.DownloadButton(visible=False),
    )


def _without_paths(sentence: str, source: Path) -> str:
    """Visitors need not know where the server keeps their upload; a decoder's own words, in brackets, may say it."""
    return re.sub(r" \([^()]*/[^()]*\)", "", sentence).replace(str(source), source.name)


def _preview(pixels: np.ndarray, path: Path) -> str:
    scale = PREVIEW_PIXELS / max(pixels.shape[:2])
    if scale < 1.0:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    path.write_bytes(encode_jpeg(pixels, quality=90))
    return str(path)
