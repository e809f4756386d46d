"""Both pictures of a pair show the same scene in the same framing, or are brought to it, or the pair is refused."""

import dataclasses
import math

import cv2
import numpy as np

from datasets.checks.registration import (
    WORK_EDGE,
    Registration,
    mean_displacement,
    quarter_turns,
    register,
    work_picture,
)
from datasets.types import PairRejected

MAX_ASPECT_DIFFERENCE = 0.01
"""Between a picture and one of another resolution that shows the same; otherwise there is none."""
MIN_SCALE_DIFFERENCE = 0.1
"""Of a picture that was exported smaller. Sizes that differ by less are of another cut: FiveK's pair a4869 differs by one pixel."""
MAX_DISPLACEMENT = 2.0
"""Mean, in pixels at a long edge of `WORK_EDGE`. Of 519 real pairs two are above (both at 2.7), the next one is at 1.5; of 155 that
were moved by 1 px one is refused, of those moved by 3 px all are."""
MAX_RESIDUAL = 0.25
"""The same after reconciliation, where nothing but resampling is left."""
MIN_OVERLAP = 0.8
"""Share of the target that a RAW development has to cover."""
_SURE = 0.4
"""Correlation from which a displacement is believed; all but one of 519 real pairs are above 0.47."""
_GAIN = 0.05
"""A displacement is believed only if undoing it makes the pictures more alike by this much."""
_DIFFERENT_SCENE = 0.2
"""Correlation; of 400 pairs that were put together at random from one data set, 391 are below."""
_MIN_TEXTURE = 0.02
"""Of the pixels on an edge, in both pictures; a blank wall has too few to say what it shows."""
_ATTEMPTS = 3
_MAX_FROM_WHOLE_PIXELS = 0.2  # the estimate's own error reaches 0.14 on rendered RAW files


@dataclasses.dataclass(frozen=True)
class Framed:
    """A pair in one framing."""

    input: np.ndarray
    target: np.ndarray
    displacement: float
    """Measured before reconciliation for photos, after it for RAW; pixels at a long edge of `WORK_EDGE`."""
    changes: tuple[str, ...]
    """What was done, such as "turned by 90°"."""


def check_framing(before: np.ndarray, after: np.ndarray) -> Framed:
    """Compare photos that should lie on each other pixel by pixel; a picture that lies on its side is turned.

    Where one was exported smaller than the other, the larger one is shrunk to its size.

    Raises:
        PairRejected: the sizes differ, the content is displaced, or it is another scene.
    """
    small_before, small_after = work_picture(before), work_picture(after)
    turns, changes = _find_turn(small_before, small_after, before, after)
    if turns:
        before, small_before = (
            np.ascontiguousarray(np.rot90(pixels, turns)) for pixels in (before, small_before)
        )
    if before.shape != after.shape:
        if not _differ_in_resolution(before, after):
            raise PairRejected(
                "sizes differ",
                f"the sizes differ: {_sizes_text(before, after)}",
                _sizes(before, after),
            )
        before, after, shrunk = _shrink_the_larger(before, after)
        small_before, small_after, changes = (
            work_picture(before),
            work_picture(after),
            (*changes, shrunk),
        )
    found = register(small_before, small_after)
    if found.displacement > MAX_DISPLACEMENT and _is_sure(found):
        raise PairRejected(
            "framing differs",
            f"the target is not cut like the input: its content has moved by {found.displacement:.1f} px on average, at a "
            f"long edge of {WORK_EDGE} px ({_direction(found)}); the limit is {MAX_DISPLACEMENT:g} px",
            round(found.displacement, 2),
        )
    _refuse_another_scene(found)
    # What is not sure is not reported as a displacement either.
    return Framed(before, after, found.displacement if found.correlation >= _SURE else 0.0, changes)


