"""What the page shows after a click: `Handlers` does the work, here it becomes Gradio's updates."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from markupsafe import Markup

from demo.handlers import Handlers, Progress
from demo.page.layout import Layout
from demo.page.routes import FILE
from demo.page.status_list import render_status_list
from demo.photos.session import Session
from demo.photos.storage import Storage
from demo.photos.taste import Taste

_HIDDEN: dict[str, Any] = {
    "show_progress": "hidden",
    "api_visibility": "private",
    "concurrency_limit": None,
}
_LINK = Markup('<a href="{}" download="{}" data-number="{}" hidden>{}</a>')
_CAPTION = Markup('<p><span class="name">{}</span> <span class="size">{} × {} pixels</span></p>')


class Events:
    """The page's answers; each method returns what changes, by component."""

    def __init__(
        self,
        layout: Layout,
        session: gr.State,
        handlers: Handlers,
        storage: Storage,
        samples: list[Path],
    ):
        self._page = layout
        self._session = session
        self._handlers = handlers
        self._storage = storage
        self._samples = [storage.handle(path) for path in samples]

    def connect(self) -> None:
        """Say what happens on which click."""
        page, session = self._page, self._session
        view = [session, page.shown, page.comparison, page.photos, page.download]
        boxes = [page.sample_box, page.placeholder, page.result_box]
        buttons = [page.button, page.download_all, page.start_over]
        everything = [*view, *boxes, *buttons, page.upload, page.status, page.one_home]
        sliders = [page.strength, page.brightness, page.warmth, page.one_home]
        chosen, dropped = [session, *sliders], [session, page.upload, *sliders]
        ending = [*view, page.button, page.start_over]
        page.upload.change(self.count, page.upload, page.button, **_HIDDEN)
        for begun in (
            page.button.click(self.enhance, dropped, everything, **_HIDDEN),
            page.samples.select(self.enhance_sample, chosen, everything, **_HIDDEN),
        ):
            begun.then(self.finish, dropped, ending, **_HIDDEN)
        page.photos.select(self.choose, chosen, view, **_HIDDEN)
        for slider in sliders:
            slider.change(self.show, chosen, view, trigger_mode="always_last", **_HIDDEN)
        minimal: dict[str, Any] = {**_HIDDEN, "show_progress": "minimal"}
        page.download.click(self.save_shown, chosen, page.file, **minimal)
        page.download_all.click(self.save_all, chosen, [page.download_all, page.file], **_HIDDEN)
        page.start_over.click(self.clear, session, everything, **_HIDDEN)

    async def enhance(
        self, before: Session | None, uploads: list[str] | None, *sliders: float
    ) -> AsyncIterator[dict]:
        taste = _taste(sliders)._replace(one_home=0)  # that is known when all are there
        async for progress in self._handlers.enhance(before, uploads or [], taste):
            yield self._progress(progress) | self._new_result(progress, taste)

    async def enhance_sample(
        self, event: gr.SelectData, before: Session | None, *sliders: float
    ) -> AsyncIterator[dict]:
        async for updates in self.enhance(before, [self._samples[event.index]], *sliders):
            yield updates

    def show(self, current: Session | None, *sliders: float) -> dict:
        before, after = self._handlers.previews(current, _taste(sliders))
        assert current is not None, "what is gone has been refused"
        photo, name = current.shown_photo, current.entries[current.shown or 0].name
        return {
            self._session: current,
            self._page.shown: str(_CAPTION.format(name, photo.width, photo.height)),
            self._page.comparison: gr.ImageSlider((str(before), str(after))),
            self._page.download: gr.Button(_download_label(current)),
        }

    def choose(self, event: gr.SelectData, current: Session | None, *sliders: float) -> dict:
        if current is not None:
            current.shown = list(current.photos)[event.index]
        return self.show(current, *sliders)

    async def save_shown(self, current: Session | None, *sliders: float) -> str:
        return self._link(await self._handlers.render_shown(current, _taste(sliders)))

    async def save_all(self, current: Session | None, *sliders: float) -> AsyncIterator[dict]:
        button = self._page.download_all
        taste = _taste(sliders)
        async for ready, total, archive in self._handlers.render_all(current, taste):
            if archive is None:
                yield {button: gr.Button(f"Preparing {ready + 1} of {total}", interactive=False)}
            else:
                label = f"Download all {total} (ZIP)"
                yield {
                    button: gr.Button(label, interactive=True),
                    self._page.file: self._link(archive),
                }

    def clear(self, current: Session | None) -> dict:
        self._handlers.forget(current)
        return {
            self._session: None,
            self._page.status: gr.HTML("", visible=False),
            self._page.placeholder: gr.HTML(visible=False),
            self._page.result_box: gr.Column(visible=False),
            self._page.sample_box: gr.Column(visible=bool(self._samples)),
        }

    def count(self, uploads: list[str] | None) -> Any:
        number = len(uploads or [])
        label = f"Enhance {number} photos" if number > 1 else "Enhance"
        return gr.Button(label, interactive=number > 0)

    def finish(self, current: Session | None, uploads: list[str] | None, *sliders: float) -> dict:
        updates = {
            self._page.button: self.count(uploads),
            self._page.start_over: gr.Button(interactive=True),
        }
        # Once more: of updates that follow each other closely the browser keeps the last, which may
        # not have had a picture.
        if current and current.shown is not None:
            updates |= self.show(current, *sliders)
        return updates

    def _link(self, file: Path) -> str:
        """Return what `page.js` clicks on when it appears."""
        address = f"{FILE.removeprefix('/')}{quote(self._storage.handle(file))}"
        return str(_LINK.format(address, file.name, secrets.token_hex(8), file.name))

    def _progress(self, progress: Progress) -> dict:
        session, page = progress.session, self._page
        is_empty = not session.photos and not all(entry.is_finished for entry in session.entries)
        shown = render_status_list(session.entries, progress.seconds_left)
        return {
            self._session: session,
            page.status: gr.HTML(shown, visible=True),
            # The files are taken; the next ones can be dropped.
            page.upload: gr.skip() if progress.new_result else gr.File(None),
            page.button: gr.Button("Enhance", interactive=False),
            page.sample_box: gr.Column(visible=False),
            page.placeholder: gr.HTML(visible=is_empty),
            page.start_over: gr.Button(interactive=False),
        }

    def _new_result(self, progress: Progress, taste: Taste) -> dict:
        if progress.new_result is None:
            return {}
        session, page = progress.session, self._page
        number = len(session.photos)
        thumbnails = [str(photo.thumbnail) for photo in session.photos.values()]
        chosen = list(session.photos).index(session.shown) if session.shown is not None else None
        updates = {
            page.download: gr.Button(_download_label(session)),
            page.photos: gr.Gallery(thumbnails, visible=number > 1, selected_index=chosen),
            page.download_all: gr.Button(f"Download all {number} (ZIP)", visible=number > 1),
            page.one_home: gr.Checkbox(visible=number > 1 and self._page.is_adjustable),
            page.result_box: gr.Column(visible=True),
        }
        if session.shown == progress.new_result.number:
            updates |= self.show(session, *taste)
        return updates


def _taste(sliders: tuple[float, ...]) -> Taste:
    return Taste(*map(int, sliders))


def _download_label(session: Session) -> str:
    return "Download" if len(session.photos) < 2 else "Download this photo"
