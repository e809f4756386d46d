"""The programs of a stage: built once for all stages that share a network and what shapes them."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras

from enhancer.config import ModelConfig, StageConfig
from enhancer.network.restormer import Restormer
from enhancer.system.console import say
from enhancer.training.optimizer import make_optimizer
from enhancer.training.step import EvalStep, TrainStep, make_eval_step, make_train_step

COMPILED_FIELDS = (
    "precision",
    "remat",
    "gradient_accumulation_steps",
    "gradient_clip_norm",
    "weight_decay",
    "ema_decay",
    "frozen_levels",
    "unfreeze_every_epochs",
    "level_decay",
)
"""A stage's settings that are part of its programs; the others are values that these are given."""


class Programs:
    """What is compiled for one network and the settings that shape its programs.

    Args:
        network: builds it, such as `Restormer` with its shape; takes `remat` and a `dtype` policy.
        settings: a stage's, of which `COMPILED_FIELDS` count.

    Attributes:
        compile_seconds: what compiling train steps, or loading them from the cache, has taken.
    """

    def __init__(self, network: Callable[..., keras.Model], settings: StageConfig):
        policy = "mixed_bfloat16" if settings.precision == "mixed" else "float32"
        self.network = network
        model = network(remat=settings.remat, dtype=policy)
        self.optimizer = make_optimizer(settings.weight_decay, model.trainable_variables)
        self.train_step: TrainStep = make_train_step(model, self.optimizer, settings)
        self.eval_step: EvalStep = make_eval_step(model)
        self.compile_seconds = 0.0
        self._compiled: set[tuple[int, int]] = set()

    @contextlib.contextmanager
    def compiling(self, side: int, batch_size: int, label: str) -> Iterator[None]:
        """Say before and after the first call with pictures of a size why it takes so long."""
        if (side, batch_size) in self._compiled:
            yield
            return
        what = f"{label}: compiling the train step for {side} px x {batch_size}"
        started = time.monotonic()
        say(f"{what} ...")
        yield
        self._compiled.add((side, batch_size))
        seconds = time.monotonic() - started
        self.compile_seconds += seconds
        say(f"{what} took {seconds:.1f} s")


def programs_of(model_config: ModelConfig, stage: StageConfig) -> Programs:
    """The programs that train a Restormer; stages that share them compile once."""
    return _programs(model_config, tuple(getattr(stage, name) for name in COMPILED_FIELDS))


@functools.lru_cache(maxsize=4)
def _programs(model_config: ModelConfig, settings: tuple[Any, ...]) -> Programs:
    stage = StageConfig(**dict(zip(COMPILED_FIELDS, settings, strict=True)))
    return Programs(functools.partial(Restormer, model_config), stage)
