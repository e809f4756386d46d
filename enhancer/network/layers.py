"""Restormer's building blocks, NHWC, in the formulation that XLA runs fast.

Three rewritings of the paper's formulas, all exact up to rounding:

* A 1x1 convolution without bias commutes with zero padding, so the pair (1x1, depthwise 3x3) pads
  the narrow tensor before the projection instead of the wide one after it.
* The depthwise 3x3 is a sum of nine shifted slices: XLA fuses it into one loop, where its grouped
  convolution and its gradients are many times slower on a CPU.
* Transposed attention multiplies the value by a (channels x channels) matrix and then projects it.
  Both are linear in the value: the attention map is folded into the projection.

Reference: Restormer (Zamir et al., CVPR 2022).
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import jax
import keras
import numpy as np

from enhancer.network.tensors import Tensor, ops

EPSILON_NORM = 1e-5
EPSILON_L2 = 1e-12  # PyTorch's F.normalize, which the published weights were trained with


def fan_in_uniform(fan_in: int, scale: float = 1.0) -> Callable[..., Tensor]:
    """PyTorch's initializer of convolutions, as in the paper's training: uniform, ±1/sqrt(fan_in),
    times `scale`.

    Drawn by NumPy, whose generator `keras.utils.set_random_seed` seeds: Keras' own would compile
    one program per shape, as its zeros and ones would.
    """
    limit = 1 / math.sqrt(fan_in)

    def draw(shape, dtype=None) -> Tensor:
        return _placed(scale * np.random.uniform(-limit, limit, shape).astype(dtype or "float32"))

    return draw


def zeros(shape: tuple[int, ...], dtype: Any = None) -> Tensor:
    """Keras' initializer, without a program per shape."""
    return _placed(np.zeros(shape, dtype or "float32"))


def ones(shape: tuple[int, ...], dtype: Any = None) -> Tensor:
    """Keras' initializer, without a program per shape."""
    return _placed(np.ones(shape, dtype or "float32"))


def _placed(x: np.ndarray) -> Any:
    return jax.device_put(x) if keras.backend.backend() == "jax" else x


def layer_norm(x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    """Normalise over channels in float32, whatever the compute dtype; shape and dtype of `x`.

    Args:
        x: float `(batch, height, width, channels)`.
        scale: float `(channels,)`.
        bias: float `(channels,)`; None leaves the mean in, as the paper's BiasFree norm does.
    """
    wide = ops.cast(x, "float32")
    mean = ops.mean(wide, axis=-1, keepdims=True)
    centred = wide - mean
    inverse = ops.rsqrt(ops.mean(centred * centred, axis=-1, keepdims=True) + EPSILON_NORM)
    if bias is None:
        normalised = wide * inverse * ops.cast(scale, "float32")
    else:
        normalised = centred * inverse * ops.cast(scale, "float32") + ops.cast(bias, "float32")
    return ops.cast(normalised, x.dtype)


def normal_cdf(x: Tensor) -> Tensor:
    """Standard normal distribution function, float32 whatever `x` is.

    Through erf, as PyTorch has it: XLA computes erfc, which Keras' GELU takes, at twice the cost.
    For negative x the sum cancels: by 1e-7 in float32, and by everything in bfloat16.
    """
    return 0.5 * (1 + ops.erf(ops.cast(x, "float32") * math.sqrt(0.5)))


def gelu(x: Tensor) -> Tensor:
    """The exact Gaussian error linear unit (Hendrycks & Gimpel 2016)."""
    return x * ops.cast(normal_cdf(x), x.dtype)


def _zero_border(x: Tensor) -> Tensor:
    return ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


def _shifted(padded: Tensor) -> Iterator[Tensor]:
    """Nine views `(b, h, w, c)` of `(b, h + 2, w + 2, c)` that a 3x3 filter sees, row by row."""
    height, width = padded.shape[1] - 2, padded.shape[2] - 2
    return (padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3))


def stencil(padded: Tensor, kernel: Tensor) -> Tensor:
    """Depthwise 3x3 of `(b, h + 2, w + 2, c)` with `(3, 3, c)`, giving `(b, h, w, c)`."""
    views = enumerate(_shifted(padded))
    return sum((view * kernel[divmod(index, 3)] for index, view in views), start=cast(Any, 0))


def unfolded_convolution(x: Tensor, kernel: Tensor) -> Tensor:
    """3x3 convolution with zero padding as one matrix product over unfolded pixels.

    For few input channels, where XLA's own on a CPU takes three times as long. The unfolded pixels,
    nine times the input, are kept for the backward pass.

    Args:
        x: float `(batch, height, width, channels_in)`.
        kernel: float `(3, 3, channels_in, channels)`.
    """
    unfolded = ops.concatenate(list(_shifted(_zero_border(x))), axis=-1)
    return ops.matmul(unfolded, ops.reshape(kernel, (9 * x.shape[-1], -1)))


