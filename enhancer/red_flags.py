"""Signs that a training goes wrong, each with its likely cause and what to try: the plan's four, found while it runs.

A flag takes several epochs of evidence, because single validation losses jump.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from enhancer.history import Row, best_row

NOT_FALLING_EPOCHS = 5
"""Pre-training should be below its start by then; the warm-up is over or nearly so."""
LEAST_FALL = 0.02
"""Of the start's loss: less is noise."""
RISING_EPOCHS = 4
"""So many epochs in a row above the best by more than `RISE`."""
RISE = 0.03
"""Of the best loss: validation losses of neighbouring epochs differ by a percent or two in a healthy training."""
GAP_EPOCHS = 3
"""So many epochs in a row with a large gap."""
LARGE_GAP = 0.5
"""Of the training loss: validation half as large again. Validation sees central squares, training random crops, so a small gap means nothing."""


@dataclasses.dataclass(frozen=True)
class RedFlag:
    """Something that should not be, in words."""

    name: str
    """Such as "validation loss rises"."""
    sentence: str
    """What was seen, with its numbers."""
    cause: str
    """What it is likely to come from."""
    option: str
    """The recipe's option to try."""


def stage_flags(stage: str, history: Sequence[Row]) -> list[RedFlag]:
    """What is wrong with a stage so far.

    Args:
        stage: "pretrain", "finetune" or "scratch": names the options to try.
        history: its rows, epoch 0 first.
    """
    option = "pretrain" if stage == "pretrain" else "finetune"
    found = (_not_falling(option, history), _rising(stage, option, history), _gap(option, history))
    return [flag for flag in found if flag is not None]


def run_flags(histories: Mapping[str, Sequence[Row]], results: Mapping[str, Any] | None = None) -> list[RedFlag]:
    """What is wrong with a finished run: every stage's flags, and whether pre-training did harm.

    Args:
        histories: by stage.
        results: what `enhancer.evaluation.build_results` returned; the test photos decide then, else the validation losses.
    """
    flags = [flag for stage, history in histories.items() for flag in stage_flags(stage, history)]
    worse = _worse_on_test(results) if results else _worse_on_validation(histories)
    return flags + ([worse] if worse else [])


