"""The scores that a photo gets, by name: how each is printed, which way is better, what it means.
Without a suffix a score is of the photo at its stored size, as users get it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

PhotoScores = dict[str, Any]
"""One photo's `{"id": ..., "l1": ..., ...}`; the score of a region that the photo lacks is None."""

PLAN_SIDE = 896
"""Side of the square in pixels to which the plan's protocol (docs/plan.md) squashes photos."""


class ScoreColumn(NamedTuple):
    """How a score is written and read."""

    title: str
    decimals: int
    meaning: str
    lower_is_better: bool | None = True
    """None: the best is 0, from either side."""
    has_ratio: bool = True
    """Whether one score is so many percent of another; of decibels ten are tenfold."""

    @property
    def heading(self) -> str:
        """Its title, and an arrow that points where better is."""
        if self.lower_is_better is None:
            return self.title
        return f"{self.title} {'↓' if self.lower_is_better else '↑'}"

    def best(self, values: Sequence[float]) -> float:
        if self.lower_is_better is None:
            return min(values, key=abs)
        return (min if self.lower_is_better else max)(values)

    def text(self, value: float) -> str:
        return number_text(value, self.decimals)


def number_text(value: float, decimals: int, *, signed: bool = False) -> str:
    """A number for people, with a true minus."""
    return f"{value:{'+' if signed else ''}.{decimals}f}".replace("-", "−")


_HIGHLIGHTS = "over the pixels that are bright before the edit, L* of 75 and more: windows, lamps"
_SHADOWS = "over the pixels that are dark before the edit, L* of 20 and less"
_PLAN = f"the plan's protocol: photo and target squashed to {PLAN_SIDE} x {PLAN_SIDE}"
_NETWORK = "the photo reduced to what the network sees, without the edit transfer"
_PINK = "CIE a* of what was blown white, where positive; people's edits have 0.4"
_DETAIL = "contrast of fine detail in bright parts against the photo's; people's edits keep 0.97"
_EXPOSURE = "mean light against the target's, positive is too bright"
COLUMNS: Mapping[str, ScoreColumn] = {
    "l1": ScoreColumn("L1", 4, "mean absolute difference, on a scale from 0 (equal) to 1"),
    "psnr_db": ScoreColumn("PSNR (dB)", 2, "3 dB more is half the squared error", False, False),
    "ssim": ScoreColumn("SSIM", 4, "similarity of local structure (Wang et al. 2004)", False),
    "delta_e_76": ScoreColumn("ΔE*ab", 2, "distance in CIE L*a*b*, as the FiveK literature has it"),
    "ciede2000": ScoreColumn("CIEDE2000", 2, "colour difference; about 1 is just noticeable"),
    "l1_plan": ScoreColumn("L1, plan", 4, _PLAN),
    "l1_network": ScoreColumn("L1, network", 4, _NETWORK),
    "ciede2000_network": ScoreColumn("ΔE00, network", 2, "likewise"),
    "l1_highlights": ScoreColumn("L1, highlights", 4, _HIGHLIGHTS),
    "ciede2000_highlights": ScoreColumn("ΔE00, highlights", 2, "likewise"),
    "l1_shadows": ScoreColumn("L1, shadows", 4, _SHADOWS),
    "ciede2000_shadows": ScoreColumn("ΔE00, shadows", 2, "likewise"),
    "pink": ScoreColumn("pink", 2, _PINK, has_ratio=False),
    "bright_detail": ScoreColumn("bright detail", 2, _DETAIL, lower_is_better=False),
    "newly_clipped": ScoreColumn(
        "newly clipped", 4, "share of the photo that the edit made white", has_ratio=False
    ),
    "exposure_stops": ScoreColumn("exposure (stops)", 2, _EXPOSURE, None, has_ratio=False),
}
FAULTS = ("pink", "bright_detail", "newly_clipped", "exposure_stops")
"""What is wrong with edited photos that a mean difference hardly shows."""
MAIN_COLUMNS = ("l1", "psnr_db", "ssim", "delta_e_76", "ciede2000")
