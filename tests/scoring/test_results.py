"""`results.json`: means with intervals, the paired comparison, and what a terminal shows."""

import json
import re

import pytest
from scipy import stats

from enhancer.scoring.columns import COLUMNS, MAIN_COLUMNS, number_text
from enhancer.scoring.results import (
    build_results,
    main_method,
    paired_differences,
    results_table,
    summarise,
)


def rows_of(*values: float, metric: str = "l1") -> list[dict]:
    return [
        {"id": str(i)} | dict.fromkeys(MAIN_COLUMNS, 0.5) | {metric: value}
        for i, value in enumerate(values)
    ]


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


def test_a_baseline_without_any_error_has_no_relative_interval():
    difference = paired_differences(rows_of(0.1, 0.1, 0.2), rows_of(0.0, 0.0, 0.0))["l1"]
    assert (
        difference["relative_percent"],
        difference["relative_low"],
        difference["relative_high"],
    ) == (
        None,
        None,
        None,
    )
    assert difference["low"] is not None


def test_photos_without_a_region_do_not_count_in_its_column():
    rows = [
        row | {"l1_highlights": value}
        for row, value in zip(rows_of(0.1, 0.2, 0.3), (0.5, None, 0.7), strict=True)
    ]
    assert summarise(rows)["l1_highlights"]["n"] == 2
    assert paired_differences(rows, rows)["l1_highlights"]["n"] == 2


def test_only_the_same_photos_are_compared():
    others = [row | {"id": "other"} for row in rows_of(0.1)]
    assert paired_differences(rows_of(0.1), others) == {}


@pytest.fixture
def results() -> dict:
    rows = {
        "finetuned": rows_of(0.04, 0.05, 0.06),
        "scratch": rows_of(0.05, 0.06, 0.08),
        "pretrained": rows_of(0.15, 0.11, 0.12),
        "unedited": rows_of(0.3, 0.2, 0.25),
    }
    hashes = {"finetuned": "aa", "scratch": "bb", "pretrained": "cc"}
    return build_results(
        rows, weights_sha256=hashes, config={"sizes": (1, 2)}, stages={"pretrain": {"epochs": 3}}
    )


def test_results_follow_the_documented_schema(results):
    assert list(results) == [
        "schema_version",
        "config",
        "methods",
        "paired",
        "stages",
        "training",
        "seen_in_training",
        "seen_in_pretraining",
        "notes",
        "hardware",
    ]
    assert list(results["methods"]) == ["unedited", "pretrained", "scratch", "finetuned"]
    finetuned = results["methods"]["finetuned"]
    assert list(finetuned) == [
        "title",
        "weights_sha256",
        "n",
        "mean",
        "interval_95",
        "count",
        "per_image",
    ]
    assert (finetuned["weights_sha256"], finetuned["mean"]["l1"]) == ("aa", pytest.approx(0.05))
    assert results["methods"]["unedited"]["weights_sha256"] is None
    assert set(results["paired"]) == {
        f"finetuned_vs_{name}" for name in ("unedited", "scratch", "pretrained")
    }


def test_a_failed_training_cannot_hide_as_nan():
    with pytest.raises(ValueError, match="JSON compliant"):
        build_results(
            {"unedited": rows_of(float("nan"), 0.1)}, weights_sha256={}, config={}, stages={}
        )


def test_the_table_names_all_methods_in_order_and_states_the_paired_gain(results):
    table = results_table(results)
    positions = [
        table.index(name)
        for name in ("\nunedited", "\npretrained (zero-shot)", "\nscratch", "\nfine-tuned")
    ]
    assert positions == sorted(positions)
    assert "0.2500 ± 0.1242" in table
    assert re.search(
        r"fine-tuned vs scratch: L1 −21\.1 % \[−\d+\.\d, [+−]\d+\.\d\], 3 test photos", table
    )


def test_decibels_are_compared_in_decibels_only(results):
    pair = results["paired"]["finetuned_vs_unedited"]
    assert {
        pair["psnr_db"][key]
        for key in ("relative_percent", "relative_low", "relative_high", "detectable_percent")
    } == {None}
    assert pair["psnr_db"]["low"] is not None
    assert pair["l1"]["relative_low"] is not None


def test_numbers_for_people_have_a_true_minus_and_those_in_json_do_not(results):
    assert COLUMNS["ssim"].text(-0.25) == "−0.2500"
    assert (number_text(-1.26, 1, signed=True), number_text(1.26, 1, signed=True)) == (
        "−1.3",
        "+1.3",
    )
    assert not re.search(r"-\d", results_table(results))
    assert "−" not in json.dumps(results, ensure_ascii=False)


def test_the_table_of_one_photo_shows_no_interval():
    rows = {"unedited": rows_of(0.3), "finetuned": rows_of(0.1)}
    table = results_table(build_results(rows, weights_sha256={}, config={}, stages={}))
    assert "±" not in table
    assert "fine-tuned vs unedited: L1 −0.2000 (one photo has no interval), one test photo" in table


def test_a_method_that_scored_some_photos_only_is_compared_on_these():
    rows = {
        "unedited": rows_of(0.3, 0.2, 0.25),
        "finetuned": rows_of(0.1, 0.1, 0.2),
        "theirs": rows_of(0.2, 0.3),
    }
    results = build_results(rows, weights_sha256={}, config={}, stages={})
    assert results["methods"]["theirs"]["n"] == 2
    assert results["paired"]["finetuned_vs_theirs"]["l1"]["n"] == 2
    assert results["paired"]["finetuned_vs_unedited"]["l1"]["n"] == 3


def test_photos_of_one_scene_count_as_one_scene():
    rows = {"unedited": rows_of(0.3, 0.2, 0.25), "finetuned": rows_of(0.1, 0.1, 0.2)}
    results = build_results(
        rows, weights_sha256={}, config={}, stages={}, scene_of={"0": 0, "1": 0, "2": 1}
    )
    assert results["paired"]["finetuned_vs_unedited"]["l1"]["scenes"] == 2
    assert "3 test photos of 2 scenes" in results_table(results)


@pytest.mark.parametrize(
    ("methods", "main"),
    [
        (["unedited", "scratch", "finetuned", "theirs"], "finetuned"),
        (["unedited", "scratch"], "scratch"),
        (["unedited", "theirs"], "theirs"),
    ],
)
def test_the_method_in_question_is_the_most_trained_one(methods, main):
    assert main_method(dict.fromkeys(methods)) == main


def test_the_results_table_has_the_plans_protocol_first():
    rows = {
        "unedited": [row | {"l1_plan": 0.25, "ciede2000_network": 9.0} for row in rows_of(0.3, 0.2)]
    }
    heading = results_table(
        build_results(rows, weights_sha256={}, config={}, stages={})
    ).splitlines()[0]
    assert re.split(r"\s{2,}", heading.strip())[:3] == ["n", "L1, plan ↓", "L1 ↓"]
    assert "network" not in heading  # of the other protocols L1 is enough for a screen


def test_training_time_is_added_up_and_priced():
    stages = {"pretrain": {"seconds": 3600.0}, "finetune": {"seconds": 1800.0}}
    results = build_results(
        {"unedited": rows_of(0.3)}, weights_sha256={}, config={}, stages=stages, price_per_hour=2.0
    )
    assert results["training"] == {"seconds": 5400.0, "price_per_hour": 2.0, "cost": 3.0}
