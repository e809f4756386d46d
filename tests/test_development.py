"""One light for all photos, whatever the camera's exposure and white balance were, and a learned curve."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enhancer.development import CURVE_END, NUM_KNOTS, Development, normalise_light


def to_srgb(linear):
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


def to_linear(srgb):
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def normalised(photo):
    return np.asarray(jax.jit(normalise_light)(jnp.asarray(photo[None], "float32")))[0]


@pytest.fixture
def room():
    """Linear light of a room, `(12, 10, 3)`."""
    return np.random.default_rng(0).uniform(0.01, 0.4, (12, 10, 3))


def test_of_three_stops_between_two_exposures_six_tenths_of_one_are_left(room):
    """The share of the light that is taken out is 0.8."""
    dark, bright = normalised(to_srgb(room / 8)), normalised(to_srgb(room))
    np.testing.assert_allclose(to_linear(bright) / to_linear(dark), 2**0.6, rtol=1e-3)


def test_most_of_the_colour_of_the_light_is_taken_out(room):
    warm = room * [1.5, 1.0, 0.6]
    difference_before = np.abs(to_srgb(warm) - to_srgb(room)).mean()
    difference_after = np.abs(normalised(to_srgb(warm)) - normalised(to_srgb(room))).mean()
    assert difference_after < 0.4 * difference_before


def test_grey_stays_grey():
    out = normalised(np.full((8, 8, 3), 0.2))
    np.testing.assert_allclose(out, out[0, 0, 0], atol=1e-6)


def test_each_photo_of_a_batch_is_developed_by_itself():
    photos = np.stack([np.full((4, 4, 3), 0.2), np.full((4, 4, 3), 0.9)]).astype("float32")
    both = np.asarray(jax.jit(normalise_light)(jnp.asarray(photos)))
    for index in range(2):
        np.testing.assert_allclose(both[index], normalised(photos[index]), atol=1e-6)


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
