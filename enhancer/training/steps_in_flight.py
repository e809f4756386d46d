"""Steps that were sent to the device and may still run there: the host does not wait for each."""

import collections
from pathlib import Path

import cv2
import jax
import numpy as np

from enhancer.config import StageConfig
from enhancer.data.batches import TrainBatch
from enhancer.system.console import say
from enhancer.system.errors import EnhancerError
from enhancer.system.interruption import NOTHING
from enhancer.training.checkpoints import Progress
from enhancer.training.step import StepReport

LAG = 2  # steps sent off before the host reads what the oldest of them said


class TrainingError(EnhancerError):
    """Training cannot go on; the message says why and what to try."""

    exit_code = 1


class StepsInFlight:
    """A queue of at most `LAG` steps; what those that have run say is counted in `progress`."""

    def __init__(self, progress: Progress, stage: StageConfig, stage_dir: Path):
        self._progress, self._stage, self._stage_dir = progress, stage, stage_dir
        self._steps: collections.deque[tuple[int, TrainBatch, StepReport]] = collections.deque()

    def add(self, batch: TrainBatch, report: StepReport) -> int:
        """Note the step that was sent off, and count those that `LAG` others have followed.

        Returns:
            The greatest request that came with these; reading them waits for nothing new.

        Raises:
            TrainingError: too many steps in a row were skipped.
        """
        self._steps.append((self._progress.step, batch, report))
        return self._count(len(self._steps) - LAG)

    def wait_for_all(self) -> int:
        """Wait for the steps that are left, and count them: `add`'s request and error."""
        return self._count(len(self._steps))

    def _count(self, number: int) -> int:
        requests = [NOTHING]
        for _ in range(number):
            step, batch, report = self._steps.popleft()
            loss, skips = float(report.loss), int(report.skips_in_a_row)
            self._progress.add(loss, skips)
            requests.append(int(report.request))
            if skips:
                norm = float(report.gradient_norm)
                what = f"loss {loss}, gradient norm {norm}; pairs {', '.join(batch.ids)}"
                self._report_skip(step, batch, skips, what)
        return max(requests)

    def _report_skip(self, step: int, batch: TrainBatch, skips: int, what: str) -> None:
        label = self._stage_dir.name
        if skips < self._stage.max_consecutive_skips:
            say(f"{label}: step {step} was skipped, it is not finite: {what}", each_process=True)
            return
        own = f"_process_{jax.process_index()}" if jax.process_count() > 1 else ""
        folder = self._stage_dir / "not_finite" / f"step_{step}{own}"
        save_batch(batch, folder)
        raise TrainingError(
            f"{label}: {skips} steps in a row were not finite, the last one is step {step}: "
            f"{what}. Its pictures are in {folder}; the last good checkpoint is kept. Look at the "
            "pictures; if they are good, try a lower peak learning rate or precision float32, in a "
            "new workdir."
        )


def save_batch(batch: TrainBatch, folder: Path) -> None:
    """Write this process's share of a batch into `folder` as PNG, named by row and pair."""
    folder.mkdir(parents=True, exist_ok=True)
    for row, name in enumerate(batch.ids):
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
        for role, pictures in batch.pictures.items():
            pixels = np.nan_to_num(pictures[row]).clip(0, 255).astype("uint8")
            encoded = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
            (folder / f"{row}_{safe}_{role}.png").write_bytes(encoded)
