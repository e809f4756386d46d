"""The scores that a photo gets, by name: how each is printed, which way is better, what it means.

A row of scores holds an `id` and these numbers. Without a suffix a score is of the photo at its stored size, as users get it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from enhancer.scoring.metrics import METRICS

Row = dict[str, Any]
"""One photo's scores: `{"id": ..., "l1": ..., ...}`; a region that the photo lacks is None."""

PLAN_SIDE = 896
"""Side of the square in pixels to which the project plan's protocol squashes photo and target."""


@dataclasses.dataclass(frozen=True)
class ScoreColumn:
    """How a score is written and read."""

    title: str
    decimals: int
    lower_is_better: bool
    meaning: str
    has_ratio: bool = True
    """Whether one score is so many percent of another; decibels, of which ten are tenfold, are not."""

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return "↓" if self.lower_is_better else "↑"

    def text(self, value: float, *, signed: bool = False) -> str:
        """A value with this column's decimals."""
        return number_text(value, self.decimals, signed=signed)


def number_text(value: float, decimals: int, *, signed: bool = False) -> str:
    """A number for people, with a true minus."""
    return f"{value:{'+' if signed else ''}.{decimals}f}".replace("-", "−")


_L1 = ScoreColumn(
    "L1", 4, True, "mean absolute difference of the pixel values, on a scale from 0 (equal) to 1"
)
_CIEDE2000 = ScoreColumn(
    "CIEDE2000",
    2,
    True,
    "colour difference as the eye sees it (Sharma et al. 2005); about 1 is just noticeable",
)

COLUMNS: Mapping[str, ScoreColumn] = {
    "l1": _L1,
    "psnr_db": ScoreColumn(
        "PSNR (dB)",
        2,
        False,
        "the squared difference on a logarithmic scale; 3 dB more is half the squared error",
        has_ratio=False,
    ),
    "ssim": ScoreColumn(
        "SSIM", 4, False, "similarity of local structure (Wang et al. 2004); 1 is equal"
    ),
    "delta_e_76": ScoreColumn(
        "ΔE*ab", 2, True, "distance in CIE L*a*b* (1976), as the FiveK literature prints it"
    ),
    "ciede2000": _CIEDE2000,
    "l1_plan": dataclasses.replace(
        _L1,
        title="L1, plan",
        meaning=f"the plan's protocol: photo and target squashed to {PLAN_SIDE} x {PLAN_SIDE}",
    ),
    "l1_network": dataclasses.replace(
        _L1,
        title="L1, network",
        meaning="the photo reduced to what the network sees, without the edit transfer",
    ),
    "ciede2000_network": dataclasses.replace(_CIEDE2000, title="ΔE00, network", meaning="likewise"),
    "l1_highlights": dataclasses.replace(
        _L1,
        title="L1, highlights",
        meaning="over the pixels that are bright before the edit, L* of 75 and more: windows, lamps",
    ),
    "ciede2000_highlights": dataclasses.replace(
        _CIEDE2000, title="ΔE00, highlights", meaning="likewise"
    ),
    "l1_shadows": dataclasses.replace(
        _L1,
        title="L1, shadows",
        meaning="over the pixels that are dark before the edit, L* of 20 and less",
    ),
    "ciede2000_shadows": dataclasses.replace(_CIEDE2000, title="ΔE00, shadows", meaning="likewise"),
}
MAIN_COLUMNS = tuple(METRICS)
"""Of the photo at its stored size."""
DETAIL_COLUMNS = tuple(name for name in COLUMNS if name not in MAIN_COLUMNS)
"""Of the plan's protocol, of the network's size, and of the regions."""
