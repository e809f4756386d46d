"""A stage's curves as a TensorBoard event file, without TensorFlow."""

import socket
import time
from pathlib import Path
from typing import Any

from tensorboardX import RecordWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]  # made at run time
from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

from enhancer.system.processes import is_first_process

_SCALARS = {
    "loss/train": "train_loss",
    "loss/validation": "validation_loss",
    "loss/gap": "gap",
    "learning_rate": "learning_rate",
    "images_per_second": "images_per_second",
    "skipped_steps": "skipped_steps",
}
"""TensorBoard's name of a curve: the key of a history's row."""
# No step was taken: zeros would be drawn.
_UNKNOWN_IN_EPOCH_0 = ("learning_rate", "images_per_second", "skipped_steps")


class EventLog:
    """Writes one stage's rows into `folder`, for `tensorboard --logdir` of it or of one above it.

    Of several processes the first one writes.

    Each start of the stage writes a file of its own, which begins where it continues: TensorBoard
    forgets what earlier files hold from that step on, so that a continued stage shows no step
    twice. Write a row before the checkpoint that belongs to it: a kill between the two then leaves
    an epoch that is written again, and not one that is missing.

    An epoch is on the disk when `epoch` returns. The file is opened with the first one, so a
    finished stage that is started again adds nothing.
    """

    def __init__(self, folder: Path):
        self._folder = Path(folder)
        self._file: RecordWriter | None = None

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def epoch(self, row: dict[str, Any]) -> None:
        """Write one epoch at its global step.

        Args:
            row: of the stage's history (see `enhancer.training.history`); what is None in it, such
                as epoch 0's training loss, is left out of the curve.

        Raises:
            OSError: the folder cannot be written to.
        """
        if not is_first_process():
            return
        step = row["step"]
        if self._file is None:
            self._file = self._start(step)
        unknown = () if row["epoch"] else _UNKNOWN_IN_EPOCH_0
        values = [
            Summary.Value(tag=tag, simple_value=float(row[key]))
            for tag, key in _SCALARS.items()
            if row[key] is not None and key not in unknown
        ]
        event = Event(wall_time=time.time(), step=step, summary=Summary(value=values))
        self._write(self._file, event)
        self._file.flush()

    def close(self) -> None:
        """Close the file; a row written after that begins a new one."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _start(self, step: int) -> RecordWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files in the order of their names. A number keeps that the order of
        # the starts, whatever the clocks of the machines say; "tfevents" is how it knows them.
        starts = [
            int(path.name.split(".")[3]) for path in self._folder.glob("events.out.tfevents.*.*")
        ]
        name = f"events.out.tfevents.{max(starts, default=0) + 1:010d}.{socket.gethostname()}"
        file = RecordWriter(str(self._folder / name))
        self._write(file, Event(wall_time=time.time(), file_version="brain.Event:2"))
        # Events of this and later steps in earlier files are void.
        session = SessionLog(status=SessionLog.START)
        self._write(file, Event(wall_time=time.time(), step=step, session_log=session))
        return file

    @staticmethod
    def _write(file: RecordWriter, event: Any) -> None:
        file.write(event.SerializeToString())
