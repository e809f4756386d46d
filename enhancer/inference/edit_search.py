"""From photos to their edits, through a network: reduced to what it sees, in batches."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np

from enhancer.inference.edit import WHITE, Edit
from enhancer.inference.forward_pass import ForwardPass
from enhancer.inference.full_size import NEUTRAL, PhotoRetouch, fitted
from enhancer.inference.sizes import (
    COMMON_ASPECTS,
    ELONGATED_ASPECTS,
    MARGIN,
    crop,
    pad,
    padded_size,
    reduce_photo,
    reduced_size,
)


class RetouchSearch:
    """Asks a network of base "retouch", which sees every photo squashed into one square."""

    def __init__(self, model: keras.Model, side: int):
        self.forward, self._side = ForwardPass(model, retouch_only=True), side

    def warm_up(self, on_progress: Callable[[int, int], None], keep_to_these: bool) -> None:
        on_progress(0, 1)
        self.forward.compile(1, self._side, self._side, 3)
        for dtype in WHITE:
            NEUTRAL.apply(np.zeros((1, 1, 3), dtype))
        on_progress(1, 1)

    def __call__(self, photos: Sequence[np.ndarray], batch_size: int) -> list[PhotoRetouch]:
        seen = [fitted(photo, self._side) for photo in photos]
        answers = (self.forward(_stacked(batch)) for batch in _batches(seen, batch_size))
        edits = [edit for answer in answers for edit in map(PhotoRetouch, *answer)]
        return [
            edit.without_colour() if _is_grey(photo) else edit
            for edit, photo in zip(edits, photos, strict=True)
        ]


class PictureSearch:
    """Asks a network that answers with pictures, float32 `(batch, height, width, 3)` as it is given
    them; `side` is that of `enhancer.inference.sizes`. Photos of nearly one size share a program.
    """

    def __init__(self, model: keras.Model, side: int):
        self.forward, self._side = ForwardPass(model), side
        self._only: list[tuple[int, int]] = []

    def warm_up(self, on_progress: Callable[[int, int], None], keep_to_these: bool) -> None:
        aspects = COMMON_ASPECTS + (ELONGATED_ASPECTS if keep_to_these else ())
        for done, (height, width) in enumerate(aspects):
            on_progress(done, len(aspects))
            reduced = reduced_size(height * self._side, width * self._side, self._side)
            self.forward.compile(1, *padded_size(*reduced), 3)
        on_progress(len(aspects), len(aspects))
        if keep_to_these:
            sizes = {(shape[1], shape[2]) for shape in self.forward.compiled_shapes}
            self._only = sorted(sizes, key=lambda size: size[0] * size[1])

    def __call__(self, photos: Sequence[np.ndarray], batch_size: int) -> list[Edit]:
        reduced = [reduce_photo(photo, self._side) for photo in photos]
        buckets: dict[tuple[int, int], list[int]] = {}
        for index, picture in enumerate(reduced):
            buckets.setdefault(self._size_for(*picture.shape[:2]), []).append(index)
        answers: dict[int, np.ndarray] = {}
        for padded, indices in buckets.items():
            for batch in _batches(indices, batch_size):
                found = self.forward(_stacked([pad(reduced[index], padded) for index in batch]))
                for index, answer in zip(batch, found, strict=True):
                    answers[index] = crop(answer, *reduced[index].shape[:2])
        return [Edit(x, _as_colored_as(x, answers[index])) for index, x in enumerate(reduced)]

    def _size_for(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the program for a picture: of those to keep to, the smallest that
        holds it; for one that fits into none, its own."""
        usual = padded_size(height, width)
        if usual in self._only:
            return usual
        least = (height + 2 * MARGIN, width + 2 * MARGIN)
        fits = (size for size in self._only if size[0] >= least[0] and size[1] >= least[1])
        return next(fits, usual)


def save_edit(path: Path, edit: Edit | PhotoRetouch) -> None:
    """Keep an edit as a file of NumPy's, `.npz`."""
    np.savez(path, **vars(edit))


def load_edit(path: Path) -> Edit | PhotoRetouch:
    """The edit that `save_edit` kept."""
    with np.load(path) as saved:
        return (PhotoRetouch if "grid" in saved else Edit)(**saved)


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    """Full batches, then single items: another program for each remainder would cost more."""
    full = len(items) - len(items) % size
    yield from (items[start : start + size] for start in range(0, full, size))
    yield from ([item] for item in items[full:])


def _stacked(pictures: Sequence[np.ndarray]) -> np.ndarray:
    units = [p.astype(np.float32) / np.float32(np.iinfo(p.dtype).max) for p in pictures]
    return np.stack(units, dtype=np.float32)


def _is_grey(photo: np.ndarray) -> bool:
    return all((row[:, :1] == row[:, 1:]).all() for row in photo)  # the first row says no, mostly


def _as_colored_as(photo: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """The answer, or of a black-and-white photo its luminance in all three channels."""
    if _is_grey(photo):
        return cv2.cvtColor(cv2.cvtColor(answer, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return answer
