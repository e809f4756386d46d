"""How fast does a built data set become batches, against TFDS's decoding and a PyTorch DataLoader?

    python -m benchmarks.reading                (with the extra `torch`; else that row is left out)

Each reader takes stored pairs (683x1024 for crops of 512, 1024x1536 for crops of 896, JPEG at
quality 95) from ArrayRecord files, decodes both pictures, cuts the same random square out of them,
shrinks it to the crop's side and stacks batches of four; two threads or two processes each. The
readers take turns in one process.
"""

import dataclasses
import importlib.util
import io
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tyro

_SHAPES = {512: (683, 1024), 896: (1024, 1536)}  # crop: stored height and width
_BATCH, _NUM_WORKERS, _WARM_UP_BATCHES = 4, 2, 3


@dataclasses.dataclass(frozen=True)
class Arguments:
    __doc__ = __doc__

    pairs: int = 48
    """Of each data set."""
    seconds: float = 5.0
    """Of each turn."""
    rounds: int = 3
    """Turns of each reader."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m benchmarks.reading")
    from benchmarks import machine
    from benchmarks.table import aligned

    print(machine.sentence(machine.describe()), flush=True)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="enhancer-reading-") as scratch:
        for resolution, shape in _SHAPES.items():
            print(f"crops of {resolution} px", file=sys.stderr, flush=True)
            data_dir = _build(Path(scratch) / str(resolution), arguments.pairs, *shape)
            rows += _measure(data_dir, resolution, arguments)
    print("\n" + aligned(rows))
    return 0


def _build(folder: Path, number: int, height: int, width: int) -> Path:
    from benchmarks.synthetic_photos import pairs
    from datasets.build import build

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
    from benchmarks.timing import median, ratio
    from datasets import build
    from enhancer.config import StageConfig
    from enhancer.data.batches import train_batches

    stage = StageConfig(resolution=resolution, batch_size=_BATCH, augmentation="none")
    strong = dataclasses.replace(stage, augmentation="strong")

    def stored() -> Any:
        return build.source("real_estate", "train", data_dir, "full")

    readers = {
        "Grain (the trainer's)": lambda: train_batches(stored(), stage),
        "Grain, strong augmentation": lambda: train_batches(stored(), strong),
        "Grain, decoded by TFDS": lambda: _decoded_by_tfds(data_dir, stage),
    }
    if importlib.util.find_spec("torch"):
        readers["PyTorch DataLoader"] = lambda: _torch_loader(stored, resolution)
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(arguments.rounds):
        names = list(readers)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            batches = readers[name]()
            rates[name].append(_rate(batches, arguments.seconds))
            getattr(batches, "close", lambda: None)()
    ours = next(iter(rates.values()))
    return [
        {"crop": resolution, "reader": name, "pairs/s": median(values),
         "ours is faster by": ratio(ours, values).median}
        for name, values in rates.items()
    ]  # fmt: skip


def _rate(batches: Iterator[Any], seconds: float) -> float:
    """Pairs per second, after the first batches: nobody's start-up is counted."""
    for _ in range(_WARM_UP_BATCHES):
        next(batches)
    began, number = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < seconds:
        next(batches)
        number += 1
    return number * _BATCH / elapsed


def _decoded_by_tfds(data_dir: Path, stage: Any) -> Iterator[Any]:
    """The trainer's Grain pipeline over records that TFDS decodes as it does by default."""
    import grain
    import numpy as np
    import tensorflow_datasets as tfds

    from enhancer.data.augmentation import RandomCrop
    from enhancer.data.pairs import Pair

    source: Any = tfds.builder("real_estate/full", data_dir=data_dir).as_data_source("train")

    def to_pair(record: dict[str, Any]) -> Pair:
        return Pair(record["id"].decode(), record["input"], record["target"])

    def stack(pairs: Any) -> dict[str, np.ndarray]:
        return {role: np.stack([getattr(p, role) for p in pairs]) for role in ("input", "target")}

    pairs = grain.MapDataset.source(source).seed(0).shuffle().repeat(None).map(to_pair)
    crops = pairs.random_map(RandomCrop(stage.resolution, stage.min_crop_scale))
    batches = crops.batch(_BATCH, drop_remainder=True, batch_fn=stack)
    options = grain.ReadOptions(num_threads=_NUM_WORKERS, prefetch_buffer_size=8)
    return iter(batches.to_iter_dataset(options))


def _torch_loader(stored: Any, resolution: int) -> Iterator[Any]:
    """A PyTorch DataLoader with worker processes over the same records, with Pillow."""
    import numpy as np
    import torch.utils.data
    from PIL import Image

    class Pairs(torch.utils.data.Dataset):
        records: Any = None

        def __len__(self) -> int:
            return len(stored())

        def __getitem__(self, index: int) -> dict[str, Any]:
            self.records = self.records or stored()  # each worker opens the files itself
            record = self.records[index]
            before, after = (
                Image.open(io.BytesIO(record[role])).convert("RGB") for role in ("input", "target")
            )
            side = min(before.size)
            left = int(torch.randint(before.width - side + 1, ()))
            top = int(torch.randint(before.height - side + 1, ()))
            box, size = (left, top, left + side, top + side), (resolution, resolution)
            crops = (x.crop(box).resize(size, Image.Resampling.BOX) for x in (before, after))
            before, after = (torch.from_numpy(np.array(crop)) for crop in crops)
            return {"input": before, "target": after}

    options = {"num_workers": _NUM_WORKERS, "persistent_workers": True}
    loader = torch.utils.data.DataLoader(Pairs(), _BATCH, True, drop_last=True, **options)

    def endless() -> Iterator[Any]:
        while True:
            yield from loader

    return endless()


if __name__ == "__main__":
    sys.exit(main())
