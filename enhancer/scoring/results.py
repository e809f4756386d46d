"""Compose `results.json` from the rows of scores.

The schema (strict JSON: numbers are finite, what is unknown is `null`)::

    {"schema_version": 2,
     "config": {...},                              the resolved configuration of the run, as given
     "methods": {
       "unedited": {                               and "curve", "pretrained", "scratch", "finetuned", ...: those compared
         "title": "unedited",
         "weights_sha256": null,                   hash over the final weights; null where there are none
         "n": 8,                                   test photos
         "mean": {"l1": 0.31, "psnr_db": ..., ...},   the columns of `enhancer.scoring.columns` that there are
         "interval_95": {"l1": [0.27, 0.35], ...}, Student t over photos; [null, null] for one photo
         "count": {"l1": 8, "l1_highlights": 7, ...}, photos with that score
         "per_image": [{"id": "a0001", "l1": ..., "psnr_db": ..., ...}, ...]}},
     "paired": {
       "finetuned_vs_scratch": {                   the method in question against each other one
         "l1": {"mean": -0.02, "low": -0.03, "high": -0.01, "n": 8, "scenes": 8, "outcome": "better",
                "relative_percent": -12.3, "relative_low": -20.0, "relative_high": -4.0,
                "detectable_percent": 9.5}, ...}},
     "stages": {"pretrain": {...}, ...},           what is known about each training stage, as given
     "training": {"seconds": 40.1, "price_per_hour": null, "cost": null},
     "seen_in_training": [],                       ids of photos whose scene fine-tuning was given; null: not known
     "seen_in_pretraining": [],                    likewise, whose scene pre-training was given
     "notes": [...],                               what a reader must know, a sentence each
     "hardware": {...}}                            what the test ran on
"""

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from enhancer.scoring import bootstrap
from enhancer.scoring.columns import COLUMNS, Row, ScoreColumn
from enhancer.scoring.power import smallest_detectable
from enhancer.scoring.verdict import outcome_of
from enhancer.system.hardware import describe

RESULTS_SCHEMA_VERSION = 2
METHOD_TITLES = {
    "unedited": "unedited",
    "curve": "fitted curve",
    "lookup": "fitted lookup table",
    "adaptive_lookup": "fitted lookup table, adaptive",
    "pretrained": "pretrained (zero-shot)",
    "scratch": "scratch",
    "finetuned": "fine-tuned",
}


