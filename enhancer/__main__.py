"""`python -m enhancer IN... --output OUT/`: enhance photos and folders of photos."""

import dataclasses
import io
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import absl.logging
import tyro

from enhancer.system.errors import EnhancerError
from enhancer.system.interruption import Interrupted, signals_raise
from enhancer.system.lean_keras import import_keras
from enhancer.system.progress import progress_bar

# What needs JAX and Keras is imported once the command line is understood: --help answers at once.

ALL_DONE, SOME_FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
COMPARISONS = "before_after"
"""Folder below the output for `--compare`."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Enhance photos at their full size.

    (To write the model for other programs: python -m enhancer export --help.)

    Photos found in a folder keep their place below it; of several folders, each keeps its own name
    too. Inputs are never overwritten. Results that exist are skipped, so the same command continues
    a run; another photo of the same name gets a result with a number.

    Exit codes:
      0    all photos done
      1    some failed; each is named with its reason
      2    wrong usage, or no model
      130  interrupted by Ctrl-C or SIGTERM; nothing is left half-written
    """

    inputs: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="IN...", help_behavior_hint=""),
    ]
    """Photos, or folders that are searched for photos, subfolders too: not those that are hidden,
    linked, or hold thumbnails or trash, and files count by their content."""
    output: Annotated[Path, tyro.conf.arg(metavar="OUT")]
    """Folder for the results; created if missing."""
    workdir: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    """What a training left behind: its --workdir, or one stage's folder in it. Without: the model
    in the package, which has seen rendered rooms alone."""
    strength: Annotated[float, tyro.conf.arg(metavar="0-1")] = 1.0
    """How much of the edit: 0 gives the photo itself, 1 all of it."""
    format: Literal["keep", "jpeg", "png", "tiff"] = "keep"
    """Of the results. keep: PNG for PNG, TIFF for TIFF, JPEG for the rest. PNG and TIFF keep 16
    bits per channel; JPEG is of quality 95 with full colour resolution."""
    metadata: Literal["keep", "no-gps", "none"] = "keep"
    """EXIF data, captions and copyright in the results: all, all but the place, or nothing."""
    compare: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also write a small picture of before and after for each photo, into OUT/before_after/."""
    one_home: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """All the photos are of one home: draw their white balance and brightness together. Every photo
    is read twice."""
    changes: Annotated[Path | None, tyro.conf.arg(metavar="FILE.csv")] = None
    """Also write what was done to each photo: brightness, shadows, highlights, warmth,
    saturation."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Make results again that exist already."""


