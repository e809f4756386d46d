"""From a photo file to an edited photo file: what a user waits for, as a whole and in parts.

    python -m benchmarks.enhance
    python -m benchmarks.enhance --model base --working-size 512

Photos of 24 megapixels (3:2) and 20 megapixels (16:9, which the network sees in another size and so compiles again) are
rendered, and an untrained network edits them: it takes the time that a trained one takes. Ctrl-C keeps what is finished.
"""

import dataclasses
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from enhancer.config import MODEL_SIZES, ModelSize

if TYPE_CHECKING:
    import numpy as np

    from enhancer.inference import Enhancer

# What needs JAX and Keras is imported after the command line is understood, so that --help answers at once.

INTERRUPTED, WRONG_USAGE = 130, 2
_SIZES = {"3:2": (4000, 6000), "16:9": (3376, 6000)}


@dataclasses.dataclass(frozen=True)
class Arguments:
    __doc__ = __doc__

    model: ModelSize = "small"
    """The network."""
    working_size: int = 512
    """Short side of what the network sees, in pixels."""
    repeats: int = 3
    """Photos after the first, and measurements of each part; the median counts."""
    json: Path | None = None
    """File for the numbers."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m benchmarks.enhance")
    if arguments.repeats < 1 or arguments.working_size < 8:
        print("--repeats takes a positive number and --working-size at least 8.", file=sys.stderr)
        return WRONG_USAGE

    from benchmarks import machine
    from benchmarks.table import aligned
    from enhancer.atomic_file import write_json

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
        print(f"\n{arguments.model}, working size {arguments.working_size}\n{aligned([_line(row) for row in rows])}")
        if arguments.json and rows:
            settings = {"model": arguments.model, "working_size": arguments.working_size}
            write_json(arguments.json, {"machine": about, **settings, "rows": rows})
    return 0


def _measure(arguments: Arguments, folder: Path, rows: list[dict[str, Any]]) -> None:
    from benchmarks.cold_cache import cold_cache
    from benchmarks.machine import peak_resident_bytes
    from benchmarks.synthetic_photos import jpeg, render
    from benchmarks.timing import median, seconds_of
    from enhancer.inference import Enhancer
    from enhancer.restormer import Restormer

    sources = {}
    for name, (height, width) in _SIZES.items():
        _progress(f"rendering the {name} photo")
        source = sources[f"{name} {height * width / 1e6:.0f} MP"] = folder / f"{width}x{height}.jpg"
        source.write_bytes(jpeg(render(height, width, seed=0)))
    enhancer = Enhancer(Restormer(MODEL_SIZES[arguments.model]), arguments.working_size)

    def row(photo: str, what: str, seconds: float | None) -> None:
        rows.append({"photo": photo, "what": what, "seconds": seconds, "peak_resident_bytes": peak_resident_bytes()})
        if seconds is not None:
            _progress(f"{photo} {what}: {seconds:.3f} s")

    row("-", "before the first photo", None)
    destination = folder / "edited.jpg"
    with cold_cache():
        for photo, source in sources.items():

            def whole(source: Path = source) -> None:
                enhancer.enhance_file(source, destination)

            row(photo, "file to file, first (compiles)", seconds_of(whole))
            row(photo, "file to file, next", median([seconds_of(whole) for _ in range(arguments.repeats)]))
        # Last, because the parts' arguments lie in memory all at once, which they never do in `enhance_file`.
        for photo, source in sources.items():
            for what, seconds in _parts(enhancer, source, destination, arguments.repeats).items():
                row(photo, f"  {what}", seconds)


def _parts(enhancer: "Enhancer", source: Path, destination: Path, repeats: int) -> dict[str, float]:
    """Median seconds of what `enhance_file` does, step by step."""
    import cv2
    import numpy as np

    from benchmarks.timing import median, seconds_of
    from enhancer.edit_transfer import transfer_edit
    from enhancer.photo_io import read_photo, write_photo

    photo = read_photo(source)
    height, width = photo.pixels.shape[:2]
    scale = enhancer.working_size / min(height, width)
    low_size = (round(width * scale), round(height * scale))

    def reduced() -> "np.ndarray":
        return cv2.resize(photo.pixels, low_size, interpolation=cv2.INTER_AREA)

    low_input = reduced()
    # A photo of the working size comes back as the network made it: what its compiled program and little more takes.
    low_output = enhancer.enhance(low_input).astype(np.float32) / 255
    edited = transfer_edit(photo.pixels, low_input, low_output)
    steps = {
        "decode": lambda: read_photo(source),
        "reduce": reduced,
        "network": lambda: enhancer.enhance(low_input),
        "edit transfer": lambda: transfer_edit(photo.pixels, low_input, low_output),
        "encode and write": lambda: write_photo(destination, edited, exif=photo.exif),
    }
    return {name: median([seconds_of(step) for _ in range(repeats)]) for name, step in steps.items()}


def _line(row: dict[str, Any]) -> dict[str, Any]:
    line = {"photo": row["photo"], "what": row["what"], "seconds": row["seconds"]}
    # Each part holds what it needs and what the others need; its memory says nothing about `enhance_file`.
    return line | {"process peak MB": None if row["what"].startswith(" ") else row["peak_resident_bytes"] / 1e6}


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
