"""A visitor's photos, one after the other; none is stopped by another's failure."""

import logging
import re
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path

from demo.photos.limits import Refused
from demo.photos.photo_queue import PhotoQueue
from demo.photos.session import EnhancedPhoto, Entry
from demo.photos.storage import NoRoom
from enhancer.photo.refusal import PhotoError

_LOG = logging.getLogger(__name__)
# How much of a photo's work is done when a step begins.
_SHARES = {"Waiting": 0.05, "Reading": 0.1, "Enhancing": 0.3, "Writing": 0.8}


async def enhance_batch(
    enhance: Callable[[Entry, Callable[[str], None]], EnhancedPhoto],
    queue: PhotoQueue,
    entries: Sequence[Entry],
    *,
    account: str,
    is_awaited: Callable[[], bool] = lambda: True,
) -> AsyncIterator[Entry]:
    """Work on a session's entries, each in its turn; yield one whenever it has changed.

    Args:
        enhance: makes one entry's photo; gets a function that it calls with each step's name.
        queue: where the photos wait.
        entries: those without a source, or that failed before, are passed over.
        account: that of the place in the queue.
        is_awaited: as in `PhotoQueue.run`.
    """
    try:
        with queue.place(account):
            for entry in entries:
                if entry.source is None or entry.state == "failed":
                    continue
                try:
                    async for kind, value in queue.run(partial(enhance, entry), is_awaited):
                        _note(entry, kind, value)
                        yield entry
                    continue
                except NoRoom as full:
                    entry.fail(str(full))
                except Refused:
                    raise
                except PhotoError as error:
                    _LOG.info("refused a file (%s)", type(error.__cause__ or error).__name__)
                    entry.fail(without_paths(str(error), entry.source))
                except Exception as error:
                    log_failure(error)
                    entry.fail(f"{entry.name} could not be enhanced; the server's log says why.")
                yield entry
    except Refused as refusal:
        for entry in entries:
            if not entry.is_finished:
                entry.fail(str(refusal))
                yield entry


def _note(entry: Entry, kind: str, value) -> None:
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


def without_paths(sentence: str, source: Path | None) -> str:
    """Leave out where the upload lies; a decoder's own words, in brackets, may say it."""
    sentence = re.sub(r" \([^()]*/[^()]*\)", "", sentence)
    return sentence if source is None else sentence.replace(f"{source.parent}/", "")
