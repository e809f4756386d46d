"""Both pictures of a pair have the same framing, or are brought to it, or the pair is refused."""

import math
from typing import NamedTuple, NoReturn

import cv2
import numpy as np

from datasets.checks import registration
from datasets.checks.pictures import describe_sizes, resize
from datasets.checks.registration import WORK_EDGE, Registration, register, work_picture
from datasets.types import PairRejected

MAX_ASPECT_DIFFERENCE = 0.01
"""Between a picture and one of another resolution that shows the same."""
MIN_SCALE_DIFFERENCE = 0.1
"""Of a picture that was exported smaller. Sizes that differ by less are of another cut: FiveK's
pair a4869 differs by one pixel."""
MAX_DISPLACEMENT = 2.0
"""Mean, in pixels at a long edge of `WORK_EDGE`. Of 519 real pairs two are above (both at 2.7), the
next one is at 1.5; of 155 that were moved by 1 px one is refused, of those moved by 3 px all."""
MAX_RESIDUAL = 0.25
"""The same after reconciliation, where nothing but resampling is left."""
MIN_OVERLAP = 0.8
"""Share of the target that a RAW development has to cover."""
_SURE = 0.4
"""Correlation from which a displacement is believed; all but one of 519 real pairs have 0.47."""
_GAIN = 0.05
"""A displacement is believed only if undoing it makes the pictures more alike by this much."""
_DIFFERENT_SCENE = 0.2
"""Correlation; of 400 pairs put together at random from one data set, 391 are below."""
_MIN_TEXTURE = 0.02
"""Of the pixels on an edge, in both pictures; a blank wall has too few to say what it shows."""
_ATTEMPTS = 3
_MAX_FROM_WHOLE_PIXELS = 0.2  # the estimate's own error reaches 0.14 on rendered RAW files


class Framed(NamedTuple):
    """A pair in one framing, sRGB, uint8 `(height, width, 3)`."""

    input: np.ndarray
    target: np.ndarray
    displacement: float
    """Before reconciliation for photos, after it for RAW; pixels at a long edge of `WORK_EDGE`."""
    changes: tuple[str, ...]
    """What was done, such as "turned by 90°"."""


def check_framing(before: np.ndarray, after: np.ndarray) -> Framed:
    """Compare photos, sRGB, uint8 `(height, width, 3)`, whose pixels should lie on each other.

    A picture that lies on its side is turned; one that was exported larger is shrunk. PairRejected:
    the sizes differ, the content is displaced, or it is another scene.
    """
    before, changes = _turn(before, after)
    if before.shape != after.shape:
        smaller, larger = sorted((max(before.shape), max(after.shape)))
        if smaller >= (1 - MIN_SCALE_DIFFERENCE) * larger or not _have_one_aspect(before, after):
            _refuse_sizes("sizes differ", "the sizes differ", before, after)
        if max(before.shape) > max(after.shape):
            role, before = "input", resize(before, after.shape[1::-1])
        else:
            role, after = "target", resize(after, before.shape[1::-1])
        changes += (f"{role} shrunk to the other's resolution",)
    found = register(work_picture(before), work_picture(after))
    is_sure = found.correlation >= _SURE
    gain = found.correlation - found.correlation_unmoved
    if found.displacement > MAX_DISPLACEMENT and is_sure and gain >= _GAIN:
        raise PairRejected(
            "framing differs",
            "the target is not cut like the input: its content has moved by "
            f"{found.displacement:.1f} px on average, at a long edge of {WORK_EDGE} px "
            f"({_direction(found)}); the limit is {MAX_DISPLACEMENT:g} px",
            round(found.displacement, 2),
        )
    _refuse_another_scene(found)
    # What is not sure is not reported as a displacement either.
    return Framed(before, after, found.displacement if is_sure else 0.0, changes)


def reconcile_framing(before: np.ndarray, after: np.ndarray) -> Framed:
    """Bring a RAW development to the framing of the photo that was exported from it.

    RAW converters cut the sensor's margins differently and may scale or straighten. The input is
    cut in whole pixels where that is all, and resampled otherwise; where it lacks a margin that the
    target has, the target is cut as well. PairRejected: too little overlaps, too much of the
    displacement is left, or it is another scene.
    """
    before, changes = _turn(before, after)
    found = register(before, after, precisely=True)
    if found.correlation < _SURE:
        _refuse_another_scene(found)
        if not _have_one_aspect(before, after):  # where the content says nothing, the shapes do
            _refuse_sizes("framing differs", "the shapes differ", before, after)
        return Framed(before, after, 0.0, changes)
    matrix = found.matrix
    for _ in range(_ATTEMPTS):
        cut_before, cut_after, corner, cuts = _overlap(before, after, matrix)
        left = register(cut_before, cut_after, precisely=True)
        if left.displacement <= MAX_RESIDUAL:
            break
        # Edges that only one of them shows, such as black corners, disturb the first estimate.
        matrix = matrix @ corner @ left.matrix @ np.linalg.inv(corner)
    if left.displacement > MAX_RESIDUAL and left.correlation - left.correlation_unmoved > _GAIN:
        raise PairRejected(
            "framing differs",
            "the framing of input and target cannot be made the same: "
            f"{left.displacement:.2f} px are left at a long edge of {WORK_EDGE} px; the limit is "
            f"{MAX_RESIDUAL:g} px",
            round(left.displacement, 2),
        )
    return Framed(cut_before, cut_after, left.displacement, changes + cuts)


