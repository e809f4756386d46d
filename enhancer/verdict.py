"""Say in words what the paired scores of a run allow to be said, and what they do not."""

from collections.abc import Mapping
from typing import Any, Literal

Outcome = Literal["better", "worse", "open"]

FEW_PHOTOS = 10
"""Below this many test photos the report warns that its test is small."""

_AGAINST_SCRATCH: dict[Outcome, tuple[str, str]] = {
    "better": (
        "In this run pre-training lowers the test L1 by {percent:.0f} %",
        "Pre-training first, instead of starting from scratch, changes L1 by {change} on the same {photos}: "
        "the whole interval lies on the better side.",
    ),
    "worse": (
        "In this run pre-training hurts: the test L1 is {percent:.0f} % higher with it",
        "Pre-training first, instead of starting from scratch, changes L1 by {change} on the same {photos}: "
        "the whole interval lies on the worse side.",
    ),
    "open": (
        "Whether pre-training helps cannot be told with {photos}",
        "Pre-training first, instead of starting from scratch, changes L1 by {change} on the same {photos}: "
        "no difference at all is compatible with that.",
    ),
}
_AGAINST_UNEDITED: dict[Outcome, tuple[str, str]] = {
    "better": (
        "The fine-tuned model brings photos closer to their targets",
        "Compared with leaving the photos as they are, the fine-tuned model changes L1 by {change}: it helps.",
    ),
    "worse": (
        "The fine-tuned model does harm: leaving the photos as they are is better",
        "Compared with leaving the photos as they are, the fine-tuned model changes L1 by {change}: it does harm.",
    ),
    "open": (
        "Whether the fine-tuned model helps at all cannot be told with {photos}",
        "Compared with leaving the photos as they are, the fine-tuned model changes L1 by {change}: "
        "that it helps cannot be told.",
    ),
}


def verdict(results: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the answer as a headline and the sentences that support and qualify it.

    The question is whether pre-training helps; if the fine-tuned model is no better than leaving the photos alone,
    that comes first.

    Args:
        results: what `enhancer.evaluation.build_results` returned.
    """
    answers = []
    for baseline, wording in (("scratch", _AGAINST_SCRATCH), ("unedited", _AGAINST_UNEDITED)):
        pair = results["paired"].get(f"finetuned_vs_{baseline}")
        if pair is None:
            continue
        outcome = outcome_of(pair["l1"])
        values = {
            "percent": abs(pair["l1"]["relative_percent"] or 0.0),
            "change": _change_text(pair["l1"]),
            "photos": count_text(pair["l1"]["n"]),
        }
        headline, sentence = (text.format(**values) for text in wording[outcome])
        answer = (headline, sentence)
        answers.insert(0 if baseline == "unedited" and outcome != "better" else len(answers), answer)
    sentences = [sentence for _, sentence in answers]
    sentences.append(
        "The intervals tell how far the figures may move with other photos of the same kind. They know nothing of the "
        "luck of training: each model was trained once, with one seed."
    )
    count = min(scores["n"] for scores in results["methods"].values())
    if count < FEW_PHOTOS:
        sentences.append(f"{count_text(count).capitalize()} is a small test: read the interval, not the mean.")
    return answers[0][0] if answers else "The scores of this run", sentences


def outcome_of(difference: Mapping[str, Any]) -> Outcome:
    """Return what a paired difference in L1 says; "open" unless its 95 % interval keeps clear of zero."""
    if difference["low"] is None or difference["low"] <= 0.0 <= difference["high"]:
        return "open"
    return "better" if difference["high"] < 0.0 else "worse"


def count_text(count: int) -> str:
    """Return "one test photo" or "8 test photos"."""
    return "one test photo" if count == 1 else f"{count} test photos"


def _change_text(difference: Mapping[str, Any]) -> str:
    if difference["relative_low"] is not None:
        low, high = difference["relative_low"], difference["relative_high"]
        text = f"{difference['relative_percent']:+.1f} % (95 % interval {low:+.1f} to {high:+.1f} %)"
    elif difference["low"] is not None:
        text = f"{difference['mean']:+.4f} (95 % interval {difference['low']:+.4f} to {difference['high']:+.4f})"
    else:
        text = f"{difference['mean']:+.4f} (one photo has no interval)"
    return text.replace("-", "−")
