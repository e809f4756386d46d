"""What may be said: outcomes, the headline, who has seen the photos, what could have been found."""

import pytest

from enhancer.scoring.columns import MAIN_COLUMNS
from enhancer.scoring.results import build_results
from enhancer.scoring.verdict import change_text, detectable_sentence, outcome_of, verdict, words


def difference(low: float, high: float, **others) -> dict:
    fields = {"relative_percent": (low + high) / 2, "relative_low": low, "relative_high": high}
    fields |= {"low": low / 1000, "high": high / 1000, "n": 12, "scenes": 12}
    return fields | {"detectable_percent": 9.5} | others


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
    assert words({"outcome": "open", "n": 5, "scenes": 2}) == "too few photos"


def test_equal_scores_are_no_difference():
    assert outcome_of(difference(0, 0, equal=True)) == "same"


def test_what_the_test_could_have_found_is_said():
    assert "a true change of 9.5 % is found 80 times" in detectable_sentence(difference(-5, 5))


def test_a_change_is_told_in_percent_with_its_interval():
    assert change_text(difference(-20, -4)) == "−12.0 % [−20.0, −4.0]"


def results_of(seen: dict | None = None, **methods: list[float]) -> dict:
    rows = {
        method: [
            {"id": f"photo {i}"} | dict.fromkeys(MAIN_COLUMNS, 0.5) | {"l1": value}
            for i, value in enumerate(values)
        ]
        for method, values in methods.items()
    }
    return build_results(rows, weights_sha256={}, config={}, stages={}, **seen or {})


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        (
            {"scratch": [0.1, 0.12, 0.11], "finetuned": [0.08, 0.098, 0.092]},
            "The gain is real: pre-training lowers the test L1 by 18 %",
        ),
        (
            {"scratch": [0.1, 0.12, 0.1], "finetuned": [0.09, 0.13, 0.09]},
            "3 test photos cannot show whether pre-training helps",
        ),
        (
            {"scratch": [0.08, 0.1, 0.09], "finetuned": [0.1, 0.12, 0.112]},
            "It hurts: with pre-training the test L1 is 23 % higher",
        ),
        (
            {"unedited": [0.3, 0.4, 0.3], "scratch": [0.1, 0.2, 0.1], "finetuned": [0.1, 0.2, 0.1]},
            "There is no difference: with and without pre-training the test L1 is the same",
        ),
        (
            {"unedited": [0.05, 0.06, 0.055], "scratch": [0.2] * 3, "finetuned": [0.1, 0.11, 0.1]},
            "The fine-tuned network does harm: leaving the photos as they are is better",
        ),
        (
            {"finetuned": [0.1, 0.09, 0.1]},
            "The fine-tuned network brings photos closer to their targets",
        ),
    ],
)
def test_the_headline_answers_the_question(methods, said):
    headline, sentences = verdict(results_of(**{"unedited": [0.3, 0.28, 0.31]} | methods))
    assert headline == said
    assert any("read the interval, not the mean" in sentence for sentence in sentences)


def test_one_photo_proves_nothing():
    headline, _ = verdict(results_of(unedited=[0.3], scratch=[0.2], finetuned=[0.01]))
    assert headline == "One test photo cannot show whether the fine-tuned network helps at all"


def test_a_fitted_table_that_is_as_good_as_the_network_is_named():
    rows = {"unedited": [0.3, 0.2, 0.3], "adaptive_lookup": [0.1, 0.12, 0.09]}
    sentences = verdict(results_of(**rows, finetuned=[0.1, 0.11, 0.1]))[1]
    assert any("against fitted lookup table, adaptive: " in sentence for sentence in sentences)


def test_photos_that_were_seen_are_the_first_thing_said():
    seen = {"seen": ["photo 1"], "seen_in_pretraining": ["photo 0", "photo 1"]}
    rows = {"unedited": [0.3, 0.2, 0.3], "finetuned": [0.1, 0.1, 0.1]}
    first, second, *_ = verdict(results_of(seen, **rows))[1]
    assert first.startswith("Of 3 test photos 1 shows a scene that fine-tuning was given")
    assert second.startswith("Of 3 test photos 2 show a scene that was seen in pre-training")
    assert second.endswith("photo 0, photo 1.")
