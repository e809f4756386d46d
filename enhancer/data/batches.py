"""From a source of encoded pairs to batches of aligned square crops, with Grain.

Grain's data sets are random access: each batch is a function of the stage's seed and the number of
the step, on however many processes. So a training is continued by the number of its next step, and
no state of the pipeline is ever saved. `enhancer.system.devices` refuses unequal shares.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import grain
import numpy as np

from enhancer.config import StageConfig
from enhancer.data.augmentation import CentreCrop, augmentations
from enhancer.data.pairs import Pair, ReadablePairs, Source

Batch = dict[str, np.ndarray]
""""input" and "target": uint8 `(batch, resolution, resolution, 3)`, [0, 255]."""

NUM_THREADS = 2
PREFETCH = 8  # batches decoded ahead of the step


class TrainBatch(NamedTuple):
    """What one training step sees."""

    ids: list[str]
    """Of the pairs, in the order of the rows."""
    pictures: Batch


def train_batches(
    source: Source | ReadablePairs,
    stage: StageConfig,
    *,
    resolution: int | None = None,
    first_step: int = 0,
    process: int = 0,
    num_processes: int = 1,
    mixed_in: Sequence[Source | ReadablePairs] = (),
) -> grain.DatasetIterator[TrainBatch]:
    """Endless batches from step `first_step` on: all follows from `stage.seed` and the step.

    Order and augmentation differ from epoch to epoch. In place of a damaged record comes the next
    that can be read.

    Args:
        source: the training pairs; as one `ReadablePairs` for the whole stage damaged records are
            reported once.
        stage: the settings.
        resolution: side of the crops in pixels, whose places do not depend on it; None takes the
            stage's.
        first_step: number of the first batch's step, counted from 0 over the stage.
        process, num_processes: which of how many this is. Each gets every `num_processes`-th row of
            each step's batch.
        mixed_in: sources of which a share of `stage.mix_weight` of all rows comes, as much of each,
            evenly spread, augmented alike. Each is shuffled by itself and starts again at its end.

    Returns:
        An iterator over `TrainBatch`; `close()` ends its threads.

    Raises:
        ValueError: `stage.mix_weight` is above 0 and there is nothing to mix in.
        UnreadableDataError: a source is empty; from the iterator, when no pair of one can be read.
    """
    dataset = _shuffled(_readable(source, "training data"), stage.seed)
    if stage.mix_weight:
        if not mixed_in:
            raise ValueError(
                f"mix_weight is {stage.mix_weight}, but there are no pairs to mix in; set it to 0."
            )
        others = [
            _shuffled(_readable(source, "data mixed in"), stage.seed + 1 + place)
            for place, source in enumerate(mixed_in)
        ]
        shares = [stage.mix_weight / len(others)] * len(others)
        dataset = grain.MapDataset.mix([dataset, *others], [1 - stage.mix_weight, *shares])
    for transform in augmentations(stage, resolution or stage.resolution):
        dataset = dataset.random_map(transform)
    rows = stage.batch_size // num_processes
    own = dataset[process::num_processes]
    return _read_ahead(own.batch(rows, drop_remainder=True, batch_fn=_train_batch)[first_step:])


def validation_batches(
    source: Source | ReadablePairs, stage: StageConfig, process: int = 0, num_processes: int = 1
) -> Iterator[tuple[Batch, np.ndarray]]:
    """Each pair once, in order, as its central square; each process its share, in as many batches.

    Yields:
        A `Batch` of `stage.batch_size / num_processes` rows and float32 `(batch,)` weights: 1 for a
        pair, 0 for a filler in place of a damaged pair or at the end, so that one compiled
        program serves all.

    Raises:
        UnreadableDataError: the source is empty, or no pair can be read. On several processes none
            may find out: then all weights are 0.
    """
    rows = stage.batch_size // num_processes
    pairs, crop = _readable(source, "validation data"), CentreCrop(stage.resolution, stage.squash)
    black = np.zeros((stage.resolution, stage.resolution, 3), "uint8")

    def load(batch: int) -> tuple[Batch, np.ndarray]:
        first = batch * stage.batch_size
        end = min(first + stage.batch_size, len(pairs))
        found = map(pairs.read, range(first + process, end, num_processes))
        crops = [crop.map(pair) for pair in found if pair is not None]
        stand_ins = crops or [Pair("", black, black)]
        fillers = [stand_ins[row % len(stand_ins)] for row in range(len(crops), rows)]
        return _stacked(crops + fillers), (np.arange(rows) < len(crops)).astype("float32")

    num_batches = -(-len(pairs) // stage.batch_size)
    yield from _read_ahead(grain.MapDataset.range(num_batches).map(load))


def steps_per_epoch(source: Source | ReadablePairs, stage: StageConfig) -> int:
    """Steps in which all of the source's pairs pass, `stage.passes_per_epoch` times; at least one.
    Pairs that are mixed in do not add steps."""
    return max(1, len(source) * stage.passes_per_epoch // stage.batch_size)


def _shuffled(pairs: ReadablePairs, seed: int) -> grain.MapDataset[Pair]:
    # Pairs are decoded behind the shuffle, by index.
    return grain.MapDataset.source(cast(Any, pairs)).seed(seed).shuffle().repeat(None)


def _read_ahead(dataset: grain.MapDataset) -> grain.DatasetIterator:
    options = grain.ReadOptions(num_threads=NUM_THREADS, prefetch_buffer_size=PREFETCH)
    return iter(dataset.to_iter_dataset(options))


def _train_batch(pairs: Sequence[Pair]) -> TrainBatch:
    return TrainBatch([pair.id for pair in pairs], _stacked(pairs))


def _stacked(pairs: Sequence[Pair]) -> Batch:
    return {role: np.stack([getattr(pair, role) for pair in pairs]) for role in ("input", "target")}


def _readable(source: Source | ReadablePairs, name: str) -> ReadablePairs:
    return source if isinstance(source, ReadablePairs) else ReadablePairs(source, name)
