"""How many pairs per second the input pipeline delivers when nobody keeps it waiting, and decoding alone."""

import concurrent.futures
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from enhancer.config import StageConfig
from enhancer.data import batches
from enhancer.data.batches import train_batches
from enhancer.data.pairs import decode_pair

_WARM_UP_BATCHES = 2


def pipeline_pairs_per_second(
    source: Any, stage: StageConfig, num_threads: int, seconds: float
) -> float:
    """The rate of `train_batches`: decode, crop, resize, flip, batch. Measured for at least `seconds`."""
    with _threads(num_threads):
        batches = train_batches(source, stage)
        for _ in range(_WARM_UP_BATCHES):
            next(batches)
        started, number = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - started) < seconds or not number:
            next(batches)
            number += 1
        batches.close()
    return number * stage.batch_size / elapsed


def decode_pairs_per_second(source: Any, num_threads: int, seconds: float) -> float:
    """The rate of decoding both pictures of each pair and nothing else: what the pipeline cannot exceed."""
    deadline = time.perf_counter() + seconds

    def decode_until_deadline(_: int) -> int:
        for number, record in enumerate(itertools.cycle(source), 1):
            decode_pair(record)
            if time.perf_counter() > deadline:
                return number
        return 0

    started = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
        number = sum(pool.map(decode_until_deadline, range(num_threads)))
    return number / (time.perf_counter() - started)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """The pipeline's own number is a constant, not a setting; a measurement may still ask what another would bring."""
    before = batches.NUM_THREADS
    batches.NUM_THREADS = number
    try:
        yield
    finally:
        batches.NUM_THREADS = before