def _turn(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the input as the target stands, and what to say about it."""
    small_before, small_after = work_picture(before), work_picture(after)
    turns = registration.quarter_turns(small_before, small_after)
    if turns:
        # At the size that turns are found at, a room may resemble its mirror image on its head.
        turned = np.ascontiguousarray(np.rot90(small_before, turns))
        if register(turned, small_after).correlation < _SURE:
            turns = None if registration.lies_across(before, after) else 0
    if turns is None:
        what = "one picture is upright, the other on its side, and no turn makes them alike"
        _refuse_sizes("framing differs", what, before, after)
    if not turns:
        return before, ()
    text = f"input turned by {90 * turns}° anticlockwise"
    return np.ascontiguousarray(np.rot90(before, turns)), (text,)


def _refuse_another_scene(found: Registration) -> None:
    if found.correlation < _DIFFERENT_SCENE and found.texture > _MIN_TEXTURE:
        raise PairRejected(
            "different scene",
            "input and target do not show the same scene, or something large moved between them: "
            f"their outlines agree by {max(found.correlation, 0):.2f} of 1; real pairs are above "
            f"{_SURE:g}",
            round(found.correlation, 2),
        )


def _refuse_sizes(kind: str, what: str, before: np.ndarray, after: np.ndarray) -> NoReturn:
    sizes = [*before.shape[1::-1], *after.shape[1::-1]]
    raise PairRejected(kind, f"{what}: {describe_sizes(before, after)}", sizes)


def _have_one_aspect(before: np.ndarray, after: np.ndarray) -> bool:
    return abs(registration.aspect_ratio(before, after) - 1) <= MAX_ASPECT_DIFFERENCE


def _overlap(
    before: np.ndarray, after: np.ndarray, matrix: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Cut or resample the input to what it covers of the target, and cut the target to that.

    Returns both, the map `(3, 3)` from the cut target to the whole one, and what was done.
    """
    centre = np.array([(after.shape[1] - 1) / 2, (after.shape[0] - 1) / 2, 1])
    whole_pixels = registration.translation(*np.rint((matrix @ centre - centre)[:2]))
    # In pixels of the pictures that were compared: those of the photo itself where it is small.
    compared = min(1.0, max(after.shape) / WORK_EDGE)
    rest = np.linalg.inv(whole_pixels) @ matrix
    away = registration.mean_displacement(rest, after.shape) * compared
    if is_cut_only := away < _MAX_FROM_WHOLE_PIXELS:
        matrix = whole_pixels
    left, top, right, bottom = _covered(matrix, before.shape, after.shape)
    width, height = max(0, right - left), max(0, bottom - top)
    share = width * height / (after.shape[0] * after.shape[1])
    if share < MIN_OVERLAP:
        raise PairRejected(
            "framing differs",
            f"the input covers only {share:.0%} of what the target shows: "
            f"{describe_sizes(before, after)}; the limit is {MIN_OVERLAP:.0%}",
            round(share, 3),
        )
    corner = registration.translation(left, top)
    target = np.ascontiguousarray(after[top:bottom, left:right])
    if not is_cut_only:
        resampled = _resample(before, matrix @ corner, width, height)
        return resampled, target, corner, (f"input resampled to {width}x{height}",)
    x, y = (int(value) for value in (matrix @ corner)[:2, 2])
    cut = np.ascontiguousarray(before[y : y + height, x : x + width])
    is_whole = cut.shape == before.shape and target.shape == after.shape
    return cut, target, corner, () if is_whole else (f"cut to the common {width}x{height}",)


def _covered(
    matrix: np.ndarray, before: tuple[int, ...], after: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the target's largest rectangle whose content the input has."""
    # Where the input's corners lie in the target; the inner ones of them bound the rectangle.
    # Half a pixel outwards is where the outermost pixels end.
    low, height, width = -0.5, before[0] - 0.5, before[1] - 0.5
    corners = np.array([(low, low, 1), (width, low, 1), (low, height, 1), (width, height, 1)]).T
    x, y, _ = np.linalg.inv(matrix) @ corners + 0.5
    slack = 1e-6
    return (
        max(0, math.ceil(max(x[0], x[2]) - slack)),
        max(0, math.ceil(max(y[0], y[1]) - slack)),
        min(after[1], math.floor(min(x[1], x[3]) + slack)),
        min(after[0], math.floor(min(y[2], y[3]) + slack)),
    )


def _resample(pixels: np.ndarray, matrix: np.ndarray, width: int, height: int) -> np.ndarray:
    """Move by an affine map; a much larger picture is shrunk first, so that no pixel is skipped."""
    scale = 1 / max(math.hypot(*matrix[:2, 0]), math.hypot(*matrix[:2, 1]))
    if scale < 0.9:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        matrix = registration.scaling(pixels.shape, size[::-1]) @ matrix
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        pixels, matrix[:2], (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )


def _direction(found: Registration) -> str:
    x, y = found.shift
    if math.hypot(x, y) < 0.5 * found.displacement:
        return "turned, scaled or straightened"
    return f"{x:+.1f} px across, {y:+.1f} px down"
