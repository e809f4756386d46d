"""Carry an edit made on a reduced photo over to the photo's own pixels, by local affine maps of colour.

The maps are fitted to the reduced pair (`enhancer.inference.bilateral_grid`); they, and not the pictures, are enlarged and applied to
the full-size pixels, so that no detail is lost. Why this way: docs/decisions/0007-edit-transfer.md.
"""

import concurrent.futures
import os

import cv2
import numpy as np

from enhancer.inference.bilateral_grid import fit_grid, slice_grid

_STRIPE_ROWS = 8  # the maps looked up for so many rows stay in the processor's cache
_STRIPE_COLUMNS = 8192  # OpenCV looks up in pictures of less than 32768 columns
_WHITE = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


def transfer_edit(
    photo: np.ndarray,
    low_input: np.ndarray,
    low_output: np.ndarray,
    *,
    strength: float = 1.0,
) -> np.ndarray:
    """Apply to `photo` the edit that leads from `low_input` to `low_output`.

    Args:
        photo: the full-size photo, uint8 or uint16 `(H, W, 3)` sRGB.
        low_input: the same photo reduced, uint8 or uint16 `(h, w, 3)`, or float in [0, 1].
        low_output: the edit of `low_input`, float `(h, w, 3)`; [0, 1], where values a little outside are
            used as they are, because clipping them first would bend the fit.
        strength: how much of the edit, [0, 1]: 0 gives the photo itself, 1 the edit.

    Returns:
        The edited photo, of the photo's shape and dtype.

    Raises:
        ValueError: an argument is something else; the message says what.
    """
    _check(photo, low_input, low_output, strength)
    maps = fit_grid(_as_unit(low_input), np.asarray(low_output, np.float32))
    if strength != 1.0:
        # Blending the maps blends the pictures, and there are a hundred times fewer of them.
        maps *= np.float32(strength)
        for o in range(3):
            maps[o, ..., o] += np.float32(1.0 - strength)
    maps *= np.float32(_WHITE[photo.dtype])
    result = np.empty_like(photo)

    def apply_to_stripe(top: int) -> None:
        _apply_to_stripe(photo, maps, slice(top, min(top + _STRIPE_ROWS, photo.shape[0])), result)

    # OpenCV and NumPy let other threads run.
    with concurrent.futures.ThreadPoolExecutor(_num_cores()) as pool:
        for _ in pool.map(apply_to_stripe, range(0, photo.shape[0], _STRIPE_ROWS)):
            pass
    return result


def _apply_to_stripe(photo: np.ndarray, maps: np.ndarray, rows: slice, result: np.ndarray) -> None:
    height, width = photo.shape[:2]
    depth = cv2.CV_8U if photo.dtype == np.uint8 else cv2.CV_16U
    for left in range(0, width, _STRIPE_COLUMNS):
        block = rows, slice(left, min(left + _STRIPE_COLUMNS, width))
        places = (
            np.arange(side.start, side.stop) / max(total - 1, 1)
            for side, total in zip(block, (height, width), strict=True)
        )
        edited = slice_grid(maps, _as_unit(photo[block]), *places)
        # OpenCV's conversion rounds to the nearest whole number and stays within the range of the result.
        result[block] = cv2.add(cv2.merge(edited), np.zeros(4), dtype=depth)


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _as_unit(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float32) / np.float32(_WHITE.get(picture.dtype, 1))


def _check(
    photo: np.ndarray, low_input: np.ndarray, low_output: np.ndarray, strength: float
) -> None:
    if photo.dtype not in _WHITE or photo.ndim != 3 or photo.shape[-1] != 3 or photo.size == 0:
        raise ValueError(
            f"photo must be uint8 or uint16 (height, width, 3) with at least one pixel, received {photo.dtype} "
            f"{photo.shape}."
        )
    if (
        low_input.ndim != 3
        or low_input.shape != low_output.shape
        or low_input.shape[-1] != 3
        or low_input.size == 0
    ):
        raise ValueError(
            f"low_input and low_output must both be (height, width, 3), received {low_input.shape} and "
            f"{low_output.shape}."
        )
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"strength must lie in [0, 1], received {strength}.")
