"""Scoring, its intervals, and the results file."""

import json

import numpy as np
import pytest
from scipy import stats

from enhancer.evaluation import (
    build_results,
    evaluate,
    paired_difference,
    results_table,
    summarise,
    unedited,
)
from enhancer.photo_io import encode_jpeg

METRICS = ("l1", "psnr_db", "ssim", "ciede2000")


def picture(value: int, height: int = 24, width: int = 32) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def pair(before: int, after: int, name: str | bytes = "a", **size: int) -> dict:
    return {"input": encode_jpeg(picture(before, **size)), "target": encode_jpeg(picture(after, **size)), "id": name}


def brighter(photo: np.ndarray) -> np.ndarray:
    return np.clip(photo.astype(int) + 20, 0, 255).astype(np.uint8)


def rows_of(*values: float, metric: str = "l1") -> list[dict]:
    return [{"id": str(i)} | dict.fromkeys(METRICS, 0.5) | {metric: value} for i, value in enumerate(values)]


def test_each_photo_gets_a_row_in_the_order_of_the_source():
    rows = evaluate(brighter, [pair(100, 120, "first"), pair(100, 140, b"second")], name="brighter")
    assert [row["id"] for row in rows] == ["first", "second"]
    assert [row["l1"] for row in rows] == pytest.approx([0.0, 20 / 255])
    assert all(set(row) == {"id", *METRICS} for row in rows)


def test_the_unedited_method_scores_the_input_itself():
    (row,) = evaluate(unedited, [pair(100, 151)], name="unedited")
    assert row["l1"] == pytest.approx(0.2)


def test_photos_keep_their_stored_size():
    seen = []
    evaluate(lambda photo: seen.append(photo.shape) or photo, [pair(1, 2, height=20, width=50)], name="spy")
    assert seen == [(20, 50, 3)]


def test_squash_makes_squares_as_the_plans_scripts_did():
    seen = []
    evaluate(lambda photo: seen.append(photo.shape) or photo, [pair(1, 2, height=20, width=50)], squash=48, name="spy")
    assert seen == [(48, 48, 3)]


def test_a_method_that_changes_the_size_is_named():
    with pytest.raises(ValueError, match=r"half on test pair 'a'.*differ in size"):
        evaluate(lambda photo: photo[::2, ::2].copy(), [pair(1, 2, height=64, width=64)], name="half")


def test_the_interval_is_students_t():
    values = [0.0416, 0.0716, 0.0404, 0.0615, 0.0419]  # the plan's own baseline
    summary = summarise(rows_of(*values))["l1"]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (summary["mean"], summary["n"]) == (pytest.approx(0.0514), 5)
    assert (summary["low"], summary["high"]) == pytest.approx((expected.low, expected.high))


def test_one_photo_has_no_interval():
    assert summarise(rows_of(0.3))["l1"] == {"mean": 0.3, "low": None, "high": None, "n": 1}


def test_no_photos_have_no_mean():
    with pytest.raises(ValueError, match="at least one pair"):
        summarise([])


def test_the_paired_interval_is_the_paired_t_tests():
    a, b = [0.04, 0.07, 0.04, 0.06, 0.05], [0.05, 0.08, 0.05, 0.06, 0.06]
    difference = paired_difference(rows_of(*a), rows_of(*b), "l1")
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (difference["low"], difference["high"]) == pytest.approx((expected.low, expected.high))
    assert difference["mean"] == pytest.approx(-0.008)


def test_the_relative_change_is_that_of_the_means():
    difference = paired_difference(rows_of(0.3, 0.5), rows_of(0.4, 0.6), "l1")
    assert difference["relative_percent"] == pytest.approx(-20.0)


def test_a_constant_factor_has_a_relative_interval_of_no_width():
    b = [0.15, 0.2, 0.11, 0.17]
    difference = paired_difference(rows_of(*(0.9 * value for value in b)), rows_of(*b), "l1")
    assert (difference["relative_low"], difference["relative_high"]) == pytest.approx((-10.0, -10.0), abs=1e-3)


