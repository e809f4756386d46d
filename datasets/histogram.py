"""A histogram as inline SVG that takes its colours and font from the page."""

import dataclasses
import math

import numpy as np
from markupsafe import Markup, escape

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 360, 150, 4, 18, 26
_BINS = 24


@dataclasses.dataclass(frozen=True)
class Histogram:
    """What to draw."""

    title: str
    values: np.ndarray
    """Float, at least one; for ratios their logarithms to base 2."""
    usual: tuple[float, float] | None
    """Bounds to mark; bars outside are drawn in the warning colour."""
    is_ratio: bool = False
    """Label the axis with × 0.5, × 1, × 2 instead of the logarithms."""


def draw_histogram(histogram: Histogram) -> Markup:
    """Return the markup; each bar tells its range and count when pointed at."""
    low, high = _limits(histogram)
    values = np.clip(histogram.values, low, high)
    counts, edges = np.histogram(values, bins=_BINS, range=(low, high))
    tallest = int(counts.max())
    plot_height = _HEIGHT - _TOP - _BOTTOM
    parts = []
    for count, left, right in zip(
        counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True
    ):
        if not count:
            continue
        x, width = _x(left, low, high) + 1, _x(right, low, high) - _x(left, low, high) - 2
        height = max(2.0, plot_height * count / tallest)
        inside = values[(values >= left) & (values <= right)]
        is_unusual = (
            histogram.usual
            and ((inside < histogram.usual[0]) | (inside > histogram.usual[1])).any()
        )
        label = f"{_text(left, histogram)} to {_text(right, histogram)}: {count}"
        parts.append(
            f'<rect class="{"odd" if is_unusual else "bar"}" x="{x:.1f}" y="{_HEIGHT - _BOTTOM - height:.1f}" '
            f'width="{width:.1f}" height="{height:.1f}" rx="1.5"><title>{escape(label)}</title></rect>'
        )
    for bound in histogram.usual or ():
        if low < bound < high:
            x = _x(bound, low, high)
            parts.append(
                f'<line class="bound" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{_HEIGHT - _BOTTOM}"/>'
            )
    base = _HEIGHT - _BOTTOM
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _LEFT}" y1="{base}" y2="{base}"/>')
    for tick in _ticks(low, high, histogram):
        x = _x(tick, low, high)
        anchor = "start" if x < 24 else "end" if x > _WIDTH - 24 else "middle"
        parts.append(
            f'<text x="{x:.1f}" y="{base + 17}" text-anchor="{anchor}">{_text(tick, histogram)}</text>'
        )
    parts.append(f'<text x="{_LEFT}" y="11">most in one bar: {tallest}</text>')
    label = escape(f"{histogram.title}, {len(histogram.values)} pairs")
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    )


def _limits(histogram: Histogram) -> tuple[float, float]:
    values = histogram.values
    low, high = float(values.min()), float(values.max())
    if histogram.is_ratio:
        return min(low, -1.0), max(high, 1.0)
    limit = histogram.usual[1] * 1.02 if histogram.usual else 0.0
    return 0.0, max(high * 1.0001, limit, 1.0)


def _x(value: float, low: float, high: float) -> float:
    return _LEFT + (value - low) / (high - low) * (_WIDTH - 2 * _LEFT)


def _ticks(low: float, high: float, histogram: Histogram) -> list[float]:
    if histogram.is_ratio:
        step = max(1, math.ceil((high - low) / 7))
        return [
            float(tick) for tick in range(math.ceil(low), math.floor(high) + 1) if tick % step == 0
        ]
    step = 10 ** math.floor(math.log10(high))
    step = next(s for s in (step / 2, step, step * 2) if high / s <= 6)
    return [tick * step for tick in range(int(high / step) + 1)]


def _text(value: float, histogram: Histogram) -> str:
    return f"×{2**value:.3g}" if histogram.is_ratio else f"{value:.3g}"