@dataclasses.dataclass(frozen=True)
class ExportArguments:
    """Write a trained model for other programs, and compare what it computes there and here.

    From float32 (batch, height, width, 3) in [0, 1] to the same shape, not clipped: what the
    network sees is the reduced photo. The file appears only if both agree.

    Exit codes:
      0    written
      1    the exported model computes something else; nothing is written
      2    wrong usage, no model, or a package that the format needs is missing
      130  interrupted by Ctrl-C; nothing is written
    """

    workdir: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """What a training left behind: its --workdir, or one stage's folder in it."""
    format: Literal["onnx", "stablehlo"]
    """onnx: for ONNX Runtime, OpenVINO and many others. stablehlo: a program of jax.export, which
    needs nothing but JAX."""
    output: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """Ends in .onnx or .stablehlo."""
    size: Annotated[str, tyro.conf.arg(metavar="HxW|dynamic")] = "dynamic"
    """dynamic: any height and width from 8 pixels, and any batch. HxW, such as 896x1344: this size
    alone, which some programs run faster."""
    check_photo: Annotated[Path | None, tyro.conf.arg(metavar="PHOTO")] = None
    """Photo to compare on; without one, a drawn room."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace FILE if it exists."""


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    absl.logging.set_verbosity(absl.logging.FATAL)  # Orbax and TFDS log what they raise as well
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be text
    try:
        with signals_raise():
            if argv[:1] == ["export"]:
                prog = "python -m enhancer export"
                return _export(tyro.cli(ExportArguments, args=argv[1:], prog=prog))
            return _enhance(tyro.cli(Arguments, args=argv, prog="python -m enhancer"))
    except (EnhancerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_USAGE  # whatever the error would mean elsewhere: nothing was done
    except (KeyboardInterrupt, Interrupted):
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED


def _enhance(arguments: Arguments) -> int:
    if not 0.0 <= arguments.strength <= 1.0:
        raise EnhancerError(
            f"--strength takes a number from 0 to 1, received {arguments.strength}."
        )
    from enhancer.inference.result_names import plan_jobs

    comparisons = arguments.output / COMPARISONS if arguments.compare else None
    plan = plan_jobs(arguments.inputs, arguments.output, arguments.format, comparisons)
    jobs = waiting = plan.jobs
    if not arguments.overwrite:
        # Unlike `Path.exists`, it bears names that are too long and folders that may not be read.
        waiting = [job for job in jobs if not os.path.exists(job.destination)]
    import_keras()
    from enhancer.inference.folder import RunSummary

    summary = RunSummary(plan, len(jobs) - len(waiting))
    if waiting:
        from enhancer.inference.enhancer import Enhancer
        from enhancer.system import compiler

        compiler.enable_cache()
        enhancer = Enhancer.load(arguments.workdir)
        print(f"model: {enhancer.description}", flush=True)
        arguments.output.mkdir(parents=True, exist_ok=True)
        try:
            # Of photos that are done already too: what is left has to match them.
            edits = _match(enhancer, jobs) if arguments.one_home else None
            _run(enhancer, waiting, arguments, summary, edits)
        except (KeyboardInterrupt, Interrupted):
            print(f"\n{summary.table()}\ninterrupted; run the same command to continue")
            return INTERRUPTED
        if arguments.changes:
            summary.write_changes(arguments.changes)
    print(f"{summary.table()}\nresults are in {arguments.output}")
    return SOME_FAILED if summary.failures else ALL_DONE


def _match(enhancer, jobs: list) -> dict:
    """Find the edits of one home's photos, and say how far apart they would be and are."""
    from enhancer.inference.one_home import find_edits

    with progress_bar(desc="matching", total=len(jobs), unit="photo") as bar:
        edits, before, after = find_edits(enhancer, [job.source for job in jobs], bar.update)
    print(
        f"one home: white balance differs by {after.white_balance:.1f} % from photo to photo "
        f"({before.white_balance:.1f} % if each were edited alone), brightness by "
        f"{after.stops:.2f} stops ({before.stops:.2f})"
    )
    return edits


def _run(enhancer, waiting: list, arguments: Arguments, summary, edits: dict | None) -> None:
    from enhancer.inference.folder import Outcome, Settings, enhance_files
    from enhancer.inference.result_names import Results

    settings = Settings(arguments.strength, arguments.metadata, arguments.overwrite)
    # The first photo also pays for the compilation: smoothing 0 averages over all, and the ETA
    # recovers.
    with progress_bar(total=len(waiting), unit="photo", smoothing=0) as bar:

        def show(outcome: Outcome) -> None:
            summary.outcomes.append(outcome)
            if outcome.made is None:
                bar.write(outcome.failure(), file=sys.stderr)
            for note in outcome.made.notes if outcome.made else ():
                bar.write(f"{outcome.job.source}: {note}", file=sys.stderr)
            bar.update()

        enhance_files(enhancer, waiting, settings, show, edits, Results(arguments.output))


def _export(arguments: ExportArguments) -> int:
    import_keras()
    from enhancer.export.export import DifferenceError, export_model

    try:
        exported = export_model(
            arguments.workdir, arguments.format, arguments.output, arguments.size,
            arguments.check_photo, overwrite=arguments.overwrite,
        )  # fmt: skip
    except DifferenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return SOME_FAILED
    print(exported)
    return ALL_DONE


if __name__ == "__main__":
    sys.exit(main())
