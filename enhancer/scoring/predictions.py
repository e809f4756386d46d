"""Predictions that another program left as files, as a method to be scored."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from enhancer.data.pairs import Pair
from enhancer.photo.finder import find_photos
from enhancer.photo.io import read_photo
from enhancer.system.errors import EnhancerError

_MARKS = ("enhanced", "edited", "prediction", "pred", "output", "out", "input", "target")
_MARKS += ("src", "tar")


class SavedPredictionsError(EnhancerError, ValueError):
    """Not a folder of predictions."""


class SavedPredictions:
    """A folder with one picture per test photo, named after its pair: `801.png`, `801_src.jpg`.

    Attributes:
        resized: ids of the photos whose prediction was of another size and was resized for scoring.
    """

    def __init__(self, folder: Path):
        """Look for pictures in `folder`, not in the folders in it.

        Raises:
            SavedPredictionsError: there is none, or two belong to the same pair.
        """
        if not folder.is_dir():
            raise SavedPredictionsError(f"{folder} is not a folder of predictions. Name another.")
        self._files: dict[str, Path] = {}
        self.resized: set[str] = set()
        for path in find_photos(folder, deep=False)[0]:
            pair_id = without_marks(path.stem)
            if first := self._files.get(pair_id):
                raise SavedPredictionsError(
                    f"{first} and {path.name} are both named after pair {pair_id}. Keep one."
                )
            self._files[pair_id] = path
        if not self._files:
            raise SavedPredictionsError(
                f"{folder} holds no pictures. Expected one per photo, such as 801_enhanced.jpg."
            )

    def of(self, photo: Pair) -> Callable[[np.ndarray], np.ndarray] | None:
        """A function that returns the prediction in the size of a picture; None when there is none.
        Raises PhotoError for what is not a readable picture."""
        path = self._files.get(without_marks(photo.id))
        if path is None:
            return None
        pixels = read_photo(path).pixels
        if pixels.shape != photo.input.shape:
            self.resized.add(photo.id)

        def saved(picture: np.ndarray) -> np.ndarray:
            height, width = picture.shape[:2]
            if pixels.shape == picture.shape:
                return pixels
            shrinks = width <= pixels.shape[1] and height <= pixels.shape[0]
            interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation))

        return saved


def without_marks(stem: str) -> str:
    """A name without what says which picture of the pair it is: `801` for `801_src_enhanced`."""
    name, underscore, last = stem.rpartition("_")
    return without_marks(name) if name and underscore and last.lower() in _MARKS else stem
