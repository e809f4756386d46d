"""What the page does on a click: between Gradio's events and the visit.

A handler is given handles of the visitor's uploads, never paths; `Shelf.take` makes them files.
"""

import asyncio
import contextlib
import contextvars
import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import gradio as gr

from demo.photos.archive import write_archive
from demo.photos.batch import enhance_batch, log_failure, without_paths
from demo.photos.enhanced_photo import EnhancedPhoto, compare, enhance_photo, render_result
from demo.photos.limits import Limits
from demo.photos.photo_queue import PhotoQueue, Refused
from demo.photos.shelf import NOT_HERE, NoRoom, NotHere, Shelf
from demo.photos.visit import Entry, Visit
from demo.photos.visitor import Visitor
from enhancer.inference.enhancer import Enhancer
from enhancer.photo.io import PhotoError

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
RESULT_SIZES = 3
"""Room that is kept for what is made of a photo, in sizes of its file."""
_GONE = "These photos were deleted in the meantime. Drop them again."


@dataclasses.dataclass(frozen=True)
class Caller:
    """On whose behalf a handler runs."""

    visitor: Visitor
    is_listening: Callable[[], bool]
    """Whether anybody still waits for the answer."""


CALLER: contextvars.ContextVar[Caller] = contextvars.ContextVar("caller")
"""Set by the page before it runs a handler."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a batch is."""

    visit: Visit
    seconds_left: float | None
    new_result: Entry | None
    """The entry that was finished just now."""

    @property
    def is_finished(self) -> bool:
        return all(entry.state in ("done", "failed") for entry in self.visit.entries)


