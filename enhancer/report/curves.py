"""Learning curves, drawn once: as a picture file, and as SVG in the colours of the report's page."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from enhancer.report.style import PICTURE, STAND_INS, Colors, page_svg, rendered
from enhancer.system.files import write_atomically
from enhancer.training.history import Row, best_row, first_row_at, percent_fewer

LOG_AXIS_RANGE = 10.0
"""Losses that differ by more than this factor are drawn on a logarithmic axis."""
_PANEL_INCHES = (6.4, 4.9)


@dataclasses.dataclass(frozen=True)
class _Panel:
    title: str
    histories: Mapping[str, Sequence[Row]]


_NAMES = {"pretrain": "pre-training", "scratch": "from scratch", "finetune": "fine-tuned"}


def draw(histories: Mapping[str, Sequence[Row]], path: Path) -> None:
    """Draw a run's curves into one picture: pre-training on the left, fine-tuning against training from scratch on the right.

    Args:
        histories: per stage ("pretrain", "finetune", "scratch") its rows, epoch 0 first; any stage may be missing.
        path: ends in `.png` or `.svg`; the file appears complete or not at all.

    Raises:
        ValueError: no stage has a row, or the path ends otherwise.
    """
    path, panels = Path(path), _panels(histories)
    if not panels:
        raise ValueError(
            f"There are no epochs to draw into {path}: train at least one stage first."
        )
    if path.suffix not in (".png", ".svg"):
        raise ValueError(f"Learning curves are drawn as .png or .svg, received {path.name}.")
    content = rendered(
        _size(panels),
        _filling(panels, PICTURE, titles=True),
        PICTURE,
        path.suffix[1:],
        panels[0].title,
    )
    write_atomically(path, content)


def page_curves(histories: Mapping[str, Sequence[Row]]) -> list[dict[str, Any]]:
    """The same curves for the report: per plot its `title` and `svg`, markup that takes colours and font from the page."""
    return [
        {
            "title": panel.title,
            "svg": page_svg(
                _size([panel]), _filling([panel], STAND_INS, titles=False), panel.title
            ),
        }
        for panel in _panels(histories)
    ]


def _panels(histories: Mapping[str, Sequence[Row]]) -> list[_Panel]:
    known = {stage: rows for stage in _NAMES if (rows := histories.get(stage))}
    panels = (
        [_Panel("Pre-training", {"pretrain": known.pop("pretrain")})] if "pretrain" in known else []
    )
    if known:
        titles = {"finetune": "Fine-tuning", "scratch": "Training from scratch"}
        title = (
            "Fine-tuning against training from scratch"
            if len(known) == 2
            else titles[next(iter(known))]
        )
        panels.append(_Panel(title, known))
    return panels


def _size(panels: Sequence[_Panel]) -> tuple[float, float]:
    width, height = _PANEL_INCHES
    return width * len(panels), height


def _filling(panels: Sequence[_Panel], colors: Colors, *, titles: bool) -> Callable[[Figure], None]:
    def fill(figure: Figure) -> None:
        for axes, panel in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            _plot(axes, panel, colors)
            if titles:
                axes.set_title(panel.title, loc="left", fontweight="bold")

    return fill


def _plot(axes: Any, panel: _Panel, colors: Colors) -> None:
    """Training (dashed) and validation loss (solid, its best marked) over epochs, and the baseline's best as a line."""
    values: list[float] = []
    for stage, history in panel.histories.items():
        color, name, best = colors.series[stage], _NAMES[stage], best_row(history)
        epochs = [row["epoch"] for row in history]
        best_text = f"validation (best {best['validation_loss']:.4f}, epoch {best['epoch']})"
        for key, label, dashes, width in (
            ("train_loss", "training", (0, (4, 2)), 1.2),
            ("validation_loss", best_text, "-", 2.2),
        ):
            losses = [np.nan if row[key] is None else row[key] for row in history]
            values += [loss for loss in losses if not np.isnan(loss)]
            marked = [epochs.index(best["epoch"])] if key == "validation_loss" else None
            alone = "o" if np.isfinite(losses).sum() == 1 else ""  # one point makes no line
            (line,) = axes.plot(epochs, losses, color=color, label=f"{name}, {label}")
            line.set(
                linestyle=dashes,
                linewidth=width,
                marker="o" if marked else alone,
                markersize=7 if marked else 4,
            )
            line.set_markevery(marked)
    if len(panel.histories) == 2:
        _mark_baseline(
            axes, panel.histories["finetune"], best_row(panel.histories["scratch"]), colors
        )
    if values and min(values) > 0 and max(values) > LOG_AXIS_RANGE * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("epoch")
    axes.set_ylabel("L1 loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    # A longer entry than these would be taken from the plot's width.
    axes.legend(
        fontsize=11, frameon=False, loc="upper left", bbox_to_anchor=(0.0, -0.16), borderaxespad=0.0
    )


def _mark_baseline(axes: Any, finetune: Sequence[Row], baseline: Row, colors: Colors) -> None:
    """The best loss from scratch across the plot, and where fine-tuning is first as good."""
    loss, reached = baseline["validation_loss"], first_row_at(finetune, baseline["validation_loss"])
    text = "best from scratch, not reached by fine-tuning"
    if reached:
        text = f"best from scratch, reached in epoch {reached['epoch']}"
        fewer = percent_fewer(reached["epoch"], baseline["epoch"])
        if fewer is not None:
            text += f" ({abs(fewer):.0f} % {'fewer' if fewer >= 0 else 'more'})"
        axes.axvline(
            reached["epoch"], color=colors.series["finetune"], linestyle=":", linewidth=1.2
        )
        axes.plot(
            [reached["epoch"]],
            [reached["validation_loss"]],
            color=colors.series["finetune"],
            marker="D",
            markersize=7,
        )
    axes.axhline(loss, color=colors.series["scratch"], linestyle=":", linewidth=1.6, label=text)