def transfer_summary(histories: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """What pre-training did for fine-tuning, in numbers.

    Returns:
        Validation losses in [0, 1], epochs, and percent; None where a stage is missing. "jump" is the loss at fine-tuning's
        start over pre-training's best; "fewer_epochs_percent" how many fewer epochs fine-tuning took to scratch's best loss than scratch.
    """
    pretrain, finetune, scratch = (list(histories.get(stage, ())) for stage in ("pretrain", "finetune", "scratch"))
    summary: dict[str, Any] = dict.fromkeys(
        ("pretrain_best", "finetune_start", "jump", "scratch_start", "finetune_best", "finetune_best_epoch")
        + ("scratch_best", "scratch_best_epoch", "epochs_to_scratch_best", "fewer_epochs_percent")
        + ("finetune_gap", "scratch_gap")
    )
    if pretrain:
        summary["pretrain_best"] = best_row(pretrain)["validation_loss"]
    if finetune:
        best = best_row(finetune)
        summary |= {"finetune_start": finetune[0]["validation_loss"], "finetune_gap": best.get("gap")}
        summary |= {"finetune_best": best["validation_loss"], "finetune_best_epoch": best["epoch"]}
        if pretrain and summary["pretrain_best"] > 0:
            summary["jump"] = summary["finetune_start"] / summary["pretrain_best"]
    if scratch:
        best = best_row(scratch)
        summary |= {"scratch_start": scratch[0]["validation_loss"], "scratch_gap": best.get("gap")}
        summary |= {"scratch_best": best["validation_loss"], "scratch_best_epoch": best["epoch"]}
    if finetune and scratch:
        reached = [row["epoch"] for row in finetune if row["validation_loss"] <= summary["scratch_best"]]
        summary["epochs_to_scratch_best"] = reached[0] if reached else None
        if reached and summary["scratch_best_epoch"]:
            summary["fewer_epochs_percent"] = 100 * (1 - reached[0] / summary["scratch_best_epoch"])
    return summary


def transfer_sentences(histories: Mapping[str, Sequence[Row]]) -> list[str]:
    """`transfer_summary` in words."""
    seen = transfer_summary(histories)
    sentences = []
    if seen["jump"] is not None:
        sentences.append(
            f"Moving to the new photos, the validation loss went from {seen['pretrain_best']:.4f} (pre-training's best, on its own photos) to "
            f"{seen['finetune_start']:.4f} before the first step of fine-tuning."
        )
    if seen["finetune_start"] is not None and seen["scratch_start"] is not None:
        sentences.append(f"Training from scratch starts at {seen['scratch_start']:.4f} on the same photos.")
    if seen["finetune_best"] is not None:
        sentences.append(f"Fine-tuning is best in epoch {seen['finetune_best_epoch']}, at {seen['finetune_best']:.4f}.")
    if seen["scratch_best"] is not None:
        sentences.append(
            f"Training from scratch is best in epoch {seen['scratch_best_epoch']}, at {seen['scratch_best']:.4f}."
        )
    if seen["finetune_best"] is not None and seen["scratch_best"] is not None:
        if seen["epochs_to_scratch_best"] is None:
            sentences.append("Fine-tuning never reached scratch's best validation loss.")
        elif seen["fewer_epochs_percent"] is None:
            sentences.append("Scratch was never better than before its first step.")
        else:
            percent = seen["fewer_epochs_percent"]
            sentences.append(
                f"Fine-tuning reached scratch's best validation loss in epoch {seen['epochs_to_scratch_best']}, with "
                f"{abs(percent):.0f} % {'fewer' if percent >= 0 else 'more'} epochs (the plan expects 30 % fewer)."
            )
    if seen["finetune_gap"] is not None and seen["scratch_gap"] is not None:
        sentences.append(
            f"Validation minus training loss in the best epoch: {seen['finetune_gap']:+.4f} fine-tuned, {seen['scratch_gap']:+.4f} from "
            "scratch.".replace("-", "−")
        )
    return sentences


def _not_falling(option: str, history: Sequence[Row]) -> RedFlag | None:
    if option != "pretrain" or history[-1]["epoch"] < NOT_FALLING_EPOCHS:
        return None
    start, best = history[0]["validation_loss"], best_row(list(history))
    if best["validation_loss"] < (1 - LEAST_FALL) * start:
        return None
    return RedFlag(
        "pre-training does not learn",
        f"After {history[-1]['epoch']} epochs the validation loss is at best {best['validation_loss']:.4f}, and was {start:.4f} before the first.",
        "The learning rate is too high, or inputs and targets do not belong together.",
        "Try a tenth of --pretrain.peak-learning-rate, and look at the pairs in the data's preparation report.",
    )


def _rising(stage: str, option: str, history: Sequence[Row]) -> RedFlag | None:
    recent = history[-RISING_EPOCHS:]
    best = best_row(list(history))
    if len(recent) < RISING_EPOCHS or recent[0]["epoch"] <= best["epoch"]:
        return None
    if any(row["validation_loss"] < (1 + RISE) * best["validation_loss"] for row in recent):
        return None
    cause = "The learning rate is too high, or the network learns the few training pairs by heart."
    options = f"Try a third of --{option}.peak-learning-rate, or --{option}.augmentation strong"
    if stage == "finetune":
        options += ", --finetune.level-decay 0.7 or --finetune.frozen-levels 2"
    return RedFlag(
        "validation loss rises",
        f"For {RISING_EPOCHS} epochs the validation loss has been more than {RISE:.0%} above its best, {best['validation_loss']:.4f} in epoch "
        f"{best['epoch']}; now {history[-1]['validation_loss']:.4f}.".replace("%", " %"),
        cause,
        options + ".",
    )


def _gap(option: str, history: Sequence[Row]) -> RedFlag | None:
    recent = [row for row in history[-GAP_EPOCHS:] if row.get("train_loss")]
    if len(recent) < GAP_EPOCHS:
        return None
    if any(row["validation_loss"] < (1 + LARGE_GAP) * row["train_loss"] for row in recent):
        return None
    last = recent[-1]
    return RedFlag(
        "large train/validation gap",
        f"For {GAP_EPOCHS} epochs the validation loss has been half as large again as the training loss, or more: "
        f"{last['validation_loss']:.4f} against {last['train_loss']:.4f}.",
        "The network learns the training pairs by heart: too few of them, or too little regularisation.",
        f"Try --{option}.augmentation strong, --{option}.weight-decay 1e-3"
        + (", --finetune.mix-weight 0.3" if option == "finetune" else "")
        + f" or --{option}.ema-decay 0.999.",
    )


_WORSE_CAUSE = "The photos of the two stages differ too much, or fine-tuning moved too little from where it began."
_WORSE_OPTION = "Try --finetune.mix-weight 0.3, a higher --finetune.peak-learning-rate, or --finetune.level-decay 0.7."


def _worse_on_test(results: Mapping[str, Any]) -> RedFlag | None:
    pair = results["paired"].get("finetuned_vs_scratch")
    if pair is None or pair["l1"]["low"] is None or pair["l1"]["low"] <= 0:
        return None
    return RedFlag(
        "worse than from scratch",
        f"On the {pair['l1']['n']} test photos the fine-tuned network's L1 is {pair['l1']['mean']:+.4f} against training from scratch, and the 95 % "
        "interval lies above zero.",
        _WORSE_CAUSE,
        _WORSE_OPTION,
    )


def _worse_on_validation(histories: Mapping[str, Sequence[Row]]) -> RedFlag | None:
    seen = transfer_summary(histories)
    ours, theirs = seen["finetune_best"], seen["scratch_best"]
    if ours is None or theirs is None or ours <= (1 + RISE) * theirs:
        return None
    return RedFlag(
        "worse than from scratch",
        f"The best validation loss is {ours:.4f} fine-tuned and {theirs:.4f} from scratch.",
        _WORSE_CAUSE,
        _WORSE_OPTION,
    )
