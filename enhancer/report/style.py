"""How plots look: in a picture file, and as SVG that takes its colours and font from the page it is in."""

import dataclasses
import io
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

DPI = 150


@dataclasses.dataclass(frozen=True)
class Colors:
    """Of text, of the grid, and of what is plotted by name."""

    ink: str
    grid: str
    series: Mapping[str, str]


PICTURE = Colors(
    "#1d2126", "#dfe2e5", {"finetune": "#1668b3", "scratch": "#c2570c", "pretrain": "#4a7a35"}
)
# Matplotlib knows no CSS variables: the page's plots are drawn in stand-ins, which are replaced in the finished markup.
STAND_INS = Colors(
    "#010101", "#020202", {"finetune": "#010303", "scratch": "#020303", "pretrain": "#030303"}
)
_PAGE = {"#010101": "currentColor", "#020202": "var(--line)"} | {
    f"#0{number}0303": f"var(--series-{number})" for number in (1, 2, 3)
}


def rendered(
    size_inches: tuple[float, float],
    fill: Callable[[Figure], None],
    colors: Colors,
    file_format: str,
    salt: str,
) -> bytes:
    """Draw a figure and return the file's bytes; the same drawing gives the same bytes.

    Args:
        size_inches: width and height.
        fill: draws into the figure.
        colors: `PICTURE` or `STAND_INS`; the latter leave the background out.
        file_format: "png" or "svg".
        salt: keeps the names within an SVG apart from those of others on the same page.
    """
    style: dict[Any, Any] = {
        "svg.fonttype": "none",  # text stays text, in the page's font
        "svg.hashsalt": salt,
        "font.size": 12,
        "text.color": colors.ink,
        "axes.labelcolor": colors.ink,
        "xtick.color": colors.ink,
        "ytick.color": colors.ink,
        "axes.edgecolor": colors.grid,
        "grid.color": colors.grid,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size_inches, layout="constrained")
        fill(figure)
        buffer = io.BytesIO()
        metadata: dict[str, Any] = (
            {"Date": None, "Creator": None} if file_format == "svg" else {"Software": None}
        )
        figure.savefig(
            buffer, format=file_format, dpi=DPI, transparent=colors is STAND_INS, metadata=metadata
        )
    return buffer.getvalue()


def page_svg(size_inches: tuple[float, float], fill: Callable[[Figure], None], salt: str) -> Markup:
    """The same as markup for a page that defines `--line` and `--series-1` to `-3`."""
    svg = rendered(size_inches, fill, STAND_INS, "svg", salt).decode()
    svg = svg[svg.index("<svg") :]
    for stand_in, color in _PAGE.items():
        svg = svg.replace(stand_in, color)
    return Markup(svg)
