# pyright: reportIndexIssue=false, reportOperatorIssue=false, reportOptionalOperand=false, reportOptionalSubscript=false, reportOptionalIterable=false, reportReturnType=false
# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false, reportOptionalMemberAccess=false, reportAttributeAccessIssue=false
# (keras.ops annotates its results so loosely, None included, that no arithmetic on them checks)
"""A group of identical Restormer blocks as one Keras layer with stacked weights."""

import contextlib
import functools
from collections.abc import Iterator
from contextvars import ContextVar

import jax
import keras
from keras import KerasTensor, ops

from enhancer.config import ModelConfig, Remat
from enhancer.network.layers import (
    attention_statistics,
    fan_in_uniform,
    folded_attention,
    gated_feed_forward,
    layer_norm,
    projected_depthwise,
    transposed_attention,
)
from enhancer.network.strip_attention import attention_statistics_in_strips
from enhancer.network.strip_feed_forward import add_gated_feed_forward_in_strips

_FOR_ACCELERATORS = ContextVar("for_accelerators", default=False)


class TransformerBlocks(keras.layers.Layer):
    """A group of identical Restormer blocks: `x + MDTA(norm(x))`, then `x + GDFN(norm(x))`, for each block.

    Every weight is stacked over the blocks, `(num_blocks, ...)`, and the blocks run in one scan, so the program that
    XLA compiles holds one block per group and not `num_blocks` copies.

    Args:
        channels: feature channels.
        num_blocks: blocks in the group.
        num_heads: attention heads.
        model: the rest of the shape.
        remat: "block" recomputes a block's activations in the backward pass.

    Call:
        Float `(batch, height, width, channels)` in and out. `attention`: what each block attends with instead of the picture's own,
        float `(num_blocks, batch or 1, channels, channels)`, see `enhancer.network.layers.folded_attention`; each pixel's result then
        depends on its neighbourhood alone. `return_attention=True` returns `(x, attention)`.

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
            raise ValueError(
                f"{num_heads} heads do not divide {channels} channels; choose dim and num_heads to match."
            )
        self.num_blocks, self.remat = num_blocks, remat
        # A loop over strips would starve a GPU, and cutting a batch that lies on several devices moves data.
        # With convolution biases the projection does not map the zero border to zero, which the strips count on.
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

    def build(self, input_shape):
        self.built = True

    def _block(
        self,
        x: KerasTensor,
        weights: dict[str, KerasTensor],
        attention: KerasTensor | None = None,
        return_attention: bool = False,
    ) -> KerasTensor | tuple[KerasTensor, KerasTensor]:
        x, attention = self._add_attention(x, weights, attention)
        edited = self._add_feed_forward(x, weights)
        return (edited, attention) if return_attention else edited

    def _add_attention(
        self, x: KerasTensor, weights: dict[str, KerasTensor], attention: KerasTensor | None
    ) -> tuple[KerasTensor, KerasTensor]:
        """The block's first half, and what it attended with."""
        if attention is None:
            attention, value = self._attention_and_value(x, weights)
        else:
            value = self._value(x, weights)
        edited = transposed_attention(value, attention)
        if "attention_projection_bias" in weights:
            edited = edited + weights["attention_projection_bias"]
        return x + ops.reshape(edited, x.shape), attention

    def _attention_and_value(
        self, x: KerasTensor, weights: dict[str, KerasTensor]
    ) -> tuple[KerasTensor, KerasTensor]:
        batch, height, width, channels = x.shape
        norm = _norm(weights, "attention")
        if self._in_strips and is_static(x):
            gram, query_squares, key_squares, value = attention_statistics_in_strips(
                x, norm, weights["attention_qkv"], weights["attention_depthwise"]
            )
        else:
            qkv = projected_depthwise(
                layer_norm(x, *norm),
                weights["attention_qkv"],
                weights["attention_depthwise"],
                weights.get("attention_qkv_bias"),
                weights.get("attention_depthwise_bias"),
            )
            query, key, value = ops.split(
                ops.reshape(qkv, (batch, height * width, 3 * channels)), 3, axis=-1
            )
            gram, query_squares, key_squares = attention_statistics(query, key)
        value = ops.reshape(value, (batch, height * width, channels))
        attention = folded_attention(
            gram,
            query_squares,
            key_squares,
            weights["attention_temperature"],
            weights["attention_projection"],
        )
        return attention, value

    def _value(self, x: KerasTensor, weights: dict[str, KerasTensor]) -> KerasTensor:
        """The value alone, for an attention that is known: a third of the work, and too narrow to gain from strips."""
        batch, height, width, channels = x.shape
        pieces = (
            weights.get(f"attention_{name}")
            for name in ("qkv", "depthwise", "qkv_bias", "depthwise_bias")
        )
        of_value = (None if piece is None else piece[..., -channels:] for piece in pieces)
        value = projected_depthwise(layer_norm(x, *_norm(weights, "attention")), *of_value)
        return ops.reshape(value, (batch, height * width, channels))

    def _add_feed_forward(self, x: KerasTensor, weights: dict[str, KerasTensor]) -> KerasTensor:
        norm = _norm(weights, "ffn")
        expansion, depthwise = weights["ffn_expansion"], weights["ffn_depthwise"]
        projection = weights["ffn_projection"]
        if self._in_strips and is_static(x):
            return add_gated_feed_forward_in_strips(x, norm, expansion, depthwise, projection)
        edited = x + gated_feed_forward(
            layer_norm(x, *norm),
            expansion,
            depthwise,
            projection,
            weights.get("ffn_expansion_bias"),
            weights.get("ffn_depthwise_bias"),
        )
        return (
            edited + weights["ffn_projection_bias"] if "ffn_projection_bias" in weights else edited
        )

    def call(
        self, x: KerasTensor, attention: KerasTensor | None = None, return_attention: bool = False
    ):
        block = functools.partial(self._block, return_attention=return_attention)
        if self.remat == "block":
            block = keras.remat(block)
        stacked = {name: ops.convert_to_tensor(weight) for name, weight in self.stacked.items()}

        def step(x: KerasTensor, pieces: tuple) -> tuple[KerasTensor, KerasTensor | None]:
            edited = block(x, *pieces)
            return edited if return_attention else (edited, None)

        if self.num_blocks == 1 or keras.backend.backend() != "jax":
            maps = []
            for index in range(self.num_blocks):
                weights = {name: weight[index] for name, weight in stacked.items()}
                x, own = step(x, (weights, None if attention is None else attention[index]))
                maps.append(own)
            return (x, ops.stack(maps)) if return_attention else x
        x, maps = ops.scan(step, x, (stacked, attention))
        return (x, maps) if return_attention else x


