"""L*a*b* and CIEDE2000 as written here are scikit-image's, and the papers'."""

import numpy as np
import pytest
from skimage import color

from enhancer import cielab


@pytest.fixture(scope="module")
def colors() -> np.ndarray:
    """All greys, all levels of each primary, and ten thousand colours of all kinds, uint8 `(n, 3)`."""
    levels = np.arange(256, dtype=np.uint8)
    primaries = [levels[:, None] * np.eye(3, dtype=np.uint8)[channel] for channel in range(3)]
    mixed = np.random.default_rng(0).integers(0, 256, (10_000, 3), dtype=np.uint8)
    return np.concatenate([np.repeat(levels[:, None], 3, axis=1), *primaries, mixed])


def test_lab_is_that_of_scikit_image(colors):
    found = cielab.to_lab(colors).T
    assert found == pytest.approx(color.rgb2lab(colors), abs=2e-4)


def test_luminance_is_that_of_scikit_image(colors):
    assert cielab.luminance(colors[None])[0] == pytest.approx(color.rgb2xyz(colors)[..., 1], abs=1e-6)


def test_ciede2000_is_that_of_scikit_image(colors):
    first, second = color.rgb2lab(colors), color.rgb2lab(np.random.default_rng(1).permutation(colors))
    assert cielab.ciede2000(first.T, second.T) == pytest.approx(color.deltaE_ciede2000(first, second), abs=1e-6)


def test_ciede2000_in_float32_is_off_by_less_than_anybody_sees(colors):
    near = np.clip(colors.astype(int) + np.random.default_rng(1).integers(-6, 7, colors.shape), 0, 255)
    first, second = color.rgb2lab(colors), color.rgb2lab(near.astype(np.uint8))
    found = cielab.ciede2000(first.T.astype(np.float32), second.T.astype(np.float32))
    assert found.dtype == np.float32
    assert found == pytest.approx(color.deltaE_ciede2000(first, second), abs=2e-3)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [  # Sharma, Wu and Dalal 2005, table 1: pairs 1, 4, 7 to 17, 20, 24, 25, 30, 34, without 10 and 14, whose hues are exactly opposite
        ((50.0000, 2.6772, -79.7751), (50.0000, 0.0000, -82.7485), 2.0425),
        ((50.0000, -1.3802, -84.2814), (50.0000, 0.0000, -82.7485), 1.0000),
        ((50.0000, 0.0000, 0.0000), (50.0000, -1.0000, 2.0000), 2.3669),
        ((50.0000, -1.0000, 2.0000), (50.0000, 0.0000, 0.0000), 2.3669),
        ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0009), 7.1792),
        ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0011), 7.2195),
        ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0012), 7.2195),
        ((50.0000, -0.0010, 2.4900), (50.0000, 0.0009, -2.4900), 4.8045),
        ((50.0000, -0.0010, 2.4900), (50.0000, 0.0011, -2.4900), 4.7461),
        ((50.0000, 2.5000, 0.0000), (50.0000, 0.0000, -2.5000), 4.3065),
        ((50.0000, 2.5000, 0.0000), (73.0000, 25.0000, -18.0000), 27.1492),
        ((50.0000, 2.5000, 0.0000), (58.0000, 24.0000, 15.0000), 19.4535),
        ((50.0000, 2.5000, 0.0000), (50.0000, 3.2592, 0.3350), 1.0000),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((90.9257, -0.5406, -0.9208), (88.6381, -0.8985, -0.7239), 1.5381),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_ciede2000_gives_the_papers_test_data(first, second, expected):
    columns = [np.array(lab)[:, None] for lab in (first, second)]
    assert cielab.ciede2000(*columns)[0] == pytest.approx(expected, abs=5e-5)


def test_equal_colours_and_greys_have_no_hue_to_differ_in(colors):
    lab = cielab.to_lab(colors)
    assert np.abs(cielab.ciede2000(lab, lab)).max() == 0.0
    black, white = np.zeros((3, 1)), np.array([[100.0], [0.0], [0.0]])
    assert cielab.ciede2000(black, white)[0] == pytest.approx(100.0)
