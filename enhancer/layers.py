# pyright: reportOptionalOperand=false, reportOptionalSubscript=false, reportOptionalIterable=false, reportReturnType=false
# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false, reportOptionalMemberAccess=false, reportAttributeAccessIssue=false
# (keras.ops annotates its results so loosely, None included, that no arithmetic on them checks)
"""Restormer's building blocks, NHWC, in the formulation that XLA runs fast.

Three rewritings of the paper's formulas, all exact up to rounding:

* A 1x1 convolution without bias commutes with zero padding, so the pair (1x1, depthwise 3x3) pads the narrow
  tensor before the projection instead of the wide one after it.
* The depthwise 3x3 is a sum of nine shifted slices: XLA fuses it into one loop, where its grouped convolution
  and above all that convolution's gradients are many times slower on a CPU.
* Transposed attention multiplies the value by a (channels x channels) matrix and then projects it. Both are linear
  in the value, so the attention map is folded into the projection and each image needs one matmul.

Reference: Restormer: Efficient Transformer for High-Resolution Image Restoration (Zamir et al., CVPR 2022).
"""

import math
from collections.abc import Callable

import keras
import numpy as np
from keras import KerasTensor, ops

from enhancer.config import ModelConfig, Remat

STRIP_BYTES = 1 << 20  # one strip of the widest tensor should stay in a core's second-level cache
EPSILON_NORM = 1e-5
EPSILON_L2 = 1e-12  # PyTorch's F.normalize, which the published weights were trained with


def fan_in_uniform(fan_in: int) -> Callable[..., np.ndarray]:
    """Initializer of PyTorch's convolutions, which the paper's training used: uniform in ±1/sqrt(fan_in).

    Drawn by NumPy, whose generator `keras.utils.set_random_seed` seeds: on JAX, Keras' own would compile one program per shape,
    which takes longer than anything else at start.
    """
    limit = 1 / math.sqrt(fan_in)
    return lambda shape, dtype=None: np.random.uniform(-limit, limit, shape).astype(dtype or "float32")


