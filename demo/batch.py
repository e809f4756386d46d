"""A visitor's photos, one after the other, each with its progress, and none stopped by another's failure."""

import logging
import re
import traceback
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from demo.enhanced_photo import EnhancedPhoto, enhance_upload
from demo.limits import Limits
from demo.photo_queue import PhotoQueue, Refused
from demo.visit import Entry
from enhancer.inference.enhancer import Enhancer
from enhancer.photo.io import PhotoError

_LOG = logging.getLogger(__name__)
# How much of a photo's work is done when a step begins.
_SHARES = {"Reading": 0.1, "Enhancing": 0.3, "Writing": 0.8}


async def enhance_batch(
    enhancer: Enhancer, queue: PhotoQueue, limits: Limits, entries: Sequence[Entry], folder: Path, percent: int
) -> AsyncIterator[Entry]:
    """Work on each entry in its turn; yield the entry whenever something about it has changed."""
    try:
        with queue.visit():
            for entry in entries:
                async for _ in _enhance_entry(enhancer, queue, limits, entry, folder, percent):
                    yield entry
    except Refused as refusal:
        for entry in entries:
            if entry.state in ("waiting", "working"):
                _fail(entry, str(refusal))
                yield entry


async def _enhance_entry(
    enhancer: Enhancer, queue: PhotoQueue, limits: Limits, entry: Entry, folder: Path, percent: int
) -> AsyncIterator[None]:
    def work(on_step) -> EnhancedPhoto:
        return enhance_upload(enhancer, entry.upload, folder / f"photo-{entry.number}", limits, percent, on_step)

    try:
        async for kind, value in queue.run(work):
            if kind == "ahead":
                entry.text = f"Waiting for {value} other photo{'' if value == 1 else 's'}" if value else "Waiting"
            elif kind == "step":
                entry.state, entry.text, entry.share = "working", value, _SHARES[value.split()[0]]
            else:
                entry.state, entry.share, entry.photo = "done", 1.0, value
                entry.text = f"{value.width} × {value.height} pixels in {value.seconds:.1f} s"
                _LOG.info("enhanced %d x %d in %.1f s", value.width, value.height, value.seconds)
            yield
    except Refused:
        raise
    except PhotoError as error:
        _LOG.info("refused a file (%s)", type(error.__cause__ or error).__name__)
        _fail(entry, without_paths(str(error), entry.upload))
        yield
    except Exception as error:
        log_failure(error)
        _fail(entry, f"{entry.name} could not be enhanced; the server's log says why.")
        yield


def log_failure(error: Exception) -> None:
    """Log an unexpected error's kind and place, without its message, which may hold the name of a visitor's file."""
    places = "".join(traceback.format_tb(error.__traceback__))
    _LOG.error("working on a photo failed: %s\n%s", type(error).__name__, places.rstrip())


def without_paths(sentence: str, upload: Path) -> str:
    """Visitors need not know where the server keeps their upload; a decoder's own words, in brackets, may say it."""
    return re.sub(r" \([^()]*/[^()]*\)", "", sentence).replace(f"{upload.parent}/", "")


def _fail(entry: Entry, sentence: str) -> None:
    entry.state, entry.text, entry.share = "failed", sentence, 1.0
