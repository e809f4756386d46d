"""Strip by strip, a block must compute what the plain layers do, and so must its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from enhancer import layers, row_strips
from enhancer.row_strips import RowStrips, forward_strips
from enhancer.strip_attention import attention_statistics_in_strips
from enhancer.strip_feed_forward import add_gated_feed_forward_in_strips

CHANNELS, HIDDEN = 4, 5


@pytest.fixture(
    params=[(2, 12, 7), (2, 13, 7), (6, 3, 3), (1, 1, 1), (1, 9, 2)],
    ids=["strips", "ragged last strip", "several pictures to a strip", "one pixel", "narrow"],
)
def pictures(request, monkeypatch):
    """Pictures and budgets with which the walk is in strips of three rows, or of six small pictures."""
    batch, height, width = request.param
    widest = 3 * CHANNELS
    monkeypatch.setattr(row_strips, "FEWEST_PIXELS", 1)
    for name in ("FORWARD_STRIP_BYTES", "BACKWARD_STRIP_BYTES"):
        monkeypatch.setattr(row_strips, name, 9 * 4 * 7 * widest if batch == 6 else 3 * 4 * 7 * 32)
    return np.random.default_rng(0).standard_normal((batch, height, width, CHANNELS)).astype("float32")


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


@pytest.mark.parametrize("kind", ["bias_free", "with_bias"])
def test_feed_forward_and_its_gradients_equal_the_plain_layers(pictures, kind):
    def plain(x, norm, *pieces):
        return x + layers.gated_feed_forward(layers.layer_norm(x, *norm), *pieces)

    pieces = weights((CHANNELS, 2 * HIDDEN), (3, 3, 2 * HIDDEN), (HIDDEN, CHANNELS))
    arguments = (jnp.asarray(pictures), norm_weights(kind), *pieces)
    assert_equal(jax.jit(add_gated_feed_forward_in_strips)(*arguments), plain(*arguments))
    assert_equal(gradients(add_gated_feed_forward_in_strips, *arguments), gradients(plain, *arguments))


@pytest.mark.parametrize("kind", ["bias_free", "with_bias"])
def test_attention_statistics_and_their_gradients_equal_the_plain_layers(pictures, kind):
    def plain(x, norm, qkv, depthwise):
        filtered = layers.projected_depthwise(layers.layer_norm(x, *norm), qkv, depthwise)
        query, key, value = jnp.split(filtered, 3, axis=-1)
        flat = (len(x), -1, CHANNELS)
        return *layers.attention_statistics(query.reshape(flat), key.reshape(flat)), value

    arguments = (jnp.asarray(pictures), norm_weights(kind), *weights((CHANNELS, 12), (3, 3, 12)))
    assert_equal(jax.jit(attention_statistics_in_strips)(*arguments), plain(*arguments))
    assert_equal(gradients(attention_statistics_in_strips, *arguments), gradients(plain, *arguments))


def test_bfloat16_pictures_and_weights_keep_their_type():
    x = jnp.ones((1, 6, 6, CHANNELS), "bfloat16")
    pieces = weights((CHANNELS, 2 * HIDDEN), (3, 3, 2 * HIDDEN), (HIDDEN, CHANNELS))
    pieces = [piece.astype("bfloat16") for piece in pieces]
    arguments = (x, norm_weights("bias_free"), *pieces)
    assert add_gated_feed_forward_in_strips(*arguments).dtype == "bfloat16"
    d_x, (d_scale,), *rest = gradients(add_gated_feed_forward_in_strips, *arguments)
    assert d_x.dtype == "bfloat16"
    assert d_scale.dtype == "float32"
    assert {piece.dtype for piece in rest} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize(
    ("shape", "widest"), [((1, 37, 10, 4), 8), ((2, 64, 512, 48), 254), ((8, 16, 16, 4), 8), ((1, 1, 1, 1), 1)]
)
def test_strips_cover_every_row_once_and_keep_to_their_budget(shape, widest, monkeypatch):
    monkeypatch.setattr(row_strips, "FEWEST_PIXELS", 1)
    strips = RowStrips(shape, widest, strip_bytes=8192)
    covered = strips.count * strips.images * strips.rows
    assert covered == strips.batch * (strips.height + strips.excess)
    assert strips.excess < strips.rows
    fits = 4 * strips.images * strips.rows * strips.width * widest <= 8192
    assert fits or (strips.images == 1 and strips.rows == 1)


def test_strips_join_to_the_pictures_that_they_were_taken_from(pictures):
    strips = forward_strips(pictures.shape, 3 * CHANNELS)
    below = strips.pad_below(jnp.asarray(pictures))
    _, taken = strips.scan(lambda carry, index: (carry, strips.take(below, index)), None)
    np.testing.assert_array_equal(strips.join(taken), pictures)
