"""Compose `results.json` from the rows of scores, and print it.

The schema (strict JSON: numbers are finite, what is unknown is `null`)::

    {"schema_version": 2,
     "config": {...},                        the resolved configuration of the run, as given
     "methods": {
       "unedited": {                         and "curve", "pretrained", "scratch", "finetuned", ...
         "title": "unedited",
         "weights_sha256": null,             hash over the final weights, if it has any
         "n": 8,                             test photos
         "mean": {"l1": 0.31, ...},          those of `enhancer.scoring.columns` that there are
         "interval_95": {"l1": [0.27, 0.35]},   Student t over photos; [null, null] for one photo
         "count": {"l1": 8, "l1_highlights": 7, ...},   photos with that score
         "per_image": [{"id": "a0001", "l1": ..., "psnr_db": ..., ...}, ...]}},
     "paired": {
       "finetuned_vs_scratch": {             the method in question against each other one
         "l1": {"mean": -0.02, "low": -0.03, "high": -0.01, "n": 8, "scenes": 8, "equal": false,
                "relative_percent": -12.3, "relative_low": -20.0, "relative_high": -4.0,
                "detectable_percent": 9.5, "outcome": "better"}, ...}},
     "stages": {"pretrain": {...}, ...},     what is known about each training stage, as given
     "training": {"seconds": 40.1, "price_per_hour": null, "cost": null},
     "seen_in_training": [],                 ids of photos whose scene fine-tuning was given
     "seen_in_pretraining": [],              likewise, pre-training; null: not known
     "notes": [...],                         what a reader must know, a sentence each
     "hardware": {...}}                      what the test ran on
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from enhancer.scoring import statistics
from enhancer.scoring.columns import COLUMNS, FAULTS, MAIN_COLUMNS, PhotoScores, ScoreColumn
from enhancer.scoring.verdict import change_text, outcome_of, photos_text
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


def summarise(rows: Sequence[PhotoScores]) -> dict[str, dict[str, Any]]:
    """Each score's mean over photos with its 95 % interval, `{"l1": {"mean", "low", "high", "n"}}`.

    Student's t over the photos that have the score; one has no interval. Raises ValueError without
    rows.
    """
    if not rows:
        raise ValueError("There are no scores to summarise; the test set needs at least one pair.")
    known = {c: [row[c] for row in rows if row.get(c) is not None] for c in COLUMNS}
    return {column: _mean_with_interval(values) for column, values in known.items() if values}


def paired_differences(
    rows_a: Sequence[PhotoScores],
    rows_b: Sequence[PhotoScores],
    scene_of: Mapping[str, int | str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Compare method a with method b in each score, as `comparison_fields` returns it.

    Only the photos count for which both have the score; where there are none, and where neither
    more nor less is better, nothing is compared. `scene_of` is the scene of each photo by id, where
    some show the same one.
    """
    rows_of_b = {row["id"]: row for row in rows_b}
    found = {}
    for column, heading in COLUMNS.items():
        scores = [
            (row["id"], row[column], other[column])
            for row in rows_a
            if row.get(column) is not None
            and (other := rows_of_b.get(row["id"], {})).get(column) is not None
        ]
        if scores and heading.lower_is_better is not None:
            photos, a, b = zip(*scores, strict=True)
            scenes = None if scene_of is None else [scene_of[photo] for photo in photos]
            compared = statistics.compare(np.array(a), np.array(b), scenes)
            found[column] = comparison_fields(compared, heading)
    return found


def comparison_fields(
    found: statistics.Comparison, column: ScoreColumn = COLUMNS["l1"]
) -> dict[str, Any]:
    """A comparison of a score as `results.json` holds it.

    `mean`, `low`, `high`: a - b and its 95 % interval in the score's unit; `relative_...`: mean a /
    mean b - 1 in percent with its own; `detectable_percent`: the smallest true relative difference
    that such a test finds 80 times of 100; None where there is none, as of decibels.
    """
    relative = found.relative if column.has_ratio else None
    shares = (relative.estimate, relative.low, relative.high, found.detectable) if relative else ()
    percent = [None if share is None else 100.0 * share for share in shares] or [None] * 4
    names = ("relative_percent", "relative_low", "relative_high", "detectable_percent")
    mean, low, high = dataclasses.astuple(found.difference)
    fields: dict[str, Any] = {"mean": mean, "low": low, "high": high}
    fields |= {"n": found.photos, "scenes": found.scenes, "equal": found.equal}
    fields |= dict(zip(names, percent, strict=True))
    return fields | {"outcome": outcome_of(fields, bool(column.lower_is_better))}


