"""One light for all photos, whatever the camera's exposure and white balance were, and a learned curve."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enhancer.development import BRIGHT_LUMINANCE, CURVE_END, NUM_KNOTS, Development, normalise_light


def to_srgb(linear):
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


def normalised(photo):
    return np.asarray(jax.jit(normalise_light)(jnp.asarray(photo[None], "float32")))[0]


@pytest.fixture
def room():
    """Linear light of a room, `(12, 10, 3)`."""
    return np.random.default_rng(0).uniform(0.01, 0.4, (12, 10, 3))


def test_the_same_room_exposed_otherwise_becomes_the_same_picture(room):
    np.testing.assert_allclose(normalised(to_srgb(room / 8)), normalised(to_srgb(room)), atol=1e-4)


def test_most_of_the_colour_of_the_light_is_taken_out(room):
    warm = room * [1.5, 1.0, 0.6]
    difference_before = np.abs(to_srgb(warm) - to_srgb(room)).mean()
    difference_after = np.abs(normalised(to_srgb(warm)) - normalised(to_srgb(room))).mean()
    assert difference_after < 0.4 * difference_before


def test_grey_comes_to_the_wanted_luminance_and_stays_grey():
    np.testing.assert_allclose(normalised(np.full((8, 8, 3), 0.2)), to_srgb(np.float64(BRIGHT_LUMINANCE)), atol=1e-4)


def test_each_photo_of_a_batch_has_its_own_factor():
    photos = np.stack([np.full((4, 4, 3), 0.2), np.full((4, 4, 3), 0.9)]).astype("float32")
    out = np.asarray(jax.jit(normalise_light)(jnp.asarray(photos)))
    np.testing.assert_allclose(out[0], out[1], atol=1e-4)


def test_black_stays_black_and_finite():
    np.testing.assert_array_equal(normalised(np.zeros((4, 4, 3))), 0.0)


def test_curve_begins_as_the_identity_and_interpolates_between_its_knots(room):
    development, photo = Development(), jnp.asarray(to_srgb(room)[None], "float32")
    light = normalised(photo[0])[None]
    np.testing.assert_allclose(development(photo), np.minimum(light, 1), atol=1e-6)
    knots = np.sort(np.random.default_rng(1).random((NUM_KNOTS, 3)), axis=0)
    development.curve.assign(knots)
    places = np.linspace(0, CURVE_END, NUM_KNOTS)
    expected = np.stack([np.interp(light[..., c], places, knots[:, c]) for c in range(3)], axis=-1)
    np.testing.assert_allclose(development(photo), expected, atol=1e-5)
