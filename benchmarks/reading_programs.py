"""Readers of a built data set that end in the same: batches of random square crops, uint8, input and target."""

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datasets import build
from enhancer.config import StageConfig
from enhancer.data.augmentation import RandomSquareCrop
from enhancer.data.pairs import Pair

_WARM_UP_BATCHES = 3
NUM_WORKERS = 2


def rate(batches: Iterator[Any], batch_size: int, seconds: float) -> float:
    """Pairs per second over at least `seconds`, after the first batches: nobody's start-up is counted."""
    for _ in range(_WARM_UP_BATCHES):
        next(batches)
    began, number = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < seconds:
        next(batches)
        number += 1
    return number * batch_size / elapsed


def ours(data_dir: Path, stage: StageConfig) -> Iterator[Any]:
    """The trainer's own input: encoded records, decoded in Grain's threads."""
    from enhancer.data.batches import train_batches

    return train_batches(build.source("real_estate", "train", data_dir, "full"), stage)


def tfds_decoding(data_dir: Path, stage: StageConfig) -> Iterator[Any]:
    """The same Grain pipeline over records that TFDS decodes as it does by default."""
    import grain
    import tensorflow_datasets as tfds

    source: Any = tfds.builder("real_estate/full", data_dir=data_dir).as_data_source("train")

    def to_pair(record: dict[str, Any]) -> Pair:
        return Pair(record["id"].decode(), record["input"], record["target"])

    def stack(pairs: Any) -> dict[str, np.ndarray]:
        return {
            role: np.stack([getattr(pair, role) for pair in pairs]) for role in ("input", "target")
        }

    pairs = grain.MapDataset.source(source).seed(0).shuffle().repeat(None).map(to_pair)
    crops = pairs.random_map(RandomSquareCrop(stage.resolution, stage.min_crop_scale))
    batches = crops.batch(stage.batch_size, drop_remainder=True, batch_fn=stack)
    return iter(
        batches.to_iter_dataset(grain.ReadOptions(num_threads=NUM_WORKERS, prefetch_buffer_size=8))
    )


def torch_loader(data_dir: Path, stage: StageConfig) -> Iterator[Any]:
    """A PyTorch DataLoader with worker processes over the same records, decoded and cropped with Pillow."""
    import torch.utils.data

    class Pairs(torch.utils.data.Dataset):
        def __init__(self):
            self._records = None

        def __len__(self) -> int:
            return len(self._opened())

        def __getitem__(self, index: int) -> dict[str, Any]:
            record = self._opened()[index]
            before, after = (
                Image.open(io.BytesIO(record[role])).convert("RGB") for role in ("input", "target")
            )
            side = min(before.size)
            left = int(torch.randint(before.width - side + 1, ()))
            top = int(torch.randint(before.height - side + 1, ()))
            box, size = (left, top, left + side, top + side), (stage.resolution, stage.resolution)
            return {
                role: torch.from_numpy(
                    np.array(picture.crop(box).resize(size, Image.Resampling.BOX))
                )
                for role, picture in (("input", before), ("target", after))
            }

        def _opened(self) -> Any:
            if self._records is None:  # each worker opens the files itself
                self._records = build.source("real_estate", "train", data_dir, "full")
            return self._records

    loader = torch.utils.data.DataLoader(
        Pairs(),
        stage.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=NUM_WORKERS,
        persistent_workers=True,
    )

    def endless() -> Iterator[Any]:
        while True:
            yield from loader

    return endless()
