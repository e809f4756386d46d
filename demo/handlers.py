"""What the page does on a click: between Gradio's events and the photos.

A handler is given handles of the visitor's uploads, never paths; `Storage.take` makes them files.
What it raises becomes a sentence for the visitor in `demo.page.blocks`.
"""

import asyncio
import contextvars
import dataclasses
import logging
import re
import time
import traceback
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from demo.photos.archive import write_archive
from demo.photos.limits import Limits, Refused
from demo.photos.photo_queue import PhotoQueue
from demo.photos.session import EnhancedPhoto, Entry, Session
from demo.photos.storage import NoRoom, NotFound, Storage
from demo.photos.taste import Taste
from demo.photos.visitor import Visitor
from enhancer.photo.refusal import PhotoError

if TYPE_CHECKING:
    from demo.photos.darkroom import Darkroom
    from enhancer.inference.enhancer import Enhancer

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
# How much of a photo's work is done when a step begins.
_SHARES = {"Waiting": 0.05, "Reading": 0.1, "Enhancing": 0.3, "Writing": 0.8}
_NO_PHOTO = "There is no photo; upload one first."
_LOADING = "Waiting for the model, which is still being loaded"


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

    session: Session
    seconds_left: float | None
    new_result: Entry | None
    """The entry that was finished just now."""


@dataclasses.dataclass(frozen=True)
class Handlers:
    """All visitors share these."""

    model: "Future[Enhancer]"
    queue: PhotoQueue
    storage: Storage
    limits: Limits

    async def enhance(
        self, session: Session | None, uploads: list[str], taste: Taste
    ) -> AsyncIterator[Progress]:
        """Add files to the session and work on them; yield at every change."""
        caller = CALLER.get()
        if not isinstance(uploads, list) or not all(isinstance(name, str) for name in uploads):
            raise Refused(_NO_PHOTO)
        if session is not None and not session.folder.exists():
            session = None
        number = len(uploads) + (len(_own(session).entries) if session else 0)
        if number > 4 * self.limits.photos_per_batch:
            raise Refused("These are too many photos at a time. Press Start over, and drop fewer.")
        if session is None:
            session = Session(caller.visitor.owner, self.storage.new_folder(caller.visitor))
        with self.storage.using(session.folder):
            entries = session.add(uploads)
            self._take(session, entries)
            yield Progress(session, None, None)
            started = time.monotonic()
            async for entry in self._work_on(session, entries, taste):
                finished = sum(other.is_finished for other in entries)
                spent = time.monotonic() - started
                left = spent / finished * (len(entries) - finished) if finished else None
                if entry.photo is not None and session.shown is None:
                    session.shown = entry.number
                yield Progress(session, left, entry if entry.photo is not None else None)

    def previews(self, session: Session | None, taste: Taste) -> tuple[Path, Path]:
        """Return before and after of the photo that is shown."""
        session = _own(session)
        with self.storage.using(session.folder):
            self._darkroom().match(session, taste)
            return self._darkroom().compare(
                session.shown_photo, taste, self._room_in(session.folder)
            )

    async def render_shown(self, session: Session | None, taste: Taste) -> Path:
        """Return the full-size result of the photo that is shown."""
        session, visitor = _own(session), CALLER.get().visitor
        photo, keep_room = session.shown_photo, self._room_in(session.folder)
        with self.storage.using(session.folder), self.queue.place(visitor.account):
            darkroom = self._darkroom()
            darkroom.match(session, taste)
            return await self._in_turn(lambda: darkroom.render(photo, taste, keep_room))

    async def render_all(
        self, session: Session | None, taste: Taste
    ) -> AsyncIterator[tuple[int, int, Path | None]]:
        """Yield how many of the results are ready, of how many, and at last the ZIP with all."""
        session, visitor = _own(session), CALLER.get().visitor
        photos, paths, keep_room = session.photos.values(), [], self._room_in(session.folder)
        with self.storage.using(session.folder), self.queue.place(visitor.account):
            darkroom = self._darkroom()
            darkroom.match(session, taste)
            for photo in photos:
                yield len(paths), len(photos), None
                render = partial(darkroom.render, photo, taste, keep_room)
                paths.append(await self._in_turn(render))
            keep_room(sum(path.stat().st_size for path in paths))
            archive = session.folder / "enhanced_photos.zip"
            await asyncio.to_thread(write_archive, archive, paths)
        yield len(paths), len(photos), archive

    def forget(self, session: Session | None) -> None:
        """Delete a session's photos and results."""
        if session is not None:
            self.storage.remove(session.folder)

    async def enhance_file(self, photo: str, strength: float = 1.0) -> str:
        """Enhance one photo at its full size: the programming interface.

        Args:
            photo: JPEG, PNG, TIFF, WebP, HEIC or camera RAW.
            strength: 0 gives the photo itself, 1 the whole edit.

        Returns:
            The result: .png for PNG, .tif for TIFF, .jpg for everything else.
        """
        if not photo or not isinstance(photo, str):
            raise Refused(_NO_PHOTO)
        if type(strength) not in (int, float) or not 0 <= strength <= 1:
            raise Refused(f"strength must be between 0 and 1, received {strength!r}.")
        taste, visitor = Taste(round(100 * strength)), CALLER.get().visitor
        with self.queue.place(visitor.account):
            folder = self.storage.new_folder(visitor)
            source: Path | None = None
            try:
                with self.storage.using(folder):
                    source = self.storage.take(visitor, photo, folder / "source")
                    keep_room = self._room_in(folder)

                    def work(source=source) -> Path:
                        darkroom = self._darkroom()
                        made = darkroom.enhance(source, folder, taste, keep_room)
                        return darkroom.render(made, taste, keep_room)

                    return str(await self._in_turn(work))
            except PhotoError as error:
                self.storage.remove(folder)
                raise Refused(without_paths(error, source)) from None
            except BaseException:
                self.storage.remove(folder)
                raise

    def _darkroom(self) -> "Darkroom":
        """Wait for the model, and import what needs Keras as it does."""
        model = self.model.result()
        from demo.photos.darkroom import Darkroom

        return Darkroom(model, self.limits)

    def _take(self, session: Session, entries: list[Entry]) -> None:
        """Move the uploads into the session, as many as it may hold."""
        most = self.limits.photos_per_batch
        for entry in entries:
            if entry.number >= most:
                entry.fail(
                    f"More than {most} photos at a time are not possible; download the results, "
                    "and press Start over before the next."
                )
                continue
            try:
                into = session.folder_of(entry) / "source"
                entry.source = self.storage.take(CALLER.get().visitor, entry.upload, into)
            except NotFound:
                entry.fail(f"{entry.name} was deleted in the meantime. Drop it again.")

    async def _work_on(
        self, session: Session, entries: list[Entry], taste: Taste
    ) -> AsyncIterator[Entry]:
        """Make each photo in its turn, whatever becomes of the others; yield what has changed."""
        caller, keep_room = CALLER.get(), self._room_in(session.folder)

        def work(entry: Entry, on_step: Callable[[str], None]) -> EnhancedPhoto:
            if not self.model.done():
                on_step(_LOADING)
            assert entry.source is not None, "those without have failed"
            folder = session.folder_of(entry)
            return self._darkroom().enhance(entry.source, folder, taste, keep_room, on_step)

        try:
            with self.queue.place(caller.visitor.account):
                for entry in entries:
                    if entry.is_finished:
                        continue
                    try:
                        turn = self.queue.run(partial(work, entry), caller.is_listening)
                        async for kind, value in turn:
                            _note(entry, kind, value)
                            yield entry
                        continue
                    except NoRoom as full:
                        entry.fail(str(full))
                    except Refused:
                        raise
                    except PhotoError as error:
                        _LOG.info("refused a file (%s)", type(error.__cause__ or error).__name__)
                        entry.fail(without_paths(error, entry.source))
                    except Exception as error:
                        log_failure(error)
                        told = "could not be enhanced; the server's log says why."
                        entry.fail(f"{entry.name} {told}")
                    yield entry
        except Refused as refusal:
            for entry in entries:
                if not entry.is_finished:
                    entry.fail(str(refusal))
                    yield entry

    def _room_in(self, folder: Path) -> Callable[[int], None]:
        """Return what keeps room in a folder of the caller's."""
        return partial(self.storage.make_room, CALLER.get().visitor, folder)

    async def _in_turn(self, work: Callable[[], T]) -> T:
        async for kind, value in self.queue.run(lambda _: work(), CALLER.get().is_listening):
            if kind == "done":
                return value
        raise AssertionError("a queue ends with a result or an exception")


