"""What a preparation says in the end: some lines, and one self-contained page with pictures."""

import base64
import collections
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from datasets.checks import tone
from datasets.checks.pictures import thumbnail
from datasets.checks.raw_framing import MAX_DISPLACEMENT
from datasets.checks.registration import WORK_EDGE
from datasets.preparation import prepared_folder
from datasets.preparation.splits import Groups, Splits, Straddling
from datasets.types import SPLITS, PairRecord
from enhancer.photo.io import read_photo
from enhancer.system.files import write_atomically

MAX_REJECTED, MAX_FLAGGED, MAX_GROUPS, MAX_IN_GROUP = 60, 24, 16, 6
"""Shown with pictures; beyond, only the counts are given."""
_TEMPLATE = Path(__file__).with_name("report_template.html")
_BINS = 24


def print_summary(metadata: dict[str, Any], output: Path, fetched: str) -> None:
    """Print how a preparation ended, and in a line, or none, what bringing the originals took."""
    counts, rejected = metadata["counts"], metadata["rejected_by_reason"]
    splits = ", ".join(f"{counts[split]} {split}" for split in SPLITS if counts[split])
    said = [fetched] if fetched else []
    if rejected:
        said.append(f"{counts['rejected']} rejected: {describe_reasons(rejected)}")
        said.append(f"reasons: {output / prepared_folder.REJECTED}")
    if prepared_folder.NOT_FETCHED in rejected:
        said.append("--overwrite tries those again that were not fetched")
    if flagged := metadata["flagged"]:
        kept = "kept (--drop-outliers leaves them out)"
        said.append(f"{flagged} have an edit unlike the others; {kept}")
    said += [f"{count} kept with a remark, {text}" for text, count in metadata["remarks"].items()]
    near = metadata["near_duplicates"]
    if near["groups"]:
        across = near["groups_in_several_splits"]
        where = f"{across} in more than one split, as listed" if across else "each in one split"
        said.append(f"scenes shown by more than one photo: {near['groups']}, {where}")
    said.append(f"report: {output / prepared_folder.REPORT}")
    total = f"{counts['accepted']} of {counts['found']} pairs prepared ({splits})"
    print(f"{metadata['dataset']}: {total} in {output}", *said, sep="\n  ")


def describe_reasons(reasons: dict[str, int]) -> str:
    """Name the kinds of refusals with their numbers."""
    return ", ".join(f"{count} {kind}" for kind, count in reasons.items())


def write_report(
    output: Path,
    splits: Splits,
    rejected: list[PairRecord],
    groups: Groups,
    straddling: Straddling,
    *,
    title: str,
    source: str,
) -> None:
    """Write `preparation_report.html` into a prepared folder; the same one gives the same bytes.

    Args:
        output: the folder, whose pictures are shown.
        splits, rejected: the accepted pairs and the others.
        groups, straddling: near-duplicates, and those of them that `find_straddling` found.
        title, source: what is prepared, and from where.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    accepted = [record for split in SPLITS for record in splits[split]]
    flagged = [record for record in accepted if record["flags"]]
    named = {row["id"]: f"{row['id']} ({split})" for split, rows in splits.items() for row in rows}
    across = {name for group in straddling for name, _ in group}
    groups = sorted(groups, key=lambda group: group[0]["id"] not in across)

    def card(row: PairRecord, text: str) -> tuple[str, str, list[tuple[str, str]]]:
        return row["id"], text, _pictures(row, output)

    page = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        title=title,
        source=source,
        accepted=len(accepted),
        found=len(accepted) + len(rejected),
        splits=[(split, len(rows)) for split, rows in splits.items() if rows],
        kinds=collections.Counter(row["kind"] for row in rejected).most_common(),
        histograms=_histograms(accepted),
        rejected=[card(row, f"{row['kind']}: {row['reason']}") for row in rejected[:MAX_REJECTED]],
        rejected_count=len(rejected),
        flagged=[card(row, "; ".join(row["flags"])) for row in flagged[:MAX_FLAGGED]],
        flagged_count=len(flagged),
        groups=[
            [(named[row["id"]], _picture(output / row["target"])) for row in group[:MAX_IN_GROUP]]
            for group in groups[:MAX_GROUPS]
        ],
        group_count=len(groups),
        straddling=["; ".join(named[name] for name, _ in group) for group in straddling],
        notes=_notes(accepted),
        work_edge=WORK_EDGE,
        max_displacement=f"{MAX_DISPLACEMENT:g}",
    )
    write_atomically(output / prepared_folder.REPORT, page.encode())


def _histograms(accepted: list[PairRecord]) -> list[dict[str, Any]]:
    measured = [record["measurements"] for record in accepted]
    histograms = []
    for name, noun in tone.RATIOS.items():
        doublings = np.log2([measurements[name] for measurements in measured])
        usual = tone.usual_range(doublings) if len(accepted) >= tone.MIN_PAIRS else None
        title = f"{noun.capitalize()}, target ÷ input"
        histograms.append(_histogram(title, doublings, usual, is_log2=True))
    shifts = np.array([measurements["shift_px"] for measurements in measured])
    megapixels = np.array([record["width"] * record["height"] / 1e6 for record in accepted])
    return [
        *histograms,
        _histogram(f"Displacement, px of {WORK_EDGE}", shifts, (0.0, MAX_DISPLACEMENT)),
        _histogram("Size as stored, megapixels", megapixels, None),
    ]


def _histogram(
    title: str, values: np.ndarray, usual: tuple[float, float] | None, *, is_log2: bool = False
) -> dict[str, Any]:
    """Bars as heights in per cent, whether they hold values outside `usual`, and labels."""
    low, high = (values.min() if is_log2 else 0.0), values.max()
    counts, edges = np.histogram(values, _BINS, (low, high or 1.0))
    least, most = usual or (-np.inf, np.inf)
    odd = np.histogram(values[(values < least) | (values > most)], edges)[0]
    ticks = [f"×{2**edge:.3g}" if is_log2 else f"{edge:.3g}" for edge in edges.tolist()]
    bars = [
        (round(100 * counts[i] / counts.max()), bool(odd[i]), f"{ticks[i]} to {ticks[i + 1]}: {n}")
        for i, n in enumerate(counts.tolist())
    ]
    return {"title": title, "bars": bars, "low": ticks[0], "high": ticks[-1]}


def _pictures(record: PairRecord, output: Path) -> list[tuple[str, str]]:
    """Before and after, those that there are; a refused pair may have them in its record."""
    paths = {role: output / record[role] for role in ("input", "target") if role in record}
    stored = {role: _picture(path) for role, path in paths.items() if path.is_file()}
    return list((stored or record.get("thumbnails") or {}).items())


def _picture(path: Path) -> str:
    return base64.b64encode(thumbnail(read_photo(path).pixels)).decode()


def _notes(accepted: list[PairRecord]) -> list[tuple[str, int, str]]:
    """What was done to framings, or remarked about files, with the first ids."""
    ids = collections.defaultdict(list)
    for record in accepted:
        measured = record["measurements"]
        for text in (*measured.get("changes", ()), *measured.get("remarks", ())):
            ids[text].append(record["id"])
    return [(text, len(names), ", ".join(names[:40])) for text, names in sorted(ids.items())]
