# pyright: reportIndexIssue=false, reportOperatorIssue=false, reportOptionalOperand=false, reportOptionalSubscript=false, reportOptionalIterable=false, reportReturnType=false
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
