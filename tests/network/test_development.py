"""One light for all photos, whatever exposure and white balance were, and a learned curve."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enhancer.network.development import (
    BRIGHT,
    CURVE_END,
    NORMALISED_SHARE,
    NUM_KNOTS,
    WELL_LIT,
    Development,
    light_factors,
)


def to_srgb(linear):
    return np.where(
        linear <= 0.0031308,
        12.92 * linear,
        1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055,
    )


def factors_of(linear):
    return np.asarray(jax.jit(light_factors)(jnp.asarray(to_srgb(linear)[None], "float32")))[
        0, 0, 0
    ]


@pytest.fixture
def room():
    """Linear light of a room that is not yet well lit, `(12, 10, 3)`."""
    return np.random.default_rng(0).uniform(0.01, 0.3, (12, 10, 3))


def test_of_three_stops_between_two_exposures_only_the_kept_share_is_left(room):
    left = 8 * factors_of(room) / factors_of(room / 8)
    np.testing.assert_allclose(np.log2(left), 3 * (1 - NORMALISED_SHARE), atol=2e-3)


def test_dark_furniture_in_less_than_half_of_a_photo_does_not_make_it_brighter():
    room = np.full((12, 10, 3), 0.2)
    furnished = room.copy()
    furnished[7:] = 0.01
    np.testing.assert_allclose(factors_of(furnished), factors_of(room), rtol=1e-3)


def test_the_colour_of_the_light_is_taken_out_by_the_same_share():
    wall, light = np.full((8, 8, 3), 0.3), np.array([1.5, 1.0, 0.6])
    left = light * factors_of(wall * light) / factors_of(wall)
    np.testing.assert_allclose(
        np.log2(left / left[1]), np.log2(light) * (1 - NORMALISED_SHARE), atol=2e-3
    )


def test_a_photo_that_is_lit_well_already_keeps_what_it_is_brighter_than_others():
    lit = (BRIGHT / WELL_LIT) ** NORMALISED_SHARE
    for brightness in (WELL_LIT, 1.5 * WELL_LIT, 1.0):
        np.testing.assert_allclose(factors_of(np.full((8, 8, 3), brightness)), lit, rtol=2e-3)
    assert factors_of(np.full((8, 8, 3), 0.9 * WELL_LIT)).min() > 1.05 * lit


def test_each_photo_of_a_batch_has_its_own_factors(room):
    both = np.asarray(
        light_factors(jnp.asarray(np.stack([to_srgb(room), to_srgb(room / 4)]), "float32"))
    )
    for index, linear in enumerate((room, room / 4)):
        np.testing.assert_allclose(both[index, 0, 0], factors_of(linear), rtol=1e-4)


def test_black_has_finite_factors():
    assert np.isfinite(factors_of(np.zeros((4, 4, 3)))).all()


def test_curve_begins_as_the_identity_and_interpolates_between_its_knots(room):
    development, photo, factors = Development(), to_srgb(room)[None], np.array([3.0, 2.0, 1.0])
    development.build()
    light = to_srgb(room * factors)[None]
    develop = jax.jit(
        lambda curve: development.stateless_call([curve], [], photo.astype("float32"), factors)[0]
    )
    np.testing.assert_allclose(develop(development.curve.value), np.minimum(light, 1), atol=1e-5)
    knots = np.sort(np.random.default_rng(1).random((NUM_KNOTS, 3)), axis=0)
    places = np.linspace(0, CURVE_END, NUM_KNOTS)
    expected = np.stack([np.interp(light[..., c], places, knots[:, c]) for c in range(3)], axis=-1)
    np.testing.assert_allclose(develop(jnp.asarray(knots, "float32")), expected, atol=1e-5)
