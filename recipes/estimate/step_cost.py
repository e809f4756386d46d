"""What a training step costs a device, by XLA's analyses of its program; nothing is run."""

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
from jax.experimental import topologies

from enhancer.config import ModelConfig, StageConfig
from enhancer.network.blocks import formulated_for_accelerators
from enhancer.network.levels import LEVELS
from enhancer.network.restormer import Restormer
from enhancer.training.optimizer import make_optimizer
from enhancer.training.state import TrainState, initial_state
from enhancer.training.step import StepControls, make_train_step
from recipes.experiment.options import UsageError

DEFAULT_SHARE, LARGEST_SHARE = 0.75, 0.92
"""Of a GPU's memory: what JAX takes unless told otherwise, and what is left beside the driver."""


class Target(NamedTuple):
    """A device that programs are compiled for, there or described."""

    device: Any
    name: str
    bytes_of_memory: float
    """What JAX takes of a GPU by default; 0 for a CPU."""

    def fits(self, needed: float) -> str:
        """Whether a step fits: with what JAX takes by default, with more of it, or not at all."""
        if not self.bytes_of_memory:
            return "not known"
        if needed <= self.bytes_of_memory:
            return "yes"
        more = f"with XLA_PYTHON_CLIENT_MEM_FRACTION={LARGEST_SHARE}"
        return more if needed <= LARGEST_SHARE / DEFAULT_SHARE * self.bytes_of_memory else "no"


def find_target(config: Path | None = None) -> Target:
    """The first device at hand, or the GPU which `config`, a `GpuTargetConfig` as text, describes.

    Raises:
        UsageError: nothing can be compiled for that description.
    """
    if config is None:
        device = jax.devices()[0]
        limit = 0 if device.platform == "cpu" else device.memory_stats()["bytes_limit"]
        return Target(device, device.device_kind, limit)
    os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")  # it asks the driver
    try:
        text = config.read_text()
        described = topologies.get_topology_desc("", "cuda", topology="1x1x1", target_config=text)
    except (OSError, RuntimeError, NotImplementedError) as error:
        raise UsageError(
            f"Nothing can be compiled for {config}: {str(error).partition(chr(10))[0]} It takes "
            f"`uv pip install jax-cuda12-plugin=={jax.__version__} "
            f"jax-cuda12-pjrt=={jax.__version__} nvidia-cuda-nvcc-cu12`."
        ) from error
    name = re.search(r'^\s*name: "([^"]+)"', text, re.MULTILINE)
    size = re.search(r"device_memory_size: (\d+)", text)
    usable = DEFAULT_SHARE * int(size[1]) if size else 0
    return Target(described.devices[0], name[1] if name else config.name, usable)


class StepCost(NamedTuple):
    """What one device needs while it trains."""

    parameters: int
    """Numbers that are learned, not bytes."""
    flops: float
    """Of a step, repetitions by rematerialisation included, before XLA optimises."""
    state_bytes: int
    """Of the donated state, the batch, the first values, and the copy while it is saved."""
    temporary_bytes: int
    """What the step needs besides, from its beginning to its end."""


def step_cost(model_config: ModelConfig, stage: StageConfig, device: Any) -> StepCost:
    """Compile a stage's training step in the formulation of a GPU, and read XLA's analyses."""
    policy = "mixed_bfloat16" if stage.precision == "mixed" else "float32"
    with formulated_for_accelerators():
        model = Restormer(model_config, remat=stage.remat, dtype=policy)
        optimizer = make_optimizer(stage.weight_decay, model.trainable_variables)
        arguments = step_arguments(model, optimizer, stage, device)
        step: Any = make_train_step(model, optimizer, stage)
        lowered = step.lower(*arguments)
        found = lowered.compile().memory_analysis()
    state = arguments[0]
    weights, others, average = map(_bytes, state[:3])
    given = found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
    return StepCost(
        sum(math.prod(x.shape) for x in state.weights.values()),
        # The loop over the parts of a batch is counted once.
        lowered.cost_analysis()["flops"] * stage.gradient_accumulation_steps,
        given + 2 * (weights + others) + average,
        found.temp_size_in_bytes,
    )


def step_arguments(
    model: Restormer, optimizer: keras.optimizers.Optimizer, stage: StageConfig, device: Any
) -> tuple[TrainState, dict[str, Any], StepControls]:
    """A train step's arguments as `jax.ShapeDtypeStruct`s on `device`, without any memory."""

    def arguments():
        state = initial_state(model, optimizer, with_average=stage.ema_decay > 0)
        picture = jnp.zeros((stage.batch_size, stage.resolution, stage.resolution, 3), jnp.uint8)
        rate, factors, request = jnp.zeros(()), jnp.zeros(len(LEVELS)), jnp.zeros(1, jnp.int32)
        controls = StepControls(rate, factors, request)
        return state, {"input": picture, "target": picture}, controls

    sharding = jax.sharding.SingleDeviceSharding(device)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        jax.eval_shape(arguments),
    )


def _bytes(arrays: Mapping[str, Any]) -> int:
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in arrays.values())
