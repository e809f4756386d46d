"""A photo in normalised light, for a network to edit: about one brightness, near neutral white."""

from typing import Any, cast

import keras
import numpy as np

from enhancer.network.tensors import Tensor, ops

BRIGHT = 0.5
"""Linear luminance that three quarters of a bright room lie below: walls and ceilings, lit well."""
WELL_LIT = 0.25
"""The same of a photo that was exposed well; a brighter one is not held back."""
QUARTERS_BELOW = 3
NORMALISED_SHARE = 0.85
"""How much of the way there is gone, in stops. The rest of a photo's own light stays: a bright room
is published brighter than a dark one, and a wooden one warmer than a white one."""
LUMINANCE = (0.2126, 0.7152, 0.0722)  # of linear sRGB (ITU-R BT.709)
MAX_FACTOR = 32.0  # five stops, either way
CURVE_END = 1.6  # the curve reaches beyond 1: bright parts are not clipped before it
NUM_KNOTS = 17


class Development(keras.layers.Layer):
    """A photo's light times `factors`, then a tone curve per channel, first the identity up to 1.

    Call: photos, float32 `(batch, height, width, 3)` sRGB in [0, 1], and their `light_factors`;
    returns float32 of the photos' shape.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        start = np.minimum(np.linspace(0, CURVE_END, NUM_KNOTS), 1)

        def initial(shape, dtype=None):
            return np.repeat(start[:, None], 3, 1).astype(dtype or "float32")

        self.curve = self.add_weight(
            name="curve", shape=(NUM_KNOTS, 3), initializer=cast(Any, initial), autocast=False
        )

    def build(self, input_shape=None):
        self.built = True

    def call(self, photos: Tensor, factors: Tensor) -> Tensor:
        light = np.float32((NUM_KNOTS - 1) / CURVE_END) * ops.minimum(
            _to_srgb(_to_linear(photos) * factors), CURVE_END
        )
        curve = ops.convert_to_tensor(self.curve)
        # Hat functions, summed: XLA fuses the sum into one pass, where looking knots up would
        # gather.
        developed: Any = 0
        for knot in range(NUM_KNOTS):
            developed += curve[knot] * ops.maximum(1 - ops.abs(light - knot), 0.0)
        return developed


def light_factors(photos: Tensor) -> Tensor:
    """What brings each photo's brightness and colour near all others': factors of linear light.

    Brightness is the upper quartile of luminance, not the mean: in published pairs it varies least
    from room to room, because it is what an editor sets, while the mean depends on how much dark
    furniture stands there. Colour is the mean of each channel (the grey-world assumption:
    Buchsbaum, "A spatial processor model for object colour perception", 1980). Both are followed
    for `NORMALISED_SHARE` of the way; photos brighter than `WELL_LIT` are multiplied as if they
    were that bright, and stay brighter.

    Args:
        photos: float32 `(batch, height, width, 3)` sRGB, [0, 1].

    Returns:
        float32 `(batch, 1, 1, 3)`.
    """
    batch, height, width, _ = photos.shape
    linear = _to_linear(photos)
    weights = ops.convert_to_tensor(np.asarray(LUMINANCE, "float32"))
    luminance = ops.sum(linear * weights, axis=-1)
    luminance = ops.sort(ops.reshape(luminance, (batch, height * width)), axis=1)
    bright = ops.take(luminance, QUARTERS_BELOW * (height * width - 1) // 4, axis=1)
    colour = ops.mean(linear, axis=(1, 2)) + 1e-5  # black has a colour too: grey
    brightness = ops.sum(colour * weights, axis=-1, keepdims=True)
    wanted = (BRIGHT / ops.clip(bright, 1e-5, WELL_LIT))[:, None] * brightness / colour
    factors = ops.clip(ops.power(wanted, NORMALISED_SHARE), 1 / MAX_FACTOR, MAX_FACTOR)
    return factors[:, None, None, :]


def _to_linear(srgb: Tensor) -> Tensor:
    bent = ops.power((ops.maximum(srgb, 0.0) + 0.055) / 1.055, 2.4)
    return ops.where(srgb <= 0.04045, srgb / 12.92, bent)


def _to_srgb(linear: Tensor) -> Tensor:
    bent = 1.055 * ops.power(ops.maximum(linear, 0.0031308), 1 / 2.4) - 0.055
    return ops.where(linear <= 0.0031308, 12.92 * linear, bent)
