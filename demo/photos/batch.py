"""A visitor's photos, one after the other; none is stopped by another's failure."""

import logging
import re
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from demo.photos.enhanced_photo import EnhancedPhoto, enhance_photo
from demo.photos.limits import Limits, Refused
from demo.photos.photo_queue import PhotoQueue
from demo.photos.session import Entry, Session
from demo.photos.storage import NoRoom
from demo.photos.taste import Taste
from enhancer.inference.enhancer import Enhancer
from enhancer.photo.io import PhotoError

_LOG = logging.getLogger(__name__)
# How much of a photo's work is done when a step begins.
_SHARES = {"Reading": 0.1, "Enhancing": 0.3, "Writing": 0.8}


async def enhance_batch(
    enhancer: Enhancer,
    queue: PhotoQueue,
    limits: Limits,
    session: Session,
    entries: Sequence[Entry],
    taste: Taste,
    *,
    account: str,
    keep_room: Callable[[int], None],
    is_awaited: Callable[[], bool] = lambda: True,
) -> AsyncIterator[Entry]:
    """Work on some of a session's entries, each in its turn; yield one whenever it has changed.

    `account` is that of the place in the queue; `keep_room` as in `enhance_photo`, `is_awaited` as
    in `PhotoQueue.run`.
    """
    try:
        with queue.place(account):
            for entry in entries:
                if entry.source is None or entry.state == "failed":
                    continue

                def work(on_step, source=entry.source, entry=entry) -> EnhancedPhoto:
                    return enhance_photo(
                        enhancer,
                        source,
                        session.folder_of(entry),
                        limits,
                        taste,
                        keep_room,
                        on_step,
                    )

                try:
                    async for kind, value in queue.run(work, is_awaited):
                        _note(entry, kind, value)
                        yield entry
                except NoRoom as full:
                    entry.fail(str(full))
                    yield entry
                except Refused:
                    raise
                except PhotoError as error:
                    _LOG.info("refused a file (%s)", type(error.__cause__ or error).__name__)
                    entry.fail(without_paths(str(error), entry.source))
                    yield entry
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