def summarise(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Return each score's mean over photos with its 95 % interval, `{"l1": {"mean", "low", "high", "n"}, ...}`.

    The interval is Student's t over photos: it says how far the mean may move with other photos of the same kind,
    and nothing about other training seeds. With one photo its bounds are None. Photos without a region are not counted
    in its columns, and columns that no photo has are left out.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError(
            "There are no scores to summarise; the test set must hold at least one pair."
        )
    values = {
        column: [row[column] for row in rows if row.get(column) is not None] for column in COLUMNS
    }
    return {column: _mean_with_interval(known) for column, known in values.items() if known}


def paired_difference(
    rows_a: Sequence[Row],
    rows_b: Sequence[Row],
    column: str,
    scene_of: Mapping[str, Hashable] | None = None,
) -> dict[str, Any]:
    """Compare method a with method b on the same photos.

    Args:
        rows_a, rows_b: of the same photos in the same order.
        column: which score; photos that lack it are left out.
        scene_of: the scene of each photo by id, where some show the same one.

    Returns:
        `mean`, `low`, `high`: the mean of a - b over photos and its 95 % interval (`enhancer.scoring.bootstrap`), in the score's
        unit; `relative_percent`, `relative_low`, `relative_high`: mean a / mean b - 1 in percent with its own interval
        (None where it has none, and all of it for decibels); `n`, `scenes`: how many; `detectable_percent`: the smallest true relative difference
        that this test finds 80 times of 100; `outcome`: see `enhancer.scoring.verdict.outcome_of`.

    Raises:
        ValueError: the rows are not about the same photos in the same order.
    """
    ids_a, ids_b = [row["id"] for row in rows_a], [row["id"] for row in rows_b]
    if ids_a != ids_b:
        different = sorted(set(ids_a) ^ set(ids_b)) or "their order"
        raise ValueError(
            f"Only scores of the same photos can be compared; these differ in {different}."
        )
    known = [(a, b) for a, b in zip(rows_a, rows_b, strict=True) if a.get(column) is not None]
    scenes = None if scene_of is None else [scene_of[a["id"]] for a, _ in known]
    found = bootstrap.compare(
        np.array([a[column] for a, _ in known]), np.array([b[column] for _, b in known]), scenes
    )
    return comparison_fields(found, COLUMNS[column])


def comparison_fields(
    found: bootstrap.Comparison, column: ScoreColumn = COLUMNS["l1"]
) -> dict[str, Any]:
    """A comparison of a score as `results.json` holds it."""
    relative, error = (found.relative, found.standard_error) if column.has_ratio else (None, None)
    percent = (
        (lambda value: None if value is None else 100.0 * value) if relative else (lambda _: None)
    )
    fields = {
        "mean": found.difference.estimate,
        "low": found.difference.low,
        "high": found.difference.high,
        "n": found.photos,
        "scenes": found.scenes,
        "relative_percent": percent(relative.estimate) if relative else None,
        "relative_low": percent(relative.low) if relative else None,
        "relative_high": percent(relative.high) if relative else None,
        "detectable_percent": 100.0 * smallest_detectable(error, found.degrees_of_freedom)
        if error is not None
        else None,
        "equal": found.equal,
    }
    return fields | {"outcome": outcome_of(fields, column.lower_is_better)}


def build_results(
    rows: Mapping[str, Sequence[Row]],
    *,
    weights_sha256: Mapping[str, str],
    config: Mapping[str, Any],
    stages: Mapping[str, Any],
    scene_of: Mapping[str, Hashable] | None = None,
    notes: Sequence[str] = (),
    price_per_hour: float | None = None,
    seen: Sequence[str] | None = (),
    seen_in_pretraining: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Compose the contents of `results.json`, whose schema stands at the top of this module.

    Args:
        rows: per method ("unedited", "pretrained", "scratch", "finetuned", or others) what `evaluate` returned.
        weights_sha256: per method the hash over its weights; "unedited" has none.
        config: the run's resolved configuration.
        stages: what is worth keeping about each training stage; `seconds` among it is added up.
        scene_of: the scene of each photo by id, where some show the same one.
        notes: what a reader must know about this test, a sentence each.
        price_per_hour: of the machine that trained.
        seen: ids of the photos whose scene was among the pairs of fine-tuning; None when nobody can tell.
        seen_in_pretraining: likewise, of those whose scene was among the pairs of stage 1.

    Raises:
        ValueError: a number is not finite or a value has no place in JSON.
    """
    methods = {}
    for method in sorted(rows, key=_method_order):
        summary = summarise(rows[method])
        methods[method] = {
            "title": method_title(method),
            "weights_sha256": weights_sha256.get(method),
            "n": len(rows[method]),
            "mean": {column: summary[column]["mean"] for column in summary},
            "interval_95": {
                column: [summary[column]["low"], summary[column]["high"]] for column in summary
            },
            "count": {column: summary[column]["n"] for column in summary},
            "per_image": list(rows[method]),
        }
    main = main_method(methods)
    paired = {
        f"{main}_vs_{other}": _paired_columns(
            rows[main], rows[other], methods, main, other, scene_of
        )
        for other in methods
        if other != main and set(_ids(rows[main])) & set(_ids(rows[other]))
    }
    results = {
        "schema_version": RESULTS_SCHEMA_VERSION,
        "config": config,
        "methods": methods,
        "paired": paired,
        "stages": stages,
        "training": _expenses(stages, price_per_hour),
        "seen_in_training": seen,
        "seen_in_pretraining": seen_in_pretraining,
        "notes": notes,
        "hardware": describe(),
    }
    # A round trip turns tuples into lists and refuses NaN, so what is returned equals what a reader gets back.
    return json.loads(json.dumps(results, allow_nan=False, default=_json_value))


def main_method(methods: Mapping[str, Any]) -> str:
    """The method in question: the fine-tuned network, or the last of what the run trained or was given."""
    known = [name for name in ("finetuned", "scratch", "pretrained") if name in methods]
    return known[0] if known else list(methods)[-1]


def method_title(method: str) -> str:
    """What people call a method."""
    return METHOD_TITLES.get(method, method)


def score_text(scores: Mapping[str, Any], column: str) -> str:
    """Return one method's mean of a score and half of its 95 % interval as text, `0.0514 ± 0.0175`."""
    if column not in scores["mean"]:
        return "–"
    low, high = scores["interval_95"][column]
    mean = COLUMNS[column].text(scores["mean"][column])
    return mean if low is None else f"{mean} ± {COLUMNS[column].text((high - low) / 2)}"


def _paired_columns(rows_a, rows_b, methods, a: str, b: str, scene_of) -> dict[str, Any]:
    common = set(_ids(rows_a)) & set(_ids(rows_b))  # a folder of predictions may lack some photos
    rows_a, rows_b = ([row for row in rows if row["id"] in common] for rows in (rows_a, rows_b))
    columns = [
        column
        for column in methods[a]["mean"]
        if any(row.get(column) is not None for row in rows_b)
    ]
    return {
        column: paired_difference(rows_a, rows_b, column, scene_of)
        for column in columns
        if any(row.get(column) is not None for row in rows_a)
    }


def _expenses(stages: Mapping[str, Any], price_per_hour: float | None) -> dict[str, float | None]:
    seconds = [stage["seconds"] for stage in stages.values() if stage.get("seconds") is not None]
    total = sum(seconds) if seconds else None
    cost = None if total is None or price_per_hour is None else total / 3600 * price_per_hour
    return {"seconds": total, "price_per_hour": price_per_hour, "cost": cost}


def _ids(rows: Sequence[Row]) -> list[str]:
    return [row["id"] for row in rows]


def _method_order(method: str) -> int:
    known = list(METHOD_TITLES)
    return known.index(method) if method in known else len(known)


def _mean_with_interval(values: Sequence[float]) -> dict[str, Any]:
    mean = float(np.mean(values))
    if len(values) < 2:
        return {"mean": mean, "low": None, "high": None, "n": len(values)}
    half = (
        float(stats.t.ppf(0.975, len(values) - 1))
        * float(np.std(values, ddof=1))
        / math.sqrt(len(values))
    )
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": len(values)}


def _json_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise ValueError(
        f"{value!r} has no place in results.json; pass plain numbers, text, lists and dictionaries."
    )
