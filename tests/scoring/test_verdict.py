"""What may be said: outcomes, the plan's levels, what the test could have found."""

import pytest

from enhancer.scoring.verdict import detectable_sentence, levels_sentence, outcome_of, outcome_words


def difference(low: float, high: float, **others) -> dict:
    middle = (low + high) / 2
    fields = {
        "relative_percent": middle,
        "relative_low": low,
        "relative_high": high,
        "low": low / 1000,
        "high": high / 1000,
    }
    return fields | {"n": 12, "scenes": 12, "detectable_percent": 9.5} | others


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (-20, -5, "better"),
        (3, 9, "worse"),
        (-8, 4, "open"),
        (-1.5, 1.9, "same"),
        (-2.5, 0.5, "open"),
        (-1.5, -0.5, "better"),
    ],
)
def test_the_whole_interval_decides(low, high, outcome):
    assert outcome_of(difference(low, high)) == outcome


def test_where_higher_is_better_the_other_side_is():
    assert outcome_of(difference(3, 9), lower_is_better=False) == "better"


def test_one_photo_leaves_everything_open():
    nothing = {"low": None, "high": None, "relative_low": None, "relative_high": None}
    assert outcome_of(nothing) == "open"


def test_nothing_is_concluded_from_two_scenes_whose_differences_are_alike():
    assert outcome_of(difference(-20, -19, n=5, scenes=2)) == "open"
    assert outcome_of(difference(-20, -19, n=3, scenes=3)) == "better"


def test_equal_scores_are_no_difference():
    assert outcome_of(difference(0, 0, equal=True)) == "same"


@pytest.mark.parametrize(
    ("low", "high", "estimate", "whole"),
    [
        (-25, -21, "reaches the stretch", "lies beyond the stretch"),
        (-25, -11, "reaches the target", "lies beyond the minimum"),
        (-12, -2, "reaches none of them", "does not lie beyond any of them"),
    ],
)
def test_the_plans_levels_are_a_scale(low, high, estimate, whole):
    sentence = levels_sentence(difference(low, high))
    assert "10 % (minimum), 15 % (target), 20 % (stretch)" in sentence
    assert estimate in sentence
    assert whole in sentence


def test_the_words_of_a_table():
    assert (
        outcome_words({"outcome": "open", "n": 12, "scenes": 7})
        == "cannot be told with 12 test photos of 7 scenes"
    )
    assert outcome_words({"outcome": "better"} | difference(-9, -5)) == "the gain is real"


def test_what_the_test_could_have_found_is_said():
    assert "a true change of 9.5 % is found 80 times of 100" in detectable_sentence(
        difference(-5, 5)
    )


def test_two_scenes_reach_no_level():
    assert levels_sentence(difference(-25, -21, n=5, scenes=2)) == ""


def test_a_test_that_would_miss_a_hundred_percent_says_so():
    assert detectable_sentence(
        difference(-90, 50, n=2, scenes=2, detectable_percent=113.5)
    ).endswith("hardly any change would be found.")
