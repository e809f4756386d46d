"""Displacements between a photo and its edit are measured to a fraction of a pixel."""

import functools

import cv2
import numpy as np
import pytest

from datasets.checks.registration import quarter_turns, register
from datasets.miniature import real_estate_pair
from datasets.sources.lists import find_listed_pairs
from enhancer.photo.io import read_photo


@functools.cache
def room(number=24, long_edge=512):
    """A dark interior and its bright edit."""
    return real_estate_pair(number, long_edge)


def moved(pixels, *, shift=(0.0, 0.0), degrees=0.0, scale=1.0):
    """Return the moved picture, and where each of its pixels was: `(3, 3)`."""
    height, width = pixels.shape[:2]
    matrix = np.eye(3)
    matrix[:2] = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, scale)
    matrix[:2, 2] += shift
    warped = cv2.warpAffine(
        pixels, matrix[:2], (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    return warped, matrix


def error_px(found, expected, shape):
    """Mean distance, over the picture, between where two maps say that a pixel is."""
    x, y = np.meshgrid(np.linspace(0, shape[1], 5), np.linspace(0, shape[0], 5))
    points = np.stack([x.ravel(), y.ravel(), np.ones(25)])
    return float(np.hypot(*((found - expected) @ points)[:2]).mean())


@pytest.mark.parametrize(
    "movement",
    [
        {},
        {"shift": (0.4, -0.7)},
        {"shift": (-31.0, 22.5)},
        {"shift": (3.2, -4.0), "degrees": -1.0, "scale": 0.98},
    ],
)
@pytest.mark.parametrize("precisely", [True, False])
def test_known_movements_of_a_dark_room_against_its_bright_edit(movement, precisely):
    before, after = room()
    warped, expected = moved(before, **movement)
    found = register(warped, after, precisely=precisely)
    assert error_px(found.matrix, expected, after.shape) < (0.1 if precisely else 0.5)
    assert found.correlation > 0.6


def test_the_displacement_is_the_same_at_every_size():
    before, after = room()
    warped, _ = moved(before, shift=(3.0, 0.0))
    large = [
        cv2.resize(pixels, None, fx=2.5, fy=2.5, interpolation=cv2.INTER_CUBIC)
        for pixels in (warped, after)
    ]
    assert register(warped, after).displacement == pytest.approx(3.0, abs=0.15)
    assert register(*large).displacement == pytest.approx(3.0, abs=0.15)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_quarter_turns_are_found(turns):
    before, after = room(long_edge=192)
    assert quarter_turns(np.rot90(before, -turns), after) == turns


def test_a_picture_that_lies_across_and_shows_something_else_has_no_turn():
    assert quarter_turns(np.rot90(room(3, 192)[0]), room(16, 192)[1]) is None


def test_real_pairs_moved_by_known_amounts(shared_data):
    pairs = find_listed_pairs(shared_data / "real_estate")[:6]
    rng = np.random.default_rng(0)
    assert pairs
    for pair in pairs:
        before, after = (read_photo(path).pixels for path in (pair.input, pair.target))
        as_published = register(before, after, precisely=True).matrix
        warped, movement = moved(before, shift=rng.uniform(-8, 8, 2), degrees=rng.uniform(-1, 1))
        found = register(warped, after, precisely=True).matrix
        assert error_px(found, movement @ as_published, after.shape) < 0.25


def test_no_real_pair_is_turned_or_far_displaced(shared_data):
    paths = sorted((shared_data / "fivek/input").glob("*.png"))[:8]
    assert len(paths) == 8
    for path in paths:
        target = shared_data / "fivek/output_expert_C" / path.name
        before, after = read_photo(path).pixels, read_photo(target).pixels
        assert quarter_turns(before, after) == 0
        assert register(before, after).displacement < 0.3