def _norm(weights: dict[str, KerasTensor], half: str) -> tuple[KerasTensor, ...]:
    return tuple(
        weights[name] for name in (f"{half}_norm_scale", f"{half}_norm_bias") if name in weights
    )


def is_static(x: KerasTensor) -> bool:
    """Whether all lengths are known while the program is traced."""
    return all(isinstance(length, int) and length > 0 for length in x.shape)


@contextlib.contextmanager
def formulated_for_accelerators() -> Iterator[None]:
    """Networks built, and programs traced, in here are what a GPU would run, whatever device is at hand."""
    token = _FOR_ACCELERATORS.set(True)
    try:
        yield
    finally:
        _FOR_ACCELERATORS.reset(token)


def on_one_cpu_device() -> bool:
    """Whether XLA computes on one CPU device."""
    if _FOR_ACCELERATORS.get():
        return False
    return (
        keras.backend.backend() == "jax"
        and jax.default_backend() == "cpu"
        and jax.device_count() == 1
    )


def _stacked_initializer(name: str, shape: tuple[int, ...]):
    if name.endswith("norm_scale") or name == "attention_temperature":
        return "ones"
    if name.endswith("bias"):
        return "zeros"
    fan_in = (
        9 if "depthwise" in name else shape[0]
    )  # of one block and one output channel, not of the whole stack
    return fan_in_uniform(fan_in)
