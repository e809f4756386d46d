"""What the page does on a click: between Gradio's events and the visit."""

import asyncio
import dataclasses
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import gradio as gr
from gradio import utils as gradio_utils

from demo.archive import write_archive
from demo.batch import enhance_batch, log_failure, without_paths
from demo.enhanced_photo import EnhancedPhoto, compare, enhance_upload, render_result
from demo.limits import Limits
from demo.photo_queue import PhotoQueue, Refused
from demo.visit import Entry, Visit
from enhancer.inference.enhancer import Enhancer
from enhancer.photo.io import PhotoError

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_GONE = "These photos were deleted in the meantime. Drop them again."


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
    """The model, the queue and the limits that all visitors share; each visitor's photos are in a `Visit`."""

    def __init__(self, enhancer: Enhancer, queue: PhotoQueue, limits: Limits):
        self._enhancer = enhancer
        self._queue = queue
        self._limits = limits

    async def enhance(self, visit: Visit | None, uploads: list[str], percent: int) -> AsyncIterator[Progress]:
        """Add files to the visit and work on them; yield at every change."""
        if visit is None or not visit.folder.exists():
            visit = Visit.open(folder_for_files())
        entries = visit.add([Path(upload) for upload in uploads])
        taken = entries[: max(0, self._limits.photos_per_batch - (len(visit.entries) - len(entries)))]
        for entry in entries[len(taken) :]:
            entry.state, entry.text = (
                "failed",
                f"More than {self._limits.photos_per_batch} photos at a time are not possible; download the results, "
                "and press Start over before the next.",
            )
        yield Progress(visit, None, None)
        started = time.monotonic()
        async for entry in enhance_batch(self._enhancer, self._queue, self._limits, taken, visit.folder, percent):
            finished = sum(other.state in ("done", "failed") for other in taken)
            left = (time.monotonic() - started) / finished * (len(taken) - finished) if finished else None
            if visit.shown is None and entry.photo is not None:
                visit.shown = entry.number
            yield Progress(visit, left, entry if entry.photo is not None else None)
        visit.touch()

    def previews(self, visit: Visit | None, percent: int) -> tuple[Path, Path]:
        """Return before and after of the photo that is shown."""
        photo = _shown_photo(visit)
        return _or_gone(lambda: compare(photo, percent))

    async def render_shown(self, visit: Visit | None, percent: int) -> Path:
        """Return the full-size result of the photo that is shown."""
        photo = _shown_photo(visit)
        return await self._in_turn(lambda: render_result(photo, percent, self._limits))

    async def render_all(self, visit: Visit | None, percent: int) -> AsyncIterator[tuple[int, int, Path | None]]:
        """Yield how many of the results are ready, of how many, and at last the ZIP with all of them."""
        if visit is None:
            raise gr.Error(_GONE, print_exception=False)
        visit.touch()
        photos, paths = visit.photos, []
        for photo in photos:
            yield len(paths), len(photos), None
            paths.append(await self._in_turn(lambda photo=photo: render_result(photo, percent, self._limits)))
        archive = visit.folder / "enhanced_photos.zip"
        await asyncio.to_thread(_or_gone, lambda: write_archive(archive, paths))
        yield len(paths), len(photos), archive

    async def enhance_file(self, photo: str, strength: float = 1.0) -> str:
        """Enhance one photo at its full size: the programming interface.

        Args:
            photo: JPEG, PNG, TIFF, WebP, HEIC or camera RAW.
            strength: 0 gives the photo itself, 1 the whole edit.

        Returns:
            The result: .png for PNG, .tif for TIFF, .jpg for everything else.
        """
        if not photo:
            raise gr.Error("There is no photo; upload one first.", print_exception=False)
        if strength is None or not 0.0 <= strength <= 1.0:
            raise gr.Error(f"strength must be between 0 and 1, received {strength}.", print_exception=False)
        upload, percent = Path(photo), round(100 * strength)
        folder = Visit.open(folder_for_files()).folder / "photo-0"

        def work() -> Path:
            made = enhance_upload(self._enhancer, upload, folder, self._limits, percent)
            _LOG.info("enhanced %d x %d in %.1f s", made.width, made.height, made.seconds)
            return render_result(made, percent, self._limits)

        try:
            with self._queue.visit():
                return str(await self._in_turn(work))
        except PhotoError as error:
            raise gr.Error(without_paths(str(error), upload), print_exception=False) from None
        except Refused as refusal:
            raise gr.Error(str(refusal), print_exception=False) from None

    async def _in_turn(self, work: Callable[[], T]) -> T:
        try:
            async for kind, value in self._queue.run(lambda _: work()):
                if kind == "done":
                    return value
        except (PhotoError, gr.Error):
            raise
        except Refused as refusal:
            raise gr.Error(str(refusal), print_exception=False) from None
        except FileNotFoundError:
            raise gr.Error(_GONE, print_exception=False) from None
        except Exception as error:
            log_failure(error)
            raise gr.Error(
                "The photo could not be enhanced; the server's log says why.", print_exception=False
            ) from None
        raise AssertionError("a queue ends with a result or an exception")


def folder_for_files() -> Path:
    """Return the folder that Gradio serves files from: what lies there is neither copied nor renamed."""
    folder = Path(gradio_utils.get_upload_folder())
    if not folder.is_absolute():
        folder = Path(tempfile.gettempdir()) / folder
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _shown_photo(visit: Visit | None) -> EnhancedPhoto:
    photo = visit.shown_photo if visit is not None else None
    if visit is None or photo is None:
        raise gr.Error(_GONE, print_exception=False)
    visit.touch()
    return photo


def _or_gone(action: Callable[[], T]) -> T:
    try:
        return action()
    except FileNotFoundError:
        raise gr.Error(_GONE, print_exception=False) from None
