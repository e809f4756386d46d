"""Photos that show the same scene from the same place: exposures of one bracket, frames of one burst, copies re-edited.

A network that was trained on one of them has seen the answer to the others, so they belong in one split. Candidates come
from a perceptual hash, 128 bits that say where the picture gets brighter to the right and downwards (dHash, Krawetz 2013);
each is then laid on the other, and only pictures whose outlines agree count: rooms that merely resemble each other do not.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from datasets.registration import register, to_grey

_SIDE = 8
_BITS = 2 * _SIDE * _SIDE
MAX_DISTANCE = 32
"""Bits in which candidates differ at most. One in two thousand pairs of different scenes is below, too."""
MIN_CORRELATION = 0.5
"""Of the outlines of near-duplicates. Of 405 candidates on a set of 485 photos with many bursts, other scenes are below 0.21,
one table with other things on it is between 0.44 and 0.8, and bursts are above."""
MIN_TONE_CORRELATION = 0.6
"""Of the grey levels of near-duplicates; the lowest on those photos is 0.69."""
_MIN_TEXTURE = 0.02  # two blank walls need not be the same wall
_THUMBNAIL_EDGE = 256
_ROWS_AT_ONCE = 256


def perceptual_hash(pixels: np.ndarray) -> str:
    """Return 128 bits, hexadecimal, that hardly change with brightness, contrast, colour, size and compression.

    Args:
        pixels: sRGB, uint8 `(height, width, 3)`.
    """
    small = cv2.resize(to_grey(pixels), (_SIDE + 1, _SIDE + 1), interpolation=cv2.INTER_AREA)
    to_the_right = small[:-1, 1:] > small[:-1, :-1]
    downwards = small[1:, :-1] > small[:-1, :-1]
    return np.packbits([to_the_right, downwards]).tobytes().hex()


def find_groups(
    hashes: Sequence[tuple[str, str]],
    read_target: Callable[[int], np.ndarray],
    progress: Callable[[int], None] = lambda _: None,
    copies: Sequence[tuple[int, int]] = (),
) -> list[list[int]]:
    """Find the groups of photos that show the same scene; who is like one of a group belongs to it.

    Args:
        hashes: per pair the perceptual hashes of input and target.
        read_target: returns a pair's target by its index, sRGB, uint8 `(height, width, 3)`.
        progress: called with the number of photos compared so far.
        copies: pairs of indices that are known to show the same scene, however little is to be seen.

    Returns:
        Indices in rising order, of groups of two and more, in the order of their first members.
    """
    packed = _packed(hashes)
    group = list(range(len(hashes)))
    thumbnails = _Thumbnails(read_target)

    def root(index: int) -> int:
        while group[index] != index:
            index = group[index]
        return index

    for row, other in copies:
        first, second = sorted((root(row), root(other)))
        group[second] = first
    for start in range(0, len(hashes), _ROWS_AT_ONCE):
        rows, others = _candidates(packed, start)
        for row, other in zip(rows.tolist(), others.tolist(), strict=True):
            first, second = sorted((root(row), root(other)))
            if first != second and _same_scene(thumbnails(row), thumbnails(other)):
                group[second] = first
        progress(min(len(hashes), start + _ROWS_AT_ONCE))
    members: dict[int, list[int]] = {}
    for index in range(len(hashes)):
        members.setdefault(root(index), []).append(index)
    return [indices for indices in members.values() if len(indices) > 1]


def find_shown(
    hashes: Sequence[tuple[str, str]],
    read_target: Callable[[int], np.ndarray],
    other_hashes: Sequence[tuple[str, str]],
    read_other: Callable[[int], np.ndarray],
) -> list[int]:
    """Indices of the photos whose scene one of some others shows, too; the others are not compared among themselves.

    Args:
        hashes, other_hashes: per pair the perceptual hashes of input and target.
        read_target, read_other: return a pair's target by its index, sRGB, uint8 `(height, width, 3)`.
    """
    if not hashes or not other_hashes:
        return []
    packed, others = _packed(hashes), _packed(other_hashes)
    thumbnails, other_thumbnails = _Thumbnails(read_target), _Thumbnails(read_other)
    return [
        index
        for index in range(len(hashes))
        if any(
            _same_scene(thumbnails(index), other_thumbnails(other))
            for other in np.flatnonzero(
                _near([words[index : index + 1] for words in packed], others)[0]
            ).tolist()
        )
    ]


def _candidates(packed: list[np.ndarray], start: int) -> tuple[np.ndarray, np.ndarray]:
    """Index pairs (the second is larger) whose inputs or targets have similar hashes, for some of the rows."""
    rows, others = np.nonzero(
        _near([words[start : start + _ROWS_AT_ONCE] for words in packed], packed)
    )
    rows += start
    return rows[others > rows], others[others > rows]


def _packed(hashes: Sequence[tuple[str, str]]) -> list[np.ndarray]:
    """The bits of the inputs and of the targets, uint64 `(pairs, words)` each."""
    return [
        np.frombuffer(bytes.fromhex("".join(role)), np.uint64).reshape(-1, _BITS // 64)
        for role in zip(*hashes, strict=True)
    ]


def _near(rows: list[np.ndarray], others: list[np.ndarray]) -> np.ndarray:
    """Whose inputs or targets have similar hashes, bool `(rows, others)`."""
    near = np.zeros((len(rows[0]), len(others[0])), bool)
    for some, all_others in zip(rows, others, strict=True):
        near |= (
            np.bitwise_count(some[:, None] ^ all_others[None]).sum(axis=-1, dtype=np.uint16)
            <= MAX_DISTANCE
        )
    return near


class _Thumbnails:
    """Reads each picture that is a candidate once."""

    def __init__(self, read: Callable[[int], np.ndarray]):
        self._read, self._kept = read, {}

    def __call__(self, index: int) -> np.ndarray:
        if index not in self._kept:
            grey = to_grey(self._read(index))
            scale = min(1.0, _THUMBNAIL_EDGE / max(grey.shape))
            self._kept[index] = cv2.resize(
                grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
            )
        return self._kept[index]


def _same_scene(first: np.ndarray, second: np.ndarray) -> bool:
    if (first.shape[0] > first.shape[1]) != (second.shape[0] > second.shape[1]):
        return False
    found = register(first, second)
    if found.correlation < MIN_CORRELATION or found.texture < _MIN_TEXTURE:
        return False
    return _tone_correlation(first, second, found.matrix) >= MIN_TONE_CORRELATION


def _tone_correlation(first: np.ndarray, second: np.ndarray, matrix: np.ndarray) -> float:
    """Pearson's coefficient of the grey levels where the pictures overlap, once `first` lies on `second`."""
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(
        first.astype(np.float32), matrix[:2], second.shape[::-1], flags=flags, borderValue=-1.0
    )
    overlap = moved >= 0
    moved, second = moved[overlap] - moved[overlap].mean(), second[overlap] - second[overlap].mean()
    return float((moved * second).sum() / np.sqrt((moved**2).sum() * (second**2).sum() + 1e-9))
