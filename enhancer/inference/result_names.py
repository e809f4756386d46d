"""Which photo of a folder becomes which result."""

import collections
import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from enhancer.photo.finder import LeftOut, describe, find_photos
from enhancer.system.errors import EnhancerError

ResultFormat = Literal["keep", "jpeg", "png", "tiff"]
"""keep: PNG for PNG, TIFF for TIFF, JPEG for everything else."""

RECORD = ".enhancer.jsonl"
"""In the output folder: a line for each result, with the photo that it was made from."""
_PART = 1 << 18  # bytes: a photo's metadata and its first rows, and its last ones
_SUFFIXES = {"jpeg": ".jpg", "png": ".png", "tiff": ".tif"}
_KEPT_SUFFIXES = {".png": ".png", ".tif": ".tif", ".tiff": ".tif"}


class InputError(EnhancerError):
    """Photos that are missing, or results that would land on photos or on each other."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One photo to enhance."""

    source: Path
    destination: Path
    comparison: Path | None = None
    """Where the picture of before and after goes, if one is wanted."""


class Plan(NamedTuple):
    """What is to be done."""

    jobs: list[Job]
    left_out: LeftOut
    """What the folders hold besides."""
    renamed: list[Job]
    """Those whose name another photo's result has already."""


class Results:
    """The results of a folder, and the photos that they were made from.

    One that was not written down, as by an earlier version, is nobody's.
    """

    def __init__(self, output: Path):
        """Read what was written down; a line that a kill tore counts as nothing."""
        self._output = output
        self._made: dict[str, str] = {}
        with contextlib.suppress(OSError):
            for line in (output / RECORD).read_bytes().split(b"\n"):
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    row = json.loads(line)
                    self._made[row["result"]] = row["photo"]

    def are_anothers(self, photo: Path, result: Path) -> bool:
        """Whether a result is there, made from another photo; where that photo was is no matter."""
        made_from = self._made.get(self._name(result))
        return made_from is not None and os.path.exists(result) and made_from != _identity(photo)

    def claim(self, photo: Path, result: Path) -> None:
        """Write down that `result` is going to be made from `photo`."""
        row = {"result": self._name(result), "photo": _identity(photo), "path": str(photo)}
        self._output.mkdir(parents=True, exist_ok=True)
        with open(self._output / RECORD, "ab") as record:
            record.write(b"\n" * (record.tell() > 0) + json.dumps(row).encode())

    def _name(self, result: Path) -> str:
        return result.relative_to(self._output).as_posix()


def plan_jobs(
    inputs: Sequence[Path],
    output: Path,
    result_format: ResultFormat = "keep",
    comparisons: Path | None = None,
) -> Plan:
    """Decide which photo becomes which result, with no destination twice.

    The same inputs give the same answer: a second run finds the results of the first. Other photos
    of the same names, as a camera's second card has them, get results of their own.

    Args:
        inputs: photos, and folders that are searched for photos, subfolders too.
        output: folder of the results. Those of a folder's photos keep their place below it.
        result_format: of the results.
        comparisons: folder below `output` for pictures of before and after.

    Raises:
        InputError: an input is missing, there are no photos, or the results would land on the
            photos or on each other.
    """
    if not inputs:
        raise InputError("Name at least one photo or folder; python -m enhancer --help shows how.")
    if output.exists() and not output.is_dir():
        raise InputError(f"--output {output} is a file; name a folder for the results.")
    found, left_out = _find(inputs, output)
    if not found:
        named = ", ".join(map(str, inputs))
        raise InputError("; ".join([f"There are no photos in {named}", *describe(left_out)]) + ".")
    wanted = {
        source: output / relative.with_suffix(result_suffix(source, result_format))
        for source, relative in found.items()
    }
    given, renamed = _without_collisions(wanted, Results(output))
    sources = {_folded(source.resolve()) for source in found}
    jobs = []
    for source, destination in given.items():
        comparison = None
        if comparisons:
            if destination.is_relative_to(comparisons):
                raise InputError(
                    f"The result of {source} would lie in {comparisons}, where the comparisons go; "
                    "rename its folder."
                )
            comparison = comparisons / destination.relative_to(output)
            if comparison.suffix != ".jpg":  # the suffix stays: a.jpg and a.png do not meet
                comparison = comparison.with_name(f"{comparison.name}.jpg")
        for made, what in ((destination, "result"), (comparison, "comparison")):
            if made and _folded(made.resolve()) in sources:
                raise InputError(
                    f"The {what} of {source} would overwrite the photo {made}; "
                    "choose another --output."
                )
        jobs.append(Job(source, destination, comparison))
    return Plan(jobs, left_out, [job for job in jobs if job.source in renamed])


