"""The host runs ahead of the device: it reads of a step only once others were sent off after it."""

from pathlib import Path
from typing import Any

from enhancer.config import StageConfig
from enhancer.training.checkpoints import Progress
from enhancer.training.step import StepReport
from enhancer.training.steps_in_flight import LAG, StepsInFlight


class OnDevice:
    """A number that a step left on the device; `read` notes whose numbers came to the host."""

    def __init__(self, step: int, read: list[int]):
        self._step, self._read = step, read

    def __float__(self) -> float:
        self._read.append(self._step)
        return 0.5

    def __int__(self) -> int:
        self._read.append(self._step)
        return 0


def test_a_step_is_read_once_and_only_when_enough_others_followed():
    assert LAG >= 1
    read: list[int] = []
    progress = Progress(num_pairs=4)
    in_flight = StepsInFlight(progress, StageConfig(), Path("unused"))
    reads_of_a_step = len(StepReport._fields) - 1  # the norm is for skipped steps
    for step in range(5):
        progress.step = step
        report: Any = StepReport(*(OnDevice(step, read) for _ in StepReport._fields))
        batch: Any = None
        in_flight.add(batch, report)
        assert sorted(set(read)) == list(range(step - LAG + 1))
        assert len(read) == reads_of_a_step * len(set(read))
    read.clear()
    in_flight.wait_for_all()
    assert set(read) == set(range(5 - LAG, 5))
    read.clear()
    in_flight.wait_for_all()
    assert not read
