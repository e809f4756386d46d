"""Ways to carry a small edit to a 24 MP photo: how close to the truth, how fast, with how much memory?

    python -m benchmarks.transfer                                            known edits of rendered scenes
    python -m benchmarks.transfer --workdir runs/a --photos PHOTOS           a trained network's edits of real photos
    python -m benchmarks.transfer --workdir runs/a --photos PHOTOS --crops CROPS     and pictures of them to look at

Of a known edit each method gets the photo and the reduced pair, and is held against the edited photo: PSNR over all pixels, over
those within 8 pixels of a strong edge, and the width in pixels of the halo at the window (`benchmarks.transfer_scores`).
Time and memory beyond the photo are those of a process of its own; seconds of all cores together tell less of who else computes.

A real network's edit has no truth at full size. Held against is what the network makes of the photo at `factor` times the size:
"small edit" carries over what it makes of the reduced photo, as a user gets it. There the network sees another picture
and edits on the whole a little differently, so differences wider than about 50 pixels are taken out. "reduced edit" carries
over its own large edit, reduced. "kept" reduces the result of the first again and compares it with the small edit. Ctrl-C keeps what is finished.
"""

import dataclasses
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import tyro

INTERRUPTED, WRONG_USAGE = 130, 2


@dataclasses.dataclass(frozen=True)
class Arguments:
    __doc__ = __doc__

    height: int = 4000
    """Of the rendered photos, in pixels; they are half as wide again."""
    working_size: int = 896
    """Short side of the reduced pair of a rendered photo, in pixels."""
    scenes: tuple[str, ...] = ()
    """Some of the scenes; by default all."""
    methods: tuple[str, ...] = ()
    """Some of the methods; by default all."""
    repeats: int = 3
    """Timed calls of each method on each scene, after one that is not timed; the median counts."""
    workdir: Path | None = None
    """Of a training, or one stage of it: score its edits of `photos` in place of the known edits."""
    photos: Path | None = None
    """Folder of photos to edit."""
    small_side: int = 224
    """Short side of the reduced photos that the network edits, in pixels."""
    factor: int = 4
    """How many times larger the photos are that it is held against."""
    crops: Path | None = None
    """Folder for pictures: the place of each photo that has most contrast, by all methods side by side, at 100 %."""
    json: Path | None = None
    """File for the numbers."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m benchmarks.transfer")
    from benchmarks import machine
    from benchmarks.table import aligned
    from benchmarks.transfer_methods import METHODS
    from benchmarks.transfer_scenes import SCENES
    from enhancer.system.files import write_json

    if refusal := _refusal(arguments, list(SCENES), list(METHODS)):
        print(refusal, file=sys.stderr)
        return WRONG_USAGE
    about = machine.describe()
    print(machine.sentence(about), flush=True)
    rows: list[dict[str, Any]] = []
    methods = arguments.methods or tuple(METHODS)
    try:
        if arguments.workdir and arguments.photos:
            from benchmarks.transfer_real import score_network

            rows_of = score_network(
                arguments.workdir,
                arguments.photos,
                methods,
                arguments.small_side,
                arguments.factor,
                arguments.crops,
            )
        else:
            rows_of = _score_known_edits(arguments, methods)
        for row in rows_of:
            rows.append(row)
            print(
                "  ".join(f"{key} {_short(value)}" for key, value in row.items()),
                file=sys.stderr,
                flush=True,
            )
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    finally:
        print(f"\n{aligned(rows)}\n\nmean of all\n{aligned(_means(rows, methods))}")
        if arguments.json and rows:
            settings = {"height": arguments.height, "working_size": arguments.working_size}
            if arguments.workdir:
                settings = {"small_side": arguments.small_side, "factor": arguments.factor}
            write_json(arguments.json, {"machine": about, **settings, "rows": rows})
    return 0


def _refusal(arguments: Arguments, scenes: list[str], methods: list[str]) -> str | None:
    for name, given, known in (
        ("--scenes", arguments.scenes, scenes),
        ("--methods", arguments.methods, methods),
    ):
        if unknown := set(given) - set(known):
            return (
                f"{name}: there is no {', '.join(sorted(unknown))}; known are {', '.join(known)}."
            )
    if (arguments.workdir is None) != (arguments.photos is None):
        return "--workdir and --photos go together."
    if arguments.photos and not arguments.photos.is_dir():
        return f"--photos: {arguments.photos} is no folder."
    if not 64 <= arguments.working_size < arguments.height:
        return "--working-size must be at least 64 and less than --height."
    if arguments.repeats < 1 or arguments.factor < 2 or arguments.small_side < 64:
        return "--repeats takes 1 or more, --factor 2 or more, --small-side 64 or more."
    return None


def _score_known_edits(arguments: Arguments, methods: tuple[str, ...]):
    import numpy as np

    from benchmarks.timing import median
    from benchmarks.transfer_scenes import SCENES
    from benchmarks.transfer_scores import halo_px, mask_near_edges, psnr_db

    for name in arguments.scenes or SCENES:
        print(f"rendering {name}", file=sys.stderr, flush=True)
        scene = SCENES[name]
        photo, truth = scene.render(arguments.height)
        near_edges = mask_near_edges(photo)
        with tempfile.TemporaryDirectory(prefix="enhancer-transfer-") as folder:
            low_input, low_output = scene.small_pair(photo, truth, arguments.working_size)
            for file, array in (
                ("photo", photo),
                ("low_input", low_input),
                ("low_output", low_output),
            ):
                np.save(f"{folder}/{file}.npy", array)
            for method in methods:
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.one_transfer",
                    method,
                    folder,
                    str(arguments.repeats),
                ]
                cost = json.loads(
                    subprocess.run(command, check=True, capture_output=True, text=True).stdout
                )
                result = np.load(f"{folder}/result.npy")
                everywhere, at_edges = psnr_db(result, truth, near_edges)
                yield {
                    "scene": name,
                    "method": method,
                    "PSNR dB": everywhere,
                    "near edges": at_edges,
                    "halo px": halo_px(result, truth) if scene.has_window else None,
                    "seconds": median(cost["seconds"]),
                    "of all cores": cost["processor_seconds"],
                    "MB": cost["extra_bytes"] / 1e6,
                }


def _means(rows: list[dict[str, Any]], methods: tuple[str, ...]) -> list[dict[str, Any]]:
    """By method, of every column of numbers; what was not measured everywhere counts where it was."""
    means = []
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        columns = {
            key: [row[key] for row in own if isinstance(row[key], (int, float))]
            for key in (own[0] if own else {})
        }
        means.append(
            {"method": method}
            | {key: sum(values) / len(values) for key, values in columns.items() if values}
        )
    return means


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
