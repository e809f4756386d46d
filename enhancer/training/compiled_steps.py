"""The programs of a stage: built once for all stages that share a network and what shapes them."""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import keras

from enhancer.config import ModelConfig, StageConfig
from enhancer.network.restormer import Restormer
from enhancer.system.compiler import call_interruptibly
from enhancer.system.console import say
from enhancer.system.interruption import SaveRequests
from enhancer.system.processes import are_several
from enhancer.training.kept_traces import KeptTrace
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
        kept_as: what the network was made of, as JSON has it, where tracing is to be kept for the
            next start.

    Attributes:
        compile_seconds: what compiling, or loading from the cache, has taken.
    """

    def __init__(
        self, network: Callable[..., keras.Model], settings: StageConfig, kept_as: Any = None
    ):
        policy = "mixed_bfloat16" if settings.precision == "mixed" else "float32"
        self.network = network
        model = network(remat=settings.remat, dtype=policy)
        self.optimizer = make_optimizer(settings.weight_decay, model.trainable_variables)
        self.train_step: TrainStep = make_train_step(model, self.optimizer, settings)
        self.eval_step: EvalStep = make_eval_step(model)
        if kept_as is not None:
            shaped_by = [kept_as, {name: getattr(settings, name) for name in COMPILED_FIELDS}]
            self.train_step = KeptTrace(self.train_step, (0,), ["train step", *shaped_by])
            self.eval_step = KeptTrace(self.eval_step, (), ["eval step", *shaped_by])
        self.compile_seconds = 0.0
        self._compiled: set[tuple[Any, ...]] = set()

    def call(
        self, what: str, program: Callable, arguments: tuple, label: str, requests: SaveRequests
    ) -> Any:
        """Call a program; of the first call with pictures of a size say why it takes so long.

        Args:
            what: its name.
            program, arguments: the second argument is the batch.
            label: the stage's name.
            requests: whose signals end that first call at once.
        """
        batch_size, side = arguments[1]["input"].shape[:2]
        if (what, side, batch_size) in self._compiled:
            return program(*arguments)
        text = f"{label}: compiling the {what} for {side} px x {batch_size}"
        started = time.monotonic()
        say(f"{text} ...")
        config: Any = jax.config  # its own annotations know no options
        cached = config.jax_enable_compilation_cache and config.jax_compilation_cache_dir
        after = f"the next start finds it in {cached}" if cached else "it is not kept for later"
        with requests.obeyed_at_once(alone=not are_several()):
            result = call_interruptibly(
                lambda: program(*arguments),
                lambda: say(f"{text} takes XLA longer than usual; {after} ..."),
            )
        self._compiled.add((what, side, batch_size))
        seconds = time.monotonic() - started
        self.compile_seconds += seconds
        say(f"{text} took {seconds:.1f} s")
        return result


def programs_of(model_config: ModelConfig, stage: StageConfig) -> Programs:
    """The programs that train a Restormer; stages that share them compile once."""
    return _programs(model_config, tuple(getattr(stage, name) for name in COMPILED_FIELDS))


@functools.lru_cache(maxsize=4)
def _programs(model_config: ModelConfig, settings: tuple[Any, ...]) -> Programs:
    stage = StageConfig(**dict(zip(COMPILED_FIELDS, settings, strict=True)))
    network = functools.partial(Restormer, model_config)
    return Programs(network, stage, kept_as=dataclasses.asdict(model_config))
