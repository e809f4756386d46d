"""How far the framing of two pictures of one scene differs, whatever the edit did to the tones.

Tones are no help: a dark room and its bright edit have no grey level in common, and a window may be
black in one and blue in the other. Edges stay. So pictures are compared by where their gradients
stand out from those around them, first by phase correlation (Kuglin and Hines 1975), which finds
large shifts, then by the enhanced correlation coefficient (Evangelidis and Psarakis, PAMI 2008),
which finds shift, scale and rotation to a tenth of a pixel.
"""

from typing import NamedTuple

import cv2
import numpy as np

from datasets.checks.pictures import to_grey

WORK_EDGE = 512
"""Long edge in pixels at which pictures are compared, and of all displacements."""
_SCREENING_EDGE = 256
_CLOSE = 0.9  # correlation
_UNSUSPICIOUS = 1.0  # pixels at WORK_EDGE
_TURN_EDGE = 192
_BLUR = 1.2  # standard deviation in pixels: noise and JPEG blocks are no structure
_SURROUND = 33  # pixels
_NOISE_FLOOR = 2.0  # of 255, gradient: what is fainter everywhere is no structure
_EDGE_STRENGTH = 2.0  # of 255, gradient of an edge that is seen
_MAX_PITCH_DIFFERENCE = 0.1
_MAX_ASPECT_DIFFERENCE = 0.02
_MAX_DISTORTION = 0.1  # of the scale and the rotation in radians


class Registration(NamedTuple):
    """How the input has to be moved to lie on the target, and how sure that is."""

    matrix: np.ndarray
    """float64 `(3, 3)`, affine: a target pixel `(x, y, 1)` -> where its content is in the input."""
    displacement: float
    """Mean distance that content has moved apart, in pixels at a long edge of `WORK_EDGE`."""
    shift: tuple[float, float]
    """The same in x and in y at the picture's centre."""
    correlation: float
    """Of the two structures where they overlap after the move, [-1, 1]; 0.4 in real pairs."""
    correlation_unmoved: float
    """The same before the move."""
    texture: float
    """Share of the pixels that lie on an edge, of the picture that has fewer, [0, 1]."""


def register(before: np.ndarray, after: np.ndarray, *, precisely: bool = False) -> Registration:
    """Estimate shift, scale, rotation and shear between two pictures of any size.

    Pictures of similar size or of different shape (a RAW development and its export, cropped
    differently) are compared pixel by pixel from their centres; others as one framing at two
    resolutions.

    Args:
        before, after: uint8 `(height, width, 3)` or grey `(height, width)`.
        precisely: to a tenth of a pixel at `WORK_EDGE` (on rendered rooms; a quarter on real pairs)
            instead of half a pixel; takes four times as long.
    """
    before, after = to_grey(before), to_grey(after)
    found = _register_at(_SCREENING_EDGE, before, after, None)
    if precisely or found.displacement > _UNSUSPICIOUS:
        return _register_at(WORK_EDGE, before, after, found.matrix)
    return found


def _register_at(
    edge: int, before: np.ndarray, after: np.ndarray, start: np.ndarray | None
) -> Registration:
    scale_after = min(1.0, edge / max(after.shape))
    scale_before = _matching_scale(before, after, scale_after)
    small_before, small_after = _shrink(before, scale_before), _shrink(after, scale_after)
    to_before = scaling(small_before.shape, before.shape)
    to_after = scaling(small_after.shape, after.shape)
    structure_before, structure_after = _structure(small_before), _structure(small_after)
    unmoved = translation(*_centre_offset(structure_before, structure_after))
    correlation_unmoved = correlate(structure_before, structure_after, unmoved)
    if start is not None:
        nearby = np.linalg.inv(to_before) @ start @ to_after
    else:
        nearby = _best_shift(structure_before, structure_after, unmoved, correlation_unmoved)
    # Pictures this much alike are within a pixel of each other: the shift tells enough.
    is_close = edge == _SCREENING_EDGE and correlation_unmoved > _CLOSE
    matrix = nearby if is_close else _refine(structure_before, structure_after, nearby)
    correlation = correlate(structure_before, structure_after, matrix)
    if correlation < correlation_unmoved:
        matrix, correlation = unmoved, correlation_unmoved
    moved = _displacements(np.linalg.inv(unmoved) @ matrix, small_after.shape)
    return Registration(
        matrix=to_before @ matrix @ np.linalg.inv(to_after),
        displacement=float(np.hypot(*moved).mean()),
        shift=(float(moved[0].mean()), float(moved[1].mean())),
        correlation=correlation,
        correlation_unmoved=correlation_unmoved,
        texture=min(_edge_share(small_before), _edge_share(small_after)),
    )


