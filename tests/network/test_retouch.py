"""A retouch cannot do harm, whatever a network answers; zeros leave a photo as it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enhancer.network import retouch
from enhancer.network.retouch import GRID_LEVELS, GRID_SIDE, NUM_LOCAL, NUM_NUMBERS, Retouch


def drawn(seed: int, spread: float = 1.5) -> Retouch:
    """What a network might answer, at random."""
    rng = np.random.default_rng(seed)
    grid = rng.normal(0, spread, (1, GRID_SIDE, GRID_SIDE, GRID_LEVELS, NUM_LOCAL))
    numbers = rng.normal(0, spread, (1, NUM_NUMBERS))
    return Retouch(jnp.asarray(numbers, "float32"), jnp.asarray(grid, "float32"))


def whole_photo(seed: int, spread: float = 1.5) -> Retouch:
    """The same everywhere."""
    return drawn(seed, spread)._replace(grid=jnp.zeros_like(drawn(seed).grid))


apply = jax.jit(retouch.apply)


def flat(*colour: float) -> np.ndarray:
    return np.broadcast_to(np.asarray(colour, "float32"), (1, 24, 24, 3)).copy()


@pytest.mark.parametrize("seed", range(8))
def test_blown_white_stays_white_and_bright_whatever_the_network_says(seed):
    white = np.asarray(apply(drawn(seed), flat(1, 1, 1)))
    assert white.min() > 0.91
    assert np.ptp(white, axis=-1).max() < 1e-5


@pytest.mark.parametrize("seed", range(8))
def test_neutral_stays_neutral_without_gains(seed):
    answer = whole_photo(seed)
    answer = answer._replace(numbers=answer.numbers.at[:, retouch.GAINS].set(0))
    grey = np.linspace(0, 1, 24, dtype="float32")[None, None, :, None] * flat(1, 1, 1)
    assert np.ptp(np.asarray(apply(answer, grey)), axis=-1).max() < 1e-5


@pytest.mark.parametrize("seed", range(8))
def test_brighter_stays_brighter(seed):
    """The edit of a whole photo keeps the order of greys, up to white."""
    answer = whole_photo(seed)
    answer = answer._replace(numbers=answer.numbers.at[:, retouch.SATURATION].set(0))
    lumas = [np.asarray(apply(answer, flat(g, g, g)))[0, 0, 0] @ retouch.LUMA for g in GREYS]
    assert (np.diff(lumas) >= 0).all()
    assert (np.diff(lumas)[len(GREYS) // 2 :] > 0).all()  # darks may all become black


GREYS = np.linspace(0.02, 1, 50)


def test_zeros_change_nothing_much():
    answer = Retouch(*(jnp.zeros_like(part) for part in drawn(0)))
    photo = np.random.default_rng(0).random((1, 40, 60, 3), "float32")
    np.testing.assert_allclose(apply(answer, photo), photo, atol=0.02)


def test_fine_detail_survives_a_bright_edit():
    """A weave on a bright wall keeps its contrast where a curve alone would flatten it."""
    weave = np.where(np.indices((60, 60)).sum(axis=0) % 2, 0.7, 0.66).astype("float32")
    photo = np.repeat(weave[None, ..., None], 3, axis=-1)
    brighten = jnp.zeros((1, NUM_NUMBERS)).at[:, retouch.EXPOSURE].set(1.0)
    edited = np.asarray(apply(Retouch(brighten, jnp.zeros_like(drawn(0).grid)), photo))
    assert edited.mean() > photo.mean() + 0.1
    assert edited.std() > 0.95 * photo.std()


def test_noise_is_not_lifted_without_bound():
    lift = jnp.zeros((1, NUM_NUMBERS)).at[:, retouch.EXPOSURE].set(50.0)
    edited = np.asarray(apply(Retouch(lift, jnp.zeros_like(drawn(0).grid)), flat(*[0.002] * 3)))
    assert edited.max() <= 0.002 * retouch.MAX_RATIO + 1e-6


def test_answers_at_pixels_come_back_where_they_were_given():
    """Left and right, dark and bright: each has its own part of the grid."""
    photo = np.full((1, 48, 48, 3), 0.2, "float32")
    photo[:, :, 24:] = 0.8
    local = np.zeros((1, 48, 48, NUM_LOCAL), "float32")
    local[:, :, :24, retouch.EXPOSURE] = 1.0
    grid = np.asarray(jax.jit(retouch.splat)(local, photo))[0, ..., retouch.EXPOSURE]
    assert grid.shape == (GRID_SIDE, GRID_SIDE, GRID_LEVELS)
    assert grid[:, 0, 1].min() > 0.9
    assert np.abs(grid[:, -1]).max() < 1e-6
    assert np.abs(grid[:, 0, 4]).max() < 1e-6  # nothing bright was seen on the left


def test_gradients_are_finite_on_black_and_white():
    photo = np.concatenate([flat(0, 0, 0)[:, :12], flat(1, 1, 1)[:, 12:]], axis=1)

    def total(numbers, grid):
        return jnp.abs(retouch.apply(Retouch(numbers, grid), photo)).sum()

    for gradient in jax.jit(jax.grad(total, argnums=(0, 1)))(*drawn(0)):
        assert np.isfinite(gradient).all()
