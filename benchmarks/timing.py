"""Timing of programs in turns, so that a machine's slow minutes fall on all of them."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np

# OpenMP's threads spin for a while after their work and would take cores from whoever runs next.
PAUSE_SECONDS = 0.05


class Ratio(NamedTuple):
    """How many times longer one took than the other, by round."""

    median: float
    low: float  # of all rounds, or the 10th percentile of ten and more
    high: float  # likewise, the 90th

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}, {self.high:.2f})"


def seconds_of(call: Callable[[], object]) -> float:
    """Wall time of one call, which must wait for its own results."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def interleaved(
    calls: Mapping[str, Callable[[], object]],
    repeats: int,
    surroundings: Mapping[str, Callable[[], AbstractContextManager[object]]] | None = None,
) -> dict[str, list[float]]:
    """Seconds of each call in each of `repeats` rounds; in a round every call has one turn.

    A call with surroundings runs within them, and once more before its time is taken, because they
    change what is warm. Nothing else is warmed up here.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for round_number in range(repeats):
        turns = list(calls.items())
        first = round_number % len(turns)
        for name, call in turns[first:] + turns[:first]:  # nobody is always the first one
            time.sleep(PAUSE_SECONDS)
            if not surroundings or name not in surroundings:
                seconds[name].append(seconds_of(call))
                continue
            with surroundings[name]():
                call()
                seconds[name].append(seconds_of(call))
    return seconds


def median(values: Sequence[float]) -> float:
    """The middle value, as a plain number for JSON."""
    return float(np.median(values))


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Ratio:
    """Compare round by round: what slowed down both in a round cancels out."""
    ratios = np.asarray(numerators) / np.asarray(denominators)
    ends = np.percentile(ratios, (10, 90) if len(ratios) >= 10 else (0, 100))
    return Ratio(median(ratios), *map(float, ends))


@contextlib.contextmanager
def cold_cache() -> Iterator[None]:
    """Cache compiled programs in a folder that is empty at first and gone at the end."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    before = jax.config.jax_compilation_cache_dir
    with tempfile.TemporaryDirectory(prefix="enhancer-xla-") as folder:
        try:
            jax.config.update("jax_compilation_cache_dir", folder)
            compilation_cache.reset_cache()  # JAX opens its cache once and would stay with it
            yield
        finally:
            jax.config.update("jax_compilation_cache_dir", before)
            compilation_cache.reset_cache()
