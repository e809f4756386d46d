"""One source pair -> two aligned sRGB pictures of one size, or the reason why it is refused."""

import base64
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from datasets.checks import near_duplicates, tone
from datasets.checks.damage import refuse_damaged
from datasets.checks.pictures import describe_sizes, resize, size_within, thumbnail
from datasets.checks.raw_framing import check_framing, reconcile_framing
from datasets.types import PairRejected
from enhancer.photo.io import RAW_SUFFIXES, PhotoError, read_photo

MIN_SHORT_SIDE = 64
"""Pixels; anything smaller is a thumbnail."""
MIN_MEAN_DIFFERENCE = 1.0
"""Of 255, between averages of 8x8 pixels. Below it the target is the input, stored again: 60 real
photos compressed as JPEG of quality 75 differ by 0.8 at most (6.4 pixel by pixel), 60 real pairs by
9.8 at least."""
_AVERAGED = 8


class PreparedPair(NamedTuple):
    """uint8 `(height, width, 3)` each, sRGB, upright, equal in size."""

    input: np.ndarray
    target: np.ndarray
    measurements: dict[str, Any]
    """What was found out about the pair, as JSON has it: `shift_px`, `brightness_ratio`,
    `saturation_ratio`, `input_hash`, `target_hash`, `changes` where its framing was changed, and
    `remarks` of the decoder."""


def prepare_pair(input_path: Path, target_path: Path, long_edge: int | None) -> PreparedPair:
    """Decode, validate and shrink one pair; PairRejected says why it cannot be used.

    Args:
        input_path, target_path: photos in any format that `enhancer.photo.io` reads.
        long_edge: the longer side of the result at most, in pixels; None keeps the size. Nothing is
            enlarged.
    """
    decoded, remarks, errors = {}, [], []
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
        return _validate(decoded["input"], decoded["target"], long_edge, is_raw, remarks)
    except PairRejected as rejection:
        rejection.thumbnails = {
            role: base64.b64encode(thumbnail(pixels)).decode() for role, pixels in decoded.items()
        }
        raise


def _validate(
    before: np.ndarray, after: np.ndarray, long_edge: int | None, is_raw: bool, remarks: list[str]
) -> PreparedPair:
    if (side := min(*before.shape[:2], *after.shape[:2])) < MIN_SHORT_SIDE:
        reason = f"the short side is below {MIN_SHORT_SIDE} px: {describe_sizes(before, after)}"
        raise PairRejected("too small", reason, side)
    refuse_damaged(before, after)
    framed = reconcile_framing(before, after) if is_raw else check_framing(before, after)
    size = size_within(min(framed.input, framed.target, key=np.size), long_edge)
    if min(size) < MIN_SHORT_SIDE:
        shown = f"{size[0]}x{size[1]} at a long edge of {max(size)}"
        reason = f"the short side would be below {MIN_SHORT_SIDE} px: {shown}"
        raise PairRejected("too small", reason, min(size))
    before, after = resize(framed.input, size), resize(framed.target, size)
    averaged = (max(1, size[0] // _AVERAGED), max(1, size[1] // _AVERAGED))
    mean = float(cv2.absdiff(resize(before, averaged), resize(after, averaged)).mean())
    if mean < MIN_MEAN_DIFFERENCE:
        reason = f"the target equals the input (mean difference {mean:.2f} of 255)"
        raise PairRejected("target equals input", reason, round(mean, 4))
    measurements: dict[str, Any] = {
        "shift_px": round(framed.displacement, 2),
        **tone.measure(before, after),
        "input_hash": near_duplicates.perceptual_hash(before),
        "target_hash": near_duplicates.perceptual_hash(after),
    }
    found = {"changes": list(framed.changes), "remarks": remarks}
    measurements |= {name: texts for name, texts in found.items() if texts}
    return PreparedPair(before, after, measurements)
