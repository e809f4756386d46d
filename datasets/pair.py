"""One source pair -> two aligned sRGB pictures of the same size, or the reason why it is refused."""

import base64
import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from datasets import near_duplicates, tone
from datasets.damage import refuse_damaged
from datasets.framing import check_framing, reconcile_framing
from datasets.rejection import PairRejected
from enhancer.photo.io import RAW_SUFFIXES, PhotoError, encode_jpeg, read_photo

__all__ = ["PairRejected", "PreparedPair", "prepare_pair", "thumbnail"]

MIN_SHORT_SIDE = 64
"""Pixels; anything smaller is a thumbnail."""
MIN_MEAN_DIFFERENCE = 1.0
"""Of 255, between averages of 8x8 pixels. Below it the target is the input, stored again: 60 real photos compressed as JPEG of quality
75 differ by 0.8 at most (6.4 pixel by pixel), 60 real pairs by 9.8 at least."""
_AVERAGED = 8
_THUMBNAIL_EDGE = 240


@dataclasses.dataclass(frozen=True)
class PreparedPair:
    """uint8 `(height, width, 3)` each, sRGB, upright, equal in size."""

    input: np.ndarray
    target: np.ndarray
    measurements: dict[str, Any]
    """What was found out about the pair, as JSON has it: `shift_px`, `brightness_ratio`, `saturation_ratio`,
    `input_hash`, `target_hash`, `changes` where its framing was changed, and `remarks` of the decoder."""


def prepare_pair(input_path: Path, target_path: Path, long_edge: int | None) -> PreparedPair:
    """Decode, validate and shrink one pair.

    Args:
        input_path, target_path: photos in any format that `enhancer.photo.io` reads.
        long_edge: the longer side of the result at most, in pixels; None keeps the size. Nothing is enlarged.

    Raises:
        PairRejected: with the reason.
    """
    decoded: dict[str, np.ndarray] = {}
    remarks: list[str] = []
    errors: list[PhotoError] = []
    for role, path in (("input", input_path), ("target", target_path)):
        try:
            photo = read_photo(path)
            decoded[role] = photo.pixels
            remarks += [f"{role}: {note}" for note in photo.notes]
        except PhotoError as error:
            errors.append(error)
    try:
        if errors:
            raise PairRejected("unreadable photo", " ".join(map(str, errors))) from errors[0]
        is_raw = bool(RAW_SUFFIXES & {input_path.suffix.lower(), target_path.suffix.lower()})
        pair = _validate(decoded["input"], decoded["target"], long_edge, is_raw=is_raw)
        if remarks:
            pair.measurements["remarks"] = remarks
        return pair
    except PairRejected as rejection:
        rejection.thumbnails = _thumbnails(decoded)
        raise


def _validate(
    before: np.ndarray, after: np.ndarray, long_edge: int | None, *, is_raw: bool
) -> PreparedPair:
    _refuse_small(before, after)
    refuse_damaged(before, after)
    framed = reconcile_framing(before, after) if is_raw else check_framing(before, after)
    size = _result_size(framed.input, framed.target, long_edge)
    if min(size) < MIN_SHORT_SIDE:
        shown = f"{size[0]}x{size[1]} at a long edge of {max(size)}"
        raise PairRejected(
            "too small", f"the short side would be below {MIN_SHORT_SIDE} px: {shown}", min(size)
        )
    before, after = _resize(framed.input, size), _resize(framed.target, size)
    difference = _mean_difference(before, after)
    if difference < MIN_MEAN_DIFFERENCE:
        raise PairRejected(
            "target equals input",
            f"the target equals the input (mean difference {difference:.2f} of 255)",
            round(difference, 4),
        )
    measurements = {
        "shift_px": round(framed.displacement, 2),
        **tone.measure(before, after),
        "input_hash": near_duplicates.perceptual_hash(before),
        "target_hash": near_duplicates.perceptual_hash(after),
    }
    if framed.changes:
        measurements["changes"] = list(framed.changes)
    return PreparedPair(before, after, measurements)


def _mean_difference(before: np.ndarray, after: np.ndarray) -> float:
    height, width = before.shape[:2]
    size = (max(1, width // _AVERAGED), max(1, height // _AVERAGED))
    averages = [
        cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.int16)
        for pixels in (before, after)
    ]
    return float(np.abs(averages[0] - averages[1]).mean())


def _thumbnails(decoded: dict[str, np.ndarray]) -> dict[str, str]:
    return {role: base64.b64encode(thumbnail(pixels)).decode() for role, pixels in decoded.items()}


def thumbnail(pixels: np.ndarray) -> bytes:
    """Return a small JPEG of a picture, for pages that show many.

    Args:
        pixels: sRGB, uint8 `(height, width, 3)`.
    """
    scale = min(1.0, _THUMBNAIL_EDGE / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return encode_jpeg(_resize(pixels, size), quality=80)


def _refuse_small(before: np.ndarray, after: np.ndarray) -> None:
    sizes = [*before.shape[1::-1], *after.shape[1::-1]]
    if min(sizes) < MIN_SHORT_SIDE:
        shown = f"the input is {sizes[0]}x{sizes[1]}, the target {sizes[2]}x{sizes[3]}"
        raise PairRejected(
            "too small", f"the short side is below {MIN_SHORT_SIDE} px: {shown}", min(sizes)
        )


def _result_size(before: np.ndarray, after: np.ndarray, long_edge: int | None) -> tuple[int, int]:
    """Width and height that both pictures get."""
    height, width = min(before.shape[:2], after.shape[:2], key=lambda shape: shape[0] * shape[1])
    scale = min(1.0, long_edge / max(height, width)) if long_edge else 1.0
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