def build_results(
    rows: Mapping[str, Sequence[PhotoScores]],
    *,
    weights_sha256: Mapping[str, str],
    config: Mapping[str, Any],
    stages: Mapping[str, Any],
    scene_of: Mapping[str, int | str] | None = None,
    notes: Sequence[str] = (),
    price_per_hour: float | None = None,
    seen: Sequence[str] | None = (),
    seen_in_pretraining: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Compose the contents of `results.json`, whose schema stands at the top of this module.

    Args:
        rows: per method ("unedited", "scratch", "finetuned", or others) what `evaluate` returned.
        weights_sha256: per method that has weights the hash over them.
        config: the run's resolved configuration.
        stages: what is worth keeping about each training stage; its `seconds` are added up.
        scene_of: the scene of each photo by id, where some show the same one.
        notes: what a reader must know about this test, a sentence each.
        price_per_hour: of the machine that trained.
        seen, seen_in_pretraining: ids of the photos whose scene was among the pairs of fine-tuning,
            of stage 1; None: not known.

    Raises:
        ValueError: a number is not finite or a value has no place in JSON.
    """
    methods = {}
    known = list(METHOD_TITLES)
    for method in sorted(rows, key=lambda m: known.index(m) if m in known else len(known)):
        summary = summarise(rows[method])
        methods[method] = {
            "title": method_title(method),
            "weights_sha256": weights_sha256.get(method),
            "n": len(rows[method]),
            "mean": {column: found["mean"] for column, found in summary.items()},
            "interval_95": {c: [found["low"], found["high"]] for c, found in summary.items()},
            "count": {column: found["n"] for column, found in summary.items()},
            "per_image": list(rows[method]),
        }
    main = main_method(methods)
    seconds = [stage["seconds"] for stage in stages.values() if stage.get("seconds") is not None]
    total = sum(seconds) if seconds else None
    cost = None if total is None or price_per_hour is None else total / 3600 * price_per_hour
    results = {
        "schema_version": RESULTS_SCHEMA_VERSION,
        "config": config,
        "methods": methods,
        "paired": {
            f"{main}_vs_{other}": pair
            for other in methods
            if other != main and (pair := paired_differences(rows[main], rows[other], scene_of))
        },
        "stages": stages,
        "training": {"seconds": total, "price_per_hour": price_per_hour, "cost": cost},
        "seen_in_training": seen,
        "seen_in_pretraining": seen_in_pretraining,
        "notes": notes,
        "hardware": describe(),
    }
    # A round trip turns tuples into lists and refuses NaN: what is returned equals what is read.
    return json.loads(json.dumps(results, allow_nan=False, default=_json_value))


def main_method(methods: Mapping[str, Any]) -> str:
    """The method in question: the fine-tuned network, or the last that was trained or given."""
    known = [name for name in ("finetuned", "scratch", "pretrained") if name in methods]
    return known[0] if known else list(methods)[-1]


def method_title(method: str) -> str:
    """What people call a method."""
    return METHOD_TITLES.get(method, method)


def score_text(scores: Mapping[str, Any], column: str) -> str:
    """A method's mean of a score and half of its 95 % interval, `0.0514 ± 0.0175`."""
    if column not in scores["mean"]:
        return "–"
    low, high = scores["interval_95"][column]
    mean = COLUMNS[column].text(scores["mean"][column])
    return mean if low is None else f"{mean} ± {COLUMNS[column].text((high - low) / 2)}"


def results_table(results: Mapping[str, Any]) -> str:
    """The scores for a terminal: of regions and other protocols L1; then the changes of L1."""
    methods = results["methods"]
    shown = ["l1_plan", "l1", *MAIN_COLUMNS[1:]]
    shown += [column for column in COLUMNS if column.startswith("l1_") and column not in shown]
    shown += FAULTS
    shown = [c for c in shown if any(c in scores["mean"] for scores in methods.values())]
    lines = [["", "n", *(COLUMNS[column].heading for column in shown)]]
    for scores in methods.values():
        cells = [score_text(scores, column) for column in shown]
        cells[2:] = [cell.partition(" ± ")[0] for cell in cells[2:]]
        lines.append([scores["title"], str(scores["n"]), *cells])
    changes = []
    for key, pair in results["paired"].items():
        main, other = map(method_title, key.split("_vs_"))
        photos = photos_text(pair["l1"]["n"], pair["l1"]["scenes"])
        changes.append(f"{main} vs {other}: L1 {change_text(pair['l1'])}, {photos}")
    return "\n".join([text_table(lines), "", *changes])


def text_table(lines: Sequence[Sequence[str]]) -> str:
    """Aligned text with a rule under the first line; all but the first column to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    head, *table = (
        "  ".join([first.ljust(widths[0]), *map(str.rjust, cells, widths[1:])])
        for first, *cells in lines
    )
    return "\n".join([head, "-" * len(head), *table])


def _mean_with_interval(values: Sequence[float]) -> dict[str, Any]:
    mean, number = float(np.mean(values)), len(values)
    low = high = None
    if number > 1:
        deviation = float(np.std(values, ddof=1))
        half = float(stats.t.ppf(0.975, number - 1)) * deviation / math.sqrt(number)
        low, high = mean - half, mean + half
    return {"mean": mean, "low": low, "high": high, "n": number}


def _json_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise ValueError(f"{value!r} has no place in results.json; pass plain numbers, text and lists.")
