"""One source pair -> two aligned sRGB pictures of the same size, or the reason why it is refused."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from enhancer.photo_io import RAW_SUFFIXES, PhotoError, read_photo

MIN_SHORT_SIDE = 64
"""Pixels; anything smaller is a thumbnail."""
MAX_ASPECT_DIFFERENCE = 0.01
"""A RAW developer and an editor crop the sensor's margins differently; more than this is another framing."""
MIN_MEAN_DIFFERENCE = 0.5
"""Of 255. Below it the target is the input, stored again."""


@dataclasses.dataclass(frozen=True)
class PreparedPair:
    """uint8 `(height, width, 3)` each, sRGB, upright, equal in size."""

    input: np.ndarray
    target: np.ndarray


class PairRejected(Exception):
    """A pair that cannot be learned from."""

    def __init__(self, kind: str, reason: str, measured: float | list[int] | None = None):
        """Describe a refusal.

        Args:
            kind: one of a few short phrases, to count by.
            reason: what is wrong with this pair, in a sentence.
            measured: the value that decided, where there is one.
        """
        super().__init__(reason)
        self.kind, self.reason, self.measured = kind, reason, measured


def prepare_pair(input_path: Path, target_path: Path, long_edge: int | None) -> PreparedPair:
    """Decode, validate and shrink one pair.

    Args:
        input_path, target_path: photos in any format that `enhancer.photo_io` reads.
        long_edge: the longer side of the result at most, in pixels; None keeps the size. Nothing is enlarged.

    Raises:
        PairRejected: with the reason.
    """
    try:
        before, after = read_photo(input_path).pixels, read_photo(target_path).pixels
    except PhotoError as error:
        raise PairRejected("unreadable photo", str(error)) from error
    is_raw = RAW_SUFFIXES & {input_path.suffix.lower(), target_path.suffix.lower()}
    _check_framing(before, after, exact=not is_raw)
    size = _result_size(before, after, long_edge)
    if min(size) < MIN_SHORT_SIDE:
        shown = f"{size[0]}x{size[1]} at a long edge of {max(size)}"
        raise PairRejected("too small", f"the short side would be below {MIN_SHORT_SIDE} px: {shown}", min(size))
    before, after = _resize(before, size), _resize(after, size)
    difference = float(np.abs(before.astype(np.int16) - after).mean())
    if difference < MIN_MEAN_DIFFERENCE:
        raise PairRejected(
            "target equals input",
            f"the target equals the input (mean difference {difference:.2f} of 255)",
            round(difference, 4),
        )
    return PreparedPair(before, after)


def _check_framing(before: np.ndarray, after: np.ndarray, *, exact: bool) -> None:
    sizes = [*before.shape[1::-1], *after.shape[1::-1]]
    shown = f"the input is {sizes[0]}x{sizes[1]}, the target {sizes[2]}x{sizes[3]}"
    if min(sizes) < MIN_SHORT_SIDE:
        raise PairRejected("too small", f"the short side is below {MIN_SHORT_SIDE} px: {shown}", min(sizes))
    if exact and sizes[:2] != sizes[2:]:
        raise PairRejected("sizes differ", f"the sizes differ: {shown}", sizes)
    aspect_ratio = (sizes[0] / sizes[1]) / (sizes[2] / sizes[3])
    if abs(aspect_ratio - 1) > MAX_ASPECT_DIFFERENCE:
        raise PairRejected("framing differs", f"the shapes differ: {shown}", sizes)


def _result_size(before: np.ndarray, after: np.ndarray, long_edge: int | None) -> tuple[int, int]:
    """Width and height that both pictures get."""
    height, width = min(before.shape[:2], after.shape[:2], key=lambda shape: shape[0] * shape[1])
    scale = min(1.0, long_edge / max(height, width)) if long_edge else 1.0
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
