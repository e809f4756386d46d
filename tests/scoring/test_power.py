"""The smallest difference that a test could have found; and the planted handicap that it must find, and no other."""

import numpy as np
import pytest
from enhancer.scoring.global_curve import GlobalCurve
from enhancer.scoring.power import photos_needed, smallest_detectable
from enhancer.scoring.saved_predictions import SavedPredictions

from datasets import miniature
from enhancer.data.pairs import Pair
from enhancer.photo.io import write_photo
from enhancer.scoring import bootstrap
from enhancer.scoring.evaluation import evaluate_methods
from enhancer.scoring.results import comparison_fields, paired_difference

HANDICAP = 0.05


def handicapped_scores(
    generator: np.random.Generator, photos: int
) -> tuple[np.ndarray, np.ndarray]:
    """L1 of a model and of one that is 5 % worse on average, with skewed scores and photos that disagree."""
    good = np.exp(generator.normal(-3.0, 0.35, photos))
    return good * np.exp(np.log1p(HANDICAP) + generator.normal(0.0, 0.1, photos) - 0.1**2 / 2), good


def outcome(a: np.ndarray, b: np.ndarray) -> str:
    return comparison_fields(bootstrap.compare(a, b))["outcome"]


def test_the_textbook_case():
    """Two-sided 5 %, power 80 %, many degrees of freedom: 2.80 standard errors."""
    assert smallest_detectable(0.01, 1e6) == pytest.approx(0.01 * (1.960 + 0.842), rel=1e-3)


def test_photos_needed_and_smallest_detectable_are_inverse():
    needed = photos_needed(0.05, 0.1)
    assert smallest_detectable(0.1 / needed**0.5, needed - 1) <= 0.05
    assert smallest_detectable(0.1 / (needed - 1) ** 0.5, needed - 2) > 0.05


def test_nothing_can_be_found_without_end():
    assert photos_needed(1e-6, 1.0) is None


def test_a_planted_handicap_is_found_at_the_number_of_photos_that_the_power_says():
    """The number comes from a pilot test; then 300 new tests of that size, and of a quarter of it."""
    generator = np.random.default_rng(0)
    a, b = handicapped_scores(generator, 200)
    pilot = bootstrap.compare(a, b)
    needed = photos_needed(HANDICAP, pilot.standard_error * 200**0.5)
    assert 25 <= needed <= 60  # by hand: (2.8 x 0.105 / 0.05)^2 = 35
    found = [outcome(*handicapped_scores(generator, needed)) == "worse" for _ in range(300)]
    assert 0.72 <= np.mean(found) <= 0.88
    found_with_fewer = [
        outcome(*handicapped_scores(generator, needed // 4)) == "worse" for _ in range(300)
    ]
    assert np.mean(found_with_fewer) < 0.5


def test_no_handicap_is_seldom_called_one():
    """300 tests of two models that are equally good, and differ on every photo."""
    generator = np.random.default_rng(1)
    told = 0
    for _ in range(300):
        base = np.exp(generator.normal(-3.0, 0.35, 35))
        a, b = (base * np.exp(generator.normal(0.0, 0.07, 35)) for _ in range(2))
        told += outcome(a, b) in ("better", "worse")
    assert told / 300 <= 0.08


@pytest.fixture(scope="module")
def rooms() -> list[Pair]:
    """Rendered rooms before and after, 96 px."""
    return [Pair(str(number), *miniature.real_estate_pair(number, 96)) for number in range(1, 33)]


def test_on_photos_two_copies_do_not_differ_and_five_percent_more_error_is_found_with_as_many_as_the_power_says(
    rooms, tmp_path
):
    """A fitted curve, its copy, and the curve's own pictures with errors 5 % larger on average, by chance more or less on each."""
    generator = np.random.default_rng(0)
    model, copy, tested = GlobalCurve(rooms[:8]), GlobalCurve(rooms[:8]), rooms[8:]
    for pair in tested:
        error = model(pair.input) - pair.target.astype(float)
        worse = pair.target + (1 + HANDICAP + generator.normal(0, 0.06)) * error
        # Dithered: rounding to whole levels would swallow the handicap where errors are small.
        pixels = np.clip(np.floor(worse + generator.random(worse.shape)), 0, 255).astype(np.uint8)
        write_photo(tmp_path / f"{pair.id}.png", pixels)
    methods = {"model": model, "copy": copy, "handicapped": SavedPredictions(tmp_path)}
    rows = evaluate_methods(methods, tested)

    same = paired_difference(rows["copy"], rows["model"], "l1")
    assert (same["outcome"], same["mean"], same["low"], same["high"]) == ("same", 0.0, 0.0, 0.0)

    pilot = paired_difference(rows["handicapped"], rows["model"], "l1")
    assert pilot["relative_percent"] == pytest.approx(100 * HANDICAP, abs=2)
    deviation = (
        pilot["detectable_percent"] / smallest_detectable(1.0, len(tested) - 1) * len(tested) ** 0.5
    )
    needed = photos_needed(100 * HANDICAP, deviation)
    assert 4 < needed < len(tested)
    found = paired_difference(rows["handicapped"][-needed:], rows["model"][-needed:], "l1")
    assert found["outcome"] == "worse"
    assert paired_difference(rows["handicapped"][:3], rows["model"][:3], "l1")["outcome"] == "open"
