"""Can the data keep up with the step, and what does the trainer cost around it?

    python -m benchmarks.pipeline
    python -m benchmarks.pipeline --model small --resolution 256 --batch 1

First the rate of the input pipeline on JPEG pairs in memory, against decoding alone. Then the rate
of a short real training against that of its compiled step, measured before and after it in the same
process: 1.00 means that the trainer costs nothing. Rates count pairs. Ctrl-C keeps what is
finished.
"""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import tyro

from benchmarks.cases import Case, Dtype
from enhancer.config import MODEL_SIZES, ModelSize, StageConfig

# What needs JAX and Keras is imported once the command line is understood.

INTERRUPTED, WRONG_USAGE = 130, 2
_PHOTO_SIZES = ((512, 512), (683, 1024))  # height, width
_DATA_RESOLUTION, _DATA_BATCH, _DATA_PAIRS, _WARM_UP_BATCHES = 512, 4, 16, 2
_BARE_STEPS = 10  # before the training, and again after it
_VALIDATION_PAIRS = 2


@dataclasses.dataclass(frozen=True)
class Arguments:
    __doc__ = __doc__

    model: ModelSize = "small"
    """The network that is trained."""
    resolution: int = 128
    """Side of the training crops, a multiple of 8."""
    batch: int = 2
    """Pairs per step."""
    dtype: Dtype = "float32"
    """bfloat16 is the trainer's precision "mixed"."""
    pairs: int = 128
    """Training pairs, 512 x 512: an epoch."""
    epochs: int = 3
    """Epochs that count, after one that compiles."""
    seconds: float = 3.0
    """Time for each measurement of the data side."""
    json: Path | None = None
    """File for the numbers."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m benchmarks.pipeline")
    if arguments.resolution % 8 or not 1 <= arguments.batch <= arguments.pairs:
        print("--resolution takes a multiple of 8, --batch 1 to --pairs.", file=sys.stderr)
        return WRONG_USAGE

    from benchmarks import machine
    from benchmarks.table import aligned
    from enhancer.system.files import write_json

    about = machine.describe()
    print(machine.sentence(about), flush=True)
    found: dict[str, Any] = {"machine": about, "data": [], "trainer": None}
    try:
        for row in data_rows(arguments.seconds):
            found["data"].append(row)
        found["trainer"] = measure_trainer(arguments)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    finally:
        print(f"\n{aligned(found['data'])}\n")
        if found["trainer"]:
            print(aligned([found["trainer"]]))
        if arguments.json:
            write_json(arguments.json, found)
    return 0


def data_rows(seconds: float):
    from benchmarks.synthetic_photos import pairs

    stage = StageConfig(resolution=_DATA_RESOLUTION, batch_size=_DATA_BATCH)
    for height, width in _PHOTO_SIZES:
        source = pairs(_DATA_PAIRS, height, width)
        for threads in (1, 2):
            _progress(f"data: {width}x{height}, {threads} threads")
            pipeline = _pipeline_rate(source, stage, threads, seconds)
            decode = _decode_rate(source, threads, seconds)
            rates = {"pipeline pairs/s": pipeline, "decode pairs/s": decode}
            yield {"photo": f"{width}x{height}", "threads": threads} | rates


def _pipeline_rate(source: Any, stage: StageConfig, num_threads: int, seconds: float) -> float:
    """Of decode, crop, resize, flip and batch, when nobody keeps it waiting."""
    from enhancer.data import batches

    with mock.patch.object(batches, "NUM_THREADS", num_threads):  # a constant, not a setting
        stream = batches.train_batches(source, stage)
        for _ in range(_WARM_UP_BATCHES):
            next(stream)
        started, number = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - started) < seconds or not number:
            next(stream)
            number += 1
        stream.close()
    return number * stage.batch_size / elapsed


def _decode_rate(source: Any, num_threads: int, seconds: float) -> float:
    """Of decoding both pictures of each pair: what the pipeline cannot exceed."""
    from enhancer.data.pairs import decode_pair

    started = time.perf_counter()

    def decode_until_deadline(_: int) -> int:
        for number, record in enumerate(itertools.cycle(source), 1):
            decode_pair(record)
            if time.perf_counter() > started + seconds:
                return number
        return 0

    with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
        number = sum(pool.map(decode_until_deadline, range(num_threads)))
    return number / (time.perf_counter() - started)


def measure_trainer(arguments: Arguments) -> dict[str, Any]:
    """Run bare steps, train, run bare steps again, and compare the rates.

    The bare step gets one uint8 batch from the host again and again. The first epoch compiles and
    does not count. The rate of whole epochs has validation and the checkpoint in it as well.
    """
    from benchmarks.program import OurProgram, random_pictures
    from benchmarks.synthetic_photos import pairs
    from benchmarks.timing import median, seconds_of
    from enhancer.training.loop import train

    batch = arguments.batch
    case = Case("train_step", arguments.model, arguments.resolution, batch, arguments.dtype)
    _progress(f"trainer: {case}")
    bare = OurProgram(case, random_pictures(case))
    bare()
    before = seconds_of(lambda: bare.run_many(_BARE_STEPS)) / _BARE_STEPS
    source = pairs(arguments.pairs, *_PHOTO_SIZES[0])
    validation = _Watched(source[:_VALIDATION_PAIRS])
    stage = StageConfig(
        resolution=arguments.resolution,
        batch_size=batch,
        epochs=arguments.epochs + 1,
        early_stopping_patience=arguments.epochs + 1,
        precision="mixed" if arguments.dtype == "bfloat16" else "float32",
        remat="none",
    )
    # Standard output is for the table.
    folder = tempfile.TemporaryDirectory(prefix="enhancer-stage-")
    with folder as name, contextlib.redirect_stdout(sys.stderr):
        stage_dir = Path(name) / "benchmark"
        trained = train(stage, MODEL_SIZES[arguments.model], source, validation, stage_dir)
    after = seconds_of(lambda: bare.run_many(_BARE_STEPS)) / _BARE_STEPS
    trainer = median([row["images_per_second"] for row in trained.history[2:]])
    validated = validation.first_read[1:]  # but the untrained network's
    epochs = [later - earlier for earlier, later in itertools.pairwise(validated)]
    bare_rate = batch / median([before, after])
    whole = arguments.pairs // batch * batch / median(epochs)
    return {
        "bare pairs/s, before": batch / before,
        "after": batch / after,
        "trainer pairs/s": trainer,
        "trainer / bare": trainer / bare_rate,
        "with validation and checkpoints": whole / bare_rate,
    }


class _Watched(list[dict[str, Any]]):
    """Pairs that note when the first of them is read: once per validation, so once per epoch."""

    def __init__(self, source: list[dict[str, Any]]):
        super().__init__(source)
        self.first_read: list[float] = []

    def __getitem__(self, index: Any) -> Any:
        if index == 0:
            self.first_read.append(time.monotonic())
        return super().__getitem__(index)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
