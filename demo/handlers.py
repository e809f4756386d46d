"""What the page does on a click: between Gradio's events and the photos.

A handler is given handles of the visitor's uploads, never paths; `Storage.take` makes them files.
What it raises becomes a sentence for the visitor in `demo.page.blocks`.
"""

import asyncio
import contextvars
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from demo.photos.archive import write_archive
from demo.photos.batch import enhance_batch, without_paths
from demo.photos.limits import Limits, Refused
from demo.photos.photo_queue import PhotoQueue
from demo.photos.session import EnhancedPhoto, Entry, Session
from demo.photos.storage import NotFound, Storage
from demo.photos.taste import Taste
from demo.photos.visitor import Visitor
from enhancer.photo.refusal import PhotoError

if TYPE_CHECKING:
    from demo.photos.darkroom import Darkroom
    from enhancer.inference.enhancer import Enhancer

T = TypeVar("T")
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


class Handlers:
    """The model, the queue, the storage and the limits that all visitors share."""

    def __init__(
        self, model: "Future[Enhancer]", queue: PhotoQueue, storage: Storage, limits: Limits
    ):
        self._model = model
        self._queue = queue
        self._storage = storage
        self._limits = limits

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
        if number > 4 * self._limits.photos_per_batch:
            raise Refused("These are too many photos at a time. Press Start over, and drop fewer.")
        if session is None:
            session = Session(caller.visitor.owner, self._storage.new_folder(caller.visitor))
        with self._storage.using(session.folder):
            entries = session.add(uploads)
            self._take(session, entries)
            yield Progress(session, None, None)
            started, keep_room = time.monotonic(), self._room_in(session.folder)

            def work(entry: Entry, on_step: Callable[[str], None]) -> EnhancedPhoto:
                if not self._model.done():
                    on_step(_LOADING)
                assert entry.source is not None, "those without have failed"
                folder = session.folder_of(entry)
                return self._darkroom().enhance(entry.source, folder, taste, keep_room, on_step)

            async for entry in enhance_batch(
                work,
                self._queue,
                entries,
                account=caller.visitor.account,
                is_awaited=caller.is_listening,
            ):
                finished = sum(other.is_finished for other in entries)
                pace = (time.monotonic() - started) / finished if finished else None
                left = pace * (len(entries) - finished) if pace else None
                if entry.photo is not None and session.shown is None:
                    session.shown = entry.number
                yield Progress(session, left, entry if entry.photo is not None else None)

    def previews(self, session: Session | None, taste: Taste) -> tuple[Path, Path]:
        """Return before and after of the photo that is shown."""
        session = _own(session)
        with self._storage.using(session.folder):
            self._darkroom().match(session, taste)
            return self._darkroom().compare(
                session.shown_photo, taste, self._room_in(session.folder)
            )

    async def render_shown(self, session: Session | None, taste: Taste) -> Path:
        """Return the full-size result of the photo that is shown."""
        session, visitor = _own(session), CALLER.get().visitor
        photo, keep_room = session.shown_photo, self._room_in(session.folder)
        with self._storage.using(session.folder), self._queue.place(visitor.account):
            darkroom = self._darkroom()
            darkroom.match(session, taste)
            return await self._in_turn(lambda: darkroom.render(photo, taste, keep_room))

    async def render_all(
        self, session: Session | None, taste: Taste
    ) -> AsyncIterator[tuple[int, int, Path | None]]:
        """Yield how many of the results are ready, of how many, and at last the ZIP with all."""
        session, visitor = _own(session), CALLER.get().visitor
        photos, paths, keep_room = session.photos.values(), [], self._room_in(session.folder)
        with self._storage.using(session.folder), self._queue.place(visitor.account):
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
            self._storage.remove(session.folder)

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
        with self._queue.place(visitor.account):
            folder = self._storage.new_folder(visitor)
            source: Path | None = None
            try:
                with self._storage.using(folder):
                    source = self._storage.take(visitor, photo, folder / "source")
                    keep_room = self._room_in(folder)

                    def work(source=source) -> Path:
                        darkroom = self._darkroom()
                        made = darkroom.enhance(source, folder, taste, keep_room)
                        return darkroom.render(made, taste, keep_room)

                    return str(await self._in_turn(work))
            except PhotoError as error:
                self._storage.remove(folder)
                raise Refused(without_paths(str(error), source)) from None
            except BaseException:
                self._storage.remove(folder)
                raise

    def _darkroom(self) -> "Darkroom":
        """Wait for the model, and import what needs Keras as it does."""
        model = self._model.result()
        from demo.photos.darkroom import Darkroom

        return Darkroom(model, self._limits)

    def _take(self, session: Session, entries: list[Entry]) -> None:
        """Move the uploads into the session, as many as it may hold."""
        most = self._limits.photos_per_batch
        for entry in entries:
            if entry.number >= most:
                entry.fail(
                    f"More than {most} photos at a time are not possible; download the results, "
                    "and press Start over before the next."
                )
                continue
            try:
                into = session.folder_of(entry) / "source"
                entry.source = self._storage.take(CALLER.get().visitor, entry.upload, into)
            except NotFound:
                entry.fail(f"{entry.name} was deleted in the meantime. Drop it again.")

    def _room_in(self, folder: Path) -> Callable[[int], None]:
        """Return what keeps room in a folder of the caller's."""
        return partial(self._storage.make_room, CALLER.get().visitor, folder)

    async def _in_turn(self, work: Callable[[], T]) -> T:
        async for kind, value in self._queue.run(lambda _: work(), CALLER.get().is_listening):
            if kind == "done":
                return value
        raise AssertionError("a queue ends with a result or an exception")


def _own(session: Session | None) -> Session:
    """Return the session if it is the caller's: its name alone gives nothing."""
    if session is None or session.owner != CALLER.get().visitor.owner:
        raise FileNotFoundError("no such session")
    return session
