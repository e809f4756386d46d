"""`python -m benchmarks.demo_load --workdir RUN`: many clients send large photos at the same time.

Each photo carries a pattern of its own, so that a result that reaches the wrong client is found.
The server runs as in production, in a process of its own, whose resident memory (with that of its
decoders) is sampled throughout.
"""

import concurrent.futures
import contextlib
import dataclasses
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import tyro

_BITS = 10
"""Of the pattern: dark and bright fields along the top edge."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Send photos to the demo from many clients, and check that each gets its own back.

    Exit codes: 0 all is right, 1 a result is missing or another's, or memory did not come back to
    within 10 %.
    """

    workdir: Annotated[Path, tyro.conf.arg(metavar="RUN")] = Path("runs/quick")
    """A run with a trained model; python -m recipes.fivek_transfer quick makes one."""
    clients: int = 8
    photos: int = 5
    """Of each client, one after the other."""
    megapixels: float = 12.0
    settle_seconds: float = 5.0
    """Wait after the load before the memory is read."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m benchmarks.demo_load")
    with tempfile.TemporaryDirectory() as name, _server(arguments.workdir) as (address, process):
        folder = Path(name)
        width = 4 * round((arguments.megapixels * 1e6 * 4 / 3) ** 0.5 / 4)
        numbers = range(arguments.clients * arguments.photos)
        paths = [
            _write_photo(folder / f"photo_{number}.jpg", number, width * 3 // 4, width)
            for number in numbers
        ]
        at_start = _resident_megabytes(process)
        # What a first photo leaves behind for good (stacks, arenas, lazy imports) is not a leak.
        _visit(address, paths[:2], folder / "first")
        baseline = _settle(process, arguments.settle_seconds)
        groups = [list(paths[client :: arguments.clients]) for client in range(arguments.clients)]
        with (
            _peak(process) as peak,
            concurrent.futures.ThreadPoolExecutor(arguments.clients) as pool,
        ):
            started = time.perf_counter()
            visits = list(
                pool.map(
                    _visit,
                    [address] * len(groups),
                    groups,
                    [folder / f"client_{i}" for i in range(len(groups))],
                )
            )
            seconds = time.perf_counter() - started
        after = _settle(process, arguments.settle_seconds)
    answers = [answer for visit in visits for answer in visit]
    right = sum(is_right for is_right, _ in answers)
    waits = sorted(wait for _, wait in answers)
    change = after / baseline - 1
    print(
        f"{len(answers)} of {len(paths)} photos of {width} x {width * 3 // 4} pixels answered, "
        f"{right} with the right picture"
    )
    print(
        f"{seconds:.1f} s in all, {seconds / len(paths):.2f} s a photo; a client waited "
        f"{statistics.median(waits):.1f} s (median), {waits[-1]:.1f} s at most"
    )
    print(
        f"resident memory: {at_start:.0f} MB at the start, {baseline:.0f} MB after two photos, "
        f"{peak[0]:.0f} MB at most, {after:.0f} MB after the load ({change:+.1%})"
    )
    return 0 if right == len(paths) and abs(change) <= 0.10 else 1


def _visit(address: str, paths: list[Path], folder: Path) -> list[tuple[bool, float]]:
    """Return for each photo whether its own result came back, and after how many seconds."""
    import gradio_client

    client = gradio_client.Client(
        address, verbose=False, download_files=folder, httpx_kwargs={"timeout": 60}
    )
    answers = []
    for path in paths:
        started = time.perf_counter()
        result = client.predict(gradio_client.handle_file(str(path)), 1.0, api_name="/enhance")
        seconds = time.perf_counter() - started
        answers.append((_number_in(Path(result)) == _number_in(path), seconds))
    client.close()
    return answers


def _write_photo(path: Path, number: int, height: int, width: int) -> Path:
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    pixels = np.stack([50 + 120 * x, 40 + 110 * y, 60 + 80 * x * y], axis=-1)
    pixels += np.random.default_rng(number).normal(0, 3, (height, width, 1)).astype(np.float32)
    fields = pixels[: height // 8].reshape(height // 8, -1, 3)
    for bit in range(_BITS):
        fields[:, bit * width // _BITS : (bit + 1) * width // _BITS] = (
            190 if number >> bit & 1 else 30
        )
    cv2.imwrite(str(path), pixels.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 95])
    return path


def _number_in(path: Path) -> int:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    height, width = picture.shape
    strip = picture[height // 32 : height // 10]
    margin = width // _BITS // 4
    levels = [
        strip[:, bit * width // _BITS + margin : (bit + 1) * width // _BITS - margin].mean()
        for bit in range(_BITS)
    ]
    # Bit 9 is never set here: the first photo number would have to be 512.
    return sum(1 << bit for bit, level in enumerate(levels) if level > levels[-1] + 40)


@contextlib.contextmanager
def _server(workdir: Path) -> Iterator[tuple[str, int]]:
    server = subprocess.Popen(
        [sys.executable, "-m", "demo", "--workdir", str(workdir), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = None
        for line in server.stdout or ():
            if found := re.search(r"open at (http\S+)", line):
                address = found[1]
                break
        if address is None:
            raise SystemExit(f"The demo did not start; is there a model in {workdir}?")
        threading.Thread(target=lambda: server.stdout.read(), daemon=True).start()
        yield address, server.pid
    finally:
        server.terminate()
        server.wait()


def _resident_megabytes(process: int) -> float:
    """Resident memory of a process and its children, in units of 1,000,000 bytes."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, StopIteration):
            parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
            if str(process) in (folder.name, parent):
                lines = (folder / "status").read_text().splitlines()
                total += int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
    return total * 1024 / 1e6


def _settle(process: int, seconds: float) -> float:
    time.sleep(seconds)
    return _resident_megabytes(process)


@contextlib.contextmanager
def _peak(process: int) -> Iterator[list[float]]:
    peak, stop = [0.0], threading.Event()

    def sample() -> None:
        while not stop.wait(0.1):
            peak[0] = max(peak[0], _resident_megabytes(process))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield peak
    finally:
        stop.set()
        sampler.join()


if __name__ == "__main__":
    sys.exit(main())
