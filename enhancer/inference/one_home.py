"""Photos of one home agree: white balance and exposure are drawn towards what they share.

Each photo's edit is found by itself, and neighbouring rooms then come out a little warmer or darker
than each other. Here their edits are corrected, each by as much as its own photo says
little about its light: a photo with many near-neutral pixels draws the others, one with few is
drawn.
"""

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from enhancer.inference.edit import Edit
from enhancer.inference.enhancer import Enhancer
from enhancer.inference.full_size import STOP, PhotoRetouch, fitted
from enhancer.network import retouch as form
from enhancer.photo.io import PhotoError, read_photo
from enhancer.system.errors import EnhancerError

SEEN_SIDE = 96
"""Of the squares that photos are measured on, in pixels."""
_PULL = 1.0
"""Share of the way to what the photos have in common, of a photo that says nothing itself."""
_OWN_WORD = 0.2
"""How much less of it a photo goes that consists of near-neutral pixels."""
_NEUTRAL = 0.15
"""Saturation from which on a pixel hardly counts as near-neutral."""
_ROUNDS = 3  # each measures what the last has left
_FURTHEST_STOPS, _FURTHEST_GAIN = 0.7, 1.0  # of a correction: what is further off is no accident


class Look(NamedTuple):
    """What an edited photo looks like as a whole."""

    red: float
    """Logarithm of red over green, of near-neutral pixels."""
    blue: float
    """The same of blue."""
    stops: float
    """Mean brightness, in stops of linear light."""
    evidence: float
    """Share of near-neutral pixels, in [0, 1]."""


class Spread(NamedTuple):
    """How far apart photos lie: standard deviations."""

    white_balance: float
    """Of red and blue over green, in percent."""
    stops: float


def find_edits(
    enhancer: Enhancer, sources: Sequence[Path], on_photo: Callable[[], object]
) -> tuple[dict[Path, PhotoRetouch], Spread, Spread]:
    """Find what the network does to the photos of one home, and let them agree.

    Args:
        enhancer: with a network of base "retouch".
        sources: the photos. Those that cannot be read are left out.
        on_photo: called as each is done.

    Returns:
        The edits by photo, and the spread before and after; see `draw_together`.

    Raises:
        EnhancerError: the network answers with pictures, which cannot be drawn together.
    """

    def find(source: Path) -> tuple[Path, Edit | PhotoRetouch, np.ndarray] | None:
        try:
            photo = read_photo(source, keep_depth=True).pixels
        except (PhotoError, OSError):
            return None  # it is told when its turn comes
        return source, enhancer.find_edit(photo), fitted(photo, SEEN_SIDE)

    places, own, seen = [], [], []
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(find, sources):
            on_photo()
            if found is None:
                continue
            if not isinstance(found[1], PhotoRetouch):
                pool.shutdown(cancel_futures=True)
                raise EnhancerError(
                    "Photos of one home can only be matched by a model that was trained with "
                    "--base retouch; leave --one-home out, or name another --workdir."
                )
            places.append(found[0])
            own.append(found[1])
            seen.append(found[2])
    agreed, before, after = draw_together(own, seen)
    return dict(zip(places, agreed, strict=True)), before, after


def draw_together(
    edits: Sequence[PhotoRetouch], seen: Sequence[np.ndarray]
) -> tuple[list[PhotoRetouch], Spread, Spread]:
    """Correct the edits of one home's photos.

    Args:
        edits: one for each photo.
        seen: the photos, reduced to squares of `SEEN_SIDE`, uint8 or uint16.

    Returns:
        The edits, and the spread of what they give, before and after.
    """
    edits = list(edits)
    if not edits:
        return [], Spread(0.0, 0.0), Spread(0.0, 0.0)
    first = looks = [_look(edit.apply(photo)) for edit, photo in zip(edits, seen, strict=True)]
    weights = np.array([look.evidence for look in first]) + 0.02
    home = [_weighted_median([look[k] for look in first], weights) for k in range(3)]
    wanted = [
        [look[k] + (_PULL - _OWN_WORD * look.evidence) * (home[k] - look[k]) for k in range(3)]
        for look in first
    ]
    given = list(edits)
    for _ in range(_ROUNDS):
        for place, (edit, look, want) in enumerate(zip(edits, looks, wanted, strict=True)):
            off = [goal - is_now for goal, is_now in zip(want, look, strict=False)]
            edits[place] = _corrected(edit, given[place], *off)
        looks = [_look(edit.apply(photo)) for edit, photo in zip(edits, seen, strict=True)]
    return edits, _spread(first), _spread(looks)


def _corrected(
    edit: PhotoRetouch, given: PhotoRetouch, red: float, blue: float, stops: float
) -> PhotoRetouch:
    numbers = edit.numbers.copy()
    numbers[0] += red / form.SCALE
    numbers[2] += blue / form.SCALE
    numbers[form.EXPOSURE] += STOP * stops
    furthest = np.full_like(numbers, np.inf)
    furthest[form.GAINS], furthest[form.EXPOSURE] = _FURTHEST_GAIN, STOP * _FURTHEST_STOPS
    numbers = np.clip(numbers, given.numbers - furthest, given.numbers + furthest)
    return dataclasses.replace(edit, numbers=numbers)


def _look(edited: np.ndarray) -> Look:
    pixels = edited.reshape(-1, 3).astype(np.float32) / np.iinfo(edited.dtype).max
    greatest, least = pixels.max(axis=1), pixels.min(axis=1)
    saturation = (greatest - least) / np.maximum(greatest, 0.01)
    weights = np.exp(-((saturation / _NEUTRAL) ** 2)) * ((greatest > 0.2) & (greatest < 0.97))
    logs = np.log(np.maximum(pixels, 0.01))
    total = max(float(weights.sum()), 1e-6)
    red, blue = (float(weights @ (logs[:, c] - logs[:, 1])) / total for c in (0, 2))
    stops = float(np.log2(np.mean(pixels**2.2) + 1e-4))
    return Look(red, blue, stops, float(weights.mean()))


def _spread(looks: Sequence[Look]) -> Spread:
    red, blue, stops, _ = np.std(np.array(looks), axis=0)
    return Spread(100 * float(np.hypot(red, blue)), float(stops))


def _weighted_median(values: Sequence[float], weights: np.ndarray) -> float:
    order = np.argsort(values)
    middle = np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)
    return float(values[order[min(middle, len(order) - 1)]])