def reconcile_framing(before: np.ndarray, after: np.ndarray) -> Framed:
    """Bring a RAW development to the framing of the photo that was exported from it.

    RAW converters cut the sensor's margins differently and may scale or straighten. The input is cut in whole pixels where
    that is all, and resampled otherwise; where it lacks a margin that the target has, the target is cut as well.

    Raises:
        PairRejected: too little overlaps, what is left of the displacement is too much, or it is another scene.
    """
    turns, changes = _find_turn(work_picture(before), work_picture(after), before, after)
    if turns:
        before = np.ascontiguousarray(np.rot90(before, turns))
    found = register(before, after, precisely=True)
    if found.correlation < _SURE:
        _refuse_another_scene(found)
        _refuse_other_shape(before, after)
        return Framed(before, after, 0.0, changes)
    matrix = found.matrix
    for _ in range(_ATTEMPTS):
        overlap = _overlap(before, after, matrix)
        left = register(overlap.input, overlap.target, precisely=True)
        if left.displacement <= MAX_RESIDUAL:
            break
        # Edges of the part that only one of them shows, such as black corners, disturb the first estimate.
        matrix = matrix @ overlap.corner @ left.matrix @ np.linalg.inv(overlap.corner)
    if left.displacement > MAX_RESIDUAL and left.correlation - left.correlation_unmoved > _GAIN:
        raise PairRejected(
            "framing differs",
            f"the framing of input and target cannot be made the same: {left.displacement:.2f} px are left at a long edge of "
            f"{WORK_EDGE} px; the limit is {MAX_RESIDUAL:g} px",
            round(left.displacement, 2),
        )
    return Framed(overlap.input, overlap.target, left.displacement, (*changes, *overlap.changes))


@dataclasses.dataclass(frozen=True)
class _Overlap:
    input: np.ndarray
    target: np.ndarray
    corner: np.ndarray
    """`(3, 3)`: pixels of the cut target -> pixels of the whole one."""
    changes: tuple[str, ...]


def _find_turn(
    small_before: np.ndarray, small_after: np.ndarray, before: np.ndarray, after: np.ndarray
) -> tuple[int, tuple[str, ...]]:
    """Return the quarter turns that the input needs, and what to say about them."""
    turns = quarter_turns(small_before, small_after)
    if turns and not _fits(np.rot90(small_before, turns), small_after):
        lies_across = (before.shape[0] > before.shape[1]) != (after.shape[0] > after.shape[1])
        turns = None if lies_across else 0
    if turns is None:
        raise PairRejected(
            "framing differs",
            f"one picture is upright, the other lies on its side, and turning does not make them alike: "
            f"{_sizes_text(before, after)}",
            _sizes(before, after),
        )
    return turns, (f"input turned by {90 * turns}° anticlockwise",) if turns else ()


def _fits(turned: np.ndarray, small_after: np.ndarray) -> bool:
    """Whether the turn is right: at the size that turns are found at, a room may resemble its mirror image on its head."""
    return register(np.ascontiguousarray(turned), small_after).correlation >= _SURE


def _refuse_another_scene(found: Registration) -> None:
    if found.correlation < _DIFFERENT_SCENE and found.texture > _MIN_TEXTURE:
        raise PairRejected(
            "different scene",
            "input and target do not show the same scene, or something large moved between them: their outlines agree by "
            f"{max(found.correlation, 0):.2f} of 1; real pairs are above {_SURE:g}",
            round(found.correlation, 2),
        )


def _have_one_aspect(before: np.ndarray, after: np.ndarray) -> bool:
    aspect_ratio = (before.shape[1] / before.shape[0]) / (after.shape[1] / after.shape[0])
    return abs(aspect_ratio - 1) <= MAX_ASPECT_DIFFERENCE


def _differ_in_resolution(before: np.ndarray, after: np.ndarray) -> bool:
    smaller, larger = sorted((max(before.shape), max(after.shape)))
    return smaller < (1 - MIN_SCALE_DIFFERENCE) * larger and _have_one_aspect(before, after)


