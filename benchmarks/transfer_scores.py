"""How close a transferred edit comes to the truth: everywhere, near edges, and how far a window frame glows."""

import cv2
import numpy as np

from benchmarks.transfer_scenes import FRAME_WIDTH, WINDOW

EDGE_CONTRAST = 0.03
"""Change of luminance per pixel, of white, from which on a pixel belongs to a strong edge."""
EDGE_REACH = 8
"""Pixels to either side that count as near it."""
HALO_ERROR = 0.02
"""Mean error along the frame, of white, from which on a line of pixels belongs to the halo: 5 steps of 255."""
_FARTHEST = 100
_STRIPE_ROWS = 250


def psnr_db(result: np.ndarray, truth: np.ndarray, near_edges: np.ndarray) -> tuple[float, float]:
    """Peak signal-to-noise ratio over all pixels and over those in the mask; NaN over none.

    Args:
        result: uint8 `(H, W, 3)`.
        truth: uint16 `(H, W, 3)`, 65535 is 1.
        near_edges: bool `(H, W)`.
    """
    total = at_edges = 0.0
    for top in range(0, len(result), _STRIPE_ROWS):
        rows = slice(top, top + _STRIPE_ROWS)
        squared = np.square(_error(result[rows], truth[rows])).mean(axis=-1)
        total += float(squared.sum(dtype=np.float64))
        at_edges += float(squared[near_edges[rows]].sum(dtype=np.float64))
    count = int(near_edges.sum())
    decibel = [
        -10 * np.log10(max(a / b, 1e-12)) if b else float("nan")
        for a, b in ((total, result[..., 0].size), (at_edges, count))
    ]
    return float(decibel[0]), float(decibel[1])


def mask_near_edges(photo: np.ndarray) -> np.ndarray:
    """True where a strong edge of the photo, uint8 `(H, W, 3)`, is within `EDGE_REACH` pixels; bool `(H, W)`."""
    grey = cv2.GaussianBlur(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), (0, 0), 1.5)
    # Sobel's kernel sums up to 8 times the derivative.
    across, down = (cv2.Sobel(grey, cv2.CV_16S, *order) for order in ((1, 0), (0, 1)))
    strong = np.maximum(np.abs(across), np.abs(down)) > 8 * 255 * EDGE_CONTRAST
    side = 2 * EDGE_REACH + 1
    return cv2.dilate(strong.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)


def halo_px(result: np.ndarray, truth: np.ndarray) -> int:
    """Width of the halo at the upright edges of the window of `benchmarks.transfer_scenes`, in pixels of the photo.

    The error is averaged along the middle of each edge (dark frame against bright glass, and against the wall), which
    leaves nothing of noise; the halo reaches to the farthest column, on either side, where the mean over colours of what is left
    exceeds `HALO_ERROR`. At most 100 pixels are looked at, and into the frame only half its width, where the other
    edge's halo begins.
    """
    height = len(result)
    top, bottom, left, right = WINDOW
    rows = slice(
        round((top + 0.3 * (bottom - top)) * height), round((top + 0.55 * (bottom - top)) * height)
    )
    half_frame = round(FRAME_WIDTH * height / 2)
    widest = 0
    for edge, frame_to_the_right in (
        (left, True),
        (left + FRAME_WIDTH, False),
        (right - FRAME_WIDTH, True),
        (right, False),
    ):
        column = round(edge * height)
        reach = (_FARTHEST, half_frame) if frame_to_the_right else (half_frame, _FARTHEST)
        columns = slice(column - reach[0], column + reach[1])
        error = np.abs(_error(result[rows, columns], truth[rows, columns]).mean(axis=0)).mean(
            axis=-1
        )
        off = np.flatnonzero(error > HALO_ERROR)
        if len(off):
            widest = max(widest, reach[0] - int(off[0]), int(off[-1]) - reach[0] + 1)
    return widest


def _error(result: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return result.astype(np.float32) / 255 - truth.astype(np.float32) / 65535
