"""Strip by strip, a block must compute what the plain layers do, and so must its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enhancer.network import blocks_in_strips, layers, strip_scan
from enhancer.network.blocks_in_strips import (
    add_gated_feed_forward_in_strips,
    attention_statistics_in_strips,
)
from enhancer.network.strip_scan import RowStrips
from tests.helpers.xla import AS_FOR_USERS

CHANNELS, HIDDEN = 4, 5
WALKS = {  # shape, pixels and so strips and pictures to a strip
    "strips of three rows": ((2, 12, 7), 3 * 7, 8, 1),
    "last strip two rows below the picture": ((2, 13, 7), 5 * 7, 6, 1),
    "two pictures to a strip": ((6, 3, 3), 2 * 3 * 3, 3, 2),
    "one pixel": ((1, 1, 1), 1, 1, 1),
}


@pytest.fixture(params=WALKS)
def pictures(request, monkeypatch):
    """Pictures, and budgets with which the walk over them is the one that the parameters name."""
    shape, pixels, count, images = WALKS[request.param]
    monkeypatch.setattr(strip_scan, "FEWEST_PIXELS", 1)
    monkeypatch.setattr(strip_scan, "FEWEST_ROWS", 1)

    def walk(shape, widest):
        strips = RowStrips(shape, widest, 4 * pixels * widest)
        assert (strips.count, strips.images) == (count, images)
        return strips

    monkeypatch.setattr(blocks_in_strips, "forward_strips", walk)
    monkeypatch.setattr(blocks_in_strips, "backward_strips", walk)
    traced = (attention_statistics_in_strips, add_gated_feed_forward_in_strips)
    for function in traced:
        function.clear_cache()  # programs for the same shapes but another walk
    yield np.random.default_rng(0).standard_normal((*shape, CHANNELS)).astype("float32")
    for function in traced:
        function.clear_cache()


def weights(*shapes):
    rng = np.random.default_rng(1)
    return [jnp.asarray(rng.standard_normal(shape).astype("float32")) for shape in shapes]


def norm_weights(kind):
    return tuple(weights((CHANNELS,), (CHANNELS,))[: 1 if kind == "bias_free" else 2])


def value_and_gradients(function, *arguments, options=None):
    """The value, and gradients of a sum with uneven weights, so that none is constant by chance."""

    def total(*arguments):
        value = function(*arguments)
        leaves = jax.tree.leaves(value)
        uneven = (jnp.sum(x * jnp.cos(jnp.arange(x.size).reshape(x.shape))) for x in leaves)
        return sum(uneven), value

    gradient = jax.grad(total, argnums=tuple(range(len(arguments))), has_aux=True)
    gradients, value = jax.jit(gradient, compiler_options=options)(*arguments)
    return value, gradients


def assert_equal(ours, plain):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4 * max(1, np.abs(b).max()))


def plain_add_feed_forward(x, norm, *pieces):
    return x + layers.gated_feed_forward(layers.layer_norm(x, *norm), *pieces)


def plain_attention_statistics(x, norm, qkv, depthwise):
    filtered = layers.projected_depthwise(layers.layer_norm(x, *norm), qkv, depthwise)
    query, key, value = jnp.split(filtered, 3, axis=-1)
    flat = (len(x), -1, CHANNELS)
    return *layers.attention_statistics(query.reshape(flat), key.reshape(flat)), value


HALVES = {
    "feed-forward": (
        add_gated_feed_forward_in_strips,
        plain_add_feed_forward,
        ((CHANNELS, 2 * HIDDEN), (3, 3, 2 * HIDDEN), (HIDDEN, CHANNELS)),
    ),
    "attention": (
        attention_statistics_in_strips,
        plain_attention_statistics,
        ((CHANNELS, 3 * CHANNELS), (3, 3, 3 * CHANNELS)),
    ),
}


@pytest.mark.parametrize("half", HALVES)
def test_a_half_and_its_gradients_equal_the_plain_layers(pictures, half):
    in_strips, plain, shapes = HALVES[half]
    arguments = (jnp.asarray(pictures), norm_weights("with_bias"), *weights(*shapes))
    assert_equal(value_and_gradients(in_strips, *arguments), value_and_gradients(plain, *arguments))


@pytest.mark.parametrize("pictures", ["last strip two rows below the picture"], indirect=True)
@pytest.mark.parametrize("half", HALVES)
def test_without_bias_and_optimised_as_users_do_a_half_equals_the_plain_layers(pictures, half):
    in_strips, plain, shapes = HALVES[half]
    arguments = (jnp.asarray(pictures), norm_weights("bias_free"), *weights(*shapes))
    assert_equal(
        value_and_gradients(in_strips, *arguments, options=AS_FOR_USERS),
        value_and_gradients(plain, *arguments),
    )


@pytest.mark.parametrize("pictures", ["last strip two rows below the picture"], indirect=True)
@pytest.mark.parametrize("half", HALVES)
def test_bfloat16_gradients_are_no_less_accurate_than_the_plain_layers(pictures, half):
    in_strips, plain, shapes = HALVES[half]
    arguments = (jnp.asarray(pictures), norm_weights("bias_free"), *weights(*shapes))
    rounded = jax.tree.map(lambda a: a.astype("bfloat16"), arguments)
    widened = jax.tree.map(lambda a: a.astype("float32"), rounded)
    exact = jax.tree.leaves(value_and_gradients(plain, *widened)[1])

    def error(function):
        found = jax.tree.leaves(value_and_gradients(function, *rounded, options=AS_FOR_USERS)[1])
        assert {a.dtype for a in found} == {jnp.dtype("bfloat16")}
        return sum(
            np.linalg.norm(np.asarray(a, "float32") - b) / np.linalg.norm(b)
            for a, b in zip(found, exact, strict=True)
        )

    assert error(in_strips) < 1.25 * error(plain)


def test_norm_weights_keep_their_own_type_under_mixed_precision():
    x = jnp.ones((1, 6, 6, CHANNELS), "bfloat16")
    pieces = [piece.astype("bfloat16") for piece in weights(*HALVES["attention"][2])]

    def total(norm):
        return attention_statistics_in_strips(x, norm, *pieces)[0].sum()

    (d_scale,) = jax.eval_shape(jax.grad(total), norm_weights("bias_free"))
    assert d_scale.dtype == "float32"


@pytest.mark.parametrize(
    ("shape", "widest"),
    [((1, 37, 10, 4), 8), ((2, 64, 512, 48), 254), ((8, 16, 16, 4), 8), ((1, 1, 1, 1), 1)],
)
def test_strips_cover_every_row_once_and_keep_to_their_budget(shape, widest, monkeypatch):
    monkeypatch.setattr(strip_scan, "FEWEST_PIXELS", 1)
    monkeypatch.setattr(strip_scan, "FEWEST_ROWS", 1)
    strips = RowStrips(shape, widest, strip_bytes=8192)
    covered = strips.count * strips.images * strips.rows
    assert covered == strips.batch * (strips.height + strips.excess)
    assert strips.excess < strips.rows
    fits = 4 * strips.images * strips.rows * strips.width * widest <= 8192
    assert fits or (strips.images == 1 and strips.rows == 1)


def test_strips_join_to_the_pictures_that_they_were_taken_from(pictures):
    strips = blocks_in_strips.forward_strips(pictures.shape, 3 * CHANNELS)
    below = strips.pad_below(jnp.asarray(pictures))
    _, taken = strips.scan(lambda carry, index: (carry, strips.take(below, index)), None)
    np.testing.assert_array_equal(strips.join(taken), pictures)
