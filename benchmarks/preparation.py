"""How fast are pairs prepared, against a plain loop over the same files?

    python -m benchmarks.preparation
    python -m benchmarks.preparation --source FIVEK --rounds 5

Three programs take turns, each in a process of its own, start-up included: `python -m datasets
build` with its worker processes, the same in one process, and a loop of rawpy and Pillow that
checks nothing. All make 512-pixel JPEG pairs of DNG and 16-bit ProPhoto TIFF files.
"""

import dataclasses
import functools
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tyro

_LONG_EDGE = 512


@dataclasses.dataclass(frozen=True)
class Arguments:
    __doc__ = __doc__

    source: Path | None = None
    """FiveK in its official layout, expert C; by default small photos are rendered."""
    pairs: int = 12
    """Number of rendered pairs."""
    long_edge: int = 1536
    """Of the rendered photos, in pixels."""
    rounds: int = 3
    """Turns of each program."""
    run: str | None = None
    """One program, here: what the processes that this command starts are told."""
    output: Path = Path()


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m benchmarks.preparation")
    if arguments.run and arguments.source:
        PROGRAMS[arguments.run](arguments.source, arguments.output)
        return 0
    from benchmarks import machine
    from benchmarks.table import aligned
    from benchmarks.timing import interleaved, median, ratio

    print(machine.sentence(machine.describe()), flush=True)
    with tempfile.TemporaryDirectory(prefix="enhancer-preparation-") as scratch:
        source = arguments.source or Path(scratch) / "fivek"
        if arguments.source is None:
            from datasets import miniature

            size = {"long_edge": arguments.long_edge, "fivek_pairs": arguments.pairs}
            miniature.write(Path(scratch), **size, real_estate_pairs={})
        number = len(list((source / "img" / "dng").iterdir()))
        shares: dict[str, list[float]] = {name: [] for name in PROGRAMS}

        def run(name: str) -> None:
            before, began = os.times(), time.perf_counter()
            with tempfile.TemporaryDirectory(dir=scratch) as output:
                command = [sys.executable, "-m", "benchmarks.preparation", "--run", name]
                command += ["--source", str(source), "--output", f"{output}/prepared"]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            used = sum(os.times()[2:4]) - sum(before[2:4])
            seconds = time.perf_counter() - began
            shares[name].append(100 * used / seconds / (os.cpu_count() or 1))

        times = interleaved(
            {name: functools.partial(run, name) for name in PROGRAMS}, arguments.rounds
        )
    rows = [
        {
            "program": name,
            "pairs/s": number / median(seconds),
            "times the plain loop": str(ratio(times["plain loop"], seconds)),
            "CPU %": median(shares[name]),
        }
        for name, seconds in times.items()
    ]
    print("\n" + aligned(rows))
    return 0


def _build(source: Path, output: Path, num_workers: int | None = None) -> None:
    from datasets.build import build

    build("fivek", source, output, f"c_{_LONG_EDGE}", num_workers=num_workers)


def _plain_loop(source: Path, output: Path) -> None:
    """What one would write first: one file after another, nothing checked, nothing resumable."""
    import rawpy
    from PIL import Image, ImageCms

    srgb = ImageCms.createProfile("sRGB")
    output.mkdir()
    for path in sorted((source / "img" / "dng").iterdir()):
        with rawpy.imread(str(path)) as raw:
            developed = raw.postprocess(use_camera_wb=True, no_auto_bright=True, gamma=(2.4, 12.92))
        target = source / "img" / "tiff16_c" / f"{path.stem}.tif"
        with Image.open(target) as tiff:  # Pillow keeps 8 of its 16 bits
            profile = ImageCms.ImageCmsProfile(io.BytesIO(tiff.info["icc_profile"]))
            after = ImageCms.profileToProfile(tiff, profile, srgb)
        for role, picture in (("input", Image.fromarray(developed)), ("target", after)):
            picture.thumbnail((_LONG_EDGE, _LONG_EDGE), Image.Resampling.BOX)
            picture.save(output / f"{path.stem}_{role}.jpg", quality=95, subsampling=0)


PROGRAMS = {
    "worker processes": _build,
    "one process": lambda source, output: _build(source, output, 0),
    "plain loop": _plain_loop,
}


if __name__ == "__main__":
    sys.exit(main())
