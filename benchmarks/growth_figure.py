"""The figure of `benchmarks.growth`: speed above, memory below, one column per thing that changes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

Row = Mapping[str, Any]

_COLOURS = {"forward": "tab:blue", "train_step": "tab:orange"}
_TITLES = {
    "pixels": "pixels per picture, batch 1",
    "batch": "pictures per batch",
    "model": "GFLOP per forward picture",
}
_PROPORTION = {"pixels": "linear in pixels", "batch": "linear in batch", "model": "linear in FLOP"}


def draw(columns: Mapping[str, Sequence[Row]], title: str, path: Path) -> None:
    """Write the figure.

    Args:
        columns: rows of `benchmarks.growth` under "pixels", "batch" and "model".
        title: stands above all.
        path: decides the format by its suffix.
    """
    figure, axes = plt.subplots(
        2, len(columns), figsize=(4.6 * len(columns), 7.5), layout="constrained", squeeze=False
    )
    figure.suptitle(title, fontsize=10)
    for (changing, rows), (speed, memory) in zip(columns.items(), axes.T, strict=True):
        for what, colour in _COLOURS.items():
            of_this = sorted(
                (row for row in rows if row["what"] == what), key=lambda row: _x(changing, row)
            )
            if not of_this:
                continue
            x = [_x(changing, row) for row in of_this]
            # Twice the pixels per picture halve the rate; twice the pictures leave the rate per picture as it is.
            power = 0 if changing == "batch" else -1
            _curve(
                speed,
                x,
                [row["images_per_second"] for row in of_this],
                colour,
                what,
                power,
                _PROPORTION[changing],
            )
            # A larger network at the same size may keep as much or more: memory follows its FLOP only roughly.
            _curve(
                memory,
                x,
                [row["temp_bytes"] / 1e6 for row in of_this],
                colour,
                what,
                1,
                _PROPORTION[changing],
            )
        for axis, label in ((speed, "pictures per second"), (memory, "temporary memory, MB")):
            axis.set(xscale="log", yscale="log", xlabel=_TITLES[changing], ylabel=label)
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_locator(NullLocator())
            axis.grid(visible=True, which="both", alpha=0.25)
            _label_points(axis, changing, rows)
            if axis.lines:
                axis.legend(fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _x(changing: str, row: Row) -> float:
    match changing:
        case "pixels":
            return row["size"] ** 2
        case "batch":
            return row["batch"]
        case _:  # the train step's count is three times the forward pass's; both programs of a network share a place
            return row["gflops"] / (3 if row["what"] == "train_step" else 1)


def _curve(
    axis: Axes, x: list[float], y: list[float], colour: str, what: str, power: int, proportion: str
) -> None:
    axis.plot(x, y, "o-", color=colour, label=what.replace("_", " "))
    proportional = [y[0] * (value / x[0]) ** power for value in x]
    axis.plot(x, proportional, "--", color=colour, alpha=0.6, label=proportion)


def _label_points(axis: Axes, changing: str, rows: Sequence[Row]) -> None:
    """Name the places on the x axis as people do."""
    names = {
        _x(changing, row): {"pixels": f"{row['size']}²", "batch": str(row["batch"])}.get(
            changing, f"{row['model']}\n{_x(changing, row):.3g}"
        )
        for row in rows
    }
    axis.set_xticks(list(names), list(names.values()))
    axis.xaxis.set_minor_locator(NullLocator())