def projected_depthwise(
    x: Tensor,
    projection: Tensor,
    kernel: Tensor,
    projection_bias: Tensor | None = None,
    kernel_bias: Tensor | None = None,
) -> Tensor:
    """Project each pixel (1x1 convolution), then filter each channel (depthwise 3x3, zero padding).

    Args:
        x: float `(batch, height, width, channels_in)`.
        projection, kernel: float `(channels_in, channels)`, `(3, 3, channels)`.
        projection_bias, kernel_bias: float `(channels,)`, both or neither.
    """
    if projection_bias is None or kernel_bias is None:
        return stencil(ops.matmul(_zero_border(x), projection), kernel)
    # With a bias, the projection no longer maps the zero border to zero: add the bias inside only.
    inside = _zero_border(ops.ones((1, *x.shape[1:3], 1), x.dtype))
    projected = ops.matmul(_zero_border(x), projection) + inside * projection_bias
    return stencil(projected, kernel) + kernel_bias


def gated_feed_forward(
    x: Tensor,
    expansion: Tensor,
    depthwise: Tensor,
    projection: Tensor,
    expansion_bias: Tensor | None = None,
    depthwise_bias: Tensor | None = None,
) -> Tensor:
    """GDFN: expand and filter pixels, let half of the channels gate the others, and project back.

    Args:
        x: float `(batch, height, width, channels)`, whose shape the result has.
        expansion: float `(channels, 2 hidden)`, the gate's half first.
        depthwise: float `(3, 3, 2 hidden)`.
        projection: float `(hidden, channels)`.
        expansion_bias, depthwise_bias: float `(2 hidden,)`, both or neither.

    Reference: Restormer (Zamir et al., CVPR 2022), section 3.2.
    """
    filtered = projected_depthwise(x, expansion, depthwise, expansion_bias, depthwise_bias)
    gate, content = ops.split(filtered, 2, axis=-1)
    return ops.matmul(gelu(gate) * content, projection)


def attention_statistics(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All that transposed attention needs of query and key: sums over the pixels.

    Args:
        query, key: float `(batch, positions, channels)`.

    Returns:
        Gram matrix, `(batch, channels, channels)`, and the squared norms of query and key, `(batch,
        channels)` each; float32.
    """

    def squared_norms(x):
        wide = ops.cast(x, "float32")
        return ops.sum(wide * wide, axis=1)

    # One Gram matrix over all channels beats a small matmul per head.
    gram = ops.cast(ops.matmul(ops.transpose(query, (0, 2, 1)), key), "float32")
    return gram, squared_norms(query), squared_norms(key)


def folded_attention(
    gram: Tensor,
    query_squares: Tensor,
    key_squares: Tensor,
    temperature: Tensor,
    projection: Tensor,
) -> Tensor:
    """The attention map of transposed attention, folded into the projection that follows it.

    Query and key are never normalised as pictures: their Gram matrix is scaled by the inverse norms
    of its rows and columns.

    Args:
        gram, query_squares, key_squares: see `attention_statistics`; heads contiguous in channels.
        temperature: learned logit scale, one per head, unbounded, float `(heads,)`.
        projection: output projection, float `(channels, channels)`.

    Returns:
        What each pixel's value is multiplied with, float32 `(batch, channels, channels)`.

    Reference: Restormer (Zamir et al., CVPR 2022), section 3.1.
    """
    heads, channels = temperature.shape[0], projection.shape[0]
    per_head = channels // heads
    own = [slice(head * per_head, (head + 1) * per_head) for head in range(heads)]
    blocks = ops.stack([gram[:, channels, channels] for channels in own], axis=1)

    def inverse_norms(squares):
        return ops.reshape(ops.rsqrt(ops.maximum(squares, EPSILON_L2**2)), (-1, heads, per_head))

    logits = blocks * inverse_norms(query_squares)[..., None]
    logits = logits * inverse_norms(key_squares)[..., None, :]
    temperatures = ops.reshape(ops.cast(temperature, "float32"), (heads, 1, 1))
    attention = ops.softmax(logits * temperatures, axis=-1)
    per_head_projection = ops.reshape(ops.cast(projection, "float32"), (heads, per_head, channels))
    folded = ops.matmul(ops.transpose(attention, (0, 1, 3, 2)), per_head_projection)
    return ops.reshape(folded, (-1, channels, channels))


def transposed_attention(value: Tensor, folded: Tensor) -> Tensor:
    """Attend across channels instead of positions, and project the result.

    The attention map is channels x channels per head, so memory grows linearly with the image area.

    Args:
        value: float `(batch, positions, channels)`, whose shape and dtype the result has.
        folded: see `folded_attention`; float `(batch, channels, channels)`.

    Reference: Restormer (Zamir et al., CVPR 2022), section 3.1.
    """
    return ops.matmul(value, ops.cast(folded, value.dtype))