@pytest.mark.parametrize("shift", [-0.012, -0.004, 0.0, 0.004, 0.012])
def test_absolute_and_relative_interval_agree_on_whether_there_is_a_difference(shift):
    generator = np.random.default_rng(1)
    b = generator.uniform(0.04, 0.07, 8)
    a = b + shift + generator.normal(0, 0.008, 8)
    difference = paired_difference(rows_of(*a), rows_of(*b), "l1")
    assert (difference["low"] <= 0 <= difference["high"]) == (
        difference["relative_low"] <= 0 <= difference["relative_high"]
    )


def test_the_relative_interval_covers_the_truth_95_times_of_100():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        b = generator.uniform(0.04, 0.08, 8)
        a = 0.85 * b + generator.normal(0, 0.004, 8)
        difference = paired_difference(rows_of(*a), rows_of(*b), "l1")
        covered += difference["relative_low"] <= -15.0 <= difference["relative_high"]
    assert 0.92 <= covered / 300 <= 0.98


def test_a_baseline_that_may_be_zero_has_no_relative_interval():
    difference = paired_difference(rows_of(0.1, 0.1), rows_of(0.01, 0.4), "l1")
    assert (difference["relative_low"], difference["relative_high"]) == (None, None)
    assert difference["low"] is not None


def test_two_copies_of_a_model_do_not_differ():
    difference = paired_difference(rows_of(0.1, 0.2), rows_of(0.1, 0.2), "l1")
    assert (difference["mean"], difference["low"], difference["high"]) == (0.0, 0.0, 0.0)


def test_only_the_same_photos_are_compared():
    others = [row | {"id": "other"} for row in rows_of(0.1)]
    with pytest.raises(ValueError, match="same photos"):
        paired_difference(rows_of(0.1), others, "l1")


@pytest.fixture
def results() -> dict:
    rows = {
        "finetuned": rows_of(0.04, 0.05, 0.06),
        "scratch": rows_of(0.05, 0.06, 0.08),
        "pretrained": rows_of(0.15, 0.11, 0.12),
        "unedited": rows_of(0.3, 0.2, 0.25),
    }
    hashes = {"finetuned": "aa", "scratch": "bb", "pretrained": "cc"}
    return build_results(rows, weights_sha256=hashes, config={"sizes": (1, 2)}, stages={"pretrain": {"epochs": 3}})


def test_results_follow_the_documented_schema(results):
    assert list(results) == ["schema_version", "config", "methods", "paired", "stages"]
    assert list(results["methods"]) == ["unedited", "pretrained", "scratch", "finetuned"]
    finetuned = results["methods"]["finetuned"]
    assert list(finetuned) == ["weights_sha256", "n", "mean", "interval_95", "per_image"]
    assert (finetuned["weights_sha256"], finetuned["mean"]["l1"]) == ("aa", pytest.approx(0.05))
    assert results["methods"]["unedited"]["weights_sha256"] is None
    assert set(results["paired"]) == {f"finetuned_vs_{name}" for name in ("unedited", "scratch", "pretrained")}


def test_results_survive_a_round_trip_through_strict_json(results):
    assert json.loads(json.dumps(results, allow_nan=False)) == results


def test_a_failed_training_cannot_hide_as_nan():
    with pytest.raises(ValueError, match="JSON compliant"):
        build_results({"unedited": rows_of(float("nan"), 0.1)}, weights_sha256={}, config={}, stages={})


def test_the_table_names_all_methods_in_order_and_states_the_paired_gain(results):
    table = results_table(results)
    positions = [table.index(name) for name in ("\nunedited", "\npretrained (zero-shot)", "\nscratch", "\nfine-tuned")]
    assert positions == sorted(positions)
    assert "0.2500 ± 0.1242" in table
    assert "fine-tuned vs scratch: L1 -21.1 % [-29.4, +3.7], n=3 photos" in table


def test_the_table_of_one_photo_shows_no_interval():
    rows = {"unedited": rows_of(0.3), "finetuned": rows_of(0.1)}
    table = results_table(build_results(rows, weights_sha256={}, config={}, stages={}))
    assert "±" not in table
    assert "fine-tuned vs unedited: L1 -0.2000 (one photo has no interval), n=1 photo" in table
