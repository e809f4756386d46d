"""One self-contained page about a prepared folder: what is in it, what was refused and why, what should be looked at."""

import base64
import collections
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from datasets import prepared_folder, tone
from datasets.findings import Findings
from datasets.framing import MAX_DISPLACEMENT
from datasets.histogram import Histogram, draw_histogram
from datasets.pair import thumbnail
from datasets.prepared_folder import Row
from datasets.registration import WORK_EDGE
from datasets.sources import SPLITS
from enhancer.photo.io import read_photo
from enhancer.system.files import write_atomically

MAX_REJECTED, MAX_FLAGGED, MAX_GROUPS, MAX_IN_GROUP = 60, 24, 16, 6
"""Shown with pictures; beyond, only the counts are given."""
_TEMPLATE = Path(__file__).with_name("preparation_report_template.html")


def write_report(output: Path, findings: Findings, *, title: str, source: str) -> None:
    """Write `preparation_report.html`; the same folder gives the same bytes.

    Args:
        output: the prepared folder, whose pictures are shown.
        findings: what to tell.
        title: of the data set.
        source: where the photos are from.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    accepted = [row for split in SPLITS for row in findings.splits[split]]
    flagged = sorted(
        (row for row in accepted if row["flags"]), key=_strangeness(accepted), reverse=True
    )
    across = {name for group in findings.straddling for name, _ in group}
    groups = sorted(findings.groups, key=lambda group: group[0]["id"] not in across)
    split_of = {row["id"]: split for split in SPLITS for row in findings.splits[split]}
    page = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        title=title,
        source=source,
        accepted=len(accepted),
        found=len(accepted) + len(findings.rejected),
        splits=[(split, len(findings.splits[split])) for split in SPLITS if findings.splits[split]],
        kinds=collections.Counter(row["kind"] for row in findings.rejected).most_common(),
        histograms=_histograms(accepted),
        rejected=[_rejected_card(row, output) for row in findings.rejected[:MAX_REJECTED]],
        rejected_count=len(findings.rejected),
        flagged=[_flagged_card(row, output) for row in flagged[:MAX_FLAGGED]],
        flagged_count=len(flagged),
        groups=[_group_card(group, output, split_of) for group in groups[:MAX_GROUPS]],
        group_count=len(groups),
        grouped_photos=sum(map(len, groups)),
        straddling=[
            [f"{name} ({split})" for name, split in group] for group in findings.straddling
        ],
        changed=_named(accepted, "changes"),
        remarks=_named(accepted, "remarks"),
        work_edge=WORK_EDGE,
        max_displacement=f"{MAX_DISPLACEMENT:g}",
    )
    write_atomically(output / prepared_folder.REPORT, page.encode())


def _histograms(accepted: list[Row]) -> list[dict[str, Any]]:
    ratios = {
        name: np.log2([row["measurements"][name] for row in accepted]) for name in tone.RATIOS
    }
    enough = len(accepted) >= tone.MIN_PAIRS
    histograms = [
        Histogram(
            f"{noun.capitalize()}, target ÷ input",
            ratios[name],
            tone.usual_range(ratios[name]) if enough else None,
            is_ratio=True,
        )
        for name, noun in tone.RATIOS.items()
    ]
    shifts = np.array([row["measurements"]["shift_px"] for row in accepted])
    histograms.append(
        Histogram(
            f"Displacement, px at a long edge of {WORK_EDGE} px", shifts, (0.0, MAX_DISPLACEMENT)
        )
    )
    megapixels = np.array([row["width"] * row["height"] / 1e6 for row in accepted])
    histograms.append(Histogram("Size as stored, megapixels", megapixels, None))
    return [
        {"title": histogram.title, "svg": draw_histogram(histogram)} for histogram in histograms
    ]


def _strangeness(accepted: list[Row]) -> Callable[[Row], float]:
    """How many times the usual range a pair's ratios are away from the median, the larger of the two."""
    ranges = {
        name: tone.usual_range(np.log2([row["measurements"][name] for row in accepted]))
        for name in tone.RATIOS
    }

    def measure(row: Row) -> float:
        return max(
            abs(float(np.log2(row["measurements"][name])) - (low + high) / 2) / (high - low)
            for name, (low, high) in ranges.items()
        )

    return measure


def _rejected_card(row: Row, output: Path) -> dict[str, Any]:
    thumbnails = row.get("thumbnails")
    if thumbnails is None and "input" in row:  # a dropped outlier was stored like an accepted pair
        thumbnails = {
            role: _picture(output / row[role])
            for role in ("input", "target")
            if (output / row[role]).is_file()
        }
    return {
        "id": row["id"],
        "kind": row["kind"],
        "reason": row["reason"],
        "pictures": [
            ("before" if role == "input" else "after", picture)
            for role, picture in (thumbnails or {}).items()
        ],
    }


def _flagged_card(row: Row, output: Path) -> dict[str, Any]:
    pictures = [
        ("before", _picture(output / row["input"])),
        ("after", _picture(output / row["target"])),
    ]
    return {"id": row["id"], "texts": row["flags"], "pictures": pictures}


def _group_card(group: Sequence[Row], output: Path, split_of: dict[str, Any]) -> dict[str, Any]:
    splits = sorted({split_of[row["id"]] for row in group}, key=SPLITS.index)
    return {
        "pictures": [
            (
                f"{row['id']}, {split_of[row['id']]}" if len(splits) > 1 else row["id"],
                _picture(output / row["target"]),
            )
            for row in group[:MAX_IN_GROUP]
        ],
        "more": max(0, len(group) - MAX_IN_GROUP),
        "splits": splits,
    }


def _picture(path: Path) -> str:
    return base64.b64encode(thumbnail(read_photo(path).pixels)).decode()


def _named(accepted: list[Row], measurement: str) -> list[tuple[str, list[str]]]:
    """What was done to framings, or remarked about files, with the ids."""
    ids: dict[str, list[str]] = {}
    for row in accepted:
        for text in row["measurements"].get(measurement, ()):
            ids.setdefault(text, []).append(row["id"])
    return sorted(ids.items(), key=lambda item: (-len(item[1]), item[0]))
