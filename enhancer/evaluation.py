"""Score enhance functions on test pairs, compare two of them photo by photo, and compose `results.json`.

What is scored is a function from a photo to a photo, the one that users run, and not a network's raw output.

The schema of `results.json` (strict JSON: numbers are finite, what is unknown is `null`)::

    {"schema_version": 1,
     "config": {...},                              the resolved configuration of the run, as given
     "methods": {
       "unedited": {                               and "pretrained", "scratch", "finetuned": those that were run
         "weights_sha256": null,                   hash over the final weights; null where there are none
         "n": 8,                                   test photos
         "mean": {"l1": 0.31, "psnr_db": ..., "ssim": ..., "ciede2000": ...},
         "interval_95": {"l1": [0.27, 0.35], ...}, Student t over photos; [null, null] for one photo
         "per_image": [{"id": "a0001", "l1": ..., "psnr_db": ..., "ssim": ..., "ciede2000": ...}, ...]}},
     "paired": {
       "finetuned_vs_scratch": {                   and "finetuned_vs_unedited", "finetuned_vs_pretrained"
         "l1": {"mean": -0.02, "low": -0.03, "high": -0.01, "n": 8,
                "relative_percent": -12.3, "relative_low": -20.0, "relative_high": -4.0}, ...}},
     "stages": {"pretrain": {...}, ...}}           what the recipe recorded about each training stage, as given
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tqdm
from PIL import Image
from scipy import stats

from enhancer.metrics import METRICS
from enhancer.readable_pairs import Source, decode_pair

Row = dict[str, Any]
"""One photo's scores: `{"id", "l1", "psnr_db", "ssim", "ciede2000"}`."""
Enhance = Callable[[np.ndarray], np.ndarray]
"""uint8 `(H, W, 3)` sRGB in, the same out."""

RESULTS_SCHEMA_VERSION = 1
METHOD_TITLES = {
    "unedited": "unedited",
    "pretrained": "pretrained (zero-shot)",
    "scratch": "scratch",
    "finetuned": "fine-tuned",
}
METRIC_TITLES = {"l1": "L1", "psnr_db": "PSNR (dB)", "ssim": "SSIM", "ciede2000": "CIEDE2000"}
METRIC_DECIMALS = {"l1": 4, "psnr_db": 2, "ssim": 4, "ciede2000": 2}
LOWER_IS_BETTER = {"l1": True, "psnr_db": False, "ssim": False, "ciede2000": True}
_BASELINES = ("unedited", "scratch", "pretrained")


def unedited(photo: np.ndarray) -> np.ndarray:
    """The method that does nothing; every other one has to beat it."""
    return photo


def evaluate(enhance: Enhance, source: Source, *, squash: int | None = None, name: str) -> list[Row]:
    """Score `enhance` on every pair of `source`.

    Args:
        enhance: the method, uint8 `(H, W, 3)` to uint8 of the same shape.
        source: the test pairs.
        squash: the project plan's protocol: input and target are first resized to a square of this side in pixels
            (bilinear with anti-aliasing), whatever their aspect ratio. By default they keep their stored size.
        name: the method's name, for the progress line and for errors.

    Returns:
        One row per photo, in the order of `source`.
    """
    rows = []
    for index in tqdm.tqdm(range(len(source)), desc=f"test {name}", unit="photo"):
        photo_id, photo, target = decode_pair(source[index])
        if squash is not None:
            photo, target = squashed(photo, squash), squashed(target, squash)
        prediction = enhance(photo)
        try:
            rows.append({"id": photo_id} | {metric: score(prediction, target) for metric, score in METRICS.items()})
        except ValueError as error:
            raise ValueError(f"{name} on test pair {photo_id!r}: {error}") from error
    return rows