def quarter_turns(before: np.ndarray, after: np.ndarray) -> int | None:
    """Find how often the input has to be turned by 90°, as `numpy.rot90`, to stand as the target.

    Returns:
        0 unless another turn fits clearly better; None where the shapes need one and none fits.
    """
    before, after = (
        _structure(_shrink(grey, _TURN_EDGE / max(grey.shape)))
        for grey in map(to_grey, (before, after))
    )

    def fit(turns: int) -> float:
        turned = np.ascontiguousarray(np.rot90(before, turns))
        unmoved = translation(*_centre_offset(turned, after))
        shifted = _best_shift(turned, after, unmoved, correlate(turned, after, unmoved))
        return correlate(turned, after, shifted)

    is_square = 0.98 < before.shape[0] / before.shape[1] < 1.02
    has_to_turn = lies_across(before, after) and not is_square
    as_it_is = 0.0 if has_to_turn else fit(0)
    if as_it_is > 0.4:
        return 0
    possible = (1, 2, 3) if is_square else (1, 3) if has_to_turn else (2,)
    fits = {turns: fit(turns) for turns in possible}
    turns = max(fits, key=lambda turns: fits[turns])
    if has_to_turn:
        return turns if fits[turns] > 0.25 else None
    return turns if fits[turns] > max(0.5, as_it_is + 0.25) else 0


def correlate(
    before: np.ndarray, after: np.ndarray, matrix: np.ndarray, method: int = cv2.INTER_LINEAR
) -> float:
    """Return Pearson's coefficient where both have pixels; 0 where too little overlaps.

    Args:
        before, after: not negative, float32 `(height, width)`.
        matrix: pixels of `after` -> pixels of `before`.
        method: how OpenCV interpolates.
    """
    size, flags = after.shape[::-1], method | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(before, matrix[:2], size, flags=flags, borderValue=(-1.0,))
    overlap = moved >= 0
    if overlap.mean() < 0.25:
        return 0.0
    first, second = moved[overlap], after[overlap]
    first, second = first - first.mean(), second - second.mean()
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum() + 1e-9))


def mean_displacement(matrix: np.ndarray, shape: tuple[int, ...]) -> float:
    """Return how far an affine map `(3, 3)` moves the content of a picture of a shape, height
    first, on average; in pixels of `WORK_EDGE`."""
    return float(np.hypot(*_displacements(matrix, shape)).mean())


def aspect_ratio(before: np.ndarray, after: np.ndarray) -> float:
    """Return width over height of a picture, over that of another."""
    return (before.shape[1] / before.shape[0]) / (after.shape[1] / after.shape[0])


