"""One brightness for all photos, whatever the camera's exposure was."""

import jax.numpy as jnp
import numpy as np

from enhancer.exposure import BRIGHT_LUMINANCE, normalise_exposure


def to_srgb(linear):
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


def normalised(photo):
    return np.asarray(normalise_exposure(jnp.asarray(photo[None], "float32")))[0]


def test_the_same_light_exposed_otherwise_becomes_the_same_picture():
    linear = np.random.default_rng(0).uniform(0.01, 0.4, (12, 10, 3))
    bright, dark = normalised(to_srgb(linear)), normalised(to_srgb(linear / 8))
    np.testing.assert_allclose(dark, bright, atol=1e-4)


def test_grey_comes_to_the_wanted_luminance_and_stays_grey():
    out = normalised(np.full((8, 8, 3), 0.2))
    np.testing.assert_allclose(out, to_srgb(np.float64(BRIGHT_LUMINANCE)), atol=1e-4)


def test_each_photo_of_a_batch_has_its_own_factor():
    photos = np.stack([np.full((4, 4, 3), 0.1), np.full((4, 4, 3), 0.9)]).astype("float32")
    out = np.asarray(normalise_exposure(jnp.asarray(photos)))
    np.testing.assert_allclose(out[0], out[1], atol=1e-4)


def test_black_stays_black_and_finite():
    np.testing.assert_array_equal(normalised(np.zeros((4, 4, 3))), 0.0)
