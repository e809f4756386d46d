"""The page: drop photos, press Enhance, compare before and after, choose the strength, download at full size.

`build_page` returns it, to be mounted in any FastAPI application:

    app = gr.mount_gradio_app(app, build_page(Enhancer.load("runs/a")), path="/enhance", **mount_options())
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

# Before gradio is imported: no usage statistics and no look-ups on the Hugging Face Hub.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gradio as gr
from markupsafe import Markup
from starlette.middleware import Middleware

from demo.handlers import Handlers, Progress, folder_for_files
from demo.limits import Limits
from demo.model_card import ModelCard, render_model_card, summarise
from demo.path_mask import PathMask
from demo.photo_queue import PhotoQueue
from demo.status_list import render_status_list
from demo.theme import CSS, THEME
from demo.visit import Visit
from enhancer.inference.enhancer import Enhancer

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.jpg"))
"""Rendered rooms to try the page with; `python -m datasets samples demo/samples` makes them."""
_HEADING = "# Photo enhancer\nDrop one photo or many, compare before and after, download the results at full size."
_FORMATS = (
    "JPEG, PNG, TIFF, WebP, HEIC or camera RAW. At most {limits.upload_megabytes} MB and {limits.megapixels} megapixels a photo, "
    "{limits.photos_per_batch} photos at a time."
)
_PRIVACY = "Photos stay on this server, are passed on to nobody, and are deleted {limits.keep_minutes} minutes after their last use."
_PLACEHOLDER = '<div id="placeholder">The first result appears here</div>'
_SESSIONS = 200
# The browser saves what the hidden button holds: one click for the visitor, however long the file takes to be written.
_SAVE = """(file) => { if (file && file.url) { const link = document.createElement("a"); link.href = file.url;
  link.download = file.orig_name || ""; document.body.append(link); link.click(); link.remove(); } }"""
_HIDDEN: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}


def build_page(
    enhancer: Enhancer,
    *,
    card: ModelCard | None = None,
    limits: Limits | None = None,
    queue: PhotoQueue | None = None,
) -> gr.Blocks:
    """Return the page; `mount_options` holds what mounting or launching it needs.

    Args:
        enhancer: the model.
        card: what is said about it; by default its description alone.
        limits: what a visitor may ask for.
        queue: where photos wait; pass one to watch it, or to close it before the server stops.
    """
    limits = limits or Limits()
    card = card or ModelCard(enhancer.description)
    handlers = Handlers(enhancer, queue or PhotoQueue(limits.photos_at_once, limits.visitors), limits)
    keep_seconds = limits.keep_minutes * 60
    with gr.Blocks(title="Photo enhancer", delete_cache=(min(600, keep_seconds), keep_seconds)) as page:
        visit = gr.State(None, time_to_live=keep_seconds, delete_callback=lambda value: value and value.delete())
        gr.Markdown(_HEADING, elem_id="heading")
        with gr.Row(elem_id="stage"):
            with gr.Column(scale=4, min_width=300):
                # gr.File keeps the uploaded bytes; gr.Image would re-encode them and lose depth, profile and EXIF.
                upload = gr.File(label="Your photos", file_count="multiple", height=200, elem_id="upload")
                gr.Markdown(_FORMATS.format(limits=limits), elem_id="formats")
                button = gr.Button("Enhance", variant="primary", size="lg", interactive=False, elem_id="enhance")
                status = gr.HTML(visible=False, padding=False, elem_id="status")
            with gr.Column(scale=9, min_width=320):
                with gr.Column(visible=bool(SAMPLES)) as sample_box:
                    gr.Markdown("**No photo at hand?** Try a rendered room.")
                    samples = gr.Gallery(
                        [str(path) for path in SAMPLES],
                        show_label=False,
                        columns=2,
                        height="auto",
                        object_fit="cover",
                        allow_preview=False,
                        interactive=False,
                        buttons=[],
                        elem_id="samples",
                    )
                placeholder = gr.HTML(_PLACEHOLDER, visible=False, padding=False)
                with gr.Column(visible=False, elem_id="results") as result_box:
                    shown = gr.HTML(padding=False, elem_id="shown")
                    comparison = gr.ImageSlider(
                        show_label=False,
                        type="filepath",
                        max_height=620,
                        interactive=False,
                        buttons=["fullscreen"],  # no download here: these are previews
                        elem_id="comparison",
                    )
                    photos = gr.Gallery(
                        show_label=False,
                        visible=False,
                        columns=6,
                        height="auto",
                        object_fit="cover",
                        allow_preview=False,
                        interactive=False,
                        buttons=[],
                        fit_columns=False,
                        elem_id="photos",
                    )
                    strength = gr.Slider(
                        0,
                        100,
                        100,
                        step=1,
                        label="Strength, %",
                        info="of all photos; 0 is the photo as it was",
                        elem_id="strength",
                    )
                    with gr.Row(elem_id="actions"):
                        download = gr.Button("Download", variant="primary", elem_id="download")
                        download_all = gr.Button("Download all", visible=False, elem_id="download-all")
                        start_over = gr.Button("Start over", elem_id="start-over")
                    file = gr.DownloadButton(elem_id="file")
        with gr.Accordion(summarise(card), open=False, elem_id="card"):
            gr.HTML(render_model_card(card), padding=False, elem_id="model")
        gr.Markdown(_PRIVACY.format(limits=limits), elem_id="privacy")
        _offer_api(handlers)

        view = [visit, shown, comparison, photos, download]
        everything = [*view, upload, button, status, sample_box, placeholder, result_box, download_all, start_over]

        async def enhance(before: Visit | None, uploads: list[str] | None, percent: float) -> AsyncIterator[dict]:
            async for progress in handlers.enhance(before, uploads or [], int(percent)):
                updates = {
                    visit: progress.visit,
                    status: gr.HTML(render_status_list(progress.visit.entries, progress.seconds_left), visible=True),
                    # The files are taken; the next ones can be dropped.
                    upload: gr.skip() if progress.new_result else gr.File(None),
                    button: gr.Button("Enhance", interactive=False),
                    sample_box: gr.Column(visible=False),
                    placeholder: gr.HTML(visible=not progress.visit.done and not progress.is_finished),
                    start_over: gr.Button(interactive=False),
                }
                yield updates | (show_new(progress, int(percent)) if progress.new_result else {})

        def show_new(progress: Progress, percent: int) -> dict:
            several = len(progress.visit.done) > 1
            updates = {
                download: gr.Button(_download_label(progress.visit)),
                photos: _gallery(progress.visit, visible=several),
                download_all: gr.Button(f"Download all {len(progress.visit.done)} (ZIP)", visible=several),
                result_box: gr.Column(visible=True),
            }
            if progress.visit.shown == progress.new_result.number:
                updates |= show(progress.visit, percent)
            return updates

        def show(current: Visit | None, percent: float) -> dict:
            before, after = handlers.previews(current, int(percent))  # refuses what is gone
            return {
                visit: current,
                shown: _caption(current),
                comparison: gr.ImageSlider((str(before), str(after))),
                download: gr.Button(_download_label(current)),
            }

        async def enhance_sample(event: gr.SelectData, before: Visit | None, percent: float) -> AsyncIterator[dict]:
            async for updates in enhance(before, [str(SAMPLES[event.index])], percent):
                yield updates

        def choose(event: gr.SelectData, current: Visit | None, percent: float) -> dict:
            if current is not None:
                current.shown = current.done[event.index].number
            return show(current, percent)

        async def save_shown(current: Visit | None, percent: float) -> str:
            return str(await handlers.render_shown(current, int(percent)))

        async def save_all(current: Visit | None, percent: float) -> AsyncIterator[dict]:
            async for ready, total, archive in handlers.render_all(current, int(percent)):
                if archive is None:
                    yield {download_all: gr.Button(f"Preparing {ready + 1} of {total}", interactive=False)}
                else:
                    yield {download_all: gr.Button(f"Download all {total} (ZIP)", interactive=True), file: str(archive)}

        def clear(current: Visit | None) -> dict:
            if current is not None:
                current.delete()
            return {
                visit: None,
                status: gr.HTML("", visible=False),
                placeholder: gr.HTML(visible=False),
                result_box: gr.Column(visible=False),
                sample_box: gr.Column(visible=bool(SAMPLES)),
            }

        def count(uploads: list[str] | None) -> Any:
            number = len(uploads or [])
            return gr.Button(f"Enhance {number} photos" if number > 1 else "Enhance", interactive=number > 0)

        def finish(current: Visit | None, uploads: list[str] | None, percent: float) -> dict:
            updates = {button: count(uploads), start_over: gr.Button(interactive=True)}
            # Once more: of updates that follow each other closely the browser keeps the last, which may not have had a picture.
            return updates | (show(current, percent) if current and current.shown is not None else {})

        last = {"fn": finish, "inputs": [visit, upload, strength], "outputs": [*view, button, start_over]}
        upload.change(count, upload, button, **_HIDDEN)
        button.click(enhance, [visit, upload, strength], everything, **_HIDDEN).then(**last, **_HIDDEN)
        samples.select(enhance_sample, [visit, strength], everything, **_HIDDEN).then(**last, **_HIDDEN)
        photos.select(choose, [visit, strength], view, **_HIDDEN)
        strength.change(show, [visit, strength], view, trigger_mode="always_last", **_HIDDEN)
        download.click(save_shown, [visit, strength], file, **_HIDDEN | {"show_progress": "minimal"}).success(
            None, file, None, js=_SAVE, api_visibility="private"
        )
        download_all.click(save_all, [visit, strength], [download_all, file], **_HIDDEN).success(
            None, file, None, js=_SAVE, api_visibility="private"
        )
        start_over.click(clear, visit, everything, **_HIDDEN)
    page.state_session_capacity = _SESSIONS
    return page.queue(default_concurrency_limit=None)


def mount_options(limits: Limits | None = None) -> dict[str, Any]:
    """Return what `gr.mount_gradio_app` needs for the page, beside the application, the page and its path."""
    limits = limits or Limits()
    return {
        "theme": THEME,
        "css": CSS,
        "max_file_size": limits.upload_megabytes * 1_000_000,
        "footer_links": [],
        "run_history": False,
        "ssr_mode": False,
        "show_error": False,
        "app_kwargs": {"middleware": [Middleware(PathMask, folder=folder_for_files())]},
    }


def _offer_api(handlers: Handlers) -> None:
    """Add the endpoint `/enhance` for programs; its components are not on the page."""
    photo = gr.File(visible=False, label="photo")
    strength = gr.Number(1.0, visible=False, label="strength")
    result = gr.File(visible=False, label="result")
    gr.Button(visible=False).click(
        handlers.enhance_file,
        [photo, strength],
        result,
        api_name="enhance",
        concurrency_limit=None,
        show_progress="hidden",
    )


def _gallery(visit: Visit, *, visible: bool) -> Any:
    done = visit.done
    chosen = next((place for place, entry in enumerate(done) if entry.number == visit.shown), None)
    return gr.Gallery(
        [str(entry.photo.thumbnail) for entry in done if entry.photo], visible=visible, selected_index=chosen
    )


def _caption(visit: Visit) -> str:
    entry = visit.entries[visit.shown or 0]
    size = f"{entry.photo.width} × {entry.photo.height} pixels" if entry.photo else ""
    return str(Markup('<p><span class="name">{}</span> <span class="size">{}</span></p>').format(entry.name, size))


def _download_label(visit: Visit) -> str:
    return "Download" if len(visit.done) < 2 else "Download this photo"
