"""Highlights and shadows are those of the unedited photo, by CIE lightness."""

import numpy as np
import pytest
from enhancer.scoring.regions import find_regions
from skimage import color


def test_the_regions_are_those_of_lightness_75_and_20():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=-1)
    lightness = color.rgb2lab(ramp)[..., 0]
    regions = find_regions(ramp)
    assert np.array_equal(regions["highlights"], lightness >= 75)
    assert np.array_equal(regions["shadows"], lightness <= 20)


def test_a_coloured_pixel_counts_by_its_lightness():
    blue, yellow = (0, 0, 255), (255, 255, 0)  # L* 32 and 97
    photo = np.array([[blue, yellow]], np.uint8)
    assert find_regions(photo)["highlights"].tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("value", "lacking"),
    [(128, {"highlights", "shadows"}), (250, {"shadows"}), (5, {"highlights"})],
)
def test_a_region_that_a_photo_lacks_is_none(value, lacking):
    regions = find_regions(np.full((40, 40, 3), value, np.uint8))
    assert {name for name, mask in regions.items() if mask is None} == lacking


def test_less_than_a_thousandth_is_no_region():
    photo = np.full((100, 100, 3), 128, np.uint8)
    photo[0, :9] = 255
    assert find_regions(photo)["highlights"] is None
    photo[0, :10] = 255
    assert find_regions(photo)["highlights"].sum() == 10