class Handlers:
    """The model, the queue, the shelf and the limits that all visitors share.

    Each visitor's photos are in a `Visit`.
    """

    def __init__(self, enhancer: Enhancer, queue: PhotoQueue, shelf: Shelf, limits: Limits):
        self._enhancer = enhancer
        self._queue = queue
        self._shelf = shelf
        self._limits = limits

    async def enhance(
        self, visit: Visit | None, uploads: list[str], percent: int
    ) -> AsyncIterator[Progress]:
        """Add files to the visit and work on them; yield at every change."""
        caller = CALLER.get()
        if not isinstance(uploads, list) or not all(isinstance(name, str) for name in uploads):
            raise _said("There is no photo; upload one first.")
        if visit is None or not visit.folder.exists():
            visit = Visit(caller.visitor.owner, self._open_box(caller.visitor))
        visit = _own(visit)
        if len(visit.entries) + len(uploads) > 4 * self._limits.photos_per_batch:
            raise _said("These are too many photos at a time. Press Start over, and drop fewer.")
        with self._in_use(visit):
            entries = visit.add(uploads)
            self._take(visit, entries)
            yield Progress(visit, None, None)
            started = time.monotonic()
            async for entry in enhance_batch(
                self._enhancer,
                self._queue,
                self._limits,
                visit,
                entries,
                percent,
                account=caller.visitor.account,
                is_awaited=caller.is_listening,
            ):
                finished = sum(other.state in ("done", "failed") for other in entries)
                pace = (time.monotonic() - started) / finished if finished else None
                left = pace * (len(entries) - finished) if pace else None
                if entry.state == "done":
                    self._refuse_without_room(visit, entries)
                if visit.shown is None and entry.photo is not None:
                    visit.shown = entry.number
                yield Progress(visit, left, entry if entry.photo is not None else None)

    def previews(self, visit: Visit | None, percent: int) -> tuple[Path, Path]:
        """Return before and after of the photo that is shown."""
        visit = _own(visit)
        photo = _shown_photo(visit)
        with self._in_use(visit):
            return _or_gone(lambda: compare(photo, percent))

    async def render_shown(self, visit: Visit | None, percent: int) -> Path:
        """Return the full-size result of the photo that is shown."""
        visit = _own(visit)
        photo = _shown_photo(visit)
        with self._in_use(visit), self._place():
            return await self._in_turn(lambda: render_result(photo, percent, self._limits))

    async def render_all(
        self, visit: Visit | None, percent: int
    ) -> AsyncIterator[tuple[int, int, Path | None]]:
        """Yield how many of the results are ready, of how many, and at last the ZIP with all."""
        visit = _own(visit)
        photos, paths = visit.photos, []
        with self._in_use(visit), self._place():
            for photo in photos:
                yield len(paths), len(photos), None
                render = lambda photo=photo: render_result(photo, percent, self._limits)  # noqa: E731
                paths.append(await self._in_turn(render))
            self._make_room(visit, sum(path.stat().st_size for path in paths))
            archive = visit.folder / "enhanced_photos.zip"
            await asyncio.to_thread(_or_gone, lambda: write_archive(archive, paths))
        yield len(paths), len(photos), archive

    def forget(self, visit: Visit | None) -> None:
        """Delete a visit's photos and results."""
        if visit is not None:
            self._shelf.remove(visit.folder)

    async def enhance_file(self, photo: str, strength: float = 1.0) -> str:
        """Enhance one photo at its full size: the programming interface.

        Args:
            photo: JPEG, PNG, TIFF, WebP, HEIC or camera RAW.
            strength: 0 gives the photo itself, 1 the whole edit.

        Returns:
            The result: .png for PNG, .tif for TIFF, .jpg for everything else.
        """
        if not photo or not isinstance(photo, str):
            raise _said("There is no photo; upload one first.")
        if (
            isinstance(strength, bool)
            or not isinstance(strength, int | float)
            or not 0 <= strength <= 1
        ):
            raise _said(f"strength must be between 0 and 1, received {strength!r}.")
        percent, visitor = round(100 * strength), CALLER.get().visitor
        source: Path | None = None
        try:
            with self._queue.visit(visitor.account):
                visit = Visit(visitor.owner, self._open_box(visitor))
                try:
                    with self._in_use(visit):
                        folder = visit.folder / "photo-0"
                        source = self._shelf.take(visitor, photo, folder / "source")
                        self._make_room(visit, RESULT_SIZES * source.stat().st_size)
                        return str(await self._in_turn(lambda: self._work(source, folder, percent)))
                except BaseException:
                    self._shelf.remove(visit.folder)
                    raise
        except PhotoError as error:
            raise _said(without_paths(str(error), source)) from None
        except Refused as refusal:
            raise _said(str(refusal)) from None
        except NotHere:
            raise _said(NOT_HERE) from None

    def _work(self, source: Path, folder: Path, percent: int) -> Path:
        made = enhance_photo(self._enhancer, source, folder, self._limits, percent)
        _LOG.info("enhanced %d x %d in %.1f s", made.width, made.height, made.seconds)
        return render_result(made, percent, self._limits)

    def _take(self, visit: Visit, entries: list[Entry]) -> None:
        """Move the uploads into the visit, as many as it may hold."""
        most = self._limits.photos_per_batch
        for entry in entries:
            if entry.number >= most:
                entry.fail(
                    f"More than {most} photos at a time are not possible; download the results, "
                    "and press Start over before the next."
                )
                continue
            try:
                into = visit.folder_of(entry) / "source"
                entry.source = self._shelf.take(CALLER.get().visitor, entry.upload, into)
            except NotHere:
                entry.fail(f"{entry.name} was deleted in the meantime. Drop it again.")

    def _refuse_without_room(self, visit: Visit, entries: list[Entry]) -> None:
        """Take no more photos of a batch when there is no room for what is made of the next."""
        waiting = [entry for entry in entries if entry.state == "waiting" and entry.source]
        size = max((entry.source.stat().st_size for entry in waiting if entry.source), default=0)
        try:
            self._shelf.make_room(CALLER.get().visitor, visit.folder, RESULT_SIZES * size)
        except NoRoom as full:
            for entry in waiting:
                entry.fail(str(full))

    def _open_box(self, visitor: Visitor) -> Path:
        try:
            return self._shelf.open_box(visitor)
        except NoRoom as full:
            raise _said(str(full)) from None

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """Keep one of the visitor's places in the queue."""
        try:
            with self._queue.visit(CALLER.get().visitor.account):
                yield
        except Refused as refusal:
            raise _said(str(refusal)) from None

    def _make_room(self, visit: Visit, size: int) -> None:
        try:
            self._shelf.make_room(CALLER.get().visitor, visit.folder, size)
        except NoRoom as full:
            raise _said(str(full)) from None

    @contextlib.contextmanager
    def _in_use(self, visit: Visit) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            _or_gone(lambda: stack.enter_context(self._shelf.using(visit.folder)))
            yield

    async def _in_turn(self, work: Callable[[], T]) -> T:
        try:
            async for kind, value in self._queue.run(lambda _: work(), CALLER.get().is_listening):
                if kind == "done":
                    return value
        except (PhotoError, gr.Error):
            raise
        except Refused as refusal:
            raise _said(str(refusal)) from None
        except FileNotFoundError:
            raise _said(_GONE) from None
        except Exception as error:
            log_failure(error)
            raise _said("The photo could not be enhanced; the server's log says why.") from None
        raise AssertionError("a queue ends with a result or an exception")


def _own(visit: Visit | None) -> Visit:
    """Return the visit if it is the caller's: a session's name alone gives nothing."""
    if visit is None or visit.owner != CALLER.get().visitor.owner:
        raise _said(_GONE)
    return visit


def _shown_photo(visit: Visit) -> EnhancedPhoto:
    if visit.shown_photo is None:
        raise _said(_GONE)
    return visit.shown_photo


def _or_gone(action: Callable[[], T]) -> T:
    try:
        return action()
    except FileNotFoundError:
        raise _said(_GONE) from None


def _said(sentence: str) -> gr.Error:
    return gr.Error(sentence, print_exception=False)
