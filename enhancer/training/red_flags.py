"""What a stage's history warns of, in numbers: it does not fall, it rises, its gap is large.

Every flag asks for several epochs of evidence, measured against the history's own noise, and once
raised stays raised with the words of its first epoch.
"""

import dataclasses
import itertools
import statistics
from collections.abc import Callable, Sequence

from enhancer.training.history import Row, best_row

EVIDENCE_EPOCHS = 5
"""Epochs that have to agree: few enough to warn well before early stopping."""
LEAST_FALL = 0.02
"""A loss that has not fallen by this fraction has not fallen: less is within one epoch's jumps."""
LEAST_RISE = 0.05
"""A smoothed loss that rises by this fraction has left its minimum: flat ends wander by less."""
RISE_IN_JUMPS = 4.0
"""It must also rise by this many typical jumps: 1 in 100 falling runs with 10 % noise then errs."""
LARGE_GAP = 0.5
"""Half again as much loss on validation photos as on training photos."""


@dataclasses.dataclass(frozen=True)
class RedFlag:
    """One warning."""

    name: str
    """Of the kind of flag; unique within a stage."""
    sentence: str
    """What was seen, with its numbers."""
    remedy: str
    """What most likely lies behind it, and the stage's setting to try in a new work folder."""


def stage_flags(history: Sequence[Row], *, pretrained: bool = False) -> list[RedFlag]:
    """The flags that a stage has raised so far, oldest first; any longer history gives the same.

    Args:
        history: the stage's rows, epoch 0 first.
        pretrained: whether the stage started from trained weights, which may be near their best.
    """
    return [flag for _, flag in _raised(history, pretrained)]


def final_flags(history: Sequence[Row], *, pretrained: bool = False) -> list[RedFlag]:
    """The flags of a stage that has ended, each with a word on whether the loss recovered."""
    flags = []
    for epoch, flag in _raised(history, pretrained):
        before = best_row([row for row in history if row["epoch"] <= epoch])
        later = best_row(history)
        if later["validation_loss"] < (1 - LEAST_FALL) * before["validation_loss"]:
            reached = f" It later reached {_loss(later)} in epoch {later['epoch']}."
            flag = dataclasses.replace(flag, sentence=flag.sentence + reached)
        flags.append(flag)
    return flags


def _raised(history: Sequence[Row], pretrained: bool) -> list[tuple[int, RedFlag]]:
    """Each flag with the epoch after which it was first raised, in that order."""
    detectors: list[Callable[[Sequence[Row]], RedFlag | None]] = [_rising, _large_gap]
    if not pretrained:
        detectors.insert(0, _not_falling)
    raised = []
    for detect in detectors:
        for count in range(EVIDENCE_EPOCHS + 1, len(history) + 1):
            if flag := detect(history[:count]):
                raised.append((history[count - 1]["epoch"], flag))
                break
    return sorted(raised, key=lambda item: item[0])


def _not_falling(history: Sequence[Row]) -> RedFlag | None:
    """After the learning rate's peak `EVIDENCE_EPOCHS` more without a fall: not in the warm-up."""
    start, best = history[0], best_row(history)
    peak_epoch = max(history, key=lambda row: row["learning_rate"])["epoch"]
    if history[-1]["epoch"] - peak_epoch < EVIDENCE_EPOCHS:
        return None
    if best["validation_loss"] <= (1 - LEAST_FALL) * start["validation_loss"]:
        return None
    remedy = (
        "The learning rate is too high, or the targets do not belong to the inputs: try "
        f"{_lower_rate(history)}."
    )
    if _training_falls(history, since=start["epoch"]):
        remedy = (
            "The training loss falls and the validation loss does not: look at the data of both "
            "splits first, then try augmentation strong."
        )
    return RedFlag(
        "it does not learn",
        f"The validation loss started at {_loss(start)} and is {_loss(history[-1])} after epoch "
        f"{history[-1]['epoch']}; its best is {_loss(best)}.",
        remedy,
    )


def _rising(history: Sequence[Row]) -> RedFlag | None:
    """The last epochs lie above the lowest median of as many, or the start; the median clearly."""
    losses = [row["validation_loss"] for row in history]
    ends = range(EVIDENCE_EPOCHS, len(losses) + 1)
    medians = [statistics.median(losses[end - EVIDENCE_EPOCHS : end]) for end in ends]
    lowest = min(medians)
    turned = history[medians.index(lowest) + EVIDENCE_EPOCHS // 2]["epoch"]
    if losses[0] < lowest:
        lowest, turned = losses[0], history[0]["epoch"]
    recent = losses[-4 * EVIDENCE_EPOCHS :]
    jump = statistics.median(abs(after - before) for before, after in itertools.pairwise(recent))
    high = max((1 + LEAST_RISE) * lowest, lowest + RISE_IN_JUMPS * jump)
    if medians[-1] <= high or min(losses[-EVIDENCE_EPOCHS:]) <= (1 + LEAST_RISE) * lowest:
        return None
    remedy = (
        "The training loss does not fall either: the learning rate is too high; try "
        f"{_lower_rate(history)}."
    )
    if _training_falls(history, since=turned):
        remedy = (
            "The training loss still falls: the network learns its few photos by heart "
            "(overfitting); try frozen_levels 2 or augmentation strong."
        )
    return RedFlag(
        "validation loss rises",
        f"The validation loss rose from {lowest:.4f} around epoch {turned} to {medians[-1]:.4f} "
        f"(median of {EVIDENCE_EPOCHS} epochs) by epoch {history[-1]['epoch']}.",
        remedy,
    )


def _large_gap(history: Sequence[Row]) -> RedFlag | None:
    """Each of the last epochs has a gap of more than `LARGE_GAP` of its training loss."""
    recent = history[-EVIDENCE_EPOCHS:]
    pairs = [(row["validation_loss"], row["train_loss"]) for row in recent]
    if any(train is None or validation <= (1 + LARGE_GAP) * train for validation, train in pairs):
        return None
    return RedFlag(
        "large train/validation gap",
        f"{EVIDENCE_EPOCHS} epochs in a row the validation loss was more than "
        f"{100 * LARGE_GAP:.0f} % above the training loss; in epoch {recent[-1]['epoch']} "
        f"{_loss(recent[-1])} against {recent[-1]['train_loss']:.4f}.",
        "The network overfits (or the few validation photos are harder than the others): try "
        "augmentation strong or weight_decay 1e-3.",
    )


def _training_falls(history: Sequence[Row], since: int) -> bool:
    """Whether the training loss is clearly lower in the last epochs than around epoch `since`."""
    rows = [row for row in history if row["train_loss"] is not None and row["epoch"] >= since - 1]
    losses = [row["train_loss"] for row in rows]
    return statistics.median(losses[-3:]) < (1 - LEAST_FALL) * statistics.median(losses[:3])


def _lower_rate(history: Sequence[Row]) -> str:
    """A third of the highest rate so far, to one digit: `peak_learning_rate 2e-5` after 5e-5."""
    digit, exponent = f"{max(row['learning_rate'] for row in history) / 3:.0e}".split("e")
    return f"peak_learning_rate {digit}e{int(exponent)}"


def _loss(row: Row) -> str:
    return f"{row['validation_loss']:.4f}"
