"""All that a training step changes, as arrays by variable path; Keras objects only describe it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras


class TrainState(NamedTuple):
    """Keyed by path and not by position: jit returns dictionaries with sorted keys."""

    weights: dict[str, jax.Array]
    optimizer: dict[str, jax.Array]
    average: dict[str, jax.Array]
    """The weights' exponential moving average; empty in a stage that keeps none."""
    skips_in_a_row: jax.Array
    """int32 `()`: the latest steps in a row whose loss or gradient was not finite."""

    @property
    def scored_weights(self) -> dict[str, jax.Array]:
        """What is validated and handed on: the average where the stage keeps one."""
        return self.average or self.weights


def initial_state(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, *, with_average: bool
) -> TrainState:
    """The state that the variables hold now, copied: a step donates its state."""

    def copies(variables: Sequence[keras.Variable]) -> dict[str, jax.Array]:
        return by_path(variables, [_copy(variable.value) for variable in variables])

    return TrainState(
        copies(model.trainable_variables),
        copies(optimizer.variables),
        copies(model.trainable_variables) if with_average else {},
        jnp.zeros((), "int32"),
    )


def starting_from(state: TrainState, weights: Mapping[str, jax.Array]) -> TrainState:
    """A fresh state that begins with other weights, and so does its average."""
    average = {path: jnp.copy(x) for path, x in weights.items()} if state.average else {}
    return state._replace(weights=dict(weights), average=average)


def _copy(x: jax.Array) -> jax.Array:
    return jax.device_put(x, may_alias=False)  # `jnp.array` would compile a program per shape


def by_path(variables: Sequence[keras.Variable], values: Sequence[Any]) -> dict[str, Any]:
    """Values, in the order of `variables`, by variable path."""
    named = {variable.path: value for variable, value in zip(variables, values, strict=True)}
    if len(named) != len(variables):
        raise ValueError("Two variables share a path; the state cannot tell them apart.")
    return named


def in_order(values: Mapping[str, Any], variables: Sequence[keras.Variable]) -> list[Any]:
    """Values by variable path, in the order of `variables`."""
    return [values[variable.path] for variable in variables]
