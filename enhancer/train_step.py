"""One optimisation step and one validation step: pure functions of explicit state, jitted, the state donated."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import keras

from enhancer import losses
from enhancer.compilation import compiler_options
from enhancer.restormer import Restormer
from enhancer.train_state import TrainState, by_path, in_order

Arrays = Mapping[str, Any]  # NumPy or JAX
TrainStep = Callable[[TrainState, Arrays], tuple[TrainState, jax.Array]]
EvalStep = Callable[[Arrays, Arrays, Any], jax.Array]


def make_train_step(model: Restormer, optimizer: keras.optimizers.Optimizer) -> TrainStep:
    """Compile-once step: `(state, batch) -> (state, loss)`.

    The batch is uint8 `(batch, height, width, 3)` under "input" and "target"; the loss is float32 `()`, taken before the
    update. The state given in is donated: its buffers are gone afterwards.
    """

    def train_step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, jax.Array]:
        def loss_of(weights: dict[str, jax.Array]) -> jax.Array:
            return losses.l1(_predict(model, weights, batch["input"]), _as_float(batch["target"]))

        loss, gradients = jax.value_and_grad(loss_of)(state.weights)
        new_weights, new_optimizer = optimizer.stateless_apply(
            in_order(state.optimizer, optimizer.variables),
            in_order(gradients, model.trainable_variables),
            in_order(state.weights, model.trainable_variables),
        )
        return TrainState(
            by_path(model.trainable_variables, new_weights), by_path(optimizer.variables, new_optimizer)
        ), loss

    return jax.jit(train_step, donate_argnums=0, compiler_options=compiler_options())


def make_eval_step(model: Restormer) -> EvalStep:
    """Compile-once validation: `(weights, batch, pair_weights) -> sum over pairs of pair weight x mean |error|`.

    The prediction is clipped to [0, 1], as the photo that a user gets is.
    """

    def eval_step(weights: dict[str, jax.Array], batch: dict[str, jax.Array], pair_weights: jax.Array) -> jax.Array:
        prediction = jnp.clip(_predict(model, weights, batch["input"]), 0, 1)
        per_pair = jnp.mean(jnp.abs(prediction - _as_float(batch["target"])), axis=(1, 2, 3))
        return jnp.sum(per_pair * pair_weights)

    return jax.jit(eval_step, compiler_options=compiler_options())


def _predict(model: Restormer, weights: dict[str, jax.Array], pictures: jax.Array) -> jax.Array:
    outputs = model.stateless_call(in_order(weights, model.trainable_variables), [], _as_float(pictures))
    return outputs[0]


def _as_float(pictures: jax.Array) -> jax.Array:
    return pictures.astype("float32") / 255