def _shrink_the_larger(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Return both at the smaller one's size, and what was done."""
    is_input = max(before.shape) > max(after.shape)
    larger, smaller = (before, after) if is_input else (after, before)
    height, width = smaller.shape[:2]
    larger = cv2.resize(larger, (width, height), interpolation=cv2.INTER_AREA)
    pictures = (larger, smaller) if is_input else (smaller, larger)
    return *pictures, f"{'input' if is_input else 'target'} shrunk to the other's resolution"


def _refuse_other_shape(before: np.ndarray, after: np.ndarray) -> None:
    """Where the content says nothing, the shapes have to."""
    if not _have_one_aspect(before, after):
        raise PairRejected(
            "framing differs",
            f"the shapes differ: {_sizes_text(before, after)}",
            _sizes(before, after),
        )


def _is_sure(found: Registration) -> bool:
    return found.correlation >= _SURE and found.correlation - found.correlation_unmoved >= _GAIN


def _overlap(before: np.ndarray, after: np.ndarray, matrix: np.ndarray) -> _Overlap:
    """Cut or resample the input to the part of the target that it covers, and cut the target to that part."""
    centre = np.array([(after.shape[1] - 1) / 2, (after.shape[0] - 1) / 2, 1])
    whole_pixels = _translation(*np.rint((matrix @ centre - centre)[:2]))
    # In pixels of the pictures that were compared: those of the photo itself where it is small.
    compared = min(1.0, max(after.shape) / WORK_EDGE)
    away = mean_displacement(np.linalg.inv(whole_pixels) @ matrix, after.shape) * compared
    is_cut_only = away < _MAX_FROM_WHOLE_PIXELS
    if is_cut_only:
        matrix = whole_pixels
    left, top, right, bottom = _covered(matrix, before.shape, after.shape)
    width, height = max(0, right - left), max(0, bottom - top)
    share = width * height / (after.shape[0] * after.shape[1])
    if share < MIN_OVERLAP:
        raise PairRejected(
            "framing differs",
            f"the input covers only {share:.0%} of what the target shows: {_sizes_text(before, after)}; the limit is "
            f"{MIN_OVERLAP:.0%}",
            round(share, 3),
        )
    corner = _translation(left, top)
    target = np.ascontiguousarray(after[top:bottom, left:right])
    if not is_cut_only:
        resampled = _resample(before, matrix @ corner, width, height)
        return _Overlap(resampled, target, corner, (f"input resampled to {width}x{height}",))
    x, y = (int(value) for value in (matrix @ corner)[:2, 2])
    cut = np.ascontiguousarray(before[y : y + height, x : x + width])
    is_whole = cut.shape == before.shape and target.shape == after.shape
    return _Overlap(
        cut, target, corner, () if is_whole else (f"cut to the common {width}x{height}",)
    )


def _translation(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def _covered(
    matrix: np.ndarray, before: tuple[int, ...], after: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the target's largest part, cut from its sides, whose content is in the input."""
    # Where the input's corners lie in the target; the inner ones of them bound the rectangle.
    height, width = before[:2]
    # Half a pixel outwards is where the outermost pixels end.
    corners = np.array(
        [
            [-0.5, width - 0.5, -0.5, width - 0.5],
            [-0.5, -0.5, height - 0.5, height - 0.5],
            [1, 1, 1, 1],
        ]
    )
    x, y, _ = np.linalg.inv(matrix) @ corners + 0.5
    slack = 1e-6
    return (
        max(0, math.ceil(max(x[0], x[2]) - slack)),
        max(0, math.ceil(max(y[0], y[1]) - slack)),
        min(after[1], math.floor(min(x[1], x[3]) + slack)),
        min(after[0], math.floor(min(y[2], y[3]) + slack)),
    )


def _resample(pixels: np.ndarray, matrix: np.ndarray, width: int, height: int) -> np.ndarray:
    """Move by an affine map; a much larger picture is shrunk first, so that no pixel of it is skipped."""
    scale = 1 / max(math.hypot(*matrix[:2, 0]), math.hypot(*matrix[:2, 1]))
    if scale < 0.9:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        x, y = size[0] / pixels.shape[1], size[1] / pixels.shape[0]
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        matrix = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]]) @ matrix
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        pixels, matrix[:2], (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )


def _direction(found: Registration) -> str:
    x, y = found.shift
    if math.hypot(x, y) < 0.5 * found.displacement:
        return "turned, scaled or straightened"
    return f"{x:+.1f} px across, {y:+.1f} px down"


def _sizes(before: np.ndarray, after: np.ndarray) -> list[int]:
    return [*before.shape[1::-1], *after.shape[1::-1]]


def _sizes_text(before: np.ndarray, after: np.ndarray) -> str:
    return f"the input is {before.shape[1]}x{before.shape[0]}, the target {after.shape[1]}x{after.shape[0]}"
