"""Strip by strip, a block must compute what the plain layers do, and so must its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enhancer.network import layers, row_strips, strip_attention, strip_feed_forward
from enhancer.network.row_strips import RowStrips
from enhancer.network.strip_attention import attention_statistics_in_strips
from enhancer.network.strip_feed_forward import add_gated_feed_forward_in_strips

CHANNELS, HIDDEN = 4, 5


@pytest.fixture(
    params=[
        ((2, 12, 7), 3 * 7, 8, 1),  # four strips of three rows to a picture
        (
            (2, 13, 7),
            5 * 7,
            6,
            1,
        ),  # three strips, of which the last reaches two rows below the picture
        ((6, 3, 3), 2 * 3 * 3, 3, 2),  # two small pictures to a strip
        ((1, 1, 1), 1, 1, 1),
    ],
    ids=["strips", "ragged last strip", "several pictures to a strip", "one pixel"],
)
def pictures(request, monkeypatch):
    """Pictures, and budgets with which the walk over them is the one that the parameters name."""
    shape, pixels, count, images = request.param
    monkeypatch.setattr(row_strips, "FEWEST_PIXELS", 1)
    monkeypatch.setattr(row_strips, "FEWEST_ROWS", 1)

    def walk(shape, widest):
        strips = RowStrips(shape, widest, 4 * pixels * widest)
        assert (strips.count, strips.images) == (count, images)
        return strips

    for traced in (attention_statistics_in_strips, add_gated_feed_forward_in_strips):
        traced.clear_cache()  # programs for the same shapes but another walk
    for module in (strip_attention, strip_feed_forward):
        monkeypatch.setattr(module, "forward_strips", walk)
        monkeypatch.setattr(module, "backward_strips", walk)
    yield np.random.default_rng(0).standard_normal((*shape, CHANNELS)).astype("float32")
    for traced in (attention_statistics_in_strips, add_gated_feed_forward_in_strips):
        traced.clear_cache()


def weights(*shapes):
    rng = np.random.default_rng(1)
    return [jnp.asarray(rng.standard_normal(shape).astype("float32")) for shape in shapes]


def norm_weights(kind):
    return tuple(weights((CHANNELS,), (CHANNELS,))[: 1 if kind == "bias_free" else 2])


def gradients(function, *arguments):
    """Of a sum with uneven weights, so that no gradient is constant by chance."""

    def total(*arguments):
        leaves = jax.tree.leaves(function(*arguments))
        return sum(jnp.sum(x * jnp.cos(jnp.arange(x.size).reshape(x.shape))) for x in leaves)

    return jax.jit(jax.grad(total, argnums=tuple(range(len(arguments)))))(*arguments)


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


@pytest.mark.parametrize("kind", ["bias_free", "with_bias"])
def test_feed_forward_and_its_gradients_equal_the_plain_layers(pictures, kind):
    pieces = weights((CHANNELS, 2 * HIDDEN), (3, 3, 2 * HIDDEN), (HIDDEN, CHANNELS))
    arguments = (jnp.asarray(pictures), norm_weights(kind), *pieces)
    assert_equal(
        jax.jit(add_gated_feed_forward_in_strips)(*arguments), plain_add_feed_forward(*arguments)
    )
    assert_equal(
        gradients(add_gated_feed_forward_in_strips, *arguments),
        gradients(plain_add_feed_forward, *arguments),
    )


@pytest.mark.parametrize("kind", ["bias_free", "with_bias"])
def test_attention_statistics_and_their_gradients_equal_the_plain_layers(pictures, kind):
    arguments = (jnp.asarray(pictures), norm_weights(kind), *weights((CHANNELS, 12), (3, 3, 12)))
    assert_equal(
        jax.jit(attention_statistics_in_strips)(*arguments), plain_attention_statistics(*arguments)
    )
    assert_equal(
        gradients(attention_statistics_in_strips, *arguments),
        gradients(plain_attention_statistics, *arguments),
    )


@pytest.mark.parametrize(
    "pictures",
    [((2, 12, 7), 3 * 7, 8, 1), ((2, 13, 7), 5 * 7, 6, 1)],
    indirect=True,
    ids=["strips", "ragged last strip"],
)
@pytest.mark.parametrize("half", ["feed_forward", "attention"])
def test_bfloat16_gradients_are_no_less_accurate_than_the_plain_layers(pictures, half):
    if half == "attention":
        in_strips, plain, pieces = (
            attention_statistics_in_strips,
            plain_attention_statistics,
            weights((CHANNELS, 12), (3, 3, 12)),
        )
    else:
        pieces = weights((CHANNELS, 2 * HIDDEN), (3, 3, 2 * HIDDEN), (HIDDEN, CHANNELS))
        in_strips, plain = add_gated_feed_forward_in_strips, plain_add_feed_forward
    x = jnp.asarray(pictures)
    rounded = jax.tree.map(lambda a: a.astype("bfloat16"), (x, norm_weights("bias_free"), *pieces))
    exact = jax.tree.leaves(gradients(plain, *jax.tree.map(lambda a: a.astype("float32"), rounded)))

    def error(function):
        found = jax.tree.leaves(gradients(function, *rounded))
        assert {a.dtype for a in found} == {jnp.dtype("bfloat16")}
        return sum(
            np.linalg.norm(np.asarray(a, "float32") - b) / np.linalg.norm(b)
            for a, b in zip(found, exact, strict=True)
        )

    assert error(in_strips) < 1.25 * error(plain)


def test_norm_weights_keep_their_own_type_under_mixed_precision():
    x = jnp.ones((1, 6, 6, CHANNELS), "bfloat16")
    pieces = [piece.astype("bfloat16") for piece in weights((CHANNELS, 12), (3, 3, 12))]
    _, (d_scale,), *_ = gradients(
        attention_statistics_in_strips, x, norm_weights("bias_free"), *pieces
    )
    assert d_scale.dtype == "float32"


@pytest.mark.parametrize(
    ("shape", "widest"),
    [((1, 37, 10, 4), 8), ((2, 64, 512, 48), 254), ((8, 16, 16, 4), 8), ((1, 1, 1, 1), 1)],
)
def test_strips_cover_every_row_once_and_keep_to_their_budget(shape, widest, monkeypatch):
    monkeypatch.setattr(row_strips, "FEWEST_PIXELS", 1)
    monkeypatch.setattr(row_strips, "FEWEST_ROWS", 1)
    strips = RowStrips(shape, widest, strip_bytes=8192)
    covered = strips.count * strips.images * strips.rows
    assert covered == strips.batch * (strips.height + strips.excess)
    assert strips.excess < strips.rows
    fits = 4 * strips.images * strips.rows * strips.width * widest <= 8192
    assert fits or (strips.images == 1 and strips.rows == 1)


def test_strips_join_to_the_pictures_that_they_were_taken_from(pictures):
    strips = strip_attention.forward_strips(pictures.shape, 3 * CHANNELS)
    below = strips.pad_below(jnp.asarray(pictures))
    _, taken = strips.scan(lambda carry, index: (carry, strips.take(below, index)), None)
    np.testing.assert_array_equal(strips.join(taken), pictures)
