"""Crops, flips, turns and colours: what may change does, and input and target keep fitting."""

import dataclasses

import cv2
import numpy as np
import pytest

from enhancer.data.augmentation import (
    MAX_ROTATION_DEGREES,
    CentreCrop,
    RandomCrop,
    RandomEditOfTarget,
    RandomFlip,
    RandomInputColour,
    RandomRotatedSquareCrop,
    augmentations,
)
from enhancer.data.pairs import Pair


def pair_of(photo, target=None):
    return Pair("photo", photo, photo if target is None else target)


@pytest.fixture
def coordinates():
    """A photo of 140 x 100 whose red says the row and whose green says the column."""
    rows, columns = np.mgrid[:100, :140].astype(np.uint8)
    return np.stack([rows, columns, np.zeros_like(rows)], axis=2)


@pytest.fixture
def photo():
    rng = np.random.default_rng(0)
    return cv2.resize(
        rng.integers(0, 256, (9, 12, 3), dtype=np.uint8), (120, 90), interpolation=cv2.INTER_CUBIC
    )


def plane(values):
    """Least-squares plane through `values`: middle, slopes down and right, the largest error."""
    side = len(values)
    v, u = np.mgrid[:side, :side] - (side - 1) / 2
    middle, down, right = (
        values.mean(),
        (values * v).sum() / (v * v).sum(),
        (values * u).sum() / (u * u).sum(),
    )
    return middle, down, right, np.abs(values - middle - down * v - right * u).max()


def test_crop_keeps_the_aspect_ratio():
    """A circle stays a circle: crops are square, so both axes scale alike."""
    photo = np.zeros((60, 100, 3), np.uint8)
    cv2.circle(photo, (50, 30), 12, (255, 255, 255), -1)
    crop = CentreCrop(120).map(pair_of(photo)).input
    rows, columns = np.nonzero(crop[..., 0] > 127)
    assert crop.shape == (120, 120, 3)
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=1)


def test_squashed_crops_hold_both_sides_of_the_photo(coordinates):
    whole = CentreCrop(50, squash=True).map(pair_of(coordinates)).input
    assert whole.shape == (50, 50, 3)
    assert np.ptp(whole[..., 0]) >= 97
    assert np.ptp(whole[..., 1]) >= 136
    for seed in range(20):
        rng = np.random.default_rng(seed)
        crop = RandomCrop(40, 0.5, squash=True).random_map(pair_of(coordinates), rng).input
        rows, columns = (np.ptp(crop[..., c].astype(int)) + 1 for c in (0, 1))
        assert columns / rows == pytest.approx(1.4, abs=0.12)


@pytest.mark.parametrize("crop", [RandomCrop, RandomRotatedSquareCrop])
def test_crop_scale_bounds_the_square_of_the_photo(crop, coordinates):
    """The range of rows in a crop is the side that it was cut with, a little more if turned."""
    cut, sides = crop(16, 0.5), []
    for seed in range(50):
        rows = cut.random_map(pair_of(coordinates), np.random.default_rng(seed)).input[..., 0]
        sides.append(int(np.ptp(rows)) + 1)
    assert min(sides) >= 44  # of 50: a pixel of the crop shows the mean of three rows
    assert min(sides) < 60
    assert max(sides) > 85


def test_rotated_crops_are_turned_in_the_photo_and_make_up_no_pixel(coordinates):
    """Rows and columns stay a plane up to the corners, within rounding: nothing is filled in."""
    degrees, margins = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        crop = (
            RandomRotatedSquareCrop(64, 1.0 if seed % 2 else 0.64)
            .random_map(pair_of(coordinates), rng)
            .input
        )
        slopes = []
        for values, extent in (
            (crop[..., 0].astype(float), 100),
            (crop[..., 1].astype(float), 140),
        ):
            middle, down, right, error = plane(values)
            assert error < 1.6  # rounded twice, before and after shrinking
            reach = (abs(down) + abs(right)) * 63 / 2
            margins.append(min(middle - reach, extent - 1 - middle - reach))
            slopes.append((down, right))
        (row_down, row_right), (column_down, column_right) = slopes
        assert row_down == pytest.approx(column_right, abs=0.05)  # turned and scaled, not sheared
        assert row_right == pytest.approx(-column_down, abs=0.05)
        degrees.append(np.degrees(np.arctan2(row_right, row_down)))
    assert min(margins) > -0.5  # rounding
    assert MAX_ROTATION_DEGREES - 0.5 < max(degrees) < MAX_ROTATION_DEGREES + 0.2
    assert -MAX_ROTATION_DEGREES - 0.2 < min(degrees) < -MAX_ROTATION_DEGREES + 0.5


