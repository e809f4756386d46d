"""Scores as plots for the report's page: every photo under every method, what changed on each, and the scale of success."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from enhancer.report.style import STAND_INS, page_svg
from enhancer.scoring.columns import number_text
from enhancer.scoring.verdict import LEVELS

_WIDTH = 9.6
_MAIN, _OTHER, _THIRD = (STAND_INS.series[name] for name in ("finetune", "scratch", "pretrain"))


def plot_photos(results: Mapping[str, Any]) -> Markup:
    """Each method's L1 on every photo as dots on a line, with the mean as a bar: how far the photos scatter."""
    methods = list(results["methods"].values())

    def fill(figure: Figure) -> None:
        axes = figure.subplots()
        for place, method in enumerate(methods):
            values = np.array([row["l1"] for row in method["per_image"]])
            # Equal values beside each other would hide one another: spread by rank, so that nothing is random.
            spread = (np.argsort(np.argsort(values)) % 5 - 2) * 0.07
            color = _MAIN if place == len(methods) - 1 else _OTHER
            axes.plot(
                values,
                place + spread,
                "o",
                color=color,
                alpha=0.65,
                markersize=5,
                markeredgewidth=0,
            )
            axes.plot(
                [values.mean()] * 2, [place - 0.32, place + 0.32], color=STAND_INS.ink, linewidth=2
            )
        axes.set_yticks(range(len(methods)), [method["title"] for method in methods])
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.set_xlabel("L1 of each photo; the bar is the mean")
        _tidy(axes, "x")

    return page_svg((_WIDTH, 0.9 + 0.42 * len(methods)), fill, "photos")


def plot_differences(results: Mapping[str, Any], main: str, baseline: str) -> Markup:
    """Per photo how much lower or higher the main method's L1 is than the baseline's, in percent, sorted."""
    rows = {
        name: {row["id"]: row["l1"] for row in results["methods"][name]["per_image"]}
        for name in (main, baseline)
    }
    changes = sorted(
        (100.0 * (value / rows[baseline][photo] - 1.0), photo)
        for photo, value in rows[main].items()
        if rows[baseline].get(photo)
    )

    def fill(figure: Figure) -> None:
        axes = figure.subplots()
        values = [change for change, _ in changes]
        axes.bar(
            range(len(values)),
            values,
            color=[_MAIN if value <= 0 else _OTHER for value in values],
            width=0.8,
        )
        axes.axhline(0, color=STAND_INS.ink, linewidth=1)
        if len(values) <= 24:
            axes.set_xticks(
                range(len(values)),
                [photo for _, photo in changes],
                rotation=60,
                ha="right",
                fontsize=9,
            )
        else:
            axes.set_xticks([])
            axes.set_xlabel(f"{len(values)} photos, sorted")
        axes.set_ylabel("change of L1")
        axes.yaxis.set_major_formatter(FuncFormatter(_percent))
        _tidy(axes, "y")

    return page_svg((_WIDTH, 2.9), fill, f"differences {baseline}")


def plot_scale(difference: Mapping[str, Any]) -> Markup:
    """The gain with its interval on the plan's scale of success."""
    gain = -difference["relative_percent"]
    low, high = -difference["relative_high"], -difference["relative_low"]

    def fill(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([low, high], [0, 0], color=_MAIN, linewidth=6, solid_capstyle="butt", alpha=0.45)
        axes.plot([gain], [0], "D", color=_MAIN, markersize=9)
        axes.axvline(0, color=STAND_INS.ink, linewidth=1.2)
        for level, name in LEVELS:
            axes.axvline(level, color=_THIRD, linewidth=1.2, linestyle=":")
            axes.annotate(
                f"{name}\n{level:.0f} %",
                (level, 1),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="bottom",
                fontsize=9,
            )
        axes.set_xlim(min(-5.0, low - 3), max(25.0, high + 3))
        axes.set_ylim(-1, 1)
        axes.set_yticks([])
        axes.xaxis.set_major_formatter(FuncFormatter(_percent))
        axes.set_xlabel("lower L1 than from scratch; the band is the 95 % interval")
        _tidy(axes, "x")
        axes.spines["left"].set_visible(False)

    return page_svg((_WIDTH, 1.7), fill, "scale")


def plot_gain_by_pairs(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> Markup:
    """How the gain over training from scratch depends on the number of training pairs.

    Args:
        curves: per strategy its points in rising order of `pairs`, each with `relative_percent`, `relative_low`,
            `relative_high` against scratch on as many pairs.
    """
    colors = (_MAIN, _OTHER, _THIRD)

    def fill(figure: Figure) -> None:
        axes = figure.subplots()
        counts = sorted({point["pairs"] for points in curves.values() for point in points})
        for number, (name, points) in enumerate(curves.items()):
            color = colors[number % len(colors)]
            # Drawn by rank and a little apart: counts may be far from each other.
            places = [
                counts.index(point["pairs"]) + 0.08 * (number - (len(curves) - 1) / 2)
                for point in points
            ]
            gains = [-point["relative_percent"] for point in points]
            axes.plot(places, gains, "o-", color=color, linewidth=2, markersize=6, label=name)
            for place, point in zip(places, points, strict=True):
                if point["relative_low"] is not None:
                    axes.plot(
                        [place] * 2,
                        [-point["relative_low"], -point["relative_high"]],
                        color=color,
                        linewidth=3,
                        alpha=0.4,
                    )
        axes.axhline(0, color=STAND_INS.ink, linewidth=1)
        axes.set_xticks(range(len(counts)), [str(count) for count in counts])
        axes.set_xlim(-0.5, len(counts) - 0.5)  # one number of pairs is one place, not three
        axes.set_xlabel("training pairs")
        axes.set_ylabel("lower L1 than scratch")
        axes.yaxis.set_major_formatter(FuncFormatter(_percent))
        axes.legend(
            fontsize=10, frameon=False, loc="upper left", bbox_to_anchor=(0.0, -0.22), ncols=2
        )
        _tidy(axes, "y")

    return page_svg((_WIDTH, 4.2), fill, "gain by pairs")


def _percent(value: float, _: int) -> str:
    return f"{number_text(value, 0)} %"


def _tidy(axes: Any, grid: str) -> None:
    axes.grid(axis=grid, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
