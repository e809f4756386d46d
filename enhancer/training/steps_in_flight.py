"""The steps that were sent to the device and may still run there: the host does not wait for each."""

import collections
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from enhancer.data.batches import TrainBatch
from enhancer.training.step import StepReport

LAG = 2  # steps sent off before the host reads what the oldest of them said


class FinishedStep(NamedTuple):
    """What a step has said, as plain numbers."""

    step: int
    batch: TrainBatch
    loss: float
    gradient_norm: float
    skips_in_a_row: int
    request: int


class StepsInFlight:
    """A queue of at most `LAG` steps."""

    def __init__(self):
        self._steps: collections.deque[tuple[int, TrainBatch, StepReport]] = collections.deque()

    def add(self, step: int, batch: TrainBatch, report: StepReport) -> list[FinishedStep]:
        """Note a step that was sent off, and return those that `LAG` others have followed: reading them waits for nothing new."""
        self._steps.append((step, batch, report))
        return [self._read() for _ in range(len(self._steps) - LAG)]

    def wait_for_all(self) -> list[FinishedStep]:
        """Wait for the steps that are left, and return them."""
        return [self._read() for _ in range(len(self._steps))]

    def _read(self) -> FinishedStep:
        step, batch, report = self._steps.popleft()
        return FinishedStep(
            step,
            batch,
            float(report.loss),
            float(report.gradient_norm),
            int(report.skips_in_a_row),
            int(report.request),
        )


def save_batch(finished: FinishedStep, folder: Path) -> None:
    """Write this process's share of a batch as PNG pictures, named by row and pair, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for row, name in enumerate(finished.batch.ids):
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
        for role, pictures in finished.batch.pictures.items():
            pixels = np.nan_to_num(pictures[row]).clip(0, 255).astype("uint8")
            (folder / f"{row}_{safe}_{role}.png").write_bytes(
                cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
            )
