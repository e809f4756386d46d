"""Say in words what paired scores allow to be said, and what they do not."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from enhancer.scoring.columns import number_text

Outcome = Literal["better", "worse", "same", "open"]

FEW_PHOTOS = 10
"""Below this many test photos the report warns that its test is small."""
SAME_PERCENT = 2.0
"""A relative change whose whole interval is smaller than this is no difference that anybody would see."""
FEWEST_SCENES = 3
"""With two, differences that happen to be alike would make an interval of no width: nothing is concluded."""
LEVELS = ((10.0, "minimum"), (15.0, "target"), (20.0, "stretch"))
"""What the project's plan calls a success: test L1 so many percent below training from scratch."""

_ORDER = {"scratch": 0, "unedited": 1, "curve": 2}
"""In which order comparisons are spoken of; the others follow."""
_UNSAID = {"lookup", "pretrained"}
"""Comparisons that are left to the table."""

_HEADLINES: dict[str, dict[Outcome, str]] = {
    "scratch": {
        "better": "The gain is real: pre-training lowers the test L1 by {percent:.0f} %",
        "worse": "It hurts: with pre-training the test L1 is {percent:.0f} % higher",
        "same": "There is no difference: with and without pre-training the test L1 is the same",
        "open": "Whether pre-training helps cannot be told with {photos}",
    },
    "unedited": {
        "better": "The {main} model brings photos closer to their targets",
        "worse": "The {main} model does harm: leaving the photos as they are is better",
        "same": "The {main} model changes nothing: leaving the photos as they are is as good",
        "open": "Whether the {main} model helps at all cannot be told with {photos}",
    },
}
_SENTENCES: dict[Outcome, str] = {
    "better": "{subject} changes L1 by {change} on the same {photos}: the whole interval lies on the better side.",
    "worse": "{subject} changes L1 by {change} on the same {photos}: the whole interval lies on the worse side.",
    "same": "{subject} changes L1 by {change} on the same {photos}: no difference, or none that anybody would see.",
    "open": "{subject} changes L1 by {change} on the same {photos}: no difference at all is compatible with that.",
}
_TOO_FEW = (
    "{subject} changes L1 by {change} on the same {photos}: too few to conclude anything from."
)


def verdict(results: Mapping[str, Any], title: str = "fine-tuned") -> tuple[str, list[str]]:
    """Return the answer as a headline and the sentences that support and qualify it.

    The question is whether pre-training helps; if the model is no better than leaving the photos alone, that comes first.

    Args:
        results: what `enhancer.scoring.results.build_results` returned.
        title: what people call the method in question.
    """
    answers: list[tuple[str | None, str]] = []
    pairs = {key.partition("_vs_")[2]: pair["l1"] for key, pair in results["paired"].items()}
    for baseline in sorted(
        set(pairs) - _UNSAID, key=lambda name: (_ORDER.get(name, len(_ORDER)), name)
    ):
        pair = pairs[baseline]
        outcome: Outcome = pair["outcome"]
        main = "scratch-trained" if title == "scratch" else title
        headline = _HEADLINES[baseline][outcome] if baseline in _HEADLINES else None
        subject = {
            "scratch": "Pre-training first, instead of starting from scratch,",
            "unedited": f"Compared with leaving the photos as they are, the {main} model",
        }.get(
            baseline,
            f"Compared with “{results['methods'][baseline].get('title', baseline)}”, the {main} model",
        )
        values = {
            "percent": abs(pair["relative_percent"] or 0.0),
            "photos": photos_text(pair["n"], pair["scenes"]),
            "main": main,
        }
        answer = (headline and headline.format(**values), comparison_sentence(subject, pair))
        answers.insert(
            0 if baseline == "unedited" and outcome != "better" else len(answers), answer
        )
    sentences = [sentence for _, sentence in answers]
    if "scratch" in pairs:
        sentences.append(levels_sentence(pairs["scratch"]))
    for baseline in ("scratch", "unedited"):
        if baseline in pairs and pairs[baseline]["detectable_percent"] is not None:
            sentences.append(detectable_sentence(pairs[baseline]))
            break
    sentences.append(
        "The intervals tell how far the figures may move with other photos of the same kind. They know nothing of the "
        "luck of training: each model was trained once, with one seed."
    )
    count = min(scores["n"] for scores in results["methods"].values())
    if count < FEW_PHOTOS:
        sentences.append(
            f"{count_text(count).capitalize()} is a small test: read the interval, not the mean."
        )
    if seen := results.get("seen_in_pretraining"):
        sentences.insert(0, seen_in_pretraining_sentence(seen, count))
    if seen := results["seen_in_training"]:
        sentences.insert(0, seen_sentence(seen, count))
    headlines = [headline for headline, _ in answers if headline]
    return headlines[0] if headlines else "The scores of this run", [
        text for text in sentences if text
    ]


