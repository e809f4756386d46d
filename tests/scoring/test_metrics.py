"""The scores mean what the literature means by them."""

import numpy as np
import pytest
from skimage import color
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from enhancer.scoring.metrics import (
    PSNR_CAP_DB,
    ciede2000,
    color_differences,
    find_regions,
    l1,
    psnr_db,
    ssim,
)

METRICS = {"l1": l1, "psnr_db": psnr_db, "ssim": ssim, "ciede2000": ciede2000}


def delta_e_76(prediction: np.ndarray, target: np.ndarray) -> float:
    return color_differences(prediction, target)[0].delta_e_76


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture with noise, and its edit; taller than two of the strips that the colour
    difference works in."""
    generator = np.random.default_rng(0)
    ramp = np.linspace(20, 220, 300)[:, None, None] + np.linspace(-20, 20, 90)[None, :, None]
    target = np.clip(
        ramp + np.array([0, 10, -15]) + generator.normal(0, 4, (300, 90, 3)), 0, 255
    ).astype(np.uint8)
    prediction = np.clip(target * 1.1 + generator.normal(0, 3, target.shape), 0, 255).astype(
        np.uint8
    )
    return prediction, target


def flat(*rgb: int) -> np.ndarray:
    return np.full((16, 16, 3), rgb, np.uint8)


def test_identical_pictures_are_perfect_and_their_psnr_is_capped(pair):
    scores = {name: metric(pair[1], pair[1]) for name, metric in METRICS.items()}
    assert scores == {
        "l1": 0.0,
        "psnr_db": PSNR_CAP_DB,
        "ssim": 1.0,
        "ciede2000": 0.0,
    }


def test_l1_is_on_the_unit_scale():
    assert l1(flat(255, 255, 255), flat(0, 0, 0)) == 1.0
    assert l1(flat(10, 0, 0), flat(0, 5, 0)) == pytest.approx(15 / 3 / 255)


def test_psnr_equals_scikit_image(pair):
    assert psnr_db(*pair) == pytest.approx(
        peak_signal_noise_ratio(pair[1], pair[0], data_range=255)
    )


def test_ssim_equals_the_reference_settings_of_scikit_image(pair):
    expected = structural_similarity(
        *pair,
        channel_axis=-1,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(*pair) == pytest.approx(expected, abs=1e-5)


def test_ssim_window_is_eleven_pixels_of_a_gaussian_with_sigma_1_5(pair):
    """The formula of the paper's section III, written out for the one window of an 11 x 11
    picture."""
    a, b = (picture[:11, :11].astype(float) for picture in pair)
    bell = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weight = (np.outer(bell, bell) / bell.sum() ** 2)[..., None]
    mean_a, mean_b = (weight * a).sum((0, 1)), (weight * b).sum((0, 1))
    variance_a, variance_b = (
        (weight * (a - mean_a) ** 2).sum((0, 1)),
        (weight * (b - mean_b) ** 2).sum((0, 1)),
    )
    covariance = (weight * (a - mean_a) * (b - mean_b)).sum((0, 1))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    )
    assert ssim(pair[0][:11, :11], pair[1][:11, :11]) == pytest.approx(expected.mean(), abs=1e-5)


def test_ssim_refuses_pictures_smaller_than_its_window():
    with pytest.raises(ValueError, match=r"at least 11 x 11 pixels, these are 10 x 20"):
        ssim(np.zeros((20, 10, 3), np.uint8), np.zeros((20, 10, 3), np.uint8))


@pytest.mark.parametrize(
    ("first", "second", "of_2000", "of_1976"),
    [
        ((255, 255, 255), (0, 0, 0), 100.0, 100.0),
        ((255, 0, 0), (0, 255, 0), 86.61, 170.58),
        ((255, 0, 0), (0, 0, 255), 52.88, 176.31),
    ],
)
def test_colour_differences_read_pixels_as_srgb_under_d65(first, second, of_2000, of_1976):
    """Lab of the primaries under D65: red (53.24, 80.09, 67.20), green (87.73, -86.18, 83.18), blue
    (32.30, 79.19, -107.86)."""
    assert ciede2000(flat(*first), flat(*second)) == pytest.approx(of_2000, abs=0.01)
    assert delta_e_76(flat(*first), flat(*second)) == pytest.approx(of_1976, abs=0.03)


def test_ciede2000_is_the_mean_over_all_pixels(pair):
    expected = color.deltaE_ciede2000(*(color.rgb2lab(picture) for picture in pair)).mean()
    assert ciede2000(*pair) == pytest.approx(expected, abs=1e-4)


def test_delta_e_76_is_the_distance_in_lab(pair):
    lab = [color.rgb2lab(picture) for picture in pair]
    assert delta_e_76(*pair) == pytest.approx(
        np.sqrt(np.square(lab[0] - lab[1]).sum(axis=-1)).mean(), abs=1e-4
    )


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_pictures_of_different_sizes_are_refused(metric):
    with pytest.raises(ValueError, match="differ in size"):
        metric(np.zeros((20, 30, 3), np.uint8), np.zeros((30, 20, 3), np.uint8))


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_floats_are_refused(metric):
    with pytest.raises(ValueError, match="uint8 picture"):
        metric(np.zeros((20, 30, 3)), np.zeros((20, 30, 3), np.uint8))


def test_a_picture_of_several_tiles_has_the_scores_of_scikit_image():
    generator = np.random.default_rng(1)
    target = generator.integers(0, 256, (150, 1100, 3), dtype=np.uint8)
    prediction = np.clip(target + generator.normal(5, 30, target.shape), 0, 255).astype(np.uint8)
    expected = structural_similarity(
        prediction,
        target,
        channel_axis=-1,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(prediction, target) == pytest.approx(expected, abs=1e-6)
    lab = [color.rgb2lab(picture) for picture in (prediction, target)]
    assert ciede2000(prediction, target) == pytest.approx(
        color.deltaE_ciede2000(*lab).mean(), abs=1e-4
    )


def test_a_part_has_the_scores_of_its_pixels_alone(pair):
    part = np.random.default_rng(2).random(pair[0].shape[:2]) < 0.3
    alone = [picture[part][None] for picture in pair]
    whole, differences = color_differences(*pair, [part])
    assert whole == pytest.approx((delta_e_76(*pair), ciede2000(*pair)))
    assert differences == pytest.approx((delta_e_76(*alone), ciede2000(*alone)))
    assert l1(*pair, part) == pytest.approx(l1(*alone))


def test_a_part_of_another_size_is_refused(pair):
    with pytest.raises(ValueError, match="height and width"):
        color_differences(*pair, [np.ones((3, 3), bool)])


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_cut_out_scores_as_its_copy(metric, pair):
    cut = [picture[7:60, 5:70] for picture in pair]
    assert metric(*cut) == pytest.approx(metric(*(picture.copy() for picture in cut)))


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