def summarise(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Return each metric's mean over photos with its 95 % interval, `{"l1": {"mean", "low", "high", "n"}, ...}`.

    The interval is Student's t over photos: it says how far the mean may move with other photos of the same kind,
    and nothing about other training seeds. With one photo its bounds are None.
    """
    if not rows:
        raise ValueError("There are no scores to summarise; the test set must hold at least one pair.")
    return {metric: _mean_with_interval([row[metric] for row in rows]) for metric in METRICS}


def paired_difference(rows_a: Sequence[Row], rows_b: Sequence[Row], metric: str) -> dict[str, Any]:
    """Compare method a with method b on the same photos.

    Pairing removes what makes one photo harder than another for both methods, so that its interval is far narrower
    than the difference of two independent means.

    Returns:
        `mean`, `low`, `high`: the mean of a - b over photos and its 95 % interval (Student t), in the metric's unit;
        `relative_percent`, `relative_low`, `relative_high`: mean a / mean b - 1 in percent with the 95 % interval of
        this ratio, which contains 0 exactly when the one above does (None where the ratio has no interval);
        `n`: photos.

    Reference: Fieller, "Some problems in interval estimation", JRSS B 1954 (the interval of a ratio of paired means).

    Raises:
        ValueError: the rows are not about the same photos in the same order.
    """
    ids_a, ids_b = [row["id"] for row in rows_a], [row["id"] for row in rows_b]
    if ids_a != ids_b:
        different = sorted(set(ids_a) ^ set(ids_b)) or "their order"
        raise ValueError(f"Only scores of the same photos can be compared; these differ in {different}.")
    values_a, values_b = ([row[metric] for row in rows] for rows in (rows_a, rows_b))
    difference = _mean_with_interval([a - b for a, b in zip(values_a, values_b, strict=True)])
    mean_b = float(np.mean(values_b))
    low, high = _interval_of_ratio(values_a, values_b)
    return difference | {
        "relative_percent": 100.0 * difference["mean"] / mean_b if mean_b > 0.0 else None,
        "relative_low": None if low is None else 100.0 * (low - 1.0),
        "relative_high": None if high is None else 100.0 * (high - 1.0),
    }


def build_results(
    rows: Mapping[str, Sequence[Row]],
    *,
    weights_sha256: Mapping[str, str],
    config: Mapping[str, Any],
    stages: Mapping[str, Any],
) -> dict[str, Any]:
    """Compose the contents of `results.json`, whose schema stands at the top of this module.

    Args:
        rows: per method ("unedited", "pretrained", "scratch", "finetuned") what `evaluate` returned.
        weights_sha256: per method the hash over its weights; "unedited" has none.
        config: the run's resolved configuration.
        stages: what is worth keeping about each training stage.

    Raises:
        ValueError: a number is not finite or a value has no place in JSON.
    """
    methods = {}
    for method in sorted(rows, key=_method_order):
        summary = summarise(rows[method])
        methods[method] = {
            "weights_sha256": weights_sha256.get(method),
            "n": len(rows[method]),
            "mean": {metric: summary[metric]["mean"] for metric in METRICS},
            "interval_95": {metric: [summary[metric]["low"], summary[metric]["high"]] for metric in METRICS},
            "per_image": list(rows[method]),
        }
    paired = {
        f"finetuned_vs_{baseline}": {
            metric: paired_difference(rows["finetuned"], rows[baseline], metric) for metric in METRICS
        }
        for baseline in _BASELINES
        if "finetuned" in rows and baseline in rows
    }
    results = {
        "schema_version": RESULTS_SCHEMA_VERSION,
        "config": config,
        "methods": methods,
        "paired": paired,
        "stages": stages,
    }
    # A round trip turns tuples into lists and refuses NaN, so what is returned equals what a reader gets back.
    return json.loads(json.dumps(results, allow_nan=False, default=_json_value))


def results_table(results: Mapping[str, Any]) -> str:
    """Return the scores as text for a terminal: methods as rows, mean ± half of the 95 % interval, then the pairs."""
    lines: list[list[Any]] = [
        ["", *(f"{METRIC_TITLES[metric]} {'↓' if LOWER_IS_BETTER[metric] else '↑'}" for metric in METRICS)]
    ]
    for method, scores in results["methods"].items():
        lines.append([METHOD_TITLES.get(method, method), *(score_text(scores, metric) for metric in METRICS)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    table = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    table.insert(1, "-" * len(table[0]))
    sentences = [
        paired_sentence(results, baseline) for baseline in _BASELINES if _paired_key(baseline) in results["paired"]
    ]
    return "\n".join([*table, "", *sentences])


def score_text(scores: Mapping[str, Any], metric: str) -> str:
    """Return one method's mean of a metric and half of its 95 % interval as text, `0.0514 ± 0.0175`."""
    decimals = METRIC_DECIMALS[metric]
    low, high = scores["interval_95"][metric]
    mean = f"{scores['mean'][metric]:.{decimals}f}"
    return mean if low is None else f"{mean} ± {(high - low) / 2:.{decimals}f}"


def paired_sentence(results: Mapping[str, Any], baseline: str) -> str:
    """Return `fine-tuned vs scratch: L1 -12.3 % [-20.0, -4.0], n=8 photos`, in L1 itself if percent have no interval."""
    pair = results["paired"][_paired_key(baseline)]["l1"]
    photos = f"n={pair['n']} photo{'s' if pair['n'] != 1 else ''}"
    if pair["relative_low"] is not None:
        change = f"{pair['relative_percent']:+.1f} % [{pair['relative_low']:+.1f}, {pair['relative_high']:+.1f}]"
    elif pair["low"] is not None:
        change = f"{pair['mean']:+.4f} [{pair['low']:+.4f}, {pair['high']:+.4f}]"
    else:
        change = f"{pair['mean']:+.4f} (one photo has no interval)"
    return f"fine-tuned vs {METHOD_TITLES[baseline]}: L1 {change}, {photos}"


def _paired_key(baseline: str) -> str:
    return f"finetuned_vs_{baseline}"


def _method_order(method: str) -> tuple[int, str]:
    known = list(METHOD_TITLES)
    return (known.index(method) if method in known else len(known), method)


def _mean_with_interval(values: Sequence[float]) -> dict[str, Any]:
    mean = float(np.mean(values))
    if len(values) < 2:
        return {"mean": mean, "low": None, "high": None, "n": len(values)}
    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": len(values)}


def _interval_of_ratio(values_a: Sequence[float], values_b: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """Return Fieller's 95 % interval of mean a / mean b: the ratios r for which mean(a - r b) may be 0."""
    count = len(values_a)
    if count < 2:
        return None, None
    mean_a, mean_b = float(np.mean(values_a)), float(np.mean(values_b))
    t_squared = float(stats.t.ppf(0.975, count - 1)) ** 2
    (aa, ab), (_, bb) = np.cov(values_a, values_b) * t_squared / count
    leading = mean_b**2 - bb
    half, constant = mean_a * mean_b - ab, mean_a**2 - aa
    if mean_b <= 0.0 or leading <= 0.0:  # b's mean may itself be 0: any ratio is possible
        return None, None
    root = math.sqrt(max(0.0, half**2 - leading * constant))  # negative only by rounding
    return float((half - root) / leading), float((half + root) / leading)


def squashed(picture: np.ndarray, side: int) -> np.ndarray:
    """A uint8 picture `(H, W, 3)` as a square of `side` pixels, its aspect ratio lost: the plan's protocol."""
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR))


def _json_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise ValueError(f"{value!r} has no place in results.json; pass plain numbers, text, lists and dictionaries.")
