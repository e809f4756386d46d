"""Photos of one scene from one place: exposures of a bracket, frames of a burst, copies re-edited.

A network that was trained on one of them has seen the answer to the others, so they belong in one
split. Candidates come from a perceptual hash, 128 bits that say where the picture gets brighter to
the right and downwards (dHash, Krawetz 2013); each is then laid on the other, and only pictures
whose outlines agree count: rooms that merely resemble each other do not.
"""

import functools
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

from datasets.checks.pictures import to_grey
from datasets.checks.registration import correlate, lies_across, register
from enhancer.system.progress import progress_bar

Hashes = Sequence[tuple[str, str]]
"""Per pair the perceptual hashes of input and target."""
ReadTarget = Callable[[int], np.ndarray]
"""Returns a pair's target by its index, sRGB, uint8 `(height, width, 3)`."""

_SIDE = 8
MAX_DISTANCE = 32
"""Bits in which candidates differ at most; one in 2,000 pairs of different scenes is below too."""
MIN_CORRELATION = 0.5
"""Of the outlines of near-duplicates. Of 405 candidates on a set of 485 photos with many bursts,
other scenes are below 0.21, one table with other things on it is between 0.44 and 0.8, and bursts
are above."""
MIN_TONE_CORRELATION = 0.6
"""Of the grey levels of near-duplicates; the lowest on those photos is 0.69."""
_MIN_TEXTURE = 0.02  # two blank walls need not be the same wall
_THUMBNAIL_EDGE = 256
_ROWS_AT_ONCE = 256


def perceptual_hash(pixels: np.ndarray) -> str:
    """Hash an sRGB picture, uint8 `(height, width, 3)`, to 128 bits, hexadecimal, that hardly
    change with tone, colour, size and compression."""
    small = cv2.resize(to_grey(pixels), (_SIDE + 1, _SIDE + 1), interpolation=cv2.INTER_AREA)
    to_the_right = small[:-1, 1:] > small[:-1, :-1]
    downwards = small[1:, :-1] > small[:-1, :-1]
    return np.packbits([to_the_right, downwards]).tobytes().hex()


def find_groups(
    hashes: Hashes, read_target: ReadTarget, copies: Sequence[tuple[int, int]] = ()
) -> list[list[int]]:
    """Find the groups of photos that show one scene; who is like one of a group belongs to it.

    Args:
        hashes, read_target: of the pairs.
        copies: pairs of indices that are known to show one scene, however little is to be seen.

    Returns:
        Indices in rising order, of groups of two and more, in the order of their first members.
    """
    from scipy.cluster.hierarchy import DisjointSet  # takes a second, which workers do not need

    groups = DisjointSet(range(len(hashes)))
    for pair in copies:
        groups.merge(*pair)
    thumbnail = _thumbnails(read_target)
    for row, other in _candidates(hashes, hashes):
        is_new = row < other and not groups.connected(row, other)
        if is_new and _same_scene(thumbnail(row), thumbnail(other)):
            groups.merge(row, other)
    return [sorted(indices) for indices in groups.subsets() if len(indices) > 1]


def find_shown(
    hashes: Hashes, read_target: ReadTarget, other_hashes: Hashes, read_other: ReadTarget
) -> list[int]:
    """Indices of the pairs whose scene one of some others shows too."""
    shown: set[int] = set()
    thumbnail, other_thumbnail = _thumbnails(read_target), _thumbnails(read_other)
    for row, other in _candidates(hashes, other_hashes):
        if row not in shown and _same_scene(thumbnail(row), other_thumbnail(other)):
            shown.add(row)
    return sorted(shown)


def _candidates(hashes: Hashes, other_hashes: Hashes) -> Iterator[tuple[int, int]]:
    """Yield the index pairs whose inputs or targets have similar hashes; a bar shows how far."""
    if not hashes or not other_hashes:
        return
    roles, others = _bits(hashes), _bits(other_hashes)
    settings = {"unit": " photos", "unit_scale": _ROWS_AT_ONCE, "delay": 2, "leave": False}
    starts = range(0, len(hashes), _ROWS_AT_ONCE)
    for start in progress_bar(starts, desc="looking for near-duplicates", **settings):
        near = np.zeros((min(_ROWS_AT_ONCE, len(hashes) - start), len(other_hashes)), bool)
        for words, other_words in zip(roles, others, strict=True):
            differing = words[start : start + _ROWS_AT_ONCE, None] ^ other_words[None]
            near |= np.bitwise_count(differing).sum(-1, dtype=np.uint16) <= MAX_DISTANCE
        rows, columns = np.nonzero(near)
        yield from zip((rows + start).tolist(), columns.tolist(), strict=True)


def _bits(hashes: Hashes) -> list[np.ndarray]:
    """The bits of the inputs and of the targets, uint64 `(pairs, 2)` each."""
    return [
        np.frombuffer(bytes.fromhex("".join(role)), np.uint64).reshape(len(hashes), -1)
        for role in zip(*hashes, strict=True)
    ]


def _thumbnails(read: ReadTarget) -> ReadTarget:
    """Make a reader of small grey copies, which reads each picture once."""

    @functools.cache
    def thumbnail(index: int) -> np.ndarray:
        grey = to_grey(read(index))
        scale = min(1.0, _THUMBNAIL_EDGE / max(grey.shape))
        return cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)

    return thumbnail


def _same_scene(first: np.ndarray, second: np.ndarray) -> bool:
    if lies_across(first, second):
        return False
    found = register(first, second)
    if found.correlation < MIN_CORRELATION or found.texture < _MIN_TEXTURE:
        return False
    first, second = first.astype(np.float32), second.astype(np.float32)
    return correlate(first, second, found.matrix, cv2.INTER_NEAREST) >= MIN_TONE_CORRELATION
