"""A visitor's photos, one after the other; none is stopped by another's failure."""

import logging
import re
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from demo.photos.enhanced_photo import EnhancedPhoto, enhance_photo
from demo.photos.limits import Limits
from demo.photos.photo_queue import PhotoQueue, Refused
from demo.photos.visit import Entry, Visit
from enhancer.inference.enhancer import Enhancer
from enhancer.photo.io import PhotoError

_LOG = logging.getLogger(__name__)
# How much of a photo's work is done when a step begins.
_SHARES = {"Reading": 0.1, "Enhancing": 0.3, "Writing": 0.8}


async def enhance_batch(
    enhancer: Enhancer,
    queue: PhotoQueue,
    limits: Limits,
    visit: Visit,
    entries: Sequence[Entry],
    percent: int,
    *,
    account: str,
    is_awaited: Callable[[], bool] = lambda: True,
) -> AsyncIterator[Entry]:
    """Work on each entry in its turn; yield the entry whenever something about it has changed.

    Args:
        entries: those of the visit to work on.
        percent: strength of the edit, 0 to 100.
        account: on which the place in the queue is counted.
        is_awaited: see `PhotoQueue.run`.
    """
    try:
        with queue.visit(account):
            for entry in entries:
                if entry.source is None or entry.state == "failed":
                    continue

                def work(on_step, source=entry.source, entry=entry) -> EnhancedPhoto:
                    folder = visit.folder_of(entry)
                    return enhance_photo(enhancer, source, folder, limits, percent, on_step)

                async for _ in _follow(entry, queue.run(work, is_awaited)):
                    yield entry
    except Refused as refusal:
        for entry in entries:
            if entry.state in ("waiting", "working"):
                entry.fail(str(refusal))
                yield entry


async def _follow(entry: Entry, events: AsyncIterator[tuple[str, Any]]) -> AsyncIterator[None]:
    try:
        async for kind, value in events:
            if kind == "ahead":
                others = f"{value} other photo{'' if value == 1 else 's'}"
                entry.text = f"Waiting for {others}" if value else "Waiting"
            elif kind == "step":
                entry.state, entry.text = "working", value
                entry.share = _SHARES[value.split()[0]]
            else:
                entry.state, entry.share, entry.photo = "done", 1.0, value
                entry.text = f"{value.width} × {value.height} pixels in {value.seconds:.1f} s"
                _LOG.info("enhanced %d x %d in %.1f s", value.width, value.height, value.seconds)
            yield
    except Refused:
        raise
    except PhotoError as error:
        _LOG.info("refused a file (%s)", type(error.__cause__ or error).__name__)
        entry.fail(without_paths(str(error), entry.source))
        yield
    except Exception as error:
        log_failure(error)
        entry.fail(f"{entry.name} could not be enhanced; the server's log says why.")
        yield


def log_failure(error: Exception) -> None:
    """Log an unexpected error's kind and place; its message may name a visitor's file."""
    places = "".join(traceback.format_tb(error.__traceback__))
    _LOG.error("working on a photo failed: %s\n%s", type(error).__name__, places.rstrip())


def without_paths(sentence: str, source: Path | None) -> str:
    """Leave out where the upload lies; a decoder's own words, in brackets, may say it."""
    sentence = re.sub(r" \([^()]*/[^()]*\)", "", sentence)
    return sentence if source is None else sentence.replace(f"{source.parent}/", "")
