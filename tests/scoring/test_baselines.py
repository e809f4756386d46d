"""Fitted curves and tables find an edit of their kind, and leave alone what nobody showed them."""

import numpy as np
import pytest
from scipy.interpolate import interpn

from enhancer.data.pairs import Pair
from enhancer.scoring.baselines import ColorLookup, GlobalCurve
from enhancer.scoring.metrics import l1


def photos(count: int, seed: int = 0) -> list[np.ndarray]:
    """Smooth pictures of many colours, 40 x 60."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:40, 0:60]
    pictures = []
    for _ in range(count):
        phases, steps = generator.uniform(0, 6, 3), generator.uniform(0.05, 0.25, (2, 3))
        waves = np.sin(rows[..., None] * steps[0] + columns[..., None] * steps[1] + phases)
        pictures.append(np.rint(127.5 + 120 * waves).astype(np.uint8))
    return pictures


def pairs_of(edit, count: int = 6, seed: int = 0) -> list[Pair]:
    return [Pair(str(i), photo, edit(photo)) for i, photo in enumerate(photos(count, seed))]


def brighten(photo: np.ndarray) -> np.ndarray:
    """A curve of its own for each channel."""
    return np.rint(255 * (photo / 255.0) ** (0.6, 0.7, 0.9)).astype(np.uint8)


def desaturate(photo: np.ndarray) -> np.ndarray:
    """Mixes the channels, which no curve can."""
    return np.rint(0.5 * photo + 0.5 * photo.mean(axis=-1, keepdims=True)).astype(np.uint8)


def expose_automatically(photo: np.ndarray) -> np.ndarray:
    """Brings every photo to the same mean: what it does to a colour depends on the photo."""
    return np.clip(photo.astype(float) + 150 - photo.mean(), 0, 255).astype(np.uint8)


def test_a_curve_is_found_to_the_level():
    curve = GlobalCurve(pairs_of(brighten))
    (fresh,) = photos(1, seed=9)
    assert l1(curve(fresh), brighten(fresh)) < 1 / 255


def test_the_curve_takes_what_most_photos_show_as_l1_does():
    """Two photos stay as they are, one gets white: the mean of the targets is tens of levels off,
    the median is not.

    It is off by 2 levels, 0.67 standard deviations of the smoothing over neighbouring levels.
    """
    photo = photos(1)[0]
    pairs = [
        Pair("a", photo, photo),
        Pair("b", photo, photo),
        Pair("c", photo, np.full_like(photo, 255)),
    ]
    assert np.abs(GlobalCurve(pairs)(photo).astype(int) - photo).max() <= 3


def test_every_photo_has_the_same_weight_whatever_its_size():
    large = np.full((200, 200, 3), 100, np.uint8)
    small = np.full((20, 20, 3), 100, np.uint8)
    pairs = [Pair("large", large, large + 50), *(Pair(str(i), small, small + 10) for i in range(2))]
    assert GlobalCurve(pairs).table[100].tolist() == [110, 110, 110]


def test_a_lookup_table_mixes_channels_which_a_curve_cannot():
    pairs = pairs_of(desaturate)
    (fresh,) = photos(1, seed=9)
    lookup, curve = ColorLookup(pairs), GlobalCurve(pairs)
    assert l1(lookup(fresh), desaturate(fresh)) < 0.25 * l1(curve(fresh), desaturate(fresh))


def test_a_table_is_read_trilinearly_between_its_nodes():
    lookup = ColorLookup(pairs_of(desaturate))
    photo = np.random.default_rng(4).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    grid = [np.linspace(0, 255, 9)] * 3
    expected = 255 * interpn(
        grid, lookup.table(photo).reshape(9, 9, 9, 3), photo.reshape(-1, 3), "linear"
    )
    assert np.abs(lookup(photo).reshape(-1, 3) - expected).max() <= 1


def test_an_adaptive_table_follows_the_photo():
    dark = [(photo * 0.5).astype(np.uint8) for photo in photos(4, seed=1)]
    pairs = [
        Pair(str(i), photo, expose_automatically(photo))
        for i, photo in enumerate([*photos(4), *dark])
    ]
    tested = [*photos(2, seed=9), *[(photo * 0.6).astype(np.uint8) for photo in photos(2, seed=8)]]
    errors = {}
    for adaptive in (False, True):
        lookup = ColorLookup(pairs, adaptive=adaptive)
        errors[adaptive] = np.mean(
            [l1(lookup(photo), expose_automatically(photo)) for photo in tested]
        )
    assert errors[True] < 0.7 * errors[False]


def test_colours_that_no_pair_holds_are_left_as_they_are():
    grey = np.repeat(photos(1)[0][..., :1] // 4, 3, axis=-1)
    lookup = ColorLookup([Pair("grey", grey, grey)])
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 230
    assert np.abs(lookup(red).astype(int) - red).max() <= 2


@pytest.mark.parametrize("baseline", [GlobalCurve, ColorLookup])
def test_sizes_stay_and_the_same_pairs_give_the_same_pixels(baseline):
    pairs = pairs_of(brighten, 2)
    photo = photos(1, seed=3)[0][:33, :17]
    first, second = baseline(pairs)(photo), baseline(pairs)(photo)
    assert first.shape == photo.shape
    assert np.array_equal(first, second)


@pytest.mark.parametrize("baseline", [GlobalCurve, ColorLookup])
def test_no_pairs_are_refused(baseline):
    with pytest.raises(ValueError, match="at least one training pair"):
        baseline([])
