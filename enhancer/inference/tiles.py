"""Work on a photo in overlapping tiles of one size, and blend what was made of them without a seam."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

MULTIPLE = 8
"""Tiles start at multiples of it, so that a network that folds 8 x 8 pixels together folds the same ones in every tile."""


class Span(NamedTuple):
    """One tile's place along one side of the picture, and how much it counts there."""

    start: int
    weights: np.ndarray
    """float32 `(tile,)` in [0, 1]; those of all tiles add up to 1 at every pixel."""


def spans(length: int, tile: int, overlap: int) -> list[Span]:
    """Lay tiles evenly along a side, the first and the last flush with its ends.

    Where two tiles meet, the middle half of the overlap blends them along a raised cosine. The quarters beside it are context only,
    because what a network answers near the border of a tile is spoilt by the border.

    Args:
        length: of the side, a multiple of `MULTIPLE`.
        tile: at most `length`, a multiple of `MULTIPLE`, at least twice `overlap`.
        overlap: pixels that neighbours share, at least; a multiple of `MULTIPLE`.

    Returns:
        The tiles along the side, in order.
    """
    free = length - tile
    steps = -(-free // (tile - overlap)) if free else 0  # from one tile to the next
    starts = [index * free // steps // MULTIPLE * MULTIPLE for index in range(steps)] + [free]
    # Tiles are at least (tile - overlap) / 2 apart, so that no two blends meet and never more than two tiles count.
    seams = [(left + tile + right) / 2 for left, right in itertools.pairwise(starts)]

    def share_behind(seam: float, positions: np.ndarray) -> np.ndarray:
        if not overlap:
            return np.where(positions > seam, 1.0, 0.0)
        return 0.5 - 0.5 * np.cos(np.pi * np.clip((positions - seam) / (overlap / 2) + 0.5, 0, 1))

    placed = []
    for index, start in enumerate(starts):
        centres = start + np.arange(tile) + 0.5
        behind = share_behind(seams[index - 1], centres) if index else 1.0
        before = 1.0 - share_behind(seams[index], centres) if index < len(seams) else 1.0
        placed.append(Span(start, (np.ones(tile) * behind * before).astype(np.float32)))
    return placed


def edit_in_tiles(
    photo: np.ndarray,
    edit: Callable[[np.ndarray], np.ndarray],
    *,
    tile: int,
    overlap: int,
    batch: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Apply `edit` to overlapping tiles of a photo and blend the results.

    Every call of `edit` gets the same shape, so that it compiles once: the last batch is filled up. The photo is continued by reflection
    beyond its edges, by a quarter of the overlap and up to a multiple of 8, and cropped back: there, too, the border of a tile does not
    count. Along a side shorter than a tile there is one tile of its length. Beyond the photo and the result this takes one row of tiles
    in float32.

    Args:
        photo: uint8 or uint16 `(H, W, 3)`.
        edit: from float32 `(batch, tile, tile, 3)` in [0, 1] to the same shape, not necessarily clipped.
        tile: side in pixels, a multiple of 8.
        overlap: pixels that neighbouring tiles share, at least; a multiple of 8, at most half of `tile`. With 0 they only touch, and
            `edit` sees the edges of the photo as they are.
        batch: tiles per call of `edit`.
        on_progress: called with the tiles that are done and their number.

    Returns:
        The edited photo, shape and dtype of `photo`.

    Raises:
        ValueError: an argument is none of the above; the message says which.
    """
    _check(photo, tile, overlap, batch)
    peak = np.float32(np.iinfo(photo.dtype).max)
    height, width = photo.shape[:2]
    context = overlap // 4
    rows, columns = _reflected(height, context), _reflected(width, context)
    tile_height, tile_width = min(tile, len(rows)), min(tile, len(columns))
    across = spans(len(columns), tile_width, overlap)
    places = [(y, x) for y in spans(len(rows), tile_height, overlap) for x in across]
    result = np.empty_like(photo)
    blended, top = np.zeros((tile_height, len(columns), 3), np.float32), 0

    def finish(bottom: int) -> None:
        first_row, end_row = max(top, context), min(bottom, context + height)
        finished = blended[first_row - top : end_row - top, context : context + width]
        result[first_row - context : end_row - context] = np.rint(np.clip(finished, 0, 1) * peak)

    for first in range(0, len(places), batch):
        placed = places[first : first + batch]
        cut = [
            photo[
                np.ix_(
                    rows[y.start : y.start + tile_height], columns[x.start : x.start + tile_width]
                )
            ]
            for y, x in placed
        ]
        cut += cut[-1:] * (batch - len(cut))
        edited = edit(np.stack(cut).astype(np.float32) / peak)
        for (y, x), one in zip(placed, edited, strict=False):
            if y.start > top:  # no tile to come reaches the rows above
                finish(y.start)
                kept = tile_height - (y.start - top)
                blended[:kept] = blended[y.start - top :]
                blended[kept:] = 0
                top = y.start
            blended[:, x.start : x.start + tile_width] += (
                one * np.outer(y.weights, x.weights)[..., None]
            )
        if on_progress:
            on_progress(first + len(placed), len(places))
    finish(len(rows))
    return result


def _reflected(length: int, context: int) -> np.ndarray:
    """Indices of a side, continued by reflection beyond both ends, to a multiple of `MULTIPLE` altogether."""
    margins = (context, context + -(length + 2 * context) % MULTIPLE)
    return np.pad(np.arange(length), margins, mode="reflect" if length > 1 else "edge")


def _check(photo: np.ndarray, tile: int, overlap: int, batch: int) -> None:
    if (
        photo.dtype not in (np.uint8, np.uint16)
        or photo.ndim != 3
        or photo.shape[-1] != 3
        or photo.size == 0
    ):
        raise ValueError(
            f"A photo must be uint8 or uint16 (height, width, 3), received {photo.dtype} {photo.shape}."
        )
    if tile < MULTIPLE or tile % MULTIPLE:
        raise ValueError(
            f"The side of a tile must be a multiple of {MULTIPLE} pixels, received {tile}."
        )
    if overlap % MULTIPLE or not 0 <= overlap <= tile / 2:
        raise ValueError(
            f"The overlap of tiles must be a multiple of {MULTIPLE} pixels from 0 to half of their side, {tile / 2:g}; received {overlap}."
        )
    if batch < 1:
        raise ValueError(f"At least one tile must be worked on at a time, received {batch}.")
