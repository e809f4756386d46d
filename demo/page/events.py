"""What the page shows after a click: `Handlers` does the work, here it becomes Gradio's updates."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from markupsafe import Markup

from demo.handlers import Handlers, Progress
from demo.page.doors import FILE
from demo.page.layout import Layout
from demo.page.status_list import render_status_list
from demo.photos.shelf import Shelf
from demo.photos.visit import Visit

_HIDDEN: dict[str, Any] = {
    "show_progress": "hidden",
    "api_visibility": "private",
    "concurrency_limit": None,
}
_MINIMAL: dict[str, Any] = {**_HIDDEN, "show_progress": "minimal"}
_LINK = Markup('<a href="{}" download="{}" data-number="{}" hidden>{}</a>')


class Events:
    """The page's answers; each method returns what changes, by component.

    Args:
        layout: the components.
        visit: the component that keeps a visitor's `Visit`.
        handlers: do the work.
        shelf: names the samples.
        samples: in the order of their gallery.
    """

    def __init__(
        self,
        layout: Layout,
        visit: gr.State,
        handlers: Handlers,
        shelf: Shelf,
        samples: list[Path],
    ):
        self._page = layout
        self._visit = visit
        self._handlers = handlers
        self._shelf = shelf
        self._samples = [shelf.handle(path) for path in samples]

    def connect(self) -> None:
        """Say what happens on which click."""
        page, visit = self._page, self._visit
        view = [visit, page.shown, page.comparison, page.photos, page.download]
        everything = [*view, page.upload, page.button, page.status, page.sample_box]
        everything += [page.placeholder, page.result_box, page.download_all, page.start_over]
        finish = {
            "fn": self.finish,
            "inputs": [visit, page.upload, page.strength],
            "outputs": [*view, page.button, page.start_over],
        }
        page.upload.change(self.count, page.upload, page.button, **_HIDDEN)
        page.button.click(
            self.enhance, [visit, page.upload, page.strength], everything, **_HIDDEN
        ).then(**finish, **_HIDDEN)
        page.samples.select(
            self.enhance_sample, [visit, page.strength], everything, **_HIDDEN
        ).then(**finish, **_HIDDEN)
        page.photos.select(self.choose, [visit, page.strength], view, **_HIDDEN)
        page.strength.change(
            self.show, [visit, page.strength], view, trigger_mode="always_last", **_HIDDEN
        )
        page.download.click(
            self.save_shown,
            [visit, page.strength],
            page.file,
            **_MINIMAL,
        )
        page.download_all.click(
            self.save_all, [visit, page.strength], [page.download_all, page.file], **_HIDDEN
        )
        page.start_over.click(self.clear, visit, everything, **_HIDDEN)

    async def enhance(
        self, before: Visit | None, uploads: list[str] | None, percent: float
    ) -> AsyncIterator[dict]:
        async for progress in self._handlers.enhance(before, uploads or [], int(percent)):
            updates = self._progress(progress)
            if progress.new_result:
                updates |= self._new_result(progress, int(percent))
            yield updates

    async def enhance_sample(
        self, event: gr.SelectData, before: Visit | None, percent: float
    ) -> AsyncIterator[dict]:
        async for updates in self.enhance(before, [self._samples[event.index]], percent):
            yield updates

    def show(self, current: Visit | None, percent: float) -> dict:
        before, after = self._handlers.previews(current, int(percent))
        assert current is not None, "what is gone has been refused"
        return {
            self._visit: current,
            self._page.shown: _caption(current),
            self._page.comparison: gr.ImageSlider((str(before), str(after))),
            self._page.download: gr.Button(_download_label(current)),
        }

    def choose(self, event: gr.SelectData, current: Visit | None, percent: float) -> dict:
        if current is not None:
            current.shown = current.done[event.index].number
        return self.show(current, percent)

    async def save_shown(self, current: Visit | None, percent: float) -> str:
        return self._link(await self._handlers.render_shown(current, int(percent)))

    async def save_all(self, current: Visit | None, percent: float) -> AsyncIterator[dict]:
        button = self._page.download_all
        async for ready, total, archive in self._handlers.render_all(current, int(percent)):
            if archive is None:
                yield {button: gr.Button(f"Preparing {ready + 1} of {total}", interactive=False)}
            else:
                label = f"Download all {total} (ZIP)"
                yield {
                    button: gr.Button(label, interactive=True),
                    self._page.file: self._link(archive),
                }

    def clear(self, current: Visit | None) -> dict:
        self._handlers.forget(current)
        return {
            self._visit: None,
            self._page.status: gr.HTML("", visible=False),
            self._page.placeholder: gr.HTML(visible=False),
            self._page.result_box: gr.Column(visible=False),
            self._page.sample_box: gr.Column(visible=bool(self._samples)),
        }

    def count(self, uploads: list[str] | None) -> Any:
        number = len(uploads or [])
        label = f"Enhance {number} photos" if number > 1 else "Enhance"
        return gr.Button(label, interactive=number > 0)

    def finish(self, current: Visit | None, uploads: list[str] | None, percent: float) -> dict:
        updates = {
            self._page.button: self.count(uploads),
            self._page.start_over: gr.Button(interactive=True),
        }
        # Once more: of updates that follow each other closely the browser keeps the last, which may
        # not have had a picture.
        if current and current.shown is not None:
            updates |= self.show(current, percent)
        return updates

    def _link(self, file: Path) -> str:
        """Return what `page.js` clicks on when it appears."""
        address = f"{FILE.removeprefix('/')}{quote(self._shelf.handle(file))}"
        return str(_LINK.format(address, file.name, secrets.token_hex(8), file.name))

    def _progress(self, progress: Progress) -> dict:
        visit, page = progress.visit, self._page
        is_empty = not visit.done and not progress.is_finished
        shown = render_status_list(visit.entries, progress.seconds_left)
        return {
            self._visit: visit,
            page.status: gr.HTML(shown, visible=True),
            # The files are taken; the next ones can be dropped.
            page.upload: gr.skip() if progress.new_result else gr.File(None),
            page.button: gr.Button("Enhance", interactive=False),
            page.sample_box: gr.Column(visible=False),
            page.placeholder: gr.HTML(visible=is_empty),
            page.start_over: gr.Button(interactive=False),
        }

    def _new_result(self, progress: Progress, percent: int) -> dict:
        visit, page = progress.visit, self._page
        number, several = len(visit.done), len(visit.done) > 1
        updates = {
            page.download: gr.Button(_download_label(visit)),
            page.photos: _gallery(visit, visible=several),
            page.download_all: gr.Button(f"Download all {number} (ZIP)", visible=several),
            page.result_box: gr.Column(visible=True),
        }
        if progress.new_result and visit.shown == progress.new_result.number:
            updates |= self.show(visit, percent)
        return updates


def _gallery(visit: Visit, *, visible: bool) -> Any:
    done = visit.done
    chosen = next((place for place, entry in enumerate(done) if entry.number == visit.shown), None)
    thumbnails = [str(photo.thumbnail) for photo in visit.photos]
    return gr.Gallery(thumbnails, visible=visible, selected_index=chosen)


def _caption(visit: Visit) -> str:
    entry = visit.entries[visit.shown or 0]
    size = f"{entry.photo.width} × {entry.photo.height} pixels" if entry.photo else ""
    caption = Markup('<p><span class="name">{}</span> <span class="size">{}</span></p>')
    return str(caption.format(entry.name, size))


def _download_label(visit: Visit) -> str:
    return "Download" if len(visit.done) < 2 else "Download this photo"
