"""Scores and learning curves as plots: a picture file, or SVG in the colours of its page."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from enhancer.scoring.columns import number_text
from enhancer.scoring.results import main_method
from enhancer.system.files import write_atomically
from enhancer.training.history import Row, best_row, first_row_at, percent_fewer

LOG_AXIS_RANGE = 10.0
"""Losses that differ by more than this factor are drawn on a logarithmic axis."""
_INK, _GRID = "#1d2126", "#dfe2e5"
_BLUE, _ORANGE, _GREEN = _COLORS = ("#1668b3", "#c2570c", "#4a7a35")
_PAGE = {_INK: "currentColor", _GRID: "var(--line)"}
_PAGE |= {color: f"var(--series-{i})" for i, color in enumerate(_COLORS, start=1)}
_STAGES = {
    "pretrain": ("pre-training", _GREEN),
    "scratch": ("from scratch", _ORANGE),
    "finetune": ("fine-tuned", _BLUE),
}
_WIDTH, _PANEL_SIZE = 9.6, (6.4, 4.9)


def draw_curves(histories: Mapping[str, Sequence[Row]], path: Path) -> None:
    """Draw a run's curves into a PNG: pre-training left, fine-tuning against scratch right.

    `histories` hold per stage ("pretrain", "finetune", "scratch") its rows; any may be missing, not
    all. The file appears complete or not at all.
    """
    panels = _panels(histories)

    def fill(figure: Figure) -> None:
        columns = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (title, stages) in zip(columns, panels.items(), strict=True):
            _plot_losses(axes, stages)
            axes.set_title(title, loc="left", fontweight="bold")

    width, height = _PANEL_SIZE
    write_atomically(path, _rendered((width * len(panels), height), fill, "png"))


def page_curves(histories: Mapping[str, Sequence[Row]]) -> dict[str, Markup]:
    """The same curves for a page: per panel its title and plot."""
    return {
        title: _page_svg(_PANEL_SIZE, lambda f, s=stages: _plot_losses(f.subplots(), s), title)
        for title, stages in _panels(histories).items()
    }


def plot_photos(results: Mapping[str, Any]) -> Markup:
    """Each method's L1 on every photo as dots on a line, the mean as a bar."""
    methods, main = results["methods"], main_method(results["methods"])

    def fill(figure: Figure) -> None:
        axes = figure.subplots()
        for place, (name, method) in enumerate(methods.items()):
            values = np.array([row["l1"] for row in method["per_image"]])
            # Equal values would hide one another: spread by rank, so that nothing is random.
            spread = place + (np.argsort(np.argsort(values)) % 5 - 2) * 0.07
            style = {"color": _BLUE if name == main else _ORANGE, "alpha": 0.65}
            axes.plot(values, spread, "o", markersize=5, markeredgewidth=0, **style)
            axes.plot([values.mean()] * 2, [place - 0.32, place + 0.32], color=_INK, linewidth=2)
        axes.set_yticks(range(len(methods)), [method["title"] for method in methods.values()])
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.set_xlabel("L1 of each photo; the bar is the mean")
        _tidy(axes, "x")

    return _page_svg((_WIDTH, 0.9 + 0.42 * len(methods)), fill, "photos")


def plot_changes(
    changes: Mapping[str, Mapping[str, Any]], levels: Mapping[str, float], label: str
) -> Markup | None:
    """Relative changes of L1 with their 95 % intervals, a line each; None if none has an interval.

    `changes` are paired differences by name, `levels` dotted lines, in percent, by name, and
    `label` is the axis'.
    """
    known = {name: pair for name, pair in changes.items() if pair["relative_low"] is not None}
    if not known:
        return None

    def fill(figure: Figure) -> None:
        axes = figure.subplots()
        for place, pair in enumerate(known.values()):
            interval = [pair["relative_low"], pair["relative_high"]]
            style: dict[str, Any] = {"linewidth": 6, "alpha": 0.45, "solid_capstyle": "butt"}
            axes.plot(interval, [place] * 2, color=_BLUE, **style)
            axes.plot([pair["relative_percent"]], [place], "D", color=_BLUE, markersize=7)
        axes.axvline(0, color=_INK, linewidth=1.2)
        for level in levels.values():
            axes.axvline(level, color=_GREEN, linewidth=1.2, linestyle=":")
        named = ", ".join(f"{name} {_percent(level)}" for name, level in levels.items())
        axes.set_yticks(range(len(known)), list(known))
        axes.set_ylim(len(known) - 0.5, -0.5)
        axes.xaxis.set_major_formatter(FuncFormatter(_percent))
        axes.set_xlabel(f"{label}\ndotted: {named}" if levels else label)
        _tidy(axes, "x")

    return _page_svg((_WIDTH, 1.2 + 0.42 * len(known)), fill, label)


