"""Where bfloat16 would hurt, and that mixed precision does not use it there."""

import jax.numpy as jnp
import numpy as np

from enhancer.network.restormer import Restormer
from enhancer.training import losses


def test_photo_itself_is_never_rounded(nano):
    """Near white bfloat16's neighbours are 1/256 apart: rounding the photo would cost half of an 8-bit step."""
    photo = np.random.default_rng(0).uniform(0.5, 1, (1, 16, 16, 3)).astype("float32")
    rounded = np.asarray(jnp.asarray(photo).astype("bfloat16").astype("float32"))
    assert np.abs(rounded - photo).max() > 0.4 / 255

    model = Restormer(nano, dtype="mixed_bfloat16")
    model.output_conv.kernel.assign(
        np.zeros(model.output_conv.kernel.shape)
    )  # an edit that changes nothing
    np.testing.assert_array_equal(model(photo), photo)


def test_loss_is_taken_in_float32():
    """A loss in bfloat16 could not tell a validation loss of 0.0500 from one of 0.0501."""
    rng = np.random.default_rng(0)
    target = rng.uniform(0, 1, (2, 64, 64, 3)).astype("float32")
    prediction = jnp.asarray(target + 0.0501).astype("bfloat16")
    exact = np.abs(np.asarray(prediction, "float64") - target).mean()
    assert losses.l1(prediction, jnp.asarray(target)).dtype == "float32"
    np.testing.assert_allclose(losses.l1(prediction, jnp.asarray(target)), exact, rtol=1e-5)
    in_bfloat16 = jnp.mean(jnp.abs(prediction - jnp.asarray(target).astype("bfloat16")))
    assert abs(float(in_bfloat16) - exact) > 1e-5 * exact


def test_small_updates_of_the_weights_are_not_lost(nano):
    """A step of 1e-4 on a weight of 0.1 is a quarter of bfloat16's spacing there, so that training would stand still."""
    weight, change = np.float32(0.1), np.float32(1e-4)
    assert jnp.bfloat16(weight) + jnp.bfloat16(change) == jnp.bfloat16(weight)
    assert {v.dtype for v in Restormer(nano, dtype="mixed_bfloat16").trainable_variables} == {
        "float32"
    }