def lies_across(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether one picture is upright and the other is not."""
    return (before.shape[0] > before.shape[1]) != (after.shape[0] > after.shape[1])


def work_picture(pixels: np.ndarray) -> np.ndarray:
    """Return a grey copy at a long edge of `WORK_EDGE` at most, which is enough to compare."""
    grey = to_grey(pixels)
    return _shrink(grey, min(1.0, WORK_EDGE / max(grey.shape)))


def _matching_scale(before: np.ndarray, after: np.ndarray, scale_after: float) -> float:
    """The scale at which the input's pixels are as large as the target's at theirs."""
    ratio = max(before.shape) / max(after.shape)
    is_same_shape = abs(aspect_ratio(before, after) - 1) <= _MAX_ASPECT_DIFFERENCE
    is_other_resolution = abs(ratio - 1) >= _MAX_PITCH_DIFFERENCE
    return scale_after / ratio if is_other_resolution and is_same_shape else scale_after


def _shrink(grey: np.ndarray, scale: float) -> np.ndarray:
    height, width = (max(1, round(side * scale)) for side in grey.shape)
    if (height, width) == grey.shape:
        return grey
    # Halving is what OpenCV does fastest.
    while height * 4 <= grey.shape[0] and width * 4 <= grey.shape[1]:
        halves = (round(grey.shape[1] / 2), round(grey.shape[0] / 2))
        grey = cv2.resize(grey, halves, interpolation=cv2.INTER_AREA)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(grey, (width, height), interpolation=method)


def _structure(grey: np.ndarray) -> np.ndarray:
    """Gradients relative to those around them, float32: what edits of tone and colour leave."""
    strength = _gradient(grey)
    return np.minimum(strength / (cv2.blur(strength, (_SURROUND, _SURROUND)) + _NOISE_FLOOR), 4.0)


def _gradient(grey: np.ndarray) -> np.ndarray:
    blurred = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), _BLUR)
    return cv2.magnitude(cv2.Sobel(blurred, cv2.CV_32F, 1, 0), cv2.Sobel(blurred, cv2.CV_32F, 0, 1))


def _edge_share(grey: np.ndarray) -> float:
    # Sobel's weights add up to 4 per grey level.
    return float((_gradient(grey) > 4 * _EDGE_STRENGTH).mean())


def _best_shift(
    before: np.ndarray, after: np.ndarray, unmoved: np.ndarray, correlation: float
) -> np.ndarray:
    """The shift that phase correlation finds, if it fits better than none."""
    height, width = (max(16, min(sides)) for sides in zip(before.shape, after.shape, strict=True))
    x, y = _centre_offset(before, after)
    common_after = _cut(after, -x, -y, width, height)
    common_before = _cut(before, x, y, width, height)
    if common_after.shape != common_before.shape:
        return unmoved
    window = cv2.createHanningWindow(common_after.shape[::-1], cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate(common_after, common_before, window)
    shifted = translation(dx, dy) @ unmoved
    return shifted if correlate(before, after, shifted) > correlation else unmoved


def _cut(structure: np.ndarray, x: float, y: float, width: int, height: int) -> np.ndarray:
    left, top = max(0, int(x)), max(0, int(y))
    return np.ascontiguousarray(structure[top : top + height, left : left + width])


def _refine(before: np.ndarray, after: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Climb to the best affine map near `start`; `start` itself where there is none."""
    best, best_correlation = start, correlate(before, after, start)
    # The wide filter sees edges that lie several pixels apart; needed only when they do.
    for filter_size in (5,) if best_correlation > 0.7 else (15, 5):
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 1e-3)
        first = best[:2].astype(np.float32)
        try:
            _, found = cv2.findTransformECC(
                after, before, first, cv2.MOTION_AFFINE, criteria, np.empty(0), filter_size
            )
        except cv2.error:  # it does not converge
            continue
        matrix = np.vstack([found, (0, 0, 1)]).astype(np.float64)
        distortion = np.abs(matrix[:2, :2] - np.eye(2)).max()
        if not np.isfinite(matrix).all() or distortion > _MAX_DISTORTION:
            continue
        correlation = correlate(before, after, matrix)
        if correlation > best_correlation:
            best, best_correlation = matrix, correlation
    return best


def _centre_offset(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """In x and y, of the input's centre from the target's; phase correlation needs whole pixels."""
    x, y = (before.shape[side] - after.shape[side] for side in (1, 0))
    return float(x // 2), float(y // 2)


def translation(x: float, y: float) -> np.ndarray:
    """Return the map `(3, 3)` that moves by x and y."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def scaling(shape: tuple[int, ...], other: tuple[int, ...]) -> np.ndarray:
    """Return the map `(3, 3)` from pixels of one shape to those of another, height first."""
    x, y = other[1] / shape[1], other[0] / shape[0]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]], np.float64)


def _displacements(matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """In x and y, `(2, 25)`, of a grid of points; in pixels at `WORK_EDGE`."""
    height, width = shape[:2]
    x, y = np.meshgrid(np.linspace(0, width - 1, 5), np.linspace(0, height - 1, 5))
    points = np.stack([x.ravel(), y.ravel(), np.ones(25)])
    return (matrix @ points - points)[:2] * WORK_EDGE / max(height, width)
