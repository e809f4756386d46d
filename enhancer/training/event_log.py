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
    """Writes one stage's rows into `folder`, for `tensorboard --logdir`; the first process alone.

    Each start of the stage writes a file of its own: TensorBoard forgets what earlier files hold
    from its first step on, so that a continued stage shows no step twice. Write a row before its
    checkpoint: a kill between the two then leaves an epoch that is written again, not one that is
    missing. The file is opened with the first epoch, which is on the disk when `epoch` returns.
    """

    def __init__(self, folder: Path):
        self._folder = Path(folder)
        self._file: RecordWriter | None = None

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def epoch(self, row: dict[str, Any]) -> None:
        """Write a row of the stage's history at its global step, without what is None in it.

        Raises:
            OSError: the folder cannot be written to.
        """
        if not is_first_process():
            return
        if self._file is None:
            self._file = self._start(row["step"])
        unknown = () if row["epoch"] else _UNKNOWN_IN_EPOCH_0
        values = [
            Summary.Value(tag=tag, simple_value=float(row[key]))
            for tag, key in _SCALARS.items()
            if row[key] is not None and key not in unknown
        ]
        event = Event(wall_time=time.time(), step=row["step"], summary=Summary(value=values))
        self._file.write(event.SerializeToString())
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _start(self, step: int) -> RecordWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files in the order of their names, which a number keeps whatever the
        # clocks of the machines say; "tfevents" is how it knows them.
        files = self._folder.glob("events.out.tfevents.*.*")
        last = max((int(path.name.split(".")[3]) for path in files), default=0)
        name = f"events.out.tfevents.{last + 1:010d}.{socket.gethostname()}"
        file = RecordWriter(str(self._folder / name))
        session = SessionLog(status=SessionLog.START)
        for what in ({"file_version": "brain.Event:2"}, {"step": step, "session_log": session}):
            file.write(Event(wall_time=time.time(), **what).SerializeToString())
        return file
