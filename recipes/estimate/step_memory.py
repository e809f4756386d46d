"""What a training step takes of a device's memory, by XLA's own analysis of the compiled program. Nothing is run."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras

from enhancer.config import ModelConfig, StageConfig
from enhancer.network.blocks import formulated_for_accelerators
from enhancer.network.levels import LEVELS
from enhancer.network.restormer import Restormer
from enhancer.training.optimizer import make_optimizer
from enhancer.training.state import TrainState, initial_state
from enhancer.training.step import StepControls, make_train_step
from recipes.estimate.compile_target import CompileTarget


class StepMemory(NamedTuple):
    """Bytes on one device while it trains, and what they hold."""

    parameters: int
    """Numbers that are learned, not bytes."""
    weights_bytes: int
    optimizer_bytes: int
    average_bytes: int
    """The moving average of the weights; 0 in a stage that keeps none."""
    arguments_bytes: int
    """What the step is given and leaves: the state, once because it is donated, and the batch."""
    temporary_bytes: int
    """What the step needs besides, from its beginning to its end."""

    @property
    def beside_bytes(self) -> int:
        """What lies beside the step: the network's and optimizer's own first values, and the copy of the state while it is saved."""
        return 2 * (self.weights_bytes + self.optimizer_bytes) + self.average_bytes

    @property
    def total_bytes(self) -> int:
        return self.arguments_bytes + self.beside_bytes + self.temporary_bytes


def step_memory(model_config: ModelConfig, stage: StageConfig, target: CompileTarget) -> StepMemory:
    """Compile a stage's training step for one device, in the formulation of a GPU, and read the analysis.

    Weights and optimizer are made, which is what Keras needs to describe them; nothing of the size of a batch is.

    Args:
        model_config: shape of the network.
        stage: of it counts what shapes the program; `batch_size` is the device's own share.
        target: whose compiler to use. A CPU's says what a GPU's formulation would take there, which is more.
    """
    compiled, state = compiled_step(model_config, stage, target)
    analysis = compiled.memory_analysis()
    return StepMemory(
        parameters=sum(math.prod(x.shape) for x in state.weights.values()),
        weights_bytes=_bytes(state.weights),
        optimizer_bytes=_bytes(state.optimizer),
        average_bytes=_bytes(state.average),
        arguments_bytes=analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
        - analysis.alias_size_in_bytes,
        temporary_bytes=analysis.temp_size_in_bytes,
    )


def compiled_step(
    model_config: ModelConfig, stage: StageConfig, target: CompileTarget
) -> tuple[Any, TrainState]:
    """The compiled program (`jax.stages.Compiled`) and its abstract state."""
    policy = "mixed_bfloat16" if stage.precision == "mixed" else "float32"
    with formulated_for_accelerators():
        model = Restormer(model_config, remat=stage.remat, dtype=policy)
        optimizer = make_optimizer(stage.weight_decay, model.trainable_variables)
        arguments = step_arguments(model, optimizer, stage, target.device)
        return make_train_step(model, optimizer, stage).lower(*arguments).compile(), arguments[0]


def step_arguments(
    model: Restormer, optimizer: keras.optimizers.Optimizer, stage: StageConfig, device: Any
) -> tuple[TrainState, dict[str, Any], StepControls]:
    """A train step's arguments as shapes and dtypes (`jax.ShapeDtypeStruct`) that lie on `device`, without any memory."""
    state = jax.eval_shape(
        lambda: initial_state(model, optimizer, with_average=stage.ema_decay > 0)
    )
    picture = jax.ShapeDtypeStruct(
        (stage.batch_size, stage.resolution, stage.resolution, 3), jnp.uint8
    )
    controls = StepControls(
        learning_rate=jax.ShapeDtypeStruct((), jnp.float32),
        level_factors=jax.ShapeDtypeStruct((len(LEVELS),), jnp.float32),
        request=jax.ShapeDtypeStruct((1,), jnp.int32),
    )
    sharding = jax.sharding.SingleDeviceSharding(device)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        (state, {"input": picture, "target": picture}, controls),
    )


def _bytes(arrays: Mapping[str, Any]) -> int:
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in arrays.values())
