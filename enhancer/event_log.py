"""TensorBoard event files, written without TensorFlow."""

from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from enhancer.history import Row

_SCALARS = {
    "loss/train": "train_loss",
    "loss/validation": "validation_loss",
    "loss/gap": "gap",
    "learning_rate": "learning_rate",
    "images_per_second": "images_per_second",
    "skipped_steps": "skipped_steps",
}


class EventLog:
    """A stage's history for `tensorboard --logdir WORKDIR`. Use as a context manager.

    A continued stage begins another file, which tells TensorBoard to forget what came after the step where it begins.
    """

    def __init__(self, folder: Path, first_step: int):
        """Begin a file in `folder` for the rows after step `first_step`."""
        self._folder, self._first_step = folder, first_step

    def __enter__(self) -> "EventLog":
        # tensorboardX's annotations know an int only as a literal.
        purge: Any = self._first_step + 1
        self._writer = SummaryWriter(str(self._folder), purge_step=purge)
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def epoch(self, row: Row) -> None:
        """Write a row of the history at its step."""
        for tag, column in _SCALARS.items():
            if row[column] is not None:
                self._writer.add_scalar(tag, row[column], row["step"])
        self._writer.flush()
