"""A group of identical Restormer blocks as one Keras layer with stacked weights."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import jax
import keras

from enhancer.config import ModelConfig, Remat
from enhancer.network.blocks_in_strips import (
    add_gated_feed_forward_in_strips,
    attention_statistics_in_strips,
)
from enhancer.network.layers import (
    attention_statistics,
    fan_in_uniform,
    folded_attention,
    gated_feed_forward,
    layer_norm,
    ones,
    projected_depthwise,
    transposed_attention,
    zeros,
)
from enhancer.network.tensors import Tensor, ops

_FOR_ACCELERATORS = ContextVar("for_accelerators", default=False)


class TransformerBlocks(keras.layers.Layer):
    """Identical Restormer blocks: `x + MDTA(norm(x))`, then `x + GDFN(norm(x))`, for each.

    Every weight is stacked over the blocks, `(num_blocks, ...)`, and the blocks run in one scan, so
    the program that XLA compiles holds one block per group and not `num_blocks` copies.

    Args:
        channels, num_blocks, num_heads: feature channels, blocks in the group, attention heads.
        model: the rest of the shape.
        remat: "block" recomputes a block's activations in the backward pass.

    Call:
        Float `(batch, height, width, channels)` in and out.

    Reference: Restormer (Zamir et al., CVPR 2022), sections 3.1 (MDTA) and 3.2 (GDFN).
    """

    def __init__(
        self,
        channels: int,
        num_blocks: int,
        num_heads: int,
        model: ModelConfig,
        remat: Remat = "none",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if channels % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {channels} channels; choose others.")
        self.num_blocks, self.remat = num_blocks, remat
        # A loop over strips would starve a GPU, and cutting a batch that lies on several devices
        # moves data. With convolution biases the zero border does not stay zero.
        self._in_strips = on_one_cpu_device() and not model.conv_bias
        hidden = int(channels * model.ffn_expansion_factor)
        pieces = {
            "attention_norm_scale": (channels,),
            "attention_temperature": (num_heads,),
            "attention_qkv": (channels, 3 * channels),
            "attention_depthwise": (3, 3, 3 * channels),
            "attention_projection": (channels, channels),
            "ffn_norm_scale": (channels,),
            "ffn_expansion": (channels, 2 * hidden),
            "ffn_depthwise": (3, 3, 2 * hidden),
            "ffn_projection": (hidden, channels),
        }
        if model.norm == "with_bias":
            pieces |= {"attention_norm_bias": (channels,), "ffn_norm_bias": (channels,)}
        if model.conv_bias:
            for name in ("qkv", "depthwise"):
                pieces[f"attention_{name}_bias"] = (3 * channels,)
            for name in ("expansion", "depthwise"):
                pieces[f"ffn_{name}_bias"] = (2 * hidden,)
            pieces |= {"attention_projection_bias": (channels,), "ffn_projection_bias": (channels,)}
        self.stacked = {
            name: self.add_weight(
                name=name,
                shape=(num_blocks, *shape),
                initializer=_stacked_initializer(name, shape),
                trainable=True,
                # Rounding norms and temperatures to bfloat16 saves nothing and costs accuracy.
                autocast="norm" not in name and name != "attention_temperature",
            )
            for name, shape in pieces.items()
        }

    def build(self, input_shape=None):
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        block: Any = keras.remat(self._block) if self.remat == "block" else self._block
        stacked = {name: ops.convert_to_tensor(weight) for name, weight in self.stacked.items()}
        if self.num_blocks > 1 and keras.backend.backend() == "jax":
            return ops.scan(lambda x, weights: (block(x, weights), None), x, stacked)[0]
        for index in range(self.num_blocks):
            x = block(x, {name: weight[index] for name, weight in stacked.items()})
        return x

    def _block(self, x: Tensor, weights: dict[str, Tensor]) -> Tensor:
        return self._add_feed_forward(self._add_attention(x, weights), weights)

    def _add_attention(self, x: Tensor, weights: dict[str, Tensor]) -> Tensor:
        batch, height, width, channels = x.shape
        pixels = (batch, height * width)
        norm, qkv = _norm(weights, "attention"), weights["attention_qkv"]
        depthwise = weights["attention_depthwise"]
        if self._in_strips and is_static(x):
            *statistics, value = attention_statistics_in_strips(x, norm, qkv, depthwise)
            value = ops.reshape(value, (*pixels, channels))
        else:
            biases = [weights.get(f"attention_{name}_bias") for name in ("qkv", "depthwise")]
            filtered = projected_depthwise(layer_norm(x, *norm), qkv, depthwise, *biases)
            filtered = ops.reshape(filtered, (*pixels, 3 * channels))
            query, key, value = ops.split(filtered, 3, axis=-1)
            statistics = attention_statistics(query, key)
        projection, temperature = weights["attention_projection"], weights["attention_temperature"]
        gram, query_squares, key_squares = statistics
        folded = folded_attention(gram, query_squares, key_squares, temperature, projection)
        edited = transposed_attention(value, folded)
        if "attention_projection_bias" in weights:
            edited = edited + weights["attention_projection_bias"]
        return x + ops.reshape(edited, x.shape)

    def _add_feed_forward(self, x: Tensor, weights: dict[str, Tensor]) -> Tensor:
        norm = _norm(weights, "ffn")
        pieces = [weights[f"ffn_{name}"] for name in ("expansion", "depthwise", "projection")]
        if self._in_strips and is_static(x):
            return add_gated_feed_forward_in_strips(x, norm, *pieces)
        biases = [weights.get(f"ffn_{name}_bias") for name in ("expansion", "depthwise")]
        edited = x + gated_feed_forward(layer_norm(x, *norm), *pieces, *biases)
        return (
            edited + weights["ffn_projection_bias"] if "ffn_projection_bias" in weights else edited
        )


def _norm(weights: dict[str, Tensor], half: str) -> tuple[Tensor, ...]:
    names = (f"{half}_norm_scale", f"{half}_norm_bias")
    return tuple(weights[name] for name in names if name in weights)


def _stacked_initializer(name: str, shape: tuple[int, ...]) -> Any:
    if name.endswith("norm_scale") or name == "attention_temperature":
        return ones
    if name.endswith("bias"):
        return zeros
    # Of one block and one output channel, not of the whole stack.
    return fan_in_uniform(9 if "depthwise" in name else shape[0])


def is_static(x: Tensor) -> bool:
    """Whether all lengths are known while the program is traced."""
    return all(isinstance(length, int) and length > 0 for length in x.shape)


@contextlib.contextmanager
def formulated_for_accelerators() -> Iterator[None]:
    """What is built and traced in here is what a GPU would run, whatever device is at hand."""
    token = _FOR_ACCELERATORS.set(True)
    try:
        yield
    finally:
        _FOR_ACCELERATORS.reset(token)


def on_one_cpu_device() -> bool:
    """Whether XLA computes on one CPU device."""
    on_jax = keras.backend.backend() == "jax" and not _FOR_ACCELERATORS.get()
    return on_jax and jax.default_backend() == "cpu" and jax.device_count() == 1
