# pyright: reportOperatorIssue=false, reportOptionalOperand=false, reportIndexIssue=false, reportReturnType=false, reportArgumentType=false
# (keras.ops annotates its results so loosely that no arithmetic on them checks)
"""A photo developed before a network edits it: about one brightness, near neutral white, and a learned tone curve per channel."""

import keras
import numpy as np
from keras import KerasTensor, ops

QUANTILES = {0.5: 0.3, 0.9: 0.6}
"""Quantiles of a photo's luminance and where they are taken to, in linear light. The middle alone would be ruled by dark furniture, the
bright part alone by windows and lamps."""
NORMALISED_SHARE = 0.8
"""How much of the way is gone, in stops, to that brightness and from the mean colour to grey. The rest of a photo's own light stays: a
bright room is published brighter than a dark one."""
MAX_FACTOR = 32.0  # five stops, either way
CURVE_END = 1.6  # what the curve starts from reaches beyond 1: bright parts are not clipped before it
NUM_KNOTS = 17
_LUMA = np.array([0.2126, 0.7152, 0.0722], "float32")  # Rec. 709


class Development(keras.layers.Layer):
    """`curve(normalise_light(photo))`, with a curve per channel that starts as the identity up to 1.

    Call: float32 `(batch, height, width, 3)` sRGB in [0, 1]; returns the same shape, float32.
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

    def call(self, photos: KerasTensor) -> KerasTensor:
        position = ops.clip(normalise_light(photos), 0.0, CURVE_END) * ((NUM_KNOTS - 1) / CURVE_END)
        curve = ops.convert_to_tensor(self.curve)
        # Hat functions, summed: XLA fuses the sum into one pass, where looking knots up would gather.
        return sum(curve[knot] * ops.maximum(1 - ops.abs(position - knot), 0.0) for knot in range(NUM_KNOTS))


def normalise_light(photos: KerasTensor) -> KerasTensor:
    """Take most of the light's colour and all of its brightness out of each photo, by a factor per channel in linear light.

    Args:
        photos: float32 `(batch, height, width, 3)` sRGB, [0, 1].

    Returns:
        float32 of the same shape, sRGB from 0 on; the brightest parts lie above 1 and are not clipped.

    Reference: the grey-world assumption (Buchsbaum, "A spatial processor model for object colour perception", 1980), followed for
        `NORMALISED_SHARE` of the way.
    """
    linear = ops.where(photos <= 0.04045, photos / 12.92, ops.power((ops.maximum(photos, 0.0) + 0.055) / 1.055, 2.4))
    mean = ops.maximum(ops.mean(linear, axis=(1, 2), keepdims=True), 1e-6)
    linear = linear * ops.power(ops.sum(mean * _LUMA, axis=-1, keepdims=True) / mean, NORMALISED_SHARE)
    luminance = ops.sum(linear * _LUMA, axis=-1)
    ranked = ops.sort(ops.reshape(luminance, (-1, photos.shape[1] * photos.shape[2])), axis=-1)
    factor = 1.0
    for quantile, wanted in QUANTILES.items():
        found = ops.maximum(ranked[:, int(quantile * (ranked.shape[1] - 1))], 1e-6)
        factor = factor * ops.power(wanted / found, NORMALISED_SHARE / len(QUANTILES))
    linear = linear * ops.clip(factor, 1 / MAX_FACTOR, MAX_FACTOR)[:, None, None, None]
    curved = 1.055 * ops.power(ops.maximum(linear, 0.0031308), 1 / 2.4) - 0.055
    return ops.where(linear <= 0.0031308, 12.92 * linear, curved)
