"""How far a stage has come: all that a checkpoint holds beside arrays, as plain numbers."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from enhancer.training.history import Row


@dataclasses.dataclass
class Progress:
    """Where a stage stands. The position in the data follows from `step` and the stage's seed."""

    num_pairs: int
    """Training pairs, kept to notice that a stage is continued on other data."""
    step: int = 0
    """Steps taken, skipped ones included."""
    history: list[Row] = dataclasses.field(default_factory=list)
    """A row per finished epoch, epoch 0 being the state before the first step."""
    loss_sum: float = 0.0
    """Over the finite losses of the epoch that has begun."""
    num_losses: int = 0
    """Their number."""
    skipped_steps: int = 0
    """Steps of the epoch that has begun that changed nothing."""
    skips_in_a_row: int = 0
    """The latest steps without a break that changed nothing."""

    @property
    def epoch(self) -> int:
        """The last finished epoch."""
        return self.history[-1]["epoch"]

    @property
    def at_epoch_end(self) -> bool:
        """Whether no step has been taken since the last row."""
        return bool(self.history) and self.history[-1]["step"] == self.step

    @property
    def train_loss(self) -> float | None:
        """Mean of the epoch so far; None before a finite loss."""
        return self.loss_sum / self.num_losses if self.num_losses else None

    def add(self, loss: float, skips_in_a_row: int) -> None:
        """Count a step that has run."""
        self.skips_in_a_row = skips_in_a_row
        if skips_in_a_row:
            self.skipped_steps += 1
        else:
            self.loss_sum += loss
            self.num_losses += 1

    def finish_epoch(self, row: Row) -> None:
        """Add the epoch's row and begin the next."""
        self.history.append(row)
        self.loss_sum, self.num_losses, self.skipped_steps = 0.0, 0, 0

    def to_json(self) -> dict[str, Any]:
        """A copy as JSON holds it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Progress":
        return cls(**fields)
