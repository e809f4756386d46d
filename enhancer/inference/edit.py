"""What a network did to a reduced photo, and how that edit reaches the photo's own pixels.

Affine maps of colour are fitted to the reduced pair (`enhancer.inference.bilateral_grid`); they,
and not the pictures, are enlarged and applied to the full-size pixels, so that no detail is lost
(docs/decisions/0007-edit-transfer.md).
"""

import concurrent.futures
import dataclasses
import os
from collections.abc import Callable

import cv2
import numpy as np

from enhancer.inference.bilateral_grid import fit_grid, slice_grid

_BLOCK_ROWS = 8  # the maps looked up for so many rows stay in the processor's cache
_BLOCK_COLUMNS = 8192  # OpenCV looks up in pictures of less than 32768 columns
WHITE = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


@dataclasses.dataclass(frozen=True)
class Edit:
    """A reduced photo before and after the network: small enough to keep, and to apply again."""

    low_input: np.ndarray
    """What the network saw: uint8 or uint16 `(h, w, 3)`."""
    low_output: np.ndarray
    """What it answered: float32 `(h, w, 3)`, [0, 1], values a little outside included."""

    def apply(self, photo: np.ndarray, strength: float = 1.0) -> np.ndarray:
        """Edit the photo that `low_input` was made of, uint8 or uint16 `(H, W, 3)`, keeping both.
        A `strength` of 0 gives the photo itself, 1 the whole edit."""
        check_strength(strength)
        if self.low_input.shape != photo.shape:
            return transfer_edit(photo, self.low_input, self.low_output, strength=strength)
        # A photo that the network saw at its own size comes back as the network made it.
        top = np.float32(WHITE[photo.dtype])
        blended = np.clip(self.low_output, 0.0, 1.0) * top
        if strength < 1.0:
            blended = photo + np.float32(strength) * (blended - photo)
        return np.rint(blended).astype(photo.dtype)


def transfer_edit(
    photo: np.ndarray, low_input: np.ndarray, low_output: np.ndarray, *, strength: float = 1.0
) -> np.ndarray:
    """Apply to `photo` the edit that leads from `low_input` to `low_output`.

    Args:
        photo: the full-size photo, uint8 or uint16 `(H, W, 3)` sRGB.
        low_input: the same photo reduced, uint8 or uint16 `(h, w, 3)`, or float in [0, 1].
        low_output: the edit of `low_input`, float `(h, w, 3)`, about [0, 1]: clipping values that
            lie a little outside would bend the fit.
        strength: how much of the edit, [0, 1]: 0 gives the photo itself, 1 the edit.

    Returns:
        The edited photo, of the photo's shape and dtype.
    """
    maps = fit_grid(_as_unit(low_input), np.asarray(low_output, np.float32))
    if strength != 1.0:
        # Blending the maps blends the pictures, and there are a hundred times fewer of them.
        maps *= np.float32(strength)
        for o in range(3):
            maps[o, ..., o] += np.float32(1.0 - strength)
    maps *= np.float32(WHITE[photo.dtype])
    result = np.empty_like(photo)

    def apply_to_block(top: int) -> None:
        _apply_to_block(photo, maps, slice(top, min(top + _BLOCK_ROWS, photo.shape[0])), result)

    in_threads(apply_to_block, range(0, photo.shape[0], _BLOCK_ROWS))
    return result


def _apply_to_block(photo: np.ndarray, maps: np.ndarray, rows: slice, result: np.ndarray) -> None:
    height, width = photo.shape[:2]
    depth = cv2.CV_8U if photo.dtype == np.uint8 else cv2.CV_16U
    for left in range(0, width, _BLOCK_COLUMNS):
        block = rows, slice(left, min(left + _BLOCK_COLUMNS, width))
        places = (
            np.arange(side.start, side.stop) / max(total - 1, 1)
            for side, total in zip(block, (height, width), strict=True)
        )
        edited = slice_grid(maps, _as_unit(photo[block]), *places)
        # OpenCV's conversion rounds to the nearest number and stays within the result's range.
        result[block] = cv2.add(cv2.merge(edited), np.zeros(4), dtype=depth)


def check_photo(photo: np.ndarray) -> None:
    """Raise a ValueError that says what is wrong with what should be a photo."""
    if not isinstance(photo, np.ndarray):
        raise ValueError(f"A photo must be a NumPy array, received {type(photo).__name__}.")
    if photo.dtype not in WHITE:
        raise ValueError(
            f"A photo must be uint8 or uint16, received {photo.dtype}; convert it first."
        )
    if photo.ndim != 3 or photo.shape[-1] != 3 or photo.size == 0:
        raise ValueError(
            "A photo must have the shape (height, width, 3) and at least one pixel, "
            f"received {photo.shape}."
        )


def check_strength(strength: float) -> None:
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"strength must be between 0 and 1, received {strength}.")


def in_threads(work: Callable[[int], None], starts: range) -> None:
    """Do what releases the GIL, as OpenCV, NumPy and JAX do, on all of this process's cores."""
    known = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    with concurrent.futures.ThreadPoolExecutor(cores) as pool:
        for _ in pool.map(work, starts):
            pass


def _as_unit(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float32) / np.float32(WHITE.get(picture.dtype, 1))
