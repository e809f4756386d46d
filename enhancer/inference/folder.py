"""Enhance many files: while the network works on one photo, the next is read and the last written.

Of each kind (being read, edited, written) at most `Enhancer.batch_size` photos are in memory.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from enhancer.inference.comparison import write_comparison
from enhancer.inference.enhancer import EnhancedFile, Enhancer, refuse_overwriting, write_result
from enhancer.inference.plan import Job
from enhancer.photo.io import Photo, read_photo
from enhancer.photo.metadata import MetadataPolicy
from enhancer.system.errors import EnhancerError


@dataclasses.dataclass(frozen=True)
class Settings:
    """How every photo is enhanced; see `Enhancer.enhance_file`."""

    strength: float = 1.0
    metadata: MetadataPolicy = "keep"
    overwrite: bool = False


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a photo."""

    job: Job
    made: EnhancedFile | None
    problem: str | None = None
    """A sentence, where nothing was made."""


def enhance_files(
    enhancer: Enhancer,
    jobs: Iterable[Job],
    settings: Settings,
    on_outcome: Callable[[Outcome], None],
) -> None:
    """Enhance photos in their order, whatever becomes of each.

    Args: enhancer: with a trained network. jobs: what is to be made of what. settings: for all of
        them. on_outcome: called once for each photo, in the calling thread. After Ctrl-C it still
        hears of the photos whose writing had begun; no file is left half-written.
    """
    with ThreadPoolExecutor(1, "reader") as reader, ThreadPoolExecutor(1, "writer") as writer:
        waiting = iter(jobs)
        reading: collections.deque[tuple[Job, Future[Photo]]] = collections.deque()
        writing: collections.deque[Future[Outcome]] = collections.deque()

        def read_ahead() -> None:
            while len(reading) < enhancer.batch_size and (job := next(waiting, None)):
                reading.append((job, reader.submit(read_photo, job.source, keep_depth=True)))

        try:
            read_ahead()
            while reading:
                batch = [(job, _result_of(future)) for job, future in reading]
                reading.clear()
                read_ahead()
                for job, photo, edited in _edit(enhancer, batch, settings.strength):
                    while len(writing) >= enhancer.batch_size:
                        on_outcome(writing.popleft().result())
                    if isinstance(photo, Photo) and isinstance(edited, np.ndarray):
                        writing.append(writer.submit(_write, job, photo, edited, settings))
                    else:
                        on_outcome(Outcome(job, None, _sentence(edited)))
        finally:
            for _, future in reading:
                future.cancel()
            for future in writing:
                on_outcome(future.result())


def _result_of(future: "Future[Photo]") -> Photo | Exception:
    try:
        return future.result()
    except Exception as error:  # one photo must not stop the others, whatever is wrong with it
        return error


def _edit(
    enhancer: Enhancer, batch: list[tuple[Job, Photo | Exception]], strength: float
) -> Iterable[tuple[Job, Photo | Exception, np.ndarray | Exception]]:
    """Edit together what can be; when that fails, each photo alone, to find out which it is."""
    readable = [photo.pixels for _, photo in batch if isinstance(photo, Photo)]
    together: list[np.ndarray] = []
    if len(readable) > 1:
        try:
            together = enhancer.enhance_many(readable, strength=strength)
        except Exception:
            together = []
    for job, photo in batch:
        if isinstance(photo, Exception):
            yield job, photo, photo
            continue
        try:
            edited = together or enhancer.enhance_many([photo.pixels], strength=strength)
        except Exception as error:
            yield job, photo, error
        else:
            yield job, photo, edited.pop(0)


def _write(job: Job, photo: Photo, edited: np.ndarray, settings: Settings) -> Outcome:
    try:
        refuse_overwriting(job.source, job.destination, settings.overwrite)
        job.destination.parent.mkdir(parents=True, exist_ok=True)
        if job.comparison:
            write_comparison(job.comparison, photo.pixels, edited)
        # Last, because the photo counts as done once its result is there.
        return Outcome(job, write_result(photo, edited, job.destination, settings.metadata))
    except Exception as error:
        return Outcome(job, None, _sentence(error))


def _sentence(error: object) -> str:
    """Why a photo was not enhanced, for its owner."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}."
    if isinstance(error, MemoryError):
        return "This computer's memory does not suffice for it; export it at a smaller size."
    if isinstance(error, EnhancerError | ValueError | OSError):
        return str(error)
    return f"{type(error).__name__}: {(str(error).splitlines() or ['no reason given'])[0]}"
