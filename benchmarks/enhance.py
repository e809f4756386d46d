"""From a photo file to an edited photo file: what a user waits for, as a whole and in parts.

    python -m benchmarks.enhance
    python -m benchmarks.enhance --model base --working-size 512

Photos of 24 megapixels (3:2) and 20 megapixels (16:9) are rendered, and the model in the package
edits them, or an untrained network whose edit is a picture, which takes the time that a trained one
takes. Whole and parts take turns, so that a machine's slow minutes fall on all of them; the
ratio says how many times as long as decoding, network and encoding alone the whole takes. A folder
of copies is done as `python -m enhancer` does it, reading ahead, and one after the other.
"""

import dataclasses
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

import tyro

from enhancer.config import MODEL_SIZES, ModelSize

# What needs JAX and Keras is imported once the command line is understood.

INTERRUPTED, WRONG_USAGE = 130, 2
_NEEDED = ("decode", "network", "encode and write")
_SIZES = {"3:2": (4000, 6000), "16:9": (3376, 6000)}


@dataclasses.dataclass(frozen=True)
class Arguments:
    __doc__ = __doc__

    model: ModelSize | None = None
    """A network whose edit is a picture; without it, the retouching one in the package."""
    working_size: int = 896
    """With --model, short side of what the network sees, in pixels."""
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
        name = arguments.model and f"{arguments.model}, working size {arguments.working_size}"
        print(f"\n{name or 'the model in the package'}\n{aligned(rows)}")
        print(f"the process peaked at {machine.peak_resident_bytes() / 1e6:.0f} MB")
        if arguments.json and rows:
            settings = {"model": arguments.model, "working_size": arguments.working_size}
            write_json(arguments.json, {"machine": about, **settings, "rows": rows})
    return 0


def _measure(arguments: Arguments, folder: Path, rows: list[dict[str, Any]]) -> None:
    from benchmarks.synthetic_photos import jpeg, render
    from benchmarks.timing import cold_cache, interleaved, median, ratio, seconds_of
    from enhancer.inference.enhancer import Enhancer
    from enhancer.inference.folder import Settings, enhance_files
    from enhancer.inference.result_names import Job
    from enhancer.network.restormer import Restormer

    sources = {}
    for name in arguments.aspects:
        height, width = _SIZES[name]
        source = sources[f"{name} {height * width / 1e6:.0f} MP"] = folder / f"{width}x{height}.jpg"
        source.write_bytes(jpeg(render(height, width, seed=0)))
    enhancer = Enhancer.load()
    if arguments.model:
        enhancer = Enhancer(Restormer(MODEL_SIZES[arguments.model]), arguments.working_size)
    edited = folder / "edited.jpg"

    def row(photo: str, what: str, seconds: float, compared: object = None) -> None:
        text = compared and str(compared)
        rows.append({"photo": photo, "what": what, "seconds": seconds, "ratio": text})
        print(f"{photo} {what}: {seconds:.3f} s", file=sys.stderr, flush=True)

    def whole(source: Path):
        return lambda: enhancer.enhance_file(source, edited, overwrite=True)

    with cold_cache():
        for photo, source in sources.items():
            row(photo, "file to file, first (compiles)", seconds_of(whole(source)))
        for photo, source in sources.items():
            calls = {"file to file, next": whole(source)} | _parts(enhancer, source, edited)
            times = interleaved(calls, arguments.repeats)
            needed = [sum(parts) for parts in zip(*(times[name] for name in _NEEDED), strict=True)]
            for name, seconds in times.items():
                compared = ratio(seconds, needed) if name.startswith("file") else None
                row(photo, name, median(seconds), compared)
        if not arguments.folder:
            return
        photo, source = next(iter(sources.items()))
        jobs = [Job(source, folder / f"edited_{index}.jpg") for index in range(arguments.folder)]
        settings = Settings(overwrite=True)
        ways = {
            "one after the other": lambda: [whole(source)() for _ in jobs],
            "reading ahead": lambda: enhance_files(enhancer, jobs, settings, lambda outcome: None),
        }
        times = interleaved(ways, arguments.repeats)
        for name, seconds in times.items():
            compared = ratio(seconds, times["one after the other"])
            row(photo, f"folder, {name}, per photo", median(seconds) / len(jobs), compared)


def _parts(enhancer: Any, source: Path, destination: Path) -> dict[str, Any]:
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
        # A photo of the working size passes as it is: the compiled program and little more.
        "network": lambda: enhancer.find_edit(reduced),
        "edit": lambda: edit.apply(photo.pixels),
        "encode and write": lambda: write_photo(destination, edited, metadata=photo.metadata),
    }


if __name__ == "__main__":
    sys.exit(main())
