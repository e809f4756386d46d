"""The paired comparison: known cases, how often its interval holds the truth, seeds, scenes,
power."""

import numpy as np
import pytest
from scipy import stats

from enhancer.scoring.results import comparison_fields
from enhancer.scoring.statistics import compare


def scores(
    generator: np.random.Generator, photos: int, change: float, seeds: int = 1, luck: float = 0.0
):
    """Skewed scores of two methods, the first `change` better or worse on the whole, photos and
    seeds scattering."""
    base = np.exp(generator.normal(-3.0, 0.35, photos))
    effect = generator.normal(0.0, 0.12, photos)
    effect += (generator.random(photos) < 0.1) * generator.normal(0.0, 0.3, photos)

    def method(shift: float) -> np.ndarray:
        noise = generator.normal(0.0, luck, (seeds, 1)) + generator.normal(
            0.0, 0.05, (seeds, photos)
        ) * (luck > 0)
        return base * np.exp(shift * (effect + np.log1p(change)) + noise)

    return method(1.0), method(0.0)


TRUE_CHANGE = 0.9 * (0.9 * np.exp(0.12**2 / 2) + 0.1 * np.exp((0.12**2 + 0.3**2) / 2)) - 1.0
"""Of `scores(change=-0.1)`: the mean of the log-normal mixture."""


def test_the_estimates_are_those_of_the_means():
    found = compare(np.array([0.3, 0.5]), np.array([0.4, 0.6]))
    assert found.difference.estimate == pytest.approx(-0.1)
    assert found.relative.estimate == pytest.approx(-0.2)


def test_two_copies_of_a_model_are_equal_and_their_interval_has_no_width():
    found = compare(np.array([0.1, 0.2, 0.4]), np.array([0.1, 0.2, 0.4]))
    assert found.equal
    assert (found.relative.low, found.relative.high) == (0.0, 0.0)


def test_a_constant_factor_has_no_uncertainty():
    b = np.array([0.15, 0.2, 0.11, 0.17])
    found = compare(0.9 * b, b).relative
    assert (found.low, found.high) == (pytest.approx(-0.1), pytest.approx(-0.1))


def test_with_many_photos_it_is_the_paired_t_tests_interval():
    generator = np.random.default_rng(3)
    b = generator.uniform(0.04, 0.08, 400)
    a = b + generator.normal(-0.002, 0.004, 400)
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    found = compare(a, b).difference
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=3e-5)


def test_with_many_photos_it_is_scipys_percentile_bootstrap():
    a, b = (values[0] for values in scores(np.random.default_rng(4), 300, -0.1))
    expected = stats.bootstrap(
        (a, b),
        lambda x, y, axis: x.mean(axis) / y.mean(axis) - 1,
        paired=True,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    found = compare(a, b).relative
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=2e-3)


def test_few_photos_give_a_skewed_interval_as_wide_as_students():
    a, b = (values[0] for values in scores(np.random.default_rng(5), 6, -0.1))
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    found = compare(a, b).difference
    assert found.high - found.low == pytest.approx(expected.high - expected.low, rel=0.15)


@pytest.mark.parametrize(
    ("photos", "seeds", "luck"), [(5, 1, 0.0), (15, 1, 0.0), (10, 3, 0.08), (40, 3, 0.08)]
)
def test_the_interval_holds_the_truth_about_95_times_of_100(photos, seeds, luck):
    """200 simulated tests: skewed scores, a tail of odd photos, and the luck of training where
    there are seeds."""
    generator = np.random.default_rng(photos)
    held = 0
    for _ in range(200):
        found = compare(*scores(generator, photos, -0.1, seeds, luck)).relative
        held += found.low <= TRUE_CHANGE <= found.high
    assert 0.90 <= held / 200 <= 0.99


def test_the_luck_of_training_widens_the_interval():
    generator = np.random.default_rng(0)
    still, lucky = (compare(*scores(generator, 40, -0.1, 3, luck)).relative for luck in (0.0, 0.1))
    assert lucky.high - lucky.low > 2 * (still.high - still.low)


def test_ten_frames_of_one_room_are_hardly_more_evidence_than_one():
    generator = np.random.default_rng(0)
    room = np.repeat(np.arange(6), 10)
    b = np.exp(generator.normal(-3, 0.3, 6))[room]
    a = b * np.exp(generator.normal(-0.1, 0.15, 6)[room])
    apart, together = compare(a, b).relative, compare(a, b, room.tolist()).relative
    assert together.high - together.low > 2 * (apart.high - apart.low)
    assert compare(a, b, room.tolist()).scenes == 6


def test_one_scene_has_no_interval():
    found = compare(np.array([0.1, 0.2]), np.array([0.2, 0.3]), ["room", "room"])
    assert (found.relative.low, found.difference.low, found.detectable) == (None, None, None)


def test_only_scores_of_as_many_photos_are_compared():
    with pytest.raises(ValueError, match="received 2 and 3"):
        compare(np.zeros(2), np.zeros(3))


def test_an_error_is_never_said_to_be_more_than_100_percent_lower():
    found = compare(np.array([0.001, 0.2]), np.array([0.5, 0.21])).relative
    assert found.low == -1.0


def handicapped(generator: np.random.Generator, photos: int) -> tuple[np.ndarray, np.ndarray]:
    """L1 of a model and of one that is 5 % worse on average, skewed, photos disagreeing."""
    good = np.exp(generator.normal(-3.0, 0.35, photos))
    return good * np.exp(np.log1p(0.05) + generator.normal(0.0, 0.1, photos) - 0.1**2 / 2), good


def outcome(a: np.ndarray, b: np.ndarray) -> str:
    return comparison_fields(compare(a, b))["outcome"]


def test_a_planted_handicap_is_found_as_often_as_the_power_says():
    """A pilot says how many photos find 5 %; then tests of that size, and of a quarter of it."""
    generator = np.random.default_rng(0)
    needed = round(200 * (compare(*handicapped(generator, 200)).detectable / 0.05) ** 2)
    assert 25 <= needed <= 60  # by hand: (2.8 x 0.105 / 0.05)^2 = 35
    found = [outcome(*handicapped(generator, needed)) == "worse" for _ in range(300)]
    assert 0.72 <= np.mean(found) <= 0.88
    fewer = [outcome(*handicapped(generator, needed // 4)) == "worse" for _ in range(100)]
    assert np.mean(fewer) < 0.5


def test_no_handicap_is_seldom_called_one():
    """Two models that are equally good, and differ on every photo."""
    generator = np.random.default_rng(1)
    told = 0
    for _ in range(200):
        base = np.exp(generator.normal(-3.0, 0.35, 35))
        told += outcome(*(base * np.exp(generator.normal(0.0, 0.07, 35)) for _ in "ab")) != "open"
    assert told / 200 <= 0.08