def _own(session: Session | None) -> Session:
    """Return the session if it is the caller's: its name alone gives nothing."""
    if session is None or session.owner != CALLER.get().visitor.owner:
        raise FileNotFoundError("no such session")
    return session


def _note(entry: Entry, kind: str, value: Any) -> None:
    """Say in the entry what the queue reports of it."""
    if kind == "ahead":
        others = f"{value} other photo{'' if value == 1 else 's'}"
        entry.text = f"Waiting for {others}" if value else "Waiting"
    elif kind == "step":
        entry.state, entry.text = "working", value
        entry.share = _SHARES[value.split()[0]]
    else:
        entry.state, entry.share, entry.photo = "done", 1.0, value
        entry.text = f"{value.width} × {value.height} pixels in {value.seconds:.1f} s"


def log_failure(error: Exception) -> None:
    """Log an unexpected error's kind and place; its message may name a visitor's file."""
    places = "".join(traceback.format_tb(error.__traceback__))
    _LOG.error("working on a photo failed: %s\n%s", type(error).__name__, places.rstrip())


def without_paths(refusal: PhotoError, source: Path | None) -> str:
    """Leave out where the upload lies; a decoder's own words, in brackets, may say it."""
    sentence = re.sub(r" \([^()]*/[^()]*\)", "", str(refusal))
    return sentence if source is None else sentence.replace(f"{source.parent}/", "")
