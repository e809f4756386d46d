"""Can the data keep up with the step, and what does the trainer cost around it?

    python -m benchmarks.pipeline
    python -m benchmarks.pipeline --model small --resolution 256 --batch 1

First the rate of the input pipeline on JPEG pairs in memory, against decoding alone. Then the rate of a short real training
against that of its compiled step, measured before and after it in the same process: 1.00 means that the trainer costs
nothing. Rates count pairs, as the trainer's log does where it says images. Ctrl-C keeps what is finished.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import tyro

from benchmarks.cases import Case, Dtype
from enhancer.config import ModelSize, StageConfig

# What needs JAX and Keras is imported after the command line is understood, so that --help answers at once.

INTERRUPTED, WRONG_USAGE = 130, 2
_PHOTO_SIZES = ((512, 512), (683, 1024))  # height, width
_DATA_RESOLUTION, _DATA_BATCH, _DATA_PAIRS = 512, 4, 16


@dataclasses.dataclass(frozen=True)
class Arguments:
    __doc__ = __doc__

    model: ModelSize = "small"
    """The network that is trained."""
    resolution: int = 128
    """Side of the training crops, a multiple of 8."""
    batch: int = 2
    """Pairs per step."""
    dtype: Dtype = "float32"
    """bfloat16 is the trainer's precision "mixed"."""
    pairs: int = 128
    """Training pairs, 512 x 512: an epoch."""
    epochs: int = 3
    """Epochs that count, after one that compiles."""
    seconds: float = 3.0
    """Time for each measurement of the data side."""
    json: Path | None = None
    """File for the numbers; written anew after every row."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m benchmarks.pipeline")
    if arguments.resolution % 8 or min(arguments.resolution, arguments.batch, arguments.epochs) < 1:
        print(
            "--resolution takes a multiple of 8, --batch and --epochs positive numbers.",
            file=sys.stderr,
        )
        return WRONG_USAGE
    if arguments.pairs < arguments.batch:
        print(
            f"--pairs {arguments.pairs} does not fill a batch of {arguments.batch}.",
            file=sys.stderr,
        )
        return WRONG_USAGE

    from benchmarks import machine
    from enhancer.system.files import write_json

    about = machine.describe()
    print(machine.sentence(about), flush=True)
    found: dict[str, Any] = {"machine": about, "data": []}

    def save() -> None:
        if arguments.json:
            write_json(arguments.json, found)

    try:
        for row in _data_rows(arguments.seconds):
            found["data"].append(row)
            save()
        found["trainer"] = _trainer(arguments)
        save()
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    finally:
        _print_tables(found)
    return 0


def _data_rows(seconds: float):
    from benchmarks.data_rate import decode_pairs_per_second, pipeline_pairs_per_second
    from benchmarks.synthetic_photos import pairs

    stage = StageConfig(resolution=_DATA_RESOLUTION, batch_size=_DATA_BATCH)
    for height, width in _PHOTO_SIZES:
        source = pairs(_DATA_PAIRS, height, width)
        for threads in (1, 2):
            _progress(f"data: {width}x{height}, {threads} threads")
            pipeline = pipeline_pairs_per_second(source, stage, threads, seconds)
            decode = decode_pairs_per_second(source, threads, seconds)
            yield {
                "photo": f"{width}x{height}",
                "resolution": _DATA_RESOLUTION,
                "threads": threads,
                "pipeline_pairs_per_second": pipeline,
                "decode_pairs_per_second": decode,
                "pipeline_over_decode": pipeline / decode,
            }


def _trainer(arguments: Arguments) -> dict[str, Any]:
    from benchmarks.trainer_rate import trainer_against_bare_step

    case = Case(
        "train_step", arguments.model, arguments.resolution, arguments.batch, arguments.dtype
    )
    _progress(f"trainer: {case}")
    rates = trainer_against_bare_step(case, arguments.pairs, arguments.epochs, _PHOTO_SIZES[0])
    return dataclasses.asdict(case) | {"pairs": arguments.pairs, "epochs": arguments.epochs} | rates


def _print_tables(found: dict[str, Any]) -> None:
    from benchmarks.table import aligned

    print()
    print(
        aligned(
            [
                {
                    "photo": row["photo"],
                    "crop": row["resolution"],
                    "threads": row["threads"],
                    "pipeline pairs/s": row["pipeline_pairs_per_second"],
                    "decode pairs/s": row["decode_pairs_per_second"],
                    "ratio": row["pipeline_over_decode"],
                }
                for row in found["data"]
            ]
        )
    )
    if trainer := found.get("trainer"):
        title = f"{trainer['model']} {trainer['size']}x{trainer['batch']} {trainer['dtype']}"
        print(
            f"\n{title}: bare step {trainer['bare_pairs_per_second']:.3g} pairs/s "
            f"({trainer['bare_before_pairs_per_second']:.3g} before, {trainer['bare_after_pairs_per_second']:.3g} after), "
            f"trainer {trainer['trainer_pairs_per_second']:.3g} pairs/s"
        )
        print(
            f"trainer / bare step: {trainer['trainer_over_bare']:.3f}, "
            f"with validation and checkpoints {trainer['whole_epochs_over_bare']:.3f}"
        )


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
