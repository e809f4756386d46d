"""What a run's histories warn of, and what they say about the transfer: the project plan's watch list, as numbers and in words.

Every flag asks for several epochs of evidence, measured against the history's own noise, and a flag once raised stays
raised with the words of its first epoch: called after each epoch, `stage_flags` never takes back and repeats itself.
"""

import dataclasses
import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from enhancer.scoring.columns import number_text
from enhancer.scoring.verdict import outcome_of
from enhancer.training.history import Row, best_row, first_row_at, gap_of, percent_fewer

EVIDENCE_EPOCHS = 5
"""Epochs that have to agree: the plan's warm-up length, and few enough to warn well before its early stopping (10, 15)."""
LEAST_FALL = 0.02
"""A validation loss that has not fallen by this fraction of its start has not fallen: less is within the jumps of one epoch."""
LEAST_RISE = 0.05
"""A smoothed validation loss that rises by this fraction has left its minimum: flat ends of training wander by less."""
RISE_IN_JUMPS = 4.0
"""It must also rise by this many typical jumps: of simulated falling runs of 60 epochs with 10 % noise 1 in 100 then rings falsely."""
LARGE_GAP = 0.5
"""Half again as much loss on validation photos as on training photos; the plan gives no figure."""
WORSE_BY = 0.02
"""Best validation losses closer than this fraction are called equal where no test says more."""
EXPECTED_FEWER_PERCENT = 30.0
"""The plan's claim: so many fewer epochs to the baseline's best when fine-tuning starts from pre-training."""

_TITLES = {
    "pretrain": "Pre-training",
    "finetune": "Fine-tuning",
    "scratch": "Training from scratch",
}


@dataclasses.dataclass(frozen=True)
class RedFlag:
    """One warning."""

    name: str
    """Of the kind of flag and its stage; unique within a run."""
    sentence: str
    """What was seen, with its numbers."""
    cause: str
    """What most likely lies behind it."""
    option: str
    """The recipe's command-line option to try, with a value."""


def stage_flags(stage_name: str, history: Sequence[Row]) -> list[RedFlag]:
    """The flags that a stage has raised so far, oldest first; the same history and any longer one give the same.

    Args:
        stage_name: "pretrain", "finetune" or "scratch"; any other is watched like "finetune".
        history: the stage's rows, epoch 0 first; at least `epoch`, `train_loss`, `validation_loss`, `learning_rate` of each.
    """
    return [flag for _, flag in _raised(stage_name, history)]


def run_flags(
    histories: Mapping[str, Sequence[Row]], results: Mapping[str, Any] | None = None
) -> list[RedFlag]:
    """All flags of a run: each stage's, with a word on whether the loss recovered, and "worse than the baseline".

    Args:
        histories: per stage its rows; any stage may be missing.
        results: what `enhancer.scoring.evaluation.build_results` returned. With a test against the scratch model the test's 95 %
            interval decides whether fine-tuning is worse; without, the best validation losses do.
    """
    flags = []
    for stage_name, history in histories.items():
        for epoch, flag in _raised(stage_name, history):
            before, after = (
                [row for row in history if (row["epoch"] > epoch) is late] for late in (False, True)
            )
            if (
                after
                and best_row(after)["validation_loss"]
                < (1 - LEAST_FALL) * best_row(before)["validation_loss"]
            ):
                better = best_row(after)
                later = f" Later the validation loss reached {_loss(better)} in epoch {better['epoch']}."
                flag = dataclasses.replace(flag, sentence=flag.sentence + later)
            flags.append(flag)
    worse = _worse_than_baseline(histories, results)
    return [*flags, worse] if worse else flags


