# pyright: reportOperatorIssue=false, reportOptionalOperand=false, reportIndexIssue=false, reportReturnType=false, reportArgumentType=false
# (keras.ops annotates its results so loosely that no arithmetic on them checks)
"""A photo developed before a network edits it: about one brightness, near neutral white, and a learned tone curve per channel."""

import keras
import numpy as np
from keras import KerasTensor, ops

GREY = 0.25
"""Mean of each channel's linear light in a bright, neutral room."""
NORMALISED_SHARE = 0.8
"""How much of the way to it is gone, in stops. The rest of a photo's own light stays: a bright room is published brighter than a dark
one, and a wooden one warmer than a white one."""
MAX_FACTOR = 32.0  # five stops, either way
CURVE_END = 1.6  # what the curve starts from reaches beyond 1: bright parts are not clipped before it
NUM_KNOTS = 17


class Development(keras.layers.Layer):
    """A photo's light multiplied by `factors`, then a tone curve per channel, which starts as the identity up to 1.

    Call: photos, float32 `(batch, height, width, 3)` sRGB in [0, 1], and their `light_factors`; returns float32 of the photos' shape.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        start = np.minimum(np.linspace(0, CURVE_END, NUM_KNOTS), 1)
        self.curve = self.add_weight(
            name="curve",
            shape=(NUM_KNOTS, 3),
            initializer=lambda shape, dtype=None: np.repeat(start[:, None], 3, 1).astype(dtype or "float32"),
            autocast=False,
        )

    def build(self, input_shape=None):
        self.built = True

    def call(self, photos: KerasTensor, factors: KerasTensor) -> KerasTensor:
        light = np.float32((NUM_KNOTS - 1) / CURVE_END) * ops.minimum(_to_srgb(_to_linear(photos) * factors), CURVE_END)
        curve = ops.convert_to_tensor(self.curve)
        # Hat functions, summed: XLA fuses the sum into one pass, where looking knots up would gather.
        return sum(curve[knot] * ops.maximum(1 - ops.abs(light - knot), 0.0) for knot in range(NUM_KNOTS))


def light_factors(photos: KerasTensor) -> KerasTensor:
    """What to multiply the linear light of each photo with, so that its brightness and colour are nearly those of all others.

    Args:
        photos: float32 `(batch, height, width, 3)` sRGB, [0, 1].

    Returns:
        float32 `(batch, 1, 1, 3)`.

    Reference: the grey-world assumption (Buchsbaum, "A spatial processor model for object colour perception", 1980), followed for
        `NORMALISED_SHARE` of the way.
    """
    mean = ops.mean(_to_linear(photos), axis=(1, 2), keepdims=True)
    wanted = ops.power(GREY / ops.maximum(mean, 1e-6), NORMALISED_SHARE)
    return ops.clip(wanted, 1 / MAX_FACTOR, MAX_FACTOR)


def _to_linear(srgb: KerasTensor) -> KerasTensor:
    bent = ops.power((ops.maximum(srgb, 0.0) + 0.055) / 1.055, 2.4)
    return ops.where(srgb <= 0.04045, srgb / 12.92, bent)


def _to_srgb(linear: KerasTensor) -> KerasTensor:
    bent = 1.055 * ops.power(ops.maximum(linear, 0.0031308), 1 / 2.4) - 0.055
    return ops.where(linear <= 0.0031308, 12.92 * linear, bent)
