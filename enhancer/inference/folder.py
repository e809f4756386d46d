"""Enhance many files: while the network works on one photo, the next is read and the last written.

Of each kind (being read, edited, written) at most `Enhancer.batch_size` photos are in memory.
"""

import collections
import csv
import dataclasses
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from enhancer.inference.change import Change, measure, median
from enhancer.inference.enhancer import EnhancedFile, Enhancer, refuse_overwriting, write_result
from enhancer.inference.full_size import PhotoRetouch
from enhancer.inference.result_names import Job, Plan, Results
from enhancer.inference.sizes import reduce_photo
from enhancer.photo.color import to_uint8
from enhancer.photo.finder import describe
from enhancer.photo.io import Photo, encode_jpeg, read_photo
from enhancer.photo.metadata import MetadataPolicy
from enhancer.system.errors import EnhancerError
from enhancer.system.files import write_atomically

_COMPARED_SIDE, _COMPARED_GAP = 800, 8  # pixels, of a short side at most


@dataclasses.dataclass(frozen=True)
class Settings:
    """How every photo is enhanced; see `Enhancer.enhance_file`."""

    strength: float = 1.0
    metadata: MetadataPolicy = "keep"
    overwrite: bool = False


class Outcome(NamedTuple):
    """What became of a photo."""

    job: Job
    made: EnhancedFile | None
    problem: str = ""
    """A sentence, where nothing was made."""
    change: Change | None = None
    """What the edit did to it."""

    def failure(self) -> str:
        """The problem behind the photo's path, with which many sentences begin themselves."""
        source = self.job.source
        if self.problem.startswith(source.name):
            return f"{source}{self.problem.removeprefix(source.name)}"
        return self.problem if self.problem.startswith(str(source)) else f"{source}: {self.problem}"


@dataclasses.dataclass
class RunSummary:
    """What became of the photos of a plan, of which `skipped` had a result before."""

    plan: Plan
    skipped: int
    outcomes: list[Outcome] = dataclasses.field(default_factory=list)
    started: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def failures(self) -> list[str]:
        """The sentence of each photo of which nothing was made."""
        return [outcome.failure() for outcome in self.outcomes if outcome.made is None]

    @property
    def changes(self) -> dict[Path, Change]:
        """What was done to each photo."""
        return {o.job.source: o.change for o in self.outcomes if o.change is not None}

    def table(self) -> str:
        """Lines of done, skipped and failed photos, and below them each failure with its reason."""
        jobs, left_out, renamed = self.plan
        made = [outcome.made for outcome in self.outcomes if outcome.made]
        megapixels = sum(file.width * file.height for file in made) / 1e6
        seconds = max(time.monotonic() - self.started, 1e-6)
        left = len(jobs) - self.skipped - len(self.outcomes)
        example = ", ".join(f"{job.source} is {job.destination.name}" for job in renamed[:2])
        rows = [
            (
                "done",
                len(made),
                f"{megapixels:.1f} MP, {megapixels / seconds:.1f} MP/s" * bool(made),
            ),
            ("  with a note", sum(bool(file.notes) for file in made), "see above"),
            ("renamed", len(renamed), f"another photo's result has the name: {example}"),
            ("skipped", self.skipped, "the result exists already; --overwrite makes it again"),
            ("failed", len(self.failures), "each is named below"),
            ("not begun", left, "the same command continues"),
            ("left out", sum(map(len, left_out.values())), "; ".join(describe(left_out))),
        ]
        lines = [
            f"{name:<13}  {count:>{len(str(len(jobs)))}}  {remark}".rstrip()
            for name, count, remark in rows
            if count or name == "done"
        ]
        if self.changes:
            lines.append(f"of a middle photo: {median([*self.changes.values()])}")
        return "\n".join([*lines, *(f"  {failure}" for failure in self.failures)])

    def write_changes(self, path: Path) -> None:
        """Write what was done to each photo as a table of comma-separated values."""
        text = io.StringIO()
        table = csv.writer(text)
        table.writerow(["photo", *Change._fields])
        for source, change in self.changes.items():
            table.writerow([source, *(f"{value:.3f}" for value in change)])
        write_atomically(path, text.getvalue().encode("utf-8", "surrogateescape"))