def transfer_summary(histories: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """What the histories say about the transfer, as plain numbers for JSON; what a missing stage leaves unknown is None.

    Returns:
        `best`: per stage `{"epoch", "validation_loss"}`;
        `start`: validation loss before the first step of fine-tuning, and by how many percent it lies above pre-training's
        best (on the other photos: the domain gap) and below the start from scratch (what the transfer gives at once);
        `to_baseline`: scratch's best loss and its epoch, the first fine-tuning epoch that is as good (None if none is), and
        how many percent fewer epochs that is; `last_gap`: per stage validation minus training loss in the last epoch.
    """
    known = {stage: rows for stage in _TITLES if (rows := histories.get(stage))}
    best = {stage: best_row(rows) for stage, rows in known.items()}
    start, to_baseline = None, None
    if "finetune" in known:
        first = known["finetune"][0]["validation_loss"]
        scratch = known["scratch"][0]["validation_loss"] if "scratch" in known else None
        pretrained = best["pretrain"]["validation_loss"] if "pretrain" in known else None
        start = {
            "validation_loss": first,
            "above_pretrain_best_percent": 100 * (first / pretrained - 1) if pretrained else None,
            "scratch_validation_loss": scratch,
            "below_scratch_percent": 100 * (1 - first / scratch) if scratch else None,
        }
    if "finetune" in known and "scratch" in known:
        baseline = best["scratch"]
        reached = first_row_at(known["finetune"], baseline["validation_loss"])
        to_baseline = {
            "validation_loss": baseline["validation_loss"],
            "scratch_epoch": baseline["epoch"],
            "finetune_epoch": reached["epoch"] if reached else None,
            "fewer_percent": percent_fewer(reached["epoch"], baseline["epoch"])
            if reached
            else None,
        }
    return {
        "best": {
            stage: {"epoch": row["epoch"], "validation_loss": row["validation_loss"]}
            for stage, row in best.items()
        },
        "start": start,
        "to_baseline": to_baseline,
        "last_gap": {stage: gap_of(rows[-1]) for stage, rows in known.items()},
    }


def summary_sentences(summary: Mapping[str, Any], trained_on_validation: bool = False) -> list[str]:
    """Say what `transfer_summary` found, one sentence for each thing that is known and, where fine-tuning has trained on its
    validation photos, means something."""
    sentences = []
    if start := summary["start"]:
        parts = []
        if start["below_scratch_percent"] is not None:
            against = f"training from scratch ({start['scratch_validation_loss']:.4f})"
            parts.append(f"{_side(-start['below_scratch_percent'])} {against}")
        if start["above_pretrain_best_percent"] is not None:
            against = f"pre-training's best on its own photos ({summary['best']['pretrain']['validation_loss']:.4f})"
            parts.append(f"{_side(start['above_pretrain_best_percent'])} {against}")
        text = f"Before its first step fine-tuning has a validation loss of {start['validation_loss']:.4f}"
        sentences.append(f"{text}: {' and '.join(parts)}." if parts else f"{text}.")
    if best := summary["best"]:
        items = [
            f"{_TITLES[stage].lower()} in epoch {row['epoch']} ({row['validation_loss']:.4f})"
            for stage, row in best.items()
        ]
        sentences.append(f"Lowest validation loss: {', '.join(items)}.")
    if race := summary["to_baseline"]:
        goal = f"the best validation loss from scratch ({race['validation_loss']:.4f}, epoch {race['scratch_epoch']})"
        plan = f"The plan expects {EXPECTED_FEWER_PERCENT:.0f} % fewer."
        if race["finetune_epoch"] is None:
            sentences.append(f"Fine-tuning does not reach {goal}. {plan}")
        elif race["fewer_percent"] is None:
            sentences.append(
                f"Training from scratch never improved on its start ({race['validation_loss']:.4f})."
            )
        else:
            word = "fewer" if race["fewer_percent"] >= 0 else "more"
            saved = f"{abs(race['fewer_percent']):.0f} % {word} epochs"
            sentences.append(
                f"Fine-tuning reaches {goal} in epoch {race['finetune_epoch']}: {saved}. {plan}"
            )
    gaps = {
        stage: gap
        for stage, gap in summary["last_gap"].items()
        if gap is not None and stage != "pretrain"
    }
    if gaps and not trained_on_validation:
        names = {"finetune": "fine-tuned", "scratch": "from scratch"}
        items = [
            f"{number_text(gap, 4, signed=True)} {names[stage]}" for stage, gap in gaps.items()
        ]
        text = f"Validation minus training loss in the last epoch: {', '.join(items)}"
        sentences.append(f"{text}. A smaller gap means less learned by heart.")
    return sentences


def _raised(stage_name: str, history: Sequence[Row]) -> list[tuple[int, RedFlag]]:
    """Each flag with the epoch after which it was first raised, in that order."""
    detectors: list[Callable[[str, Sequence[Row]], RedFlag | None]] = [_rising, _large_gap]
    if stage_name in ("pretrain", "scratch"):  # fine-tuning may start near its best
        detectors.insert(0, _not_falling)
    raised = []
    for detect in detectors:
        prefixes = (history[: count + 1] for count in range(EVIDENCE_EPOCHS, len(history)))
        found = next(
            ((rows[-1]["epoch"], flag) for rows in prefixes if (flag := detect(stage_name, rows))),
            None,
        )
        raised += [found] if found else []
    return sorted(raised, key=lambda item: item[0])


def _not_falling(stage_name: str, history: Sequence[Row]) -> RedFlag | None:
    """After the learning rate's peak, `EVIDENCE_EPOCHS` more epochs without a fall: in the warm-up little may happen."""
    start, best = history[0], best_row(history)
    peak_epoch = max(history, key=lambda row: row["learning_rate"])["epoch"]
    if history[-1]["epoch"] - peak_epoch < EVIDENCE_EPOCHS:
        return None
    if best["validation_loss"] <= (1 - LEAST_FALL) * start["validation_loss"]:
        return None
    seen = f"{_title(stage_name)}: the validation loss started at {_loss(start)} and is {_loss(history[-1])} after epoch "
    if _training_falls(history, since=start["epoch"]):
        cause = "The training loss falls and the validation loss does not: the two splits differ, or their targets do. Look at the data first."
        option = f"--{_section(stage_name)}.augmentation strong"
    else:
        cause = "The learning rate is too high, or the targets do not belong to the inputs."
        option = _lower_rate(stage_name, history)
    return RedFlag(
        f"{_title(stage_name)} does not learn",
        f"{seen}{history[-1]['epoch']}; its best is {_loss(best)}.",
        cause,
        option,
    )


def _rising(stage_name: str, history: Sequence[Row]) -> RedFlag | None:
    """The last epochs all lie above the lowest median of as many epochs (or the start), and their median clearly so."""
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
    if _training_falls(history, since=turned):
        cause = "The training loss still falls: the network learns its few photos by heart (overfitting)."
        option = (
            "--finetune.frozen-levels 2"
            if _section(stage_name) == "finetune"
            else "--pretrain.augmentation strong"
        )
        option = "--finetune.augmentation strong" if stage_name == "scratch" else option
    else:
        cause = "The training loss does not fall either: the learning rate is too high."
        option = _lower_rate(stage_name, history)
    return RedFlag(
        f"{_title(stage_name)}: validation loss rises",
        f"{_title(stage_name)}: the validation loss rose from {lowest:.4f} around epoch {turned} to {medians[-1]:.4f} "
        f"(median of {EVIDENCE_EPOCHS} epochs) by epoch {history[-1]['epoch']}.",
        cause,
        option,
    )


def _large_gap(stage_name: str, history: Sequence[Row]) -> RedFlag | None:
    """Each of the last epochs has a gap of more than `LARGE_GAP` of its training loss."""
    recent = history[-EVIDENCE_EPOCHS:]
    gaps = [gap_of(row) for row in recent]
    if any(
        gap is None or gap <= LARGE_GAP * row["train_loss"]
        for gap, row in zip(gaps, recent, strict=True)
    ):
        return None
    row, section = history[-1], _section(stage_name)
    return RedFlag(
        f"{_title(stage_name)}: large train/validation gap",
        f"{_title(stage_name)}: {EVIDENCE_EPOCHS} epochs in a row the validation loss was more than {LARGE_GAP:.0%} above the "
        f"training loss; in epoch {row['epoch']} {_loss(row)} against {row['train_loss']:.4f}.".replace(
            "%", " %"
        ),
        "Overfitting: the network needs regularising. Very few validation photos may also be harder than the others by chance.",
        f"--{section}.weight-decay 1e-3"
        if section == "pretrain"
        else f"--{section}.augmentation strong",
    )


def _worse_than_baseline(
    histories: Mapping[str, Sequence[Row]], results: Mapping[str, Any] | None
) -> RedFlag | None:
    finetune, scratch = histories.get("finetune"), histories.get("scratch")
    test = (results or {}).get("paired", {}).get("finetuned_vs_scratch")
    if test:
        if outcome_of(test["l1"]) != "worse":
            return None
        difference = test["l1"]
        signed = {
            key: number_text(difference[key], 4, signed=True) for key in ("mean", "low", "high")
        }
        seen = (
            f"On {difference['n']} test photos the fine-tuned network's L1 is {signed['mean']} higher than that of the "
            f"network trained from scratch (95 % interval {signed['low']} to {signed['high']})."
        )
    elif finetune and scratch:
        ours, theirs = best_row(finetune), best_row(scratch)
        if ours["validation_loss"] <= (1 + WORSE_BY) * theirs["validation_loss"]:
            return None
        seen = f"Fine-tuning's best validation loss is {_loss(ours)}, that from scratch {_loss(theirs)}."
    else:
        return None
    gaps = [gap for rows in (finetune, scratch) if rows and (gap := gap_of(rows[-1])) is not None]
    if len(gaps) == 2 and gaps[0] > gaps[1]:
        cause = "Fine-tuning overfits more than training from scratch: it unlearns what pre-training taught."
        option = "--finetune.frozen-levels 2"
    else:
        cause = "The two domains lie too far apart for what was pre-trained to help as it is."
        option = "--finetune.mix-weight 0.3"
    return RedFlag("Worse than the baseline", seen, cause, option)


def _training_falls(history: Sequence[Row], since: int) -> bool:
    """Whether the training loss is clearly lower in the last epochs than around epoch `since`."""
    losses = [
        row["train_loss"]
        for row in history
        if row["train_loss"] is not None and row["epoch"] >= since - 1
    ]
    then, now = statistics.median(losses[:3]), statistics.median(losses[-3:])
    return now < (1 - LEAST_FALL) * then


def _lower_rate(stage_name: str, history: Sequence[Row]) -> str:
    """A third of the highest rate so far, to one digit: `2e-5` after 5e-5."""
    digit, exponent = f"{max(row['learning_rate'] for row in history) / 3:.0e}".split("e")
    return f"--{_section(stage_name)}.peak-learning-rate {digit}e{int(exponent)}"


def _section(stage_name: str) -> str:
    return (
        "pretrain" if stage_name == "pretrain" else "finetune"
    )  # scratch has fine-tuning's settings


def _title(stage_name: str) -> str:
    return _TITLES.get(stage_name, stage_name)


def _loss(row: Row) -> str:
    return f"{row['validation_loss']:.4f}"


def _side(percent: float) -> str:
    return f"{abs(percent):.0f} % {'above' if percent >= 0 else 'below'}"
