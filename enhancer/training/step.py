"""One optimisation step and one validation step: pure functions of explicit state, jitted."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras

from enhancer.config import StageConfig
from enhancer.network.levels import has_one_rate, level_of, never_trained
from enhancer.system.compiler import compiler_options
from enhancer.training.state import TrainState, by_path, in_order

Arrays = Mapping[str, Any]  # NumPy or JAX
EvalStep = Callable[[Arrays, Arrays, Any], tuple[jax.Array, jax.Array]]


class StepControls(NamedTuple):
    """What the loop says to one step. Values, not constants: changing them compiles nothing."""

    learning_rate: Any
    """float32 `()`."""
    level_factors: Any
    """float32 `(8,)`: `enhancer.network.levels.learning_rate_factors`."""
    request: Any
    """int32 `(devices,)`: what each process asks of all, see `enhancer.system.interruption`."""


class StepReport(NamedTuple):
    """What one step says to the loop, once it has run."""

    loss: jax.Array
    """float32 `()`: L1 before the update."""
    gradient_norm: jax.Array
    """float32 `()`: global L2 norm before clipping, over the levels that learn."""
    skips_in_a_row: jax.Array
    """int32 `()`: steps in a row that changed nothing, this one included; 0 after an update."""
    request: jax.Array
    """int32 `()`: the greatest request of all processes."""


TrainStep = Callable[[TrainState, Arrays, StepControls], tuple[TrainState, StepReport]]


def make_train_step(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, stage: StageConfig
) -> TrainStep:
    """Compile-once step: `(state, batch, controls) -> (state, report)`.

    The batch is uint8 `(batch, height, width, 3)` under "input" and "target". The state given in is
    donated. A step whose loss or gradient is not finite changes nothing.

    Args:
        model, optimizer: describe the computation; their own values are not used.
        stage: of which `enhancer.training.compiled_steps.COMPILED_FIELDS` count.
    """
    variables = model.trainable_variables
    still = never_trained(stage, (variable.path for variable in variables))
    one_rate = has_one_rate(stage)
    described: Any = optimizer  # its own annotations know these two as plain numbers
    rate_path, updates_path = described.learning_rate.path, described.iterations.path

    def loss_of(weights: dict[str, jax.Array], batch: Arrays) -> jax.Array:
        weights = {
            path: jax.lax.stop_gradient(x) if path in still else x for path, x in weights.items()
        }
        return l1(_predict(model, weights, batch["input"]), _as_float(batch["target"]))

    def train_step(
        state: TrainState, batch: dict[str, jax.Array], controls: StepControls
    ) -> tuple[TrainState, StepReport]:
        loss, gradients = _accumulated(jax.value_and_grad(loss_of), state.weights, batch, stage)
        factors = {path: controls.level_factors[level_of(path)] for path in gradients}
        learning = gradients
        if not one_rate:
            learning = {path: g * (factors[path] > 0) for path, g in gradients.items()}
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in learning.values()))
        clipping = jnp.minimum(1, stage.gradient_clip_norm / jnp.maximum(norm, 1e-12))

        old_optimizer = state.optimizer | {rate_path: controls.learning_rate}
        new_weights, new_optimizer = optimizer.stateless_apply(
            in_order(old_optimizer, optimizer.variables),
            # Frozen levels' gradients go into the optimizer's moments, so that they are ready when
            # a level is set free.
            [g * clipping for g in in_order(gradients, variables)],
            in_order(state.weights, variables),
        )
        weights = by_path(variables, new_weights)
        if not one_rate:
            # AdamW's change is proportional to the learning rate, decay included.
            weights = {
                path: old + factors[path] * (weights[path] - old)
                for path, old in state.weights.items()
            }
        new_optimizer = by_path(optimizer.variables, new_optimizer)
        average = _averaged(state.average, weights, new_optimizer[updates_path], stage.ema_decay)

        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        skips = jnp.where(finite, 0, state.skips_in_a_row + 1).astype("int32")
        changed = TrainState(weights, new_optimizer, average, skips)
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), changed, state)
        report = StepReport(loss, norm, skips, jnp.max(controls.request))
        return kept._replace(skips_in_a_row=skips), report

    return jax.jit(train_step, donate_argnums=0, compiler_options=compiler_options())


def make_eval_step(model: keras.Model) -> EvalStep:
    """Compile-once validation: `(weights, batch, pair_weights) -> (error, weight)`, both sums.
    The prediction is clipped to [0, 1], as the photo that a user gets is."""

    def eval_step(
        weights: dict[str, jax.Array], batch: dict[str, jax.Array], pair_weights: jax.Array
    ):
        prediction = jnp.clip(_predict(model, weights, batch["input"]), 0, 1)
        per_pair = jnp.mean(jnp.abs(prediction - _as_float(batch["target"])), axis=(1, 2, 3))
        return jnp.sum(per_pair * pair_weights), jnp.sum(pair_weights)

    return jax.jit(eval_step, compiler_options=compiler_options())


def l1(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Mean absolute error, the loss of both stages and the score, float32 `()`.

    Args:
        prediction, target: float `(batch, height, width, channels)`, about [0, 1].
    """
    return jnp.mean(jnp.abs(prediction.astype("float32") - target.astype("float32")))


def _accumulated(value_and_gradients: Callable, weights: Arrays, batch: Arrays, stage: StageConfig):
    """Loss and gradients of the batch, taken in equal parts, one after the other."""
    parts = stage.gradient_accumulation_steps
    if parts == 1:
        return value_and_gradients(weights, batch)

    def part(total, micro_batch):
        return jax.tree.map(jnp.add, total, value_and_gradients(weights, micro_batch)), None

    # Every parts-th row goes into a part, so that each part of a batch lying on several devices
    # lies on all of them.
    cut = jax.tree.map(
        lambda x: jnp.moveaxis(x.reshape(len(x) // parts, parts, *x.shape[1:]), 1, 0), batch
    )
    zeros = jnp.zeros((), "float32"), jax.tree.map(jnp.zeros_like, weights)
    total, _ = jax.lax.scan(part, zeros, cut)
    return jax.tree.map(lambda x: x / parts, total)


def _averaged(
    average: Arrays, weights: Arrays, updates: jax.Array, decay: float
) -> dict[str, jax.Array]:
    """The moving average one update later. Its memory grows: it forgets where training began."""
    decay_now = jnp.minimum(decay, (1 + updates) / (10 + updates)).astype("float32")
    return {path: old + (1 - decay_now) * (weights[path] - old) for path, old in average.items()}


def _predict(model: keras.Model, weights: Arrays, pictures: jax.Array) -> jax.Array:
    outputs = model.stateless_call(
        in_order(weights, model.trainable_variables), [], _as_float(pictures)
    )
    return outputs[0]


def _as_float(pictures: jax.Array) -> jax.Array:
    return pictures.astype("float32") / 255
