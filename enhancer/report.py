"""Write the results of a run as one self-contained HTML page, for readers who were not there."""

import base64
import dataclasses
import datetime
import importlib.metadata
import importlib.resources
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from enhancer.atomic_file import write_atomically
from enhancer.evaluation import (
    LOWER_IS_BETTER,
    METHOD_TITLES,
    METRIC_DECIMALS,
    METRIC_TITLES,
    Enhance,
    Row,
    score_text,
    squashed,
)
from enhancer.learning_curves import page_curves
from enhancer.photo_io import encode_jpeg
from enhancer.readable_pairs import Source, decode_pair
from enhancer.red_flags import run_flags, summary_sentences, transfer_summary
from enhancer.verdict import count_text, verdict

METRIC_MEANINGS = {
    "l1": "mean absolute difference of the pixel values, on a scale from 0 (equal) to 1",
    "psnr_db": "the squared difference on a logarithmic scale; 3 dB more is half the squared error",
    "ssim": "similarity of local structure (Wang et al. 2004); 1 is equal",
    "ciede2000": "colour difference as the eye sees it (Sharma et al. 2005); about 1 is just noticeable",
}
_METHOD_MEANINGS = {
    "unedited": "the photo left as it is",
    "pretrained": "a network pre-trained on general photos only (zero-shot)",
    "scratch": "one trained from scratch on the photos of the target domain",
    "finetuned": "one pre-trained and then fine-tuned on them (fine-tuned)",
}
_STRIP_PIXELS = 720
_PACKAGES = ("enhancer", "keras", "jax", "numpy", "scikit-image")


@dataclasses.dataclass(frozen=True)
class Strip:
    """One test photo as its versions side by side."""

    title: str
    """Why it is shown, such as "Worst photo"."""
    photo_id: str
    pictures: tuple[tuple[str, np.ndarray, float | None], ...]
    """Caption, pixels uint8 `(H, W, 3)`, and L1 against the target (None for the target itself)."""


def make_strips(
    source: Source, rows: Mapping[str, Sequence[Row]], methods: Mapping[str, Enhance], *, squash: int | None = None
) -> list[Strip]:
    """Pick the photos on which the fine-tuned model did best, middling and worst by L1, and enhance them again.

    Args:
        source: the test pairs, in the order of `rows`.
        rows: per method what `enhancer.evaluation.evaluate` returned; "finetuned" decides, "unedited" is needed too.
        methods: the enhance functions of "scratch" and "finetuned", or of fewer.
        squash: as in `enhancer.evaluation.evaluate`, so that what is shown is what was scored.
    """
    ranking = sorted(range(len(rows["finetuned"])), key=lambda index: rows["finetuned"][index]["l1"])
    picks = {
        1: {"The only photo": 0},
        2: {"Best photo": 0, "Worst photo": -1},
    }.get(len(ranking), {"Best photo": 0, "Median photo": (len(ranking) - 1) // 2, "Worst photo": -1})
    strips = []
    for title, rank in picks.items():
        index = ranking[rank]
        photo_id, photo, target = decode_pair(source[index])
        if squash is not None:
            photo, target = squashed(photo, squash), squashed(target, squash)
        pictures: list[tuple[str, np.ndarray, float | None]] = [("before", photo, rows["unedited"][index]["l1"])]
        pictures.extend(
            (METHOD_TITLES[method], methods[method](photo), rows[method][index]["l1"])
            for method in ("scratch", "finetuned")
            if method in methods and method in rows
        )
        strips.append(Strip(title, photo_id, (*pictures, ("target", target, None))))
    return strips


def write_report(
    path: Path,
    results: Mapping[str, Any],
    histories: Mapping[str, Sequence[Row]],
    strips: Sequence[Strip],
) -> None:
    """Write the page; it appears complete or not at all, and needs no other file and no connection.

    Args:
        path: of the `.html` file.
        results: what `enhancer.evaluation.build_results` returned.
        histories: per stage ("pretrain", "finetune", "scratch") its `history.json`: one dictionary per epoch.
        strips: photos to show, such as `make_strips` returns.
    """
    headline, sentences = verdict(results)
    template = importlib.resources.files("enhancer").joinpath("report_template.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(template).render(
        headline=headline,
        sentences=sentences,
        metrics=[
            {
                "title": METRIC_TITLES[metric],
                "meaning": meaning,
                "better": "lower is better" if LOWER_IS_BETTER[metric] else "higher is better",
                "arrow": "↓" if LOWER_IS_BETTER[metric] else "↑",
            }
            for metric, meaning in METRIC_MEANINGS.items()
        ],
        compared=[_METHOD_MEANINGS.get(method, method) for method in results["methods"]],
        methods=_method_rows(results),
        pairs=_pair_rows(results),
        photos=count_text(min(scores["n"] for scores in results["methods"].values())),
        curves=page_curves(histories),
        transfer=summary_sentences(transfer_summary(histories)),
        red_flags=run_flags(histories, results),
        watched=any(histories.values()),
        strips=[
            {
                "title": strip.title,
                "id": strip.photo_id,
                "pictures": [
                    {"caption": caption, "l1": l1, "source": _data_url(pixels)}
                    for caption, pixels, l1 in strip.pictures
                ],
            }
            for strip in strips
        ],
        configuration=_sections("run", results["config"]),
        stages=_sections("", results["stages"]),
        versions=_versions(),
        written=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
    )
    write_atomically(Path(path), page.encode())


def _method_rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    best = {
        metric: (min if LOWER_IS_BETTER[metric] else max)(s["mean"][metric] for s in results["methods"].values())
        for metric in METRIC_MEANINGS
    }
    return [
        {
            "title": METHOD_TITLES.get(method, method),
            "cells": [
                {"text": score_text(scores, metric), "best": scores["mean"][metric] == best[metric]}
                for metric in METRIC_MEANINGS
            ],
            "hash": scores["weights_sha256"],
        }
        for method, scores in results["methods"].items()
    ]


def _pair_rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for key, differences in results["paired"].items():
        method, _, baseline = key.partition("_vs_")
        cells = []
        for metric in METRIC_MEANINGS:
            difference = differences[metric]
            texts = [f"{difference['mean']:+.{METRIC_DECIMALS[metric]}f}"]
            if difference["low"] is not None:
                bounds = (difference["low"], difference["high"])
                texts.append("[{}]".format(", ".join(f"{bound:+.{METRIC_DECIMALS[metric]}f}" for bound in bounds)))
            cells.append([text.replace("-", "−") for text in texts])
        title = f"{METHOD_TITLES.get(method, method)} − {METHOD_TITLES.get(baseline, baseline)}"
        rows.append({"title": title, "cells": cells})
    return rows


def _sections(title: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Turn a nested configuration into tables: plain values under `title`, each nested dictionary under its own name."""
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    sections = [{"title": title, "rows": [(key, _value_text(value)) for key, value in plain.items()]}] if plain else []
    for key, value in values.items():
        if isinstance(value, Mapping):
            sections += _sections(f"{title}.{key}" if title not in ("", "run") else key, value)
    return sections


def _value_text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_value_text, value))
    return "–" if value is None else str(value)


def _data_url(pixels: np.ndarray) -> str:
    scale = min(1.0, _STRIP_PIXELS / max(pixels.shape[:2]))
    if scale < 1.0:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(pixels, quality=88)).decode()


def _versions() -> str:
    versions = [f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(versions)
