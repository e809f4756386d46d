"""Training losses."""

import jax
import jax.numpy as jnp


def l1(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Mean absolute error, the loss of both stages and the score of the plan.

    Args:
        prediction, target: float `(batch, height, width, channels)` in [0, 1]; the prediction may leave that range.

    Returns:
        float32 `()`: the mean over everything. Computed in float32 whatever the inputs' dtype.
    """
    return jnp.mean(jnp.abs(prediction.astype("float32") - target.astype("float32")))
