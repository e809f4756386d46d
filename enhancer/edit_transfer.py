"""Carry an edit made on a reduced photo over to the photo's own pixels, by a local affine fit of colours.

At every pixel of the reduced pair an affine map from input colour to output colour is fitted to its neighbourhood
(`enhancer.affine_fit`); the maps, and not the pictures, are enlarged and applied to the full-size pixels, so that no
detail is lost.

Reference:
    He and Sun, "Fast Guided Filter", arXiv:1505.00996 (fit at low resolution, enlarge the coefficients).
"""

import cv2
import numpy as np

from enhancer.affine_fit import fit_affine, for_each

_STRIPE_ROWS = 64
_SCALES = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


def transfer_edit(
    photo: np.ndarray,
    low_input: np.ndarray,
    low_output: np.ndarray,
    *,
    strength: float = 1.0,
    stripe_rows: int = _STRIPE_ROWS,
) -> np.ndarray:
    """Apply to `photo` the edit that leads from `low_input` to `low_output`.

    Args:
        photo: the full-size photo, uint8 or uint16 `(H, W, 3)` sRGB.
        low_input: the same photo reduced, uint8 or uint16 `(h, w, 3)`, or float in [0, 1].
        low_output: the edit of `low_input`, float `(h, w, 3)`; [0, 1], where values a little outside are
            used as they are, because clipping them first would bend the fit.
        strength: how much of the edit, [0, 1]: 0 gives the photo itself, 1 the edit.
        stripe_rows: rows of the photo that are worked on at a time; bounds the memory, not the result.

    Returns:
        The edited photo, of the photo's shape and dtype.

    Raises:
        ValueError: an argument is something else; the message says what.
    """
    _check(photo, low_input, low_output, strength)
    maps = fit_affine(_as_unit(low_input), np.asarray(low_output, np.float32))
    if strength != 1.0:
        # Blending the maps blends the pictures, and there are twenty times fewer of them.
        maps *= np.float32(strength)
        for o in range(3):
            maps[o, o] += np.float32(1.0 - strength)
    maps[:, 3] *= np.float32(_SCALES[photo.dtype])  # the photo stays on its own scale
    result = np.empty_like(photo)

    def apply_to_stripe(top: int) -> None:
        _apply_stripe(photo, maps, slice(top, min(top + stripe_rows, photo.shape[0])), result)

    for_each(apply_to_stripe, range(0, photo.shape[0], stripe_rows))
    return result


def _apply_stripe(photo: np.ndarray, maps: np.ndarray, rows: slice, result: np.ndarray) -> None:
    height, width = photo.shape[:2]
    low_height, low_width = maps.shape[2:]
    # Rows are interpolated here and columns by OpenCV, both between pixel centres; giving the stripe to cv2.resize
    # as a whole would let it clamp at the stripe's edges and show seams.
    centre = (np.arange(rows.start, rows.stop) + 0.5) * (low_height / height) - 0.5
    centre = np.clip(centre, 0.0, low_height - 1.0)
    above = np.floor(centre).astype(np.intp)
    below = np.minimum(above + 1, low_height - 1)
    weight = (centre - above).astype(np.float32)[:, None]
    size = (width, len(centre))
    lines, other = np.empty((2, len(centre), low_width), np.float32)
    factor = np.empty(size[::-1], np.float32)

    def enlarge(plane: np.ndarray, out: np.ndarray) -> None:
        np.take(plane, above, axis=0, out=lines, mode="clip")
        np.take(plane, below, axis=0, out=other, mode="clip")
        np.subtract(other, lines, out=other)
        np.multiply(other, weight, out=other)
        np.add(lines, other, out=lines)
        cv2.resize(lines, size, dst=out, interpolation=cv2.INTER_LINEAR)

    depth = cv2.CV_8U if photo.dtype == np.uint8 else cv2.CV_16U
    channels = [np.ascontiguousarray(photo[rows, :, i], np.float32) for i in range(3)]
    edited = []
    for o in range(3):
        total = np.empty_like(factor)
        enlarge(maps[o, 3], total)
        for i in range(3):
            enlarge(maps[o, i], factor)
            np.multiply(factor, channels[i], out=factor)
            if i < 2:
                np.add(total, factor, out=total)
        # OpenCV's sum rounds to the nearest whole number and stays within the range of the result.
        edited.append(cv2.add(total, factor, dtype=depth))
    cv2.merge(edited, dst=result[rows])


def _as_unit(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float32) / np.float32(_SCALES.get(picture.dtype, 1))


def _check(photo: np.ndarray, low_input: np.ndarray, low_output: np.ndarray, strength: float) -> None:
    if photo.dtype not in _SCALES or photo.ndim != 3 or photo.shape[-1] != 3 or photo.size == 0:
        raise ValueError(
            f"photo must be uint8 or uint16 (height, width, 3) with at least one pixel, received {photo.dtype} "
            f"{photo.shape}."
        )
    if low_input.ndim != 3 or low_input.shape != low_output.shape or low_input.shape[-1] != 3 or low_input.size == 0:
        raise ValueError(
            f"low_input and low_output must both be (height, width, 3), received {low_input.shape} and "
            f"{low_output.shape}."
        )
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"strength must lie in [0, 1], received {strength}.")