def _find(inputs: Sequence[Path], output: Path) -> tuple[dict[Path, Path], LeftOut]:
    """Map each photo to its place below the output folder; named twice, it counts once."""
    several = sum(path.is_dir() for path in inputs) > 1
    found: dict[Path, Path] = {}
    left_out: LeftOut = {}
    seen: set[Path] = set()
    for path in inputs:
        if path.is_dir():
            if output.resolve() == path.resolve():
                raise InputError(
                    f"Results in {path} would overwrite the photos there, or be taken for photos "
                    "by the next run; choose another --output."
                )
            photos, others = find_photos(path)
            for what, names in others.items():
                left_out.setdefault(what, []).extend(names)
            if output.resolve().is_relative_to(path.resolve()):
                # Results of an earlier run are no new photos.
                photos = [p for p in photos if not p.resolve().is_relative_to(output.resolve())]
            top = Path(path.resolve().name) if several else Path()
            pairs = [(photo, top / photo.relative_to(path)) for photo in photos]
        elif path.exists():
            pairs = [(path, Path(path.name))]
        else:
            raise InputError(f"{path} does not exist.")
        for photo, relative in pairs:
            if (real := photo.resolve()) not in seen:
                seen.add(real)
                found[photo] = relative
            elif photo not in found:
                left_out.setdefault("links to photos that are there too", []).append(photo.name)
    return found, left_out


def result_suffix(source: Path, result_format: ResultFormat = "keep") -> str:
    """The suffix of what becomes of `source`, such as ".jpg"."""
    if result_format == "keep":
        return _KEPT_SUFFIXES.get(source.suffix.lower(), ".jpg")
    return _SUFFIXES[result_format]


def _without_collisions(
    wanted: dict[Path, Path], results: Results
) -> tuple[dict[Path, Path], set[Path]]:
    """Give photos that want one name (a.jpg, a.dng) names of their own: a_jpg.jpg, a_dng.jpg; and
    those whose name is taken by another photo's result a number: a_2.jpg. These are named."""
    count = collections.Counter(map(_folded, wanted.values()))
    taken = {name for name, times in count.items() if times == 1}
    given: dict[Path, Path] = {}
    renamed: set[Path] = set()
    for source, destination in wanted.items():
        stem = destination.stem
        if count[_folded(destination)] > 1:
            stem = f"{stem}_{source.suffix.lower().removeprefix('.')}"
        for number in itertools.count(1):
            ending = f"_{number}" if number > 1 else ""
            name = destination.with_name(f"{stem}{ending}{destination.suffix}")
            if name != destination and _folded(name) in taken:
                continue
            if not results.are_anothers(source, name):
                break
            renamed.add(source)
        taken.add(_folded(name))
        given[source] = name
    return given, renamed


def _folded(path: Path) -> str:
    """Without regard to case and to how accents are encoded, as some file systems have it."""
    return unicodedata.normalize("NFC", str(path)).lower()


def _identity(photo: Path) -> str | None:
    """A hash over a photo's length, its beginning and its end; None where it cannot be read."""
    with contextlib.suppress(OSError), open(photo, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(f"{length} ".encode() + file.read(_PART))
        file.seek(max(_PART, length - _PART))
        digest.update(file.read(_PART))
        return digest.hexdigest()
    return None
