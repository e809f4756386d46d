"""A stage's history: a row per epoch, and what the rows say."""

from collections.abc import Sequence
from typing import Any

from enhancer.config import StageConfig

Row = dict[str, Any]
"""Of `history.json`. Losses are L1 in [0, 1]; the gap is validation minus training loss, and like
the training loss None in epoch 0, which trains nothing."""


def best_row(history: Sequence[Row]) -> Row:
    """The row with the lowest validation loss, the earlier of two equal ones."""
    return min(history, key=lambda row: (row["validation_loss"], row["epoch"]))


def first_row_at(history: Sequence[Row], loss: float) -> Row | None:
    """The first row whose validation loss is `loss` or lower, None if there is none."""
    return next((row for row in history if row["validation_loss"] <= loss), None)


def percent_fewer(epochs: int, of: int) -> float | None:
    """Percent by which `epochs` are fewer than `of`, negative if more; None if `of` is 0."""
    return 100.0 * (1.0 - epochs / of) if of > 0 else None


def stopped_early(history: Sequence[Row], stage: StageConfig) -> bool:
    """Whether `early_stopping_patience` epochs have passed without a better validation loss.
    Never in a stage that keeps its last epoch."""
    waited = history[-1]["epoch"] - best_row(history)["epoch"]
    return stage.keep == "best" and waited >= stage.early_stopping_patience


def is_finished(history: Sequence[Row], stage: StageConfig) -> bool:
    """Whether the stage has come to its end, early or not."""
    return history[-1]["epoch"] >= stage.epochs or stopped_early(history, stage)


def sentence(label: str, history: Sequence[Row], stage: StageConfig) -> str:
    """The latest row for a log."""
    row, best = history[-1], best_row(history)
    marker = f"best {best['validation_loss']:.4f} in epoch {best['epoch']}"
    if best is row:
        marker = "best so far"
    train_loss = "–" if row["train_loss"] is None else f"{row['train_loss']:.4f}"
    skipped = f"  {row['skipped_steps']} steps skipped" if row["skipped_steps"] else ""
    return (
        f"{label}: epoch {row['epoch']}/{stage.epochs}  train {train_loss}  "
        f"validation {row['validation_loss']:.4f} ({marker})  "
        f"{row['images_per_second']:.1f} images/s{skipped}"
    )
