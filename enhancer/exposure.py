# pyright: reportOperatorIssue=false, reportOptionalOperand=false, reportIndexIssue=false, reportReturnType=false
# (keras.ops annotates its results so loosely that no arithmetic on them checks)
"""Photos brought to one exposure before a network sees them, by a factor in linear light."""

import numpy as np
from keras import KerasTensor, ops

BRIGHT_SHARE = 0.9  # this quantile of a photo's luminance ...
BRIGHT_LUMINANCE = 0.6  # ... comes to lie here, in linear light: 0.8 of sRGB
MAX_FACTOR = 32.0  # five stops, either way
_LUMA = np.array([0.2126, 0.7152, 0.0722], "float32")  # Rec. 709


def normalise_exposure(photos: KerasTensor) -> KerasTensor:
    """Scale the linear light of each photo so that its bright parts are as bright as in any other.

    Args:
        photos: float32 `(batch, height, width, 3)` sRGB, [0, 1].

    Returns:
        float32 of the same shape, sRGB from 0 on; what was brighter than `BRIGHT_LUMINANCE` allows lies above 1 and is not clipped.
    """
    linear = ops.where(photos <= 0.04045, photos / 12.92, ops.power((ops.maximum(photos, 0.0) + 0.055) / 1.055, 2.4))
    luminance = ops.sum(linear * _LUMA, axis=-1)
    ranked = ops.sort(ops.reshape(luminance, (luminance.shape[0], -1)), axis=-1)
    bright = ranked[:, int(BRIGHT_SHARE * (ranked.shape[1] - 1))]
    factor = ops.clip(BRIGHT_LUMINANCE / ops.maximum(bright, 1e-6), 1 / MAX_FACTOR, MAX_FACTOR)
    linear = linear * factor[:, None, None, None]
    curved = 1.055 * ops.power(ops.maximum(linear, 0.0031308), 1 / 2.4) - 0.055
    return ops.where(linear <= 0.0031308, 12.92 * linear, curved)
