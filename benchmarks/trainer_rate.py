"""What the trainer adds to its compiled step: data, logging, and the loop."""

import contextlib
import itertools
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.cases import Case
from benchmarks.our_programs import OurProgram, random_pictures
from benchmarks.synthetic_photos import pairs
from benchmarks.timing import median, seconds_of
from enhancer.config import MODEL_SIZES, StageConfig
from enhancer.training.loop import train

_BARE_STEPS = 10  # before the training, and again after it
_VALIDATION_PAIRS = 2


def trainer_against_bare_step(
    case: Case, num_pairs: int, epochs: int, photo_size: tuple[int, int]
) -> dict[str, Any]:
    """Run bare steps, train, run bare steps again, and compare the rates.

    The bare step gets one uint8 batch from the host again and again, in the precision and with the rematerialisation of
    the training. The first epoch compiles and does not count. The trainer's rate is that of its steps; the rate of whole
    epochs has the validation of two pairs and the checkpoint in it as well.

    Args:
        case: a train step.
        num_pairs: pairs per epoch.
        epochs: epochs that count.
        photo_size: height and width of the encoded photos.
    """
    bare = OurProgram(case, random_pictures(case))
    bare()
    before = _seconds_per_step(bare)
    source = pairs(num_pairs, *photo_size)
    validation_source = _Watched(source[:_VALIDATION_PAIRS])
    stage = StageConfig(
        resolution=case.size,
        batch_size=case.batch,
        epochs=epochs + 1,
        early_stopping_patience=epochs + 1,
        precision="mixed" if case.dtype == "bfloat16" else "float32",
        remat="block" if case.remat else "none",
    )
    # Standard output is for the table.
    with (
        tempfile.TemporaryDirectory(prefix="enhancer-stage-") as folder,
        contextlib.redirect_stdout(sys.stderr),
    ):
        stage_dir = Path(folder) / "benchmark"
        history = train(
            stage, MODEL_SIZES[case.model], source, validation_source, stage_dir
        ).history
    after = _seconds_per_step(bare)
    trainer = median([row["images_per_second"] for row in history[2:]])
    validated = validation_source.first_read[1:]  # but the untrained network's
    epochs_s = [later - earlier for earlier, later in itertools.pairwise(validated)]
    bare_rate = case.batch / median([before, after])
    whole = num_pairs // case.batch * case.batch / median(epochs_s)
    return {
        "bare_before_pairs_per_second": case.batch / before,
        "bare_after_pairs_per_second": case.batch / after,
        "bare_pairs_per_second": bare_rate,
        "trainer_pairs_per_second": trainer,
        "trainer_over_bare": trainer / bare_rate,
        "whole_epochs_pairs_per_second": whole,
        "whole_epochs_over_bare": whole / bare_rate,
    }


class _Watched(list[dict[str, Any]]):
    """Pairs that note when the first of them is read: once per validation, that is once per epoch."""

    def __init__(self, source: list[dict[str, Any]]):
        super().__init__(source)
        self.first_read: list[float] = []

    def __getitem__(self, index: Any) -> Any:
        if index == 0:
            self.first_read.append(time.monotonic())
        return super().__getitem__(index)


def _seconds_per_step(bare: OurProgram) -> float:
    """Of steps sent off one after the other, as the trainer does, and waited for once."""
    return seconds_of(lambda: bare.run_many(_BARE_STEPS)) / _BARE_STEPS
