"""`python -m enhancer IN... --workdir RUN --output OUT/`: enhance photos and folders of photos from the terminal."""

import collections
import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tqdm
import tyro

# What needs JAX and Keras is imported after the command line is understood, so that --help answers at once.

ALL_DONE, SOME_FAILED, CANNOT_START, INTERRUPTED = 0, 1, 2, 130
_KEPT_SUFFIXES = {".png": ".png", ".tif": ".tif", ".tiff": ".tif"}


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Enhance photos at their full size with a trained model.

    Results keep the photo's name: .png for PNG, .tif for TIFF, .jpg for everything else.
    Photos found in a folder keep their place below it; of several folders, each keeps its own name too.
    Inputs are never overwritten. Results that exist are skipped, so the same command continues a run.

    Exit codes:
      0    all photos done
      1    some failed; each is named with its reason
      2    wrong usage, or no model
      130  interrupted by Ctrl-C; nothing is left half-written
    """

    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IN...", help_behavior_hint="")]
    """Photos, or folders that are searched for photos, subfolders too."""
    workdir: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """What a recipe left behind: its --workdir, or one stage's folder in it."""
    output: Annotated[Path, tyro.conf.arg(metavar="OUT")]
    """Folder for the results; created if missing."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Make results again that exist already."""


class UsageError(ValueError):
    """The command cannot start; the message is one sentence for the user."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m enhancer")
    try:
        jobs = plan(arguments.inputs, arguments.output)
    except UsageError as error:
        return _cannot_start(error)
    waiting = jobs if arguments.overwrite else [job for job in jobs if not job[1].exists()]
    done, failed = 0, []
    try:
        if waiting:
            from enhancer import compilation
            from enhancer.checkpoints import CheckpointError
            from enhancer.inference import Enhancer

            compilation.enable_cache()
            try:
                enhancer = Enhancer.load(arguments.workdir)
                arguments.output.mkdir(parents=True, exist_ok=True)
            except (CheckpointError, OSError) as error:
                return _cannot_start(error)
            # The first photo also pays for the compilation: smoothing 0 averages over all, so the ETA recovers.
            for source, destination in tqdm.tqdm(waiting, unit="photo", smoothing=0):
                problem = _enhance(enhancer, source, destination)
                if problem is None:
                    done += 1
                else:
                    failed.append(source)
                    # Most sentences begin with the file's name, which is shown with its folder here.
                    named = problem.startswith(source.name)
                    text = f"{source}{problem.removeprefix(source.name)}" if named else f"{source}: {problem}"
                    tqdm.tqdm.write(text, file=sys.stderr)
    except KeyboardInterrupt:
        print(f"\ninterrupted: {_summary(done, len(jobs) - len(waiting), failed)}; run the same command to continue")
        return INTERRUPTED
    print(f"{_summary(done, len(jobs) - len(waiting), failed)}; results are in {arguments.output}")
    for source in failed:
        print(f"  not done: {source}")
    return SOME_FAILED if failed else ALL_DONE


def plan(inputs: tuple[Path, ...], output: Path) -> list[tuple[Path, Path]]:
    """Decide which photo becomes which result, `[(source, destination), ...]`, with no destination twice.

    The same inputs always give the same answer, whatever exists in `output`, so that a second run finds the results of
    the first.

    Raises:
        UsageError: an input is missing, there are no photos, or the results would land on the photos.
    """
    if not inputs:
        raise UsageError("Name at least one photo or folder; python -m enhancer --help shows how.")
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output} is a file; name a folder for the results.")
    found = _find(inputs, output)
    if not found:
        raise UsageError(f"There are no photos in {', '.join(map(str, inputs))}.")
    wanted = _without_collisions({source: output / relative for source, relative in found.items()})
    sources = {source.resolve() for source in found}
    for source, destination in wanted.items():
        if destination.resolve() in sources:
            raise UsageError(
                f"The result of {source} would overwrite the photo {destination}; choose another --output."
            )
    return list(wanted.items())


def _find(inputs: tuple[Path, ...], output: Path) -> dict[Path, Path]:
    """Map each photo to its result's path below the output folder; a photo that is named twice counts once."""
    from enhancer.photo_io import PHOTO_SUFFIXES

    several = sum(path.is_dir() for path in inputs) > 1
    found: dict[Path, Path] = {}
    seen: set[Path] = set()
    for path in inputs:
        if path.is_dir():
            inside_output = output.resolve() != path.resolve() and output.resolve().is_relative_to(path.resolve())
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
            raise UsageError(f"{path} does not exist.")
        for photo, relative in pairs:
            if photo.resolve() not in seen:
                seen.add(photo.resolve())
                found[photo] = relative.with_suffix(_KEPT_SUFFIXES.get(photo.suffix.lower(), ".jpg"))
    return found


def _without_collisions(wanted: dict[Path, Path]) -> dict[Path, Path]:
    """Give photos that want the same result (a.jpg and a.dng) names of their own: a_jpg.jpg and a_dng.jpg.

    Case is ignored, as some file systems do.
    """
    count = collections.Counter(str(destination).lower() for destination in wanted.values())
    taken = {name for name, times in count.items() if times == 1}
    result = {}
    for source, destination in wanted.items():
        if count[str(destination).lower()] > 1:
            stem = f"{destination.stem}_{source.suffix.lower().removeprefix('.')}"
            number = 1
            destination = destination.with_name(f"{stem}{destination.suffix}")
            while str(destination).lower() in taken:
                number += 1
                destination = destination.with_name(f"{stem}_{number}{destination.suffix}")
            taken.add(str(destination).lower())
        result[source] = destination
    return result


def _enhance(enhancer, source: Path, destination: Path) -> str | None:
    """Return why it failed, or None."""
    from enhancer.photo_io import PhotoError

    try:
        made = enhancer.enhance_file(source, destination)
    except PhotoError as error:
        return str(error)
    except OSError as error:
        return f"{error.strerror or error}."
    except Exception as error:  # one photo must not stop the others, whatever is wrong with it
        return f"{type(error).__name__}: {error}"
    for note in made.notes:
        tqdm.tqdm.write(f"{source}: {note}", file=sys.stderr)
    return None


def _summary(done: int, skipped: int, failed: list[Path]) -> str:
    parts = [f"{done} photo{'' if done == 1 else 's'} enhanced"]
    if skipped:
        parts.append(f"{skipped} skipped because the result exists (--overwrite makes them again)")
    if failed:
        parts.append(f"{len(failed)} failed")
    return ", ".join(parts)


def _cannot_start(error: Exception) -> int:
    print(f"error: {error}", file=sys.stderr)
    return CANNOT_START


if __name__ == "__main__":
    sys.exit(main())
