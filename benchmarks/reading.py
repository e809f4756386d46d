"""How fast does a built data set become batches, against TFDS's own decoding and a PyTorch DataLoader doing the same work?

    python -m benchmarks.reading                (with the extra `torch`; without it that row is left out)

Each reader takes stored pairs (683x1024 for crops of 512, 1024x1536 for crops of 896, JPEG at quality 95) from ArrayRecord files,
decodes both pictures, cuts the same random square out of them, shrinks it to the crop's side and stacks batches of four; two threads
or two processes each. The readers take turns in one process. `benchmarks.pipeline` measures the first of them within a training.
"""

import dataclasses
import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import tyro

INTERRUPTED = 130
_SHAPES = {512: (683, 1024), 896: (1024, 1536)}  # crop: stored height and width
_BATCH = 4


@dataclasses.dataclass(frozen=True)
class Arguments:
    __doc__ = __doc__

    pairs: int = 48
    """Of each data set."""
    seconds: float = 5.0
    """Of each turn."""
    rounds: int = 3
    """Turns of each reader."""
    json: Path | None = None
    """File for the numbers."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m benchmarks.reading")
    from benchmarks import machine
    from benchmarks.table import aligned
    from enhancer.system.files import write_json

    about = machine.describe()
    print(machine.sentence(about), flush=True)
    rows: list[dict[str, Any]] = []
    try:
        with tempfile.TemporaryDirectory(prefix="enhancer-reading-") as scratch:
            for resolution in _SHAPES:
                data_dir = _build(
                    Path(scratch) / str(resolution), arguments.pairs, *_SHAPES[resolution]
                )
                rows += _measure(data_dir, resolution, arguments)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    print("\n" + aligned(rows))
    if arguments.json:
        write_json(arguments.json, {"machine": about, "rows": rows})
    return 0


def _build(folder: Path, number: int, height: int, width: int) -> Path:
    from benchmarks.synthetic_photos import pairs
    from datasets.build import build

    print(f"building {number} pairs of {width}x{height}", file=sys.stderr, flush=True)
    source = folder / "source"
    source.mkdir(parents=True)
    lines = []
    for pair in pairs(number, height, width):
        names = {role: f"{pair['id']}_{role}.jpg" for role in ("input", "target")}
        for role, name in names.items():
            (source / name).write_bytes(pair[role])
        lines.append(json.dumps(names) + "\n")
    (source / "train.jsonl").write_text("".join(lines))
    build("real_estate", source, folder / "data", "full")
    return folder / "data"


def _measure(data_dir: Path, resolution: int, arguments: Arguments) -> list[dict[str, Any]]:
    from benchmarks import reading_programs
    from benchmarks.timing import median, ratio
    from enhancer.config import StageConfig

    stage = StageConfig(resolution=resolution, batch_size=_BATCH, augmentation="none")
    strong = dataclasses.replace(stage, augmentation="strong")
    readers = {
        "Grain (the trainer's)": lambda: reading_programs.ours(data_dir, stage),
        "Grain, strong augmentation": lambda: reading_programs.ours(data_dir, strong),
        "Grain, decoded by TFDS": lambda: reading_programs.tfds_decoding(data_dir, stage),
    }
    if importlib.util.find_spec("torch"):
        readers["PyTorch DataLoader"] = lambda: reading_programs.torch_loader(data_dir, stage)
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(arguments.rounds):
        names = list(readers)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            print(
                f"{resolution} px, round {turn + 1} of {arguments.rounds}: {name}",
                file=sys.stderr,
                flush=True,
            )
            batches = readers[name]()
            rates[name].append(reading_programs.rate(batches, _BATCH, arguments.seconds))
            getattr(batches, "close", lambda: None)()
    first = next(iter(readers))
    rows = []
    for name, values in rates.items():
        slower = ratio(rates[first], values)
        rows.append(
            {
                "crop": resolution,
                "reader": name,
                "pairs/s": median(values),
                "ours is faster by": slower.median,
            }
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
