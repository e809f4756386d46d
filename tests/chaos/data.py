"""Kill the making of a data set at random moments, start it again, and compare what it leaves.

    python -m tests.chaos.data                      twenty kills, five minutes on two cores
    python -m tests.chaos.data --kills 3 --seed 1
    python -m tests.chaos.data --source server      fetched from a server on this machine

Each trial builds the miniature FiveK (RAW and TIFF files) in a folder of its own with `python -m
datasets build`. It is killed with SIGKILL once and then started again with the same command. A
tenth of the kills come while the program starts, six tenths a random number of prepared pairs
later, three tenths while the records are written. Compared with a build that nobody disturbed are
the hashes of every file of the prepared folder (without `run` in its metadata, which says when it
was made) and of the records. Nothing else may be left: no temporary or incomplete file.

Exit codes: 0 all equal, 1 not.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import tyro

from tests.helpers import misbehaving_server

ROOT = Path(__file__).resolve().parents[2]
_KEEPS = ("prepared", "fivek")


@dataclasses.dataclass(frozen=True)
class Arguments:
    __doc__ = __doc__

    kills: int = 20
    """Trials."""
    seed: int = 0
    """Draws the moments."""
    pairs: int = 40
    """Of the data set."""
    size: int = 448
    """Long edge of the source photos, in pixels."""
    source: Literal["folder", "server"] = "folder"
    """Where the photos come from."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m tests.chaos.data")
    moments = random.Random(arguments.seed)
    with contextlib.ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="enhancer-chaos-data-"))
        )
        source = stack.enter_context(provide_source(folder / "source", arguments))
        began = time.monotonic()
        if start(source, folder / "undisturbed").wait():
            print((folder / "undisturbed.log").read_text(), file=sys.stderr)
            return 1
        duration = time.monotonic() - began
        expected = outcome(folder / "undisturbed")
        total = hashlib.sha256(json.dumps(expected).encode()).hexdigest()
        print(f"undisturbed: {duration:.1f} s, {len(expected)} files, {total[:16]}", flush=True)
        equal = 0
        for trial in range(1, arguments.kills + 1):
            data_dir = folder / f"trial{trial}"
            began = time.monotonic()
            process = start(source, data_dir)
            wait_for_a_moment(process, data_dir, moments, arguments.pairs)
            moment = time.monotonic() - began
            process.send_signal(signal.SIGKILL)
            process.wait()
            at = describe(data_dir)
            code = start(source, data_dir).wait()
            found = outcome(data_dir)
            left = leftovers(data_dir)
            same = code == 0 and found == expected and not left
            equal += same
            verdict = "equal" if same else "DIFFERENT"
            killed = f"{trial}/{arguments.kills}: killed after {moment:.1f} s ({at})"
            print(f"{killed}: {verdict}", flush=True)
            if not same:
                different = [
                    name for name in expected | found if expected.get(name) != found.get(name)
                ]
                print(f"different: {different}\nleft: {left}", file=sys.stderr)
                print(data_dir.with_name(f"{data_dir.name}.log").read_text(), file=sys.stderr)
            shutil.rmtree(data_dir)
        print(f"{equal}/{arguments.kills} equal to the undisturbed build")
    return 0 if equal == arguments.kills else 1


@contextlib.contextmanager
def provide_source(folder: Path, arguments: Arguments) -> Iterator[list[str]]:
    """Render the photos and yield the options that name them, as long as they are there."""
    from datasets import miniature

    miniature.write(
        folder,
        long_edge=arguments.size,
        fivek_pairs=arguments.pairs,
        real_estate_pairs={"train": 1},
    )
    fivek = folder / "fivek"
    if arguments.source == "folder":
        yield ["--manual-dir", str(fivek)]
    else:
        with misbehaving_server.serve(fivek) as server:
            yield ["--base-url", server.url, "--names", str(fivek / "names.txt")]


def start(source: list[str], data_dir: Path) -> "subprocess.Popen[bytes]":
    """The build; what it prints is added to a file beside its folder."""
    data_dir.mkdir(parents=True, exist_ok=True)
    temporary = data_dir / "temporary"
    temporary.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "datasets", "build", "fivek", *source]
    command += ["--data-dir", str(data_dir), "--config", "c_512"]
    environment = os.environ | {"TMPDIR": str(temporary)}
    with open(data_dir.with_name(f"{data_dir.name}.log"), "ab") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)


def wait_for_a_moment(
    process: "subprocess.Popen[bytes]", data_dir: Path, moments: random.Random, num_pairs: int
) -> None:
    """Return at the moment that is drawn, or when the process has ended."""
    phase, rows, delay = moments.random(), moments.randrange(num_pairs + 1), moments.random()

    def is_over() -> bool:
        if phase < 0.1:
            return True
        if phase < 0.7:
            return num_rows(data_dir) >= rows
        return bool(list(data_dir.glob("prepared/*/dataset_metadata.json")))

    while process.poll() is None and not is_over():
        time.sleep(0.002)
    # Seconds to start, hundredths from pair to pair, tenths to write the records.
    time.sleep(delay * (2 if phase < 0.1 else 0.1 if phase < 0.7 else 0.3))


def num_rows(data_dir: Path) -> int:
    """Pairs that are in the log; -1 before there is one."""
    return next(
        (path.read_bytes().count(b"\n") - 1 for path in data_dir.glob("prepared/*/progress.jsonl")),
        -1,
    )


def outcome(data_dir: Path) -> dict[str, str]:
    """Hash of every file of the prepared folder and of the data set, but for when it was made."""
    hashes = {}
    for path in sorted(
        path for name in _KEEPS for path in (data_dir / name).rglob("*") if path.is_file()
    ):
        if path.name == ".lock":  # names the process that was killed
            continue
        content = path.read_bytes()
        if path.name == "dataset_metadata.json":
            content = json.dumps(json.loads(content) | {"run": None}).encode()
        hashes[str(path.relative_to(data_dir))] = hashlib.sha256(content).hexdigest()
    return hashes


def leftovers(data_dir: Path) -> list[str]:
    """Files and folders that a finished build should not leave."""
    left = [
        path
        for path in data_dir.rglob("*")
        if path.name.endswith(".tmp") or "incomplete" in path.name
    ]
    left += list((data_dir / "temporary").iterdir())
    return [str(path.relative_to(data_dir)) for path in left]


def describe(data_dir: Path) -> str:
    """How far the build had come."""
    if list(data_dir.glob("fivek/*/1.*/dataset_info.json")):
        return "built"
    if list(data_dir.glob("fivek/*/incomplete.*")):
        return "writing records"
    if list(data_dir.glob("prepared/*/dataset_metadata.json")):
        return "prepared"
    return (
        f"{num_rows(data_dir)} pairs prepared"
        if list(data_dir.glob("prepared/*"))
        else "nothing written yet"
    )


if __name__ == "__main__":
    sys.exit(main())