def test_rotation_keeps_input_and_target_aligned(coordinates):
    """The target is the input, inverted; it still is when both are turned, but for rounding."""
    for seed in range(20):
        pair = pair_of(coordinates, 255 - coordinates)
        turned = RandomRotatedSquareCrop(32, 0.5).random_map(pair, np.random.default_rng(seed))
        np.testing.assert_allclose(
            turned.input.astype(int), 255 - turned.target.astype(int), atol=1
        )


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 7, 3), (2, 3, 3), (8, 8, 3)])
def test_tiny_photos_can_be_turned(shape):
    photo = np.full(shape, 77, np.uint8)
    for seed in range(20):
        crop = (
            RandomRotatedSquareCrop(8, 0.5)
            .random_map(pair_of(photo), np.random.default_rng(seed))
            .input
        )
        np.testing.assert_array_equal(crop, np.full((8, 8, 3), 77))


def test_half_of_the_pairs_are_mirrored_both_pictures_together(coordinates):
    flipped = 0
    for seed in range(100):
        pair = RandomFlip().random_map(
            pair_of(coordinates, coordinates + 1), np.random.default_rng(seed)
        )
        np.testing.assert_array_equal(pair.input + 1, pair.target)
        flipped += pair.input[0, 0, 1] == 139
    assert 35 <= flipped <= 65


def test_colours_change_in_the_input_only(photo):
    pair = pair_of(photo, photo.copy())
    changed = RandomInputColour().random_map(pair, np.random.default_rng(1))
    assert (changed.input.shape, changed.input.dtype) == (photo.shape, np.uint8)
    assert np.abs(changed.input.astype(int) - photo).mean() > 2
    np.testing.assert_array_equal(changed.target, photo)
    np.testing.assert_array_equal(pair.input, photo)


def test_colours_change_a_little_to_both_sides(photo):
    """The mean brightness over many draws stays where it was, and none goes far."""
    shifts = []
    for seed in range(200):
        changed = RandomInputColour().random_map(pair_of(photo), np.random.default_rng(seed)).input
        shifts.append(float(changed.astype(float).mean() - photo.mean()))
    assert abs(np.mean(shifts)) < 3
    assert min(shifts) < -5
    assert max(shifts) > 5
    assert max(map(abs, shifts)) < 30


def test_no_change_of_colour_is_no_change_at_all(photo, monkeypatch):
    for name in ("MAX_EXPOSURE_STOPS", "MAX_CONTRAST", "MAX_SATURATION", "MAX_WHITE_BALANCE"):
        monkeypatch.setattr(f"enhancer.data.augmentation.{name}", 0.0)
    changed = RandomInputColour().random_map(pair_of(photo), np.random.default_rng(0))
    np.testing.assert_array_equal(changed.input, photo)


def test_grey_without_a_change_of_white_balance_stays_grey(monkeypatch):
    monkeypatch.setattr("enhancer.data.augmentation.MAX_WHITE_BALANCE", 0.0)
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    for seed in range(10):
        changed = (
            RandomInputColour()
            .random_map(pair_of(grey), np.random.default_rng(seed))
            .input.astype(int)
        )
        assert np.ptp(changed, axis=2).max() == 0
        assert (np.diff(changed[0, :, 0]) >= 0).all()


def test_a_random_edit_spoils_the_target_and_keeps_it(photo):
    before = np.zeros_like(photo)
    darker = []
    for seed in range(200):
        pair = RandomEditOfTarget(1.0).random_map(Pair("", before, photo), rng_of(seed))
        np.testing.assert_array_equal(pair.target, photo)
        assert (pair.input.shape, pair.input.dtype) == (photo.shape, photo.dtype)
        assert np.corrcoef(pair.input.ravel(), photo.ravel())[0, 1] > 0.5
        darker.append(pair.input.mean() < photo.mean())
    assert 0.75 < np.mean(darker) < 1


def test_random_edits_come_in_their_share(photo):
    before = np.zeros_like(photo)
    edited = [
        RandomEditOfTarget(0.3).random_map(Pair("", before, photo), rng_of(seed)).input.any()
        for seed in range(300)
    ]
    assert 0.22 < np.mean(edited) < 0.38


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("augmentation", "min_crop_scale", "expected"),
    [
        ("none", 1.0, [RandomCrop]),
        ("flip", 0.8, [RandomCrop, RandomFlip]),
        ("strong", 1.0, [RandomRotatedSquareCrop, RandomFlip, RandomInputColour]),
        ("strong", 0.3, [RandomRotatedSquareCrop, RandomFlip, RandomInputColour]),
    ],
)
def test_a_stage_names_its_augmentations(nano_stage, augmentation, min_crop_scale, expected):
    stage = dataclasses.replace(
        nano_stage, augmentation=augmentation, min_crop_scale=min_crop_scale
    )
    found = augmentations(stage, 24)
    assert [type(transform) for transform in found] == expected
    crop = found[0]
    assert crop.resolution == 24
    assert crop.min_crop_scale == (
        min(min_crop_scale, 0.5) if augmentation == "strong" else min_crop_scale
    )
