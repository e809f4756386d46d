"""Photos in another framing are refused; RAW developments are brought to their export's."""

import functools

import cv2
import numpy as np
import pytest

from datasets.checks.raw_framing import check_framing, reconcile_framing
from datasets.checks.registration import register
from datasets.miniature import real_estate_pair
from datasets.types import PairRejected


@functools.cache
def room():
    return real_estate_pair(24, 512)  # of those with much to see


def shifted(pixels, x, y):
    height, width = pixels.shape[:2]
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
    return cv2.warpAffine(
        pixels, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )


def test_a_pair_that_lies_on_itself_is_kept_as_it_is():
    before, after = room()
    framed = check_framing(before, after)
    assert framed.input is before
    assert framed.changes == ()
    assert framed.displacement < 0.2


def test_a_small_displacement_is_measured_and_kept():
    before, after = room()
    framed = check_framing(shifted(before, 1.2, 0), after)
    assert framed.displacement == pytest.approx(1.2, abs=0.15)


def test_a_large_displacement_is_refused_with_its_direction():
    before, after = room()
    sentence = r"moved by 5\.\d px.*\+4\.\d px across, \+3\.\d px down"
    with pytest.raises(PairRejected, match=sentence) as caught:
        check_framing(shifted(before, 4.05, 3.05), after)
    assert caught.value.kind == "framing differs"
    assert caught.value.measured == pytest.approx(5.07, abs=0.15)


def test_another_room_is_refused():
    with pytest.raises(PairRejected, match="do not show the same scene") as caught:
        check_framing(real_estate_pair(2, 256)[0], real_estate_pair(1, 256)[1])
    assert caught.value.kind == "different scene"


def test_a_blank_wall_is_not_refused():
    rng = np.random.default_rng(0)
    before, after = (
        np.clip(level + rng.normal(0, 2, (340, 512, 3)), 0, 255).astype(np.uint8)
        for level in (90, 200)
    )
    assert check_framing(before, after).displacement == 0.0


def test_raw_margins_are_cut_in_whole_pixels():
    before, after = room()
    framed = reconcile_framing(before, np.ascontiguousarray(after[4:-8, 6:-2]))
    np.testing.assert_array_equal(framed.input, before[4:-8, 6:-2])
    assert framed.changes == (f"cut to the common {after.shape[1] - 8}x{after.shape[0] - 12}",)


def test_where_the_raw_file_shows_less_the_target_is_cut_too():
    before, after = room()
    framed = reconcile_framing(np.ascontiguousarray(before[5:, :-7]), after)
    np.testing.assert_array_equal(framed.target, after[5:, :-7])
    np.testing.assert_array_equal(framed.input, before[5:, :-7])


@pytest.mark.parametrize(("degrees", "scale"), [(0.6, 1.0), (0.0, 1.015), (-0.4, 0.99)])
def test_a_scaled_or_straightened_raw_file_is_resampled_to_the_target(degrees, scale):
    before, after = room()
    height, width = before.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale)
    warped = cv2.warpAffine(before, matrix, (width, height), flags=cv2.INTER_CUBIC)
    framed = reconcile_framing(warped, after)
    assert framed.changes[0].startswith("input resampled")
    assert framed.input.shape == framed.target.shape
    assert framed.displacement < 0.25
    assert register(framed.input, framed.target, precisely=True).displacement < 0.25


def test_a_raw_file_at_another_resolution_is_resampled():
    before, after = room()
    half = cv2.resize(after, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    framed = reconcile_framing(before, half)
    assert framed.input.shape == half.shape
    assert register(framed.input, half, precisely=True).displacement < 0.25


def test_a_raw_file_that_stands_on_its_head_is_turned():
    before, after = room()
    framed = reconcile_framing(np.ascontiguousarray(before[::-1, ::-1]), after)
    np.testing.assert_array_equal(framed.input, before)
    assert framed.changes == ("input turned by 180° anticlockwise",)


def test_a_raw_file_that_shows_a_part_only_is_refused():
    before, after = room()
    with pytest.raises(PairRejected, match=r"covers only \d\d% of what the target shows"):
        reconcile_framing(np.ascontiguousarray(before[:, :400]), after)


def test_a_picture_of_another_resolution_is_compared_and_kept_at_the_smaller_size():
    before, after = room()
    smaller = cv2.resize(after, (256, 171), interpolation=cv2.INTER_AREA)
    framed = check_framing(before, smaller)
    assert framed.input.shape == framed.target.shape == smaller.shape
    assert framed.changes == ("input shrunk to the other's resolution",)
    assert framed.displacement < 0.3


def test_sizes_that_are_nearly_the_same_are_of_another_cut():
    before, after = room()
    with pytest.raises(PairRejected, match="the sizes differ"):
        check_framing(before, after[:-1, :-1])


def test_a_room_that_resembles_its_mirror_image_on_its_head_is_not_turned():
    before, after = real_estate_pair(124, 384)
    with pytest.raises(PairRejected, match="do not show the same scene"):
        check_framing(before, np.ascontiguousarray(after[:, ::-1]))
