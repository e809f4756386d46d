"""A baseline without a network: one tone curve per channel, the same for every photo, fitted on training pairs."""

from collections.abc import Iterable

import cv2
import numpy as np

from enhancer.data.pairs import Pair

_LEVELS = 256
_SMOOTHING = 3.0  # standard deviation in input levels: rare levels learn from their neighbours


class GlobalCurve:
    """For each channel and level of the input the median level of the targets: the curve with the least L1 there is.

    Every photo has the same weight, whatever its size. Levels that hardly occur take from their neighbours (a Gaussian over
    input levels), and where there are none the curve runs on straight.

    Attributes:
        table: uint8 `(256, 3)`: the output by input level and channel.
    """

    def __init__(self, pairs: Iterable[Pair]):
        """Fit on pairs, read once one after the other.

        Raises:
            ValueError: no pairs.
        """
        counts = np.zeros((3, _LEVELS, _LEVELS), np.float64)
        number = 0
        for pair in pairs:
            number += 1
            for channel in range(3):
                cells = (
                    pair.input[..., channel].astype(np.intp).ravel() * _LEVELS
                    + pair.target[..., channel].ravel()
                )
                counts[channel] += (
                    np.bincount(cells, minlength=_LEVELS**2).reshape(_LEVELS, _LEVELS) / cells.size
                )
        if not number:
            raise ValueError("A curve needs at least one training pair.")
        self.table = np.stack([_medians(channel) for channel in counts], axis=-1)

    def __call__(self, photo: np.ndarray) -> np.ndarray:
        """Apply the curve: uint8 `(H, W, 3)` to the same."""
        return np.asarray(cv2.LUT(photo, self.table[None]))


def _medians(counts: np.ndarray) -> np.ndarray:
    """The median output level of each input level, uint8 `(256,)`."""
    smooth = cv2.GaussianBlur(
        counts, (1, 0), sigmaX=0.1, sigmaY=_SMOOTHING, borderType=cv2.BORDER_CONSTANT
    )
    total = smooth.sum(axis=1)
    known = np.flatnonzero(total > 0)
    medians = (np.cumsum(smooth[known], axis=1) >= total[known, None] / 2).argmax(axis=1)
    return np.rint(np.interp(np.arange(_LEVELS), known, medians)).astype(np.uint8)
