"""Which photo of a folder becomes which result."""

import collections
import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from enhancer.photo.io import PHOTO_SUFFIXES
from enhancer.system.errors import EnhancerError

ResultFormat = Literal["keep", "jpeg", "png", "tiff"]
"""keep: PNG for PNG, TIFF for TIFF, JPEG for everything else."""

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


def plan_jobs(
    inputs: Sequence[Path],
    output: Path,
    result_format: ResultFormat = "keep",
    comparisons: Path | None = None,
) -> list[Job]:
    """Decide which photo becomes which result, with no destination twice.

    The same inputs give the same answer, whatever exists in `output`: a second run finds the
    results of the first.

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
    found = _find(inputs, output)
    if not found:
        raise InputError(f"There are no photos in {', '.join(map(str, inputs))}.")
    wanted = _without_collisions(
        {
            source: output / relative.with_suffix(result_suffix(source, result_format))
            for source, relative in found.items()
        }
    )
    sources = {_folded(source.resolve()) for source in found}
    jobs = []
    for source, destination in wanted.items():
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
    return jobs


def _find(inputs: Sequence[Path], output: Path) -> dict[Path, Path]:
    """Map each photo to its place below the output folder; named twice, it counts once."""
    several = sum(path.is_dir() for path in inputs) > 1
    found: dict[Path, Path] = {}
    seen: set[Path] = set()
    for path in inputs:
        if path.is_dir():
            if output.resolve() == path.resolve():
                raise InputError(
                    f"Results in {path} would overwrite the photos there, or be taken for photos "
                    "by the next run; choose another --output."
                )
            inside_output = output.resolve().is_relative_to(path.resolve())
            photos = [
                photo
                for photo in sorted(path.rglob("*"))
                if photo.suffix.lower() in PHOTO_SUFFIXES
                and photo.is_file()
                and not photo.name.startswith(".")
                # Results of an earlier run are no new photos.
                and not (inside_output and photo.resolve().is_relative_to(output.resolve()))
            ]
            top = Path(path.resolve().name) if several else Path()
            pairs = [(photo, top / photo.relative_to(path)) for photo in photos]
        elif path.exists():
            pairs = [(path, Path(path.name))]
        else:
            raise InputError(f"{path} does not exist.")
        for photo, relative in pairs:
            if photo.resolve() not in seen:
                seen.add(photo.resolve())
                found[photo] = relative
    return found


def result_suffix(source: Path, result_format: ResultFormat = "keep") -> str:
    """The suffix of what becomes of `source`, such as ".jpg"."""
    if result_format == "keep":
        return _KEPT_SUFFIXES.get(source.suffix.lower(), ".jpg")
    return _SUFFIXES[result_format]


def _without_collisions(wanted: dict[Path, Path]) -> dict[Path, Path]:
    """Give photos that want one name (a.jpg, a.dng) names of their own: a_jpg.jpg, a_dng.jpg."""
    count = collections.Counter(map(_folded, wanted.values()))
    taken = {name for name, times in count.items() if times == 1}
    result = {}
    for source, destination in wanted.items():
        if count[_folded(destination)] > 1:
            stem = f"{destination.stem}_{source.suffix.lower().removeprefix('.')}"
            endings = itertools.chain([""], (f"_{number}" for number in itertools.count(2)))
            names = (destination.with_name(f"{stem}{e}{destination.suffix}") for e in endings)
            destination = next(name for name in names if _folded(name) not in taken)
            taken.add(_folded(destination))
        result[source] = destination
    return result


def _folded(path: Path) -> str:
    """Without regard to case, as some file systems have it."""
    return str(path).lower()
