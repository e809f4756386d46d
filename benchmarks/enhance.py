"""From a photo file to an edited photo file: what a user waits for, as a whole and in parts.

    python -m benchmarks.enhance
    python -m benchmarks.enhance --model base --working-size 512

Photos of 24 megapixels (3:2) and 20 megapixels (16:9, which the network sees in another size and so compiles again) are
rendered, and an untrained network edits them: it takes the time that a trained one takes. Whole and parts take turns, so that a
machine's slow minutes fall on all of them; the ratio says how many times as long as decoding, network and encoding alone the whole takes.
A folder of copies is done as `python -m enhancer` does it, reading ahead, and one after the other. Ctrl-C keeps what is finished.
"""

import dataclasses
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from enhancer.config import MODEL_SIZES, ModelSize

if TYPE_CHECKING:
    from benchmarks.timing import Ratio
    from enhancer.inference.enhancer import Enhancer

# What needs JAX and Keras is imported after the command line is understood, so that --help answers at once.

INTERRUPTED, WRONG_USAGE = 130, 2
_NEEDED = ("decode", "network", "encode and write")
_SIZES = {"3:2": (4000, 6000), "16:9": (3376, 6000)}


@dataclasses.dataclass(frozen=True)
class Arguments:
    __doc__ = __doc__

    model: ModelSize = "small"
    """The network."""
    working_size: int = 896
    """Short side of what the network sees, in pixels."""
    repeats: int = 3
    """Photos after the first, and measurements of each part; the median counts."""
    aspects: tuple[Literal["3:2", "16:9"], ...] = ("3:2", "16:9")
    """Photos."""
    folder: int = 3
    """Photos of the folder, of the first kind; 0 leaves it out."""
    json: Path | None = None
    """File for the numbers."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m benchmarks.enhance")
    if arguments.repeats < 1 or arguments.working_size < 8:
        print("--repeats takes a positive number and --working-size at least 8.", file=sys.stderr)
        return WRONG_USAGE

    from benchmarks import machine
    from benchmarks.table import aligned
    from enhancer.system.files import write_json

    about = machine.describe()
    print(machine.sentence(about), flush=True)
    rows: list[dict[str, Any]] = []
    try:
        with tempfile.TemporaryDirectory(prefix="enhancer-photos-") as folder:
            _measure(arguments, Path(folder), rows)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    finally:
        print(
            f"\n{arguments.model}, working size {arguments.working_size}\n{aligned([_line(row) for row in rows])}"
        )
        if arguments.json and rows:
            settings = {"model": arguments.model, "working_size": arguments.working_size}
            write_json(arguments.json, {"machine": about, **settings, "rows": rows})
    return 0


def _measure(arguments: Arguments, folder: Path, rows: list[dict[str, Any]]) -> None:
    from benchmarks.cold_cache import cold_cache
    from benchmarks.machine import peak_resident_bytes
    from benchmarks.synthetic_photos import jpeg, render
    from benchmarks.timing import interleaved, median, ratio, seconds_of
    from enhancer.inference.enhancer import Enhancer
    from enhancer.network.restormer import Restormer

    sources = {}
    for name in arguments.aspects:
        height, width = _SIZES[name]
        _progress(f"rendering the {name} photo")
        source = sources[f"{name} {height * width / 1e6:.0f} MP"] = folder / f"{width}x{height}.jpg"
        source.write_bytes(jpeg(render(height, width, seed=0)))
    enhancer = Enhancer(Restormer(MODEL_SIZES[arguments.model]), arguments.working_size)

    def row(photo: str, what: str, seconds: float | None, ratio: "Ratio | None" = None) -> None:
        compared = ratio._asdict() if ratio else None
        rows.append(
            {
                "photo": photo,
                "what": what,
                "seconds": seconds,
                "ratio": compared,
                "peak_resident_bytes": peak_resident_bytes(),
            }
        )
        if seconds is not None:
            _progress(
                f"{photo} {what}: {seconds:.3f} s"
                + (f", ratio {ratio.median:.2f}" if ratio else "")
            )

    row("-", "before the first photo", None)
    destination = folder / "edited.jpg"
    with cold_cache():
        for photo, source in sources.items():
            seconds = seconds_of(
                lambda source=source: enhancer.enhance_file(source, destination, overwrite=True)
            )
            row(photo, "file to file, first (compiles)", seconds)
        for photo, source in sources.items():
            whole = {
                "whole": lambda source=source: enhancer.enhance_file(
                    source, destination, overwrite=True
                )
            }
            times = interleaved(
                whole | _parts(enhancer, source, destination), arguments.repeats, {}
            )
            needed = [sum(parts) for parts in zip(*(times[name] for name in _NEEDED), strict=True)]
            row(
                photo,
                "file to file, next; ratio to decode + network + encode",
                median(times["whole"]),
                ratio(times["whole"], needed),
            )
            for name, seconds in times.items():
                if name != "whole":
                    row(photo, f"  {name}", median(seconds))
        if arguments.folder:
            photo, source = next(iter(sources.items()))
            ways = _folder(enhancer, source, folder, arguments.folder)
            times = interleaved(ways, arguments.repeats, {})
            one_by_one, ahead = (median(times[name]) / arguments.folder for name in ways)
            row(photo, f"folder of {arguments.folder}, one after the other, per photo", one_by_one)
            row(
                photo,
                f"folder of {arguments.folder}, reading ahead, per photo; ratio",
                ahead,
                ratio(*reversed(times.values())),
            )


def _parts(
    enhancer: "Enhancer", source: Path, destination: Path
) -> dict[str, Callable[[], object]]:
    """What `enhance_file` does, step by step."""
    from enhancer.inference.sizes import reduce_photo
    from enhancer.photo.io import read_photo, write_photo

    photo = read_photo(source, keep_depth=True)
    reduced = reduce_photo(photo.pixels, enhancer.working_size)
    edit = enhancer.find_edit(photo.pixels)
    edited = edit.apply(photo.pixels)
    return {
        "decode": lambda: read_photo(source, keep_depth=True),
        "reduce": lambda: reduce_photo(photo.pixels, enhancer.working_size),
        # A photo of the working size passes through it as it is: the compiled program and little more.
        "network": lambda: enhancer.find_edit(reduced),
        "edit transfer": lambda: edit.apply(photo.pixels),
        "encode and write": lambda: write_photo(
            destination, edited, exif=photo.exif, xmp=photo.xmp
        ),
    }


def _folder(
    enhancer: "Enhancer", source: Path, folder: Path, count: int
) -> dict[str, Callable[[], object]]:
    """Two ways to enhance copies of a photo."""
    from enhancer.inference.folder import Settings, enhance_files
    from enhancer.inference.plan import Job

    jobs = [Job(source, folder / f"edited_{index}.jpg") for index in range(count)]

    def one_after_the_other() -> None:
        for job in jobs:
            enhancer.enhance_file(job.source, job.destination, overwrite=True)

    def reading_ahead() -> None:
        enhance_files(enhancer, jobs, Settings(overwrite=True), lambda outcome: None)

    return {"one after the other": one_after_the_other, "reading ahead": reading_ahead}


def _line(row: dict[str, Any]) -> dict[str, Any]:
    compared = row["ratio"] and "{median:.2f} ({low:.2f}, {high:.2f})".format(**row["ratio"])
    line = {
        "photo": row["photo"],
        "what": row["what"],
        "seconds": row["seconds"],
        "ratio": compared,
    }
    # Each part holds what it needs and what the others need; its memory says nothing about `enhance_file`.
    return line | {
        "process peak MB": None if row["what"].startswith(" ") else row["peak_resident_bytes"] / 1e6
    }


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
