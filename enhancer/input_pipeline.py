"""From any random-access source of encoded pairs to batches of aligned square crops, with Grain.

A source has `len(source)` and `source[i]` returning `{"input": bytes, "target": bytes, ...}`, both encoded pictures (JPEG or
PNG) of the same size. `tfds.data_source(..., decoders=SkipDecoding)` is one; so is a list.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, cast

import cv2
import grain
import numpy as np

from enhancer.config import StageConfig

Pair = dict[str, np.ndarray]  # "input", "target": uint8 (height, width, 3), [0, 255]
Batch = dict[str, np.ndarray]  # "input", "target": uint8 (batch, resolution, resolution, 3), [0, 255]

NUM_THREADS = 2
PREFETCH = 8  # batches decoded ahead of the step


class Source(Protocol):
    """Random access to encoded pairs."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: Any, /) -> dict[str, Any]: ...


def decode_pair(record: Mapping[str, Any]) -> tuple[str, np.ndarray, np.ndarray]:
    """A record's id and its input and target, uint8 `(height, width, 3)` sRGB.

    Raises:
        ValueError: A picture does not decode, or the two differ in size; names the pair.
    """
    name = record.get("id", "without id")
    name = name.decode() if isinstance(name, bytes) else str(name)
    pictures = []
    for role in ("input", "target"):
        pixels = cv2.imdecode(np.frombuffer(record[role], np.uint8), cv2.IMREAD_COLOR_RGB)
        if pixels is None:
            raise ValueError(
                f"The {role} of pair {name} does not decode as a JPEG or PNG picture; build the data again."
            )
        pictures.append(np.asarray(pixels))
    if pictures[0].shape != pictures[1].shape:
        raise ValueError(
            f"Input and target of pair {name} differ in size: {pictures[0].shape} and {pictures[1].shape}; build the data again."
        )
    return name, pictures[0], pictures[1]


class DecodePair(grain.transforms.Map):
    """Encoded pair to a `Pair`."""

    def map(self, element: dict[str, Any]) -> Pair:
        _, photo, target = decode_pair(element)
        return {"input": photo, "target": target}


class RandomSquareCrop(grain.transforms.RandomMap):
    """The same random square of both pictures, resized to `resolution`: nothing is ever squashed.

    The square's side is a uniform fraction in [min_crop_scale, 1] of the photo's short side.
    """

    def __init__(self, resolution: int, min_crop_scale: float):
        self.resolution, self.min_crop_scale = resolution, min_crop_scale

    def random_map(self, element: Pair, rng: np.random.Generator) -> Pair:
        height, width = element["input"].shape[:2]
        side = max(1, round(min(height, width) * rng.uniform(self.min_crop_scale, 1)))
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        return {key: _resized(x[top : top + side, left : left + side], self.resolution) for key, x in element.items()}


class CentreSquareCrop(grain.transforms.Map):
    """The largest square in the middle of both pictures, resized to `resolution`."""

    def __init__(self, resolution: int):
        self.resolution = resolution

    def map(self, element: Pair) -> Pair:
        height, width = element["input"].shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return {key: _resized(x[top : top + side, left : left + side], self.resolution) for key, x in element.items()}


class RandomFlip(grain.transforms.RandomMap):
    """Mirror half of the pairs left to right, input and target together."""

    def random_map(self, element: Pair, rng: np.random.Generator) -> Pair:
        if rng.random() < 0.5:
            return element
        return {key: np.ascontiguousarray(x[:, ::-1]) for key, x in element.items()}


def train_batches(source: Source, stage: StageConfig) -> grain.DatasetIterator:
    """Endless batches: order, crops and flips follow from `stage.seed` and differ from epoch to epoch.

    Returns:
        An iterator over `Batch`; `get_state`/`set_state` continue it exactly.
    """
    _refuse_empty(source)
    dataset = grain.MapDataset.source(cast(Any, source)).seed(stage.seed).shuffle().repeat(None).map(DecodePair())
    dataset = dataset.random_map(RandomSquareCrop(stage.resolution, stage.min_crop_scale))
    if stage.augmentation == "flip":
        dataset = dataset.random_map(RandomFlip())
    dataset = dataset.batch(stage.batch_size, drop_remainder=True)
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=NUM_THREADS, prefetch_buffer_size=PREFETCH)))


def validation_batches(source: Source, stage: StageConfig) -> Iterator[tuple[Batch, np.ndarray]]:
    """Each pair once, in order, as its central square.

    Yields:
        A `Batch` and float32 `(batch,)` weights: 1 for a pair, 0 for a repeat that fills up the last batch, so that every batch has
        the same shape and one compiled program serves all.
    """
    _refuse_empty(source)
    dataset = grain.MapDataset.source(cast(Any, source)).map(DecodePair()).map(CentreSquareCrop(stage.resolution))
    dataset = dataset.batch(stage.batch_size, drop_remainder=False)
    for batch in dataset.to_iter_dataset(grain.ReadOptions(num_threads=NUM_THREADS, prefetch_buffer_size=PREFETCH)):
        count = len(batch["input"])
        weights = (np.arange(stage.batch_size) < count).astype("float32")
        yield {key: np.resize(x, (stage.batch_size, *x.shape[1:])) for key, x in batch.items()}, weights


def steps_per_epoch(source: Source, stage: StageConfig) -> int:
    """Steps in which as many pairs pass as the source holds, rounded down, at least one."""
    return max(1, len(source) // stage.batch_size)


def _resized(x: np.ndarray, side: int) -> np.ndarray:
    if x.shape[:2] == (side, side):
        return np.ascontiguousarray(x)
    return cv2.resize(x, (side, side), interpolation=cv2.INTER_AREA if side < len(x) else cv2.INTER_CUBIC)


def _refuse_empty(source: Source) -> None:
    if len(source) == 0:
        raise ValueError(
            "The data source is empty: there is no pair to train or validate on. Build the data set again."
        )
