"""Edits that are unlike the others of a data set are found by robust statistics."""

import numpy as np
import pytest

from datasets.checks import tone


def row(name, brightness, saturation=1.0):
    ratios = {"brightness_ratio": brightness, "saturation_ratio": saturation}
    return {"id": name, "measurements": ratios}


def usual_rows(count=40):
    rng = np.random.default_rng(0)
    return [row(str(number), float(2 ** rng.normal(0.5, 0.2))) for number in range(count)]


def test_ratios_of_an_edit():
    before = np.full((40, 40, 3), (40, 40, 60), np.uint8)
    after = np.full((40, 40, 3), (80, 80, 120), np.uint8)
    assert tone.measure(before, after) == {
        "brightness_ratio": pytest.approx(2, abs=0.05),
        "saturation_ratio": 2.0,
    }


def test_black_pictures_have_ratios_too():
    black = np.zeros((40, 40, 3), np.uint8)
    assert tone.measure(black, black) == {"brightness_ratio": 1.0, "saturation_ratio": 1.0}


def test_an_edit_unlike_the_others_is_named_with_what_is_usual():
    outliers = tone.find_outliers([*usual_rows(), row("dark", 0.3), row("colourful", 1.4, 4.0)])
    assert set(outliers) == {"dark", "colourful"}
    assert outliers["dark"][0].startswith("brightness × 0.30, usual here: ")
    assert outliers["colourful"][0].startswith("saturation × 4.00, usual here: ")


def test_a_quarter_of_strange_edits_does_not_hide_itself():
    strange = [row(f"strange{number}", 12.0) for number in range(10)]
    outliers = tone.find_outliers([*usual_rows(30), *strange])
    assert set(outliers) == {row["id"] for row in strange}


def test_where_all_edits_are_alike_a_small_difference_is_none():
    rows = [row(str(number), 1.5) for number in range(30)]
    assert tone.find_outliers([*rows, row("nearly", 1.7)]) == {}


def test_a_few_pairs_do_not_show_what_is_usual():
    assert tone.find_outliers([*usual_rows(tone.MIN_PAIRS - 2), row("dark", 0.1)]) == {}