def layer_norm(x: KerasTensor, scale: KerasTensor, bias: KerasTensor | None) -> KerasTensor:
    """Normalise over channels in float32, whatever the compute dtype.

    Args:
        x: float `(batch, height, width, channels)`.
        scale: float `(channels,)`.
        bias: float `(channels,)`; None leaves the mean in, as the paper's BiasFree norm does.

    Returns:
        Features of the same shape and dtype as `x`.
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


def _zero_border(x: KerasTensor) -> KerasTensor:
    return ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


def _stencil(padded: KerasTensor, kernel: KerasTensor) -> KerasTensor:
    """Depthwise 3x3 of `(b, h + 2, w + 2, c)` with `(3, 3, c)`, giving `(b, h, w, c)`."""
    height, width = padded.shape[1] - 2, padded.shape[2] - 2
    return sum(
        padded[:, row : row + height, column : column + width] * kernel[row, column]
        for row in range(3)
        for column in range(3)
    )


def _project_and_filter(x: KerasTensor, projection: KerasTensor, kernel: KerasTensor) -> KerasTensor:
    return _stencil(ops.matmul(_zero_border(x), projection), kernel)


def _rows_per_strip(height: int, width: int, channels: int) -> int:
    fitting = max(1, STRIP_BYTES // (4 * width * channels))
    return max(rows for rows in range(1, height + 1) if height % rows == 0 and rows <= fitting)


def _project_and_filter_in_strips(x: KerasTensor, projection: KerasTensor, kernel: KerasTensor):
    """`_project_and_filter` with its own gradient, for `ops.custom_gradient`.

    The input gradient of a stencil is the stencil of the upstream gradient with the flipped kernel; the kernel's
    gradient is nine reductions over the whole picture. Both run here over strips of a few rows, with the projection
    recomputed strip by strip, so the wide tensors never leave the cache and none of them is kept from the forward pass.
    """
    batch, height, width, _ = x.shape
    channels = kernel.shape[-1]
    rows = _rows_per_strip(height, width, channels)
    strips_per_image = height // rows

    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        padded_x, padded_upstream = _zero_border(x), _zero_border(upstream)
        flipped = ops.flip(kernel, axis=(0, 1))
        transposed = ops.transpose(projection)

        def strip(sums, index):
            image, row = index // strips_per_image, index % strips_per_image * rows
            x_rows = ops.slice(padded_x, (image, row, 0, 0), (1, rows + 2, width + 2, x.shape[-1]))
            upstream_rows = ops.slice(padded_upstream, (image, row, 0, 0), (1, rows + 2, width + 2, channels))
            projected_gradient = _stencil(upstream_rows, flipped)
            projected = ops.matmul(x_rows, projection)
            upstream_inside = ops.cast(upstream_rows[:, 1:-1, 1:-1], "float32")
            kernel_gradient = ops.stack(
                [
                    ops.sum(
                        ops.cast(projected[:, i : i + rows, j : j + width], "float32") * upstream_inside, axis=(0, 1, 2)
                    )
                    for i in range(3)
                    for j in range(3)
                ]
            )
            x_inside = ops.reshape(x_rows[:, 1:-1, 1:-1], (rows * width, -1))
            flat_gradient = ops.reshape(projected_gradient, (rows * width, channels))
            projection_gradient = ops.cast(ops.matmul(ops.transpose(x_inside), flat_gradient), "float32")
            x_gradient = ops.matmul(flat_gradient, transposed)
            return (sums[0] + projection_gradient, sums[1] + kernel_gradient), x_gradient

        zeros = (ops.zeros(projection.shape, "float32"), ops.zeros((9, channels), "float32"))
        (projection_gradient, kernel_gradient), x_gradient = ops.scan(
            strip, zeros, ops.arange(batch * strips_per_image, dtype="int32")
        )
        return (
            ops.reshape(x_gradient, x.shape),
            ops.cast(projection_gradient, projection.dtype),
            ops.cast(ops.reshape(kernel_gradient, kernel.shape), kernel.dtype),
        )

    return _project_and_filter(x, projection, kernel), gradient


def _runs_on_xla_cpu() -> bool:
    if keras.backend.backend() != "jax":
        return False
    import jax

    return jax.default_backend() == "cpu"


def projected_depthwise(
    x: KerasTensor,
    projection: KerasTensor,
    kernel: KerasTensor,
    projection_bias: KerasTensor | None = None,
    kernel_bias: KerasTensor | None = None,
) -> KerasTensor:
    """Project each pixel (1x1 convolution), then filter each channel (depthwise 3x3, zero padding).

    Args:
        x: float `(batch, height, width, channels_in)`.
        projection: float `(channels_in, channels)`.
        kernel: float `(3, 3, channels)`.
        projection_bias, kernel_bias: float `(channels,)`, both or neither.

    Returns:
        Float `(batch, height, width, channels)`.
    """
    if projection_bias is None:
        # A scan over strips would starve a GPU; there plain differentiation with rematerialised blocks needs less memory.
        run = ops.custom_gradient(_project_and_filter_in_strips) if _runs_on_xla_cpu() else _project_and_filter
        return run(x, projection, kernel)
    # With a bias, the projection no longer maps the zero border to zero: add the bias inside only.
    inside = _zero_border(ops.ones((1, *x.shape[1:3], 1), x.dtype))
    return _stencil(ops.matmul(_zero_border(x), projection) + inside * projection_bias, kernel) + kernel_bias


def transposed_attention(
    query: KerasTensor, key: KerasTensor, value: KerasTensor, temperature: KerasTensor, projection: KerasTensor
) -> KerasTensor:
    """Attend across channels instead of positions, and project the result.

    The attention map is channels x channels per head, so memory grows linearly with the image area. Query and key
    are never normalised as pictures: their Gram matrix is scaled by the inverse norms of its rows and columns.

    Args:
        query, key, value: per-pixel features, float `(batch, positions, channels)`, heads contiguous in channels.
        temperature: learned logit scale, one per head, unbounded, float `(heads,)`.
        projection: output projection, float `(channels, channels)`.

    Returns:
        Float `(batch, positions, channels)`, dtype of `value`.

    Reference: Restormer (Zamir et al., CVPR 2022), section 3.1.
    """
    heads, channels = temperature.shape[0], value.shape[-1]
    per_head = channels // heads

    def squared_norms(x):
        wide = ops.cast(x, "float32")
        return ops.sum(wide * wide, axis=1)

    # One Gram matrix over all channels beats a small matmul per head; the blocks off the diagonal are dropped.
    gram = ops.cast(ops.matmul(ops.transpose(query, (0, 2, 1)), key), "float32")
    blocks = ops.stack(
        [gram[:, h * per_head : (h + 1) * per_head, h * per_head : (h + 1) * per_head] for h in range(heads)], axis=1
    )

    def inverse_norms(x):
        norms = ops.rsqrt(ops.maximum(squared_norms(x), EPSILON_L2**2))
        return ops.reshape(norms, (-1, heads, per_head))

    logits = blocks * inverse_norms(query)[..., :, None] * inverse_norms(key)[..., None, :]
    attention = ops.softmax(logits * ops.reshape(ops.cast(temperature, "float32"), (heads, 1, 1)), axis=-1)
    per_head_projection = ops.reshape(ops.cast(projection, "float32"), (heads, per_head, channels))
    folded = ops.matmul(ops.transpose(attention, (0, 1, 3, 2)), per_head_projection)
    return ops.matmul(value, ops.cast(ops.reshape(folded, (-1, channels, channels)), value.dtype))


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

    Call: float `(batch, height, width, channels)` in and out.

    Reference: Restormer (Zamir et al., CVPR 2022), sections 3.1 (MDTA) and 3.2 (GDFN).
    """

    def __init__(
        self, channels: int, num_blocks: int, num_heads: int, model: ModelConfig, remat: Remat = "none", **kwargs
    ):
        super().__init__(**kwargs)
        if channels % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {channels} channels; choose dim and num_heads to match.")
        self.num_blocks, self.remat = num_blocks, remat
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
                name=name, shape=(num_blocks, *shape), initializer=_stacked_initializer(name, shape), trainable=True
            )
            for name, shape in pieces.items()
        }

    def build(self, input_shape):
        self.built = True

    def _block(self, x: KerasTensor, weights: dict[str, KerasTensor]) -> KerasTensor:
        x = x + self._attention(x, weights)
        return x + self._feed_forward(x, weights)

    def _attention(self, x: KerasTensor, weights: dict[str, KerasTensor]) -> KerasTensor:
        batch, height, width, channels = x.shape
        normalised = layer_norm(x, weights["attention_norm_scale"], weights.get("attention_norm_bias"))
        qkv = projected_depthwise(
            normalised,
            weights["attention_qkv"],
            weights["attention_depthwise"],
            weights.get("attention_qkv_bias"),
            weights.get("attention_depthwise_bias"),
        )
        query, key, value = ops.split(ops.reshape(qkv, (batch, height * width, 3 * channels)), 3, axis=-1)
        edited = transposed_attention(
            query, key, value, weights["attention_temperature"], weights["attention_projection"]
        )
        if "attention_projection_bias" in weights:
            edited = edited + weights["attention_projection_bias"]
        return ops.reshape(edited, x.shape)

    def _feed_forward(self, x: KerasTensor, weights: dict[str, KerasTensor]) -> KerasTensor:
        normalised = layer_norm(x, weights["ffn_norm_scale"], weights.get("ffn_norm_bias"))
        hidden = projected_depthwise(
            normalised,
            weights["ffn_expansion"],
            weights["ffn_depthwise"],
            weights.get("ffn_expansion_bias"),
            weights.get("ffn_depthwise_bias"),
        )
        gate, content = ops.split(hidden, 2, axis=-1)
        gated = ops.matmul(ops.gelu(gate, approximate=False) * content, weights["ffn_projection"])
        return gated + weights["ffn_projection_bias"] if "ffn_projection_bias" in weights else gated

    def call(self, x: KerasTensor) -> KerasTensor:
        block = keras.remat(self._block) if self.remat == "block" else self._block
        stacked = {name: ops.cast(weight, self.compute_dtype) for name, weight in self.stacked.items()}
        # Rounding norms and temperatures to bfloat16 saves nothing and costs accuracy: they stay as they are stored.
        for name in stacked:
            if "norm" in name or name == "attention_temperature":
                stacked[name] = ops.convert_to_tensor(self.stacked[name])
        if self.num_blocks == 1 or keras.backend.backend() != "jax":
            for index in range(self.num_blocks):
                x = block(x, {name: weight[index] for name, weight in stacked.items()})
            return x
        return ops.scan(lambda x, weights: (block(x, weights), None), x, stacked)[0]


def _stacked_initializer(name: str, shape: tuple[int, ...]):
    if name.endswith("norm_scale") or name == "attention_temperature":
        return "ones"
    if name.endswith("bias"):
        return "zeros"
    fan_in = 9 if "depthwise" in name else shape[0]  # of one block and one output channel, not of the whole stack
    return fan_in_uniform(fan_in)
