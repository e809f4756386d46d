"""Worker processes: a file that kills its reader costs one pair, and nobody outlives the parent."""

import concurrent.futures
import contextlib
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
from PIL import Image

from datasets.preparation.pair_job import develop
from datasets.types import PreparationError, SourcePair
from datasets.workers import pool
from datasets.workers.memory import MemoryBudget
from datasets.workers.pool import WorkerDied, WorkerPool

ROOT = Path(__file__).parents[3]
# The workers import what they are told to do by name, and this folder is not on their path.
JOBS = '''
import os, signal, time
from pathlib import Path

def note(photo, folder):
    """Leave two files that tell when the photo was being decoded."""
    number = Path(photo).stem
    (Path(folder) / f"{number}.began").write_text(str(time.monotonic()))
    time.sleep(0.1)
    (Path(folder) / f"{number}.ended").write_text(str(time.monotonic()))

def die(number, how):
    if number == 2:
        os.kill(os.getpid(), how)
        os._exit(3)
    return number

def die_once(mark):
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"

def fail():
    raise OSError(28, "No space left on device", "somewhere.jpg")

def chatter():
    os.write(1, b"a C library prints to the standard output")
    return "done"

def sleep(folder):
    (Path(folder) / f"{os.getpid()}.pid").touch()
    time.sleep(60)
'''


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """The functions above, as a module that this process and the workers can import."""
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "jobs_for_workers.py").write_text(JOBS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder))
        import jobs_for_workers  # pyright: ignore[reportMissingImports]

        yield jobs_for_workers


@pytest.fixture
def workers():
    """Makes pools that are closed after the test."""
    with contextlib.ExitStack() as stack:

        def start(*arguments, **options):
            made = WorkerPool(*arguments, **options)
            stack.callback(made.close)
            return made

        yield start


def at_once(pool, calls):
    """Make several calls side by side; return results or exceptions."""
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as threads:
        calls = [threads.submit(pool.call, str(number), *call) for number, call in enumerate(calls)]
    return [call.exception() or call.result() for call in calls]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        (signal.SIGKILL, "was killed by SIGKILL, as the system does when memory runs out"),
        (signal.SIGSEGV, "was killed by SIGSEGV: the file makes its decoder crash"),
        (0, "ended with exit code 3"),
    ],
)
def test_work_whose_process_dies_says_how_and_the_rest_is_done(jobs, workers, how, cause, capfd):
    results = at_once(workers(2), [(jobs.die, [], number, int(how)) for number in range(4)])
    (death,) = [result for result in results if isinstance(result, WorkerDied)]
    assert [result for result in results if result is not death] == [0, 1, 3]
    assert str(death) == cause
    assert f"The process that read 2 {cause}. It is tried once more" in capfd.readouterr().err


def test_a_pair_whose_reader_dies_is_refused(workers, monkeypatch):
    made = workers(1)

    def call(*_):
        raise WorkerDied("was killed by SIGKILL")

    monkeypatch.setattr(made, "call", call)
    record = develop(made, SourcePair("7", Path("a.dng"), Path("b.tif"), None), Path(), None)
    assert (record["id"], record["status"], record["kind"]) == ("7", "rejected", "reader died")
    assert "read a.dng and b.tif was killed by SIGKILL, twice" in record["reason"]


def test_work_whose_process_was_killed_by_chance_gets_another_try(jobs, workers, tmp_path):
    assert workers(1).call("1", jobs.die_once, [], str(tmp_path / "mark")) == "done"


def test_large_photos_take_turns_and_small_ones_share(jobs, workers, tmp_path):
    sizes = (80, 90, 30, 20, 500)  # in rows of a hundred pixels, which take 12 bytes each
    photos = [tmp_path / f"{number}.png" for number in range(5)]
    for photo, rows in zip(photos, sizes, strict=True):
        Image.new("RGB", (100, rows)).save(photo)
    calls = [(jobs.note, [str(photo)], str(tmp_path)) for photo in photos]
    at_once(workers(3, memory=100 * 100 * 12), calls)
    times = [
        [float((tmp_path / f"{number}.{end}").read_text()) for end in ("began", "ended")]
        for number in range(5)
    ]
    for began, _ in times:
        beside = [
            min(size, 100) for size, (b, e) in zip(sizes, times, strict=True) if b <= began < e
        ]
        assert sum(beside) <= 100


def test_what_a_job_raises_is_raised_here_and_what_libraries_print_is_no_answer(jobs, workers):
    made = workers(1)
    with pytest.raises(OSError, match="No space left") as caught:
        made.call("1", jobs.fail, [])
    assert caught.value.filename == "somewhere.jpg"
    assert made.call("1", jobs.chatter, []) == "done"


def test_a_worker_that_cannot_start_is_an_error(jobs, workers, monkeypatch):
    monkeypatch.setattr(pool, "_PROGRAM", "raise SystemExit(7)")
    with pytest.raises(PreparationError, match="ended with exit code 7 before it could begin"):
        workers(1).call("1", jobs.chatter, [])


def test_closing_ends_work_at_once_and_leaves_no_process(jobs, tmp_path):
    made = WorkerPool(2)
    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(made.call, "1", jobs.sleep, [], str(tmp_path)) for _ in "123"]
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
        began = time.monotonic()
        made.close()
        for call in calls:
            with pytest.raises(concurrent.futures.CancelledError):
                call.result()
    assert time.monotonic() - began < 2
    assert not [path for path in tmp_path.iterdir() if is_alive(int(path.stem))]


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads the list of processes")
def test_no_worker_outlives_a_parent_that_was_killed(jobs, tmp_path):
    program = f"""
from concurrent.futures import ThreadPoolExecutor
from datasets.workers.pool import WorkerPool
import jobs_for_workers
pool, threads = WorkerPool(2), ThreadPoolExecutor(2)
calls = [
    threads.submit(pool.call, "", jobs_for_workers.sleep, [], {str(tmp_path)!r}) for _ in "12"
]
calls[0].result()
"""
    environment = os.environ | {"PYTHONPATH": f"{os.environ['PYTHONPATH']}{os.pathsep}{ROOT}"}
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment)
    wait_until(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    process.kill()
    process.wait()
    wait_until(lambda: not [path for path in tmp_path.iterdir() if is_alive(int(path.stem))], 5)


def test_who_needs_much_memory_is_not_overtaken():
    budget, order = MemoryBudget(100), []

    def take(name, num_bytes):
        with budget.hold(num_bytes):
            order.append(name)

    with concurrent.futures.ThreadPoolExecutor(2) as threads, budget.hold(60):
        threads.submit(take, "more than there is", 300)
        time.sleep(0.05)
        threads.submit(take, "fits, but came later", 10)
        time.sleep(0.05)
        assert order == []
    assert order == ["more than there is", "fits, but came later"]


def test_pairs_reach_the_workers_from_where_datasets_is_another_library(
    workers, monkeypatch, tmp_path
):
    made, pair = workers(1), SourcePair("1", tmp_path / "a.jpg", tmp_path / "b.jpg", None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "datasets"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "datasets", types.ModuleType("datasets"))
    assert develop(made, pair, tmp_path, None)["kind"] == "unreadable photo"