def enhance_files(
    enhancer: Enhancer,
    jobs: Iterable[Job],
    settings: Settings,
    on_outcome: Callable[[Outcome], None],
    edits: Mapping[Path, PhotoRetouch] | None = None,
    results: Results | None = None,
) -> None:
    """Enhance photos in their order, whatever becomes of each.

    `edits`, by photo, stand in place of what the network would do; `results` are told of each.

    `on_outcome` is called once for each photo, in the calling thread. After Ctrl-C it still hears
    of the photos whose writing had begun; no file is left half-written.
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
                batch: list[tuple[Job, Photo]] = []
                for job, future in reading:
                    try:
                        batch.append((job, future.result()))
                    except Exception as error:  # one photo must not stop the others
                        on_outcome(Outcome(job, None, _sentence(error)))
                reading.clear()
                read_ahead()
                edited = _edit(enhancer, batch, settings.strength, edits or {})
                for (job, photo), pixels in zip(batch, edited, strict=True):
                    if isinstance(pixels, Exception):
                        on_outcome(Outcome(job, None, _sentence(pixels)))
                        continue
                    while len(writing) >= enhancer.batch_size:
                        on_outcome(writing.popleft().result())
                    writing.append(writer.submit(_write, job, photo, pixels, settings, results))
        finally:
            for _, future in reading:
                future.cancel()
            for future in writing:
                on_outcome(future.result())


def _edit(
    enhancer: Enhancer,
    batch: list[tuple[Job, Photo]],
    strength: float,
    edits: Mapping[Path, PhotoRetouch],
) -> Sequence[np.ndarray | Exception]:
    """Edit photos together; when that fails, each alone, to find out which it is."""
    try:
        if not edits:
            return enhancer.enhance_many([photo.pixels for _, photo in batch], strength=strength)
        return [
            (edits.get(job.source) or enhancer.find_edit(photo.pixels)).apply(
                photo.pixels, strength
            )
            for job, photo in batch
        ]
    except Exception as error:
        if len(batch) == 1:
            return [error]
    return [edited for one in batch for edited in _edit(enhancer, [one], strength, edits)]


def _write(
    job: Job, photo: Photo, edited: np.ndarray, settings: Settings, results: Results | None
) -> Outcome:
    try:
        refuse_overwriting(job.source, job.destination, settings.overwrite)
        job.destination.parent.mkdir(parents=True, exist_ok=True)
        if job.comparison:
            _write_comparison(job.comparison, photo.pixels, edited)
        change = measure(photo.pixels, edited)
        if results:
            results.claim(job.source, job.destination)
        # Last, because the photo counts as done once its result is there.
        made = write_result(photo, edited, job.destination, settings.metadata)
        return Outcome(job, made, change=change)
    except Exception as error:
        return Outcome(job, None, _sentence(error))


def _write_comparison(path: Path, before: np.ndarray, after: np.ndarray) -> None:
    """Both photos, reduced, beside each other on white as a JPEG."""
    left, right = (to_uint8(reduce_photo(photo, _COMPARED_SIDE)) for photo in (before, after))
    gap = np.full((left.shape[0], _COMPARED_GAP, 3), 255, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, encode_jpeg(np.hstack([left, gap, right]), quality=90))


def _sentence(error: object) -> str:
    """Why a photo was not enhanced, for its owner."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}."
    if isinstance(error, MemoryError):
        return "This computer's memory does not suffice for it; export it at a smaller size."
    if isinstance(error, EnhancerError | ValueError | OSError):
        return str(error)
    return f"{type(error).__name__}: {(str(error).splitlines() or ['no reason given'])[0]}"