def comparison_sentence(subject: str, difference: Mapping[str, Any]) -> str:
    """What may be said of a difference in L1; `subject` changes L1."""
    enough = difference["scenes"] >= FEWEST_SCENES or difference["outcome"] == "same"
    sentence = _SENTENCES[difference["outcome"]] if enough else _TOO_FEW
    photos = photos_text(difference["n"], difference["scenes"])
    return sentence.format(subject=subject, change=change_text(difference), photos=photos)


def outcome_of(difference: Mapping[str, Any], lower_is_better: bool = True) -> Outcome:
    """Return what a paired difference says; "open" unless its 95 % interval keeps clear of zero, or close to it, over at least
    `FEWEST_SCENES` scenes.

    The relative interval decides where there is one, else the absolute one. "same" are two methods with the same scores on
    every photo, or a relative change that lies within `SAME_PERCENT` with its whole interval and may be zero.
    """
    if difference.get("equal"):
        return "same"
    if difference.get("scenes", FEWEST_SCENES) < FEWEST_SCENES:
        return "open"
    relative = difference.get("relative_low") is not None
    low, high = (
        difference[f"relative_{side}"] if relative else difference[side] for side in ("low", "high")
    )
    if low is None:
        return "open"
    if low <= 0.0 <= high:
        return "same" if relative and max(-low, high) <= SAME_PERCENT else "open"
    return "better" if (high < 0.0) == lower_is_better else "worse"


def scratch_headline(difference: Mapping[str, Any]) -> str:
    """Whether pre-training helps, as a headline."""
    return _HEADLINES["scratch"][difference["outcome"]].format(
        percent=abs(difference["relative_percent"] or 0.0),
        photos=photos_text(difference["n"], difference["scenes"]),
    )


def levels_sentence(difference: Mapping[str, Any]) -> str:
    """Where a gain stands on the plan's scale of success; empty without an interval, or of too few scenes."""
    if difference["relative_low"] is None or difference["scenes"] < FEWEST_SCENES:
        return ""
    gain, certain = -difference["relative_percent"], -difference["relative_high"]
    levels = ", ".join(f"{level:.0f} % ({name})" for level, name in LEVELS)
    reached = [name for level, name in LEVELS if gain >= level]
    sure = [name for level, name in LEVELS if certain >= level]
    estimate = f"reaches the {reached[-1]}" if reached else "reaches none of them"
    whole = f"lies beyond the {sure[-1]}" if sure else "does not lie beyond any of them"
    return f"The plan's levels are {levels} below scratch: the estimate {estimate}, and the interval as a whole {whole}."


def seen_sentence(seen: Sequence[str], photos: int) -> str:
    """That this is no test, or only in part one."""
    return f"{len(seen)} of the {count_text(photos)} {_show(seen)} a scene that fine-tuning was given, so that all scores here are too good: {_some(seen)}."


def seen_in_pretraining_sentence(seen: Sequence[str], photos: int) -> str:
    """That it is one for some of the methods only."""
    return (
        f"{len(seen)} of the {count_text(photos)} {_show(seen)} a scene that was seen in pre-training, so that the networks that were "
        f"pre-trained may score too well, and those from scratch and the fitted curves and tables do not: {_some(seen)}."
    )


def _show(seen: Sequence[str]) -> str:
    return "shows" if len(seen) == 1 else "show"


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")


def detectable_sentence(difference: Mapping[str, Any]) -> str:
    """What a test like this could have found."""
    photos = photos_text(difference["n"], difference["scenes"])
    if difference["detectable_percent"] >= 100.0:
        return f"With {photos} whose differences scatter as these do, hardly any change would be found."
    return (
        f"With {photos} whose differences scatter as these do, a true change of {difference['detectable_percent']:.1f} % is found "
        "80 times of 100, and a smaller one more rarely."
    )


def outcome_words(difference: Mapping[str, Any]) -> str:
    """The outcome for a table's cell."""
    return {
        "better": "the gain is real",
        "worse": "it hurts",
        "same": "no difference",
        "open": f"cannot be told with {photos_text(difference['n'], difference['scenes'])}",
    }[difference["outcome"]]


def count_text(count: int) -> str:
    """Return "one test photo" or "8 test photos"."""
    return "one test photo" if count == 1 else f"{count} test photos"


def photos_text(photos: int, scenes: int) -> str:
    """The same, with the number of scenes where some photos show the same one."""
    return count_text(photos) if scenes == photos else f"{count_text(photos)} of {scenes} scenes"


def change_text(difference: Mapping[str, Any]) -> str:
    """A difference with its interval, in percent where it has one."""
    if difference["relative_low"] is not None:
        keys, decimals, unit = ("relative_percent", "relative_low", "relative_high"), 1, " %"
    elif difference["low"] is not None:
        keys, decimals, unit = ("mean", "low", "high"), 4, ""
    else:
        return f"{number_text(difference['mean'], 4, signed=True)} (one photo has no interval)"
    change, low, high = (number_text(difference[key], decimals, signed=True) for key in keys)
    return f"{change}{unit} (95 % interval {low} to {high}{unit})"
