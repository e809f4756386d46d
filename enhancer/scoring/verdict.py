"""Say in words what paired scores allow to be said, and what they do not."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from enhancer.scoring.columns import number_text

Outcome = Literal["better", "worse", "same", "open"]

FEW_PHOTOS = 10
"""Below this many test photos it is said that the test is small."""
SAME_PERCENT = 2.0
"""A relative change whose whole interval is smaller than this nobody would see."""
FEWEST_SCENES = 3
"""Two differences that happen to be alike would make an interval of no width."""

_HEADLINES: dict[str, dict[Outcome, str]] = {
    "scratch": {
        "better": "The gain is real: pre-training lowers the test L1 by {percent:.0f} %",
        "worse": "It hurts: with pre-training the test L1 is {percent:.0f} % higher",
        "same": "There is no difference: with and without pre-training the test L1 is the same",
        "open": "{Photos} cannot show whether pre-training helps",
    },
    "unedited": {
        "better": "The {main} network brings photos closer to their targets",
        "worse": "The {main} network does harm: leaving the photos as they are is better",
        "same": "The {main} network changes nothing: leaving the photos as they are is as good",
        "open": "{Photos} cannot show whether the {main} network helps at all",
    },
}


def verdict(results: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The answer as a headline, and the sentences that qualify it.

    The question is whether pre-training helps; a network that is no better than leaving the photos
    alone comes first. `results` are of `enhancer.scoring.results.build_results`.
    """
    pairs = {key.partition("_vs_")[2]: pair["l1"] for key, pair in results["paired"].items()}
    photos = min(scores["n"] for scores in results["methods"].values())
    seen_by = {
        "seen_in_training": "fine-tuning was given, so that all scores are too good",
        "seen_in_pretraining": "was seen in pre-training, so that pre-trained networks may score "
        "too well",
    }
    sentences = [
        f"Of {photos_text(photos)} {len(seen)} show{'s' * (len(seen) == 1)} a scene that {how}: "
        f"{some(seen)}."
        for key, how in seen_by.items()
        if (seen := results[key])
    ]
    helps = "unedited" not in pairs or pairs["unedited"]["outcome"] == "better"
    order = ("scratch", "unedited") if helps else ("unedited", "scratch")
    asked = next((baseline for baseline in order if baseline in pairs), "")
    if not asked:
        return "The scores of this run", sentences
    pair, main = pairs[asked], next(iter(results["paired"])).partition("_vs_")[0]
    title = results["methods"][main]["title"]
    sentences += [
        difference_sentence(pairs[other], title, results["methods"][other]["title"])
        for other in dict.fromkeys((asked, "scratch", "unedited", "curve", "adaptive_lookup"))
        if other in pairs
    ]
    if pair["detectable_percent"] is not None:
        sentences.append(detectable_sentence(pair))
    sentences.append(
        "Intervals say how far the figures may move with other photos of the same kind, and "
        "nothing of the luck of training: each network was trained once, with one seed."
    )
    if photos < FEW_PHOTOS:
        sentences.append("This is a small test: read the interval, not the mean.")
    return headline(asked, pair, "scratch-trained" if title == "scratch" else title), sentences


def headline(baseline: str, pair: Mapping[str, Any], main: str = "fine-tuned") -> str:
    """What a difference from "scratch" or "unedited" says, as a headline."""
    photos = photos_text(pair["n"], pair["scenes"])
    percent = abs(pair["relative_percent"] or 0.0)
    return _HEADLINES[baseline][pair["outcome"]].format(
        percent=percent, main=main, Photos=photos[0].upper() + photos[1:]
    )


def difference_sentence(pair: Mapping[str, Any], title: str, other: str) -> str:
    """How far a method's L1 lies from another one's, and what that allows to be said."""
    photos = photos_text(pair["n"], pair["scenes"])
    return f"L1 of {title} against {other}: {change_text(pair)} on {photos}, {words(pair)}."


def outcome_of(pair: Mapping[str, Any], lower_is_better: bool = True) -> Outcome:
    """What a paired difference says: the relative interval where there is one, else the absolute.

    "same" are equal scores on every photo, or a relative interval that holds 0 and lies within
    `SAME_PERCENT`; others that hold 0, and fewer than `FEWEST_SCENES` scenes, are "open".
    """
    if pair.get("equal"):
        return "same"
    relative = pair.get("relative_low") is not None
    low, high = (pair[f"relative_{side}" if relative else side] for side in ("low", "high"))
    if low is None or pair.get("scenes", FEWEST_SCENES) < FEWEST_SCENES:
        return "open"
    if low <= 0.0 <= high:
        return "same" if relative and max(-low, high) <= SAME_PERCENT else "open"
    return "better" if (high < 0.0) == lower_is_better else "worse"


def words(pair: Mapping[str, Any]) -> str:
    """The outcome in a few words."""
    if pair["outcome"] == "open":
        return "too few photos" if pair["scenes"] < FEWEST_SCENES else "not decided"
    return "no difference" if pair["outcome"] == "same" else pair["outcome"]


def detectable_sentence(pair: Mapping[str, Any]) -> str:
    """What a test like this could have found."""
    photos, percent = photos_text(pair["n"], pair["scenes"]), pair["detectable_percent"]
    found = f"a true change of {percent:.1f} % is found 80 times out of 100"
    return f"With {photos} that scatter as these do, {found}."


def change_text(pair: Mapping[str, Any]) -> str:
    """A change of L1 with its 95 % interval, `−12.3 % [−20.0, −4.0]`, in percent if it has one."""
    if pair["low"] is None:
        return f"{number_text(pair['mean'], 4, signed=True)} (one photo has no interval)"
    keys, decimals, unit = ("relative_percent", "relative_low", "relative_high"), 1, " %"
    if pair["relative_low"] is None:
        keys, decimals, unit = ("mean", "low", "high"), 4, ""
    change, low, high = (number_text(pair[key], decimals, signed=True) for key in keys)
    return f"{change}{unit} [{low}, {high}]"


def photos_text(photos: int, scenes: int | None = None) -> str:
    """`one test photo`, `8 test photos`, `8 test photos of 5 scenes`."""
    text = "one test photo" if photos == 1 else f"{photos} test photos"
    return text if scenes in (None, photos) else f"{text} of {scenes} scenes"


def some(names: Sequence[str]) -> str:
    """The first five names, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