def _panels(histories: Mapping[str, Sequence[Row]]) -> dict[str, dict[str, Sequence[Row]]]:
    """Per panel's title the stages in it."""
    known = {stage: rows for stage in _STAGES if (rows := histories.get(stage))}
    panels = {"Pre-training": {"pretrain": known.pop("pretrain")}} if "pretrain" in known else {}
    if known:
        titles = {"finetune": "Fine-tuning", "scratch": "Training from scratch"}
        both = "Fine-tuning against training from scratch"
        panels[both if len(known) == 2 else titles[next(iter(known))]] = known
    return panels


def _plot_losses(axes: Any, stages: Mapping[str, Sequence[Row]]) -> None:
    """Training (dashed) and validation loss over epochs, the best marked, scratch's best a line."""
    values: list[float] = []
    for stage, history in stages.items():
        (name, color), best = _STAGES[stage], best_row(history)
        epochs = [row["epoch"] for row in history]
        best_text = f"validation (best {best['validation_loss']:.4f}, epoch {best['epoch']})"
        train = [np.nan if row["train_loss"] is None else row["train_loss"] for row in history]
        losses = [row["validation_loss"] for row in history]
        values += [loss for loss in (*train, *losses) if not np.isnan(loss)]
        alone = "o" if np.isfinite(train).sum() == 1 else ""  # one point makes no line
        style = {"marker": alone, "ls": "--", "lw": 1.2, "ms": 4}
        axes.plot(epochs, train, c=color, label=f"{name}, training", **style)
        style = {"marker": "o", "ms": 7, "markevery": [epochs.index(best["epoch"])], "lw": 2.2}
        axes.plot(epochs, losses, c=color, label=f"{name}, {best_text}", **style)
    if len(stages) == 2:
        baseline = best_row(stages["scratch"])
        reached = first_row_at(stages["finetune"], baseline["validation_loss"])
        text = "best from scratch, not reached by fine-tuning"
        if reached:
            text = f"best from scratch, reached in epoch {reached['epoch']}"
            fewer = percent_fewer(reached["epoch"], baseline["epoch"])
            if fewer is not None:
                text += f" ({abs(fewer):.0f} % {'fewer' if fewer >= 0 else 'more'})"
            axes.plot([reached["epoch"]], [reached["validation_loss"]], "D", c=_BLUE, markersize=7)
        axes.axhline(baseline["validation_loss"], c=_ORANGE, ls=":", linewidth=1.6, label=text)
    if values and min(values) > 0 and max(values) > LOG_AXIS_RANGE * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("epoch")
    axes.set_ylabel("L1 loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    # Below the plot: a long entry beside it would take from its width.
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0.0, -0.16)}
    axes.legend(fontsize=11, frameon=False, borderaxespad=0.0, **place)
    _tidy(axes, "both")


def _percent(value: float, _: Any = None) -> str:
    return f"{number_text(value, 0)} %"


def _tidy(axes: Any, grid: str) -> None:
    axes.grid(axis=grid, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _page_svg(size: tuple[float, float], fill: Callable[[Figure], None], salt: str) -> Markup:
    """A plot as markup for a page that defines `--line` and `--series-1` to `-3`."""
    svg = _rendered(size, fill, "svg", salt).decode()
    svg = svg[svg.index("<svg") :]
    for color, variable in _PAGE.items():
        svg = svg.replace(color, variable)
    return Markup(svg)


def _rendered(
    size: tuple[float, float], fill: Callable[[Figure], None], file_format: str, salt: str = ""
) -> bytes:
    """A figure, `size` inches large, that `fill` draws into; equal drawings give equal bytes.

    `salt` keeps the names within an SVG apart from those of others on the same page.
    """
    style: dict[Any, Any] = {
        "svg.fonttype": "none",  # text stays text, in the page's font
        "svg.hashsalt": salt,
        "font.size": 12,
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), _INK),
        **dict.fromkeys(("axes.edgecolor", "grid.color"), _GRID),
    }
    is_svg = file_format == "svg"
    unwanted: dict[str, Any] = dict.fromkeys(("Date", "Creator") if is_svg else ("Software",))
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        fill(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=file_format, dpi=150, transparent=is_svg, metadata=unwanted)
    return buffer.getvalue()
