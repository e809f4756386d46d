"""Worker processes: a file that kills its reader costs one pair, memory is shared out, and nobody outlives the parent."""

import functools
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from datasets.workers import pool
from datasets.workers.memory import MemoryBudget
from datasets.preparation.pair_job import prepare_one
from datasets.preparation.prepared_folder import PreparationError
from datasets.sources.lists import SourcePair

ROOT = Path(__file__).parents[2]
# The workers import what they are told to do by name, and this folder is not on their path.
JOBS = '''
import os, signal, time
from pathlib import Path

def note(pair, reserve, folder):
    """Leave two files that tell when the pair was being decoded."""
    reserve(int(pair.input.name))
    (Path(folder) / f"{pair.id}.began").write_text(str(time.monotonic()))
    time.sleep(0.1)
    (Path(folder) / f"{pair.id}.ended").write_text(str(time.monotonic()))
    return {"id": pair.id, "pid": os.getpid()}

def die(pair, reserve, how):
    if pair.id == "2":
        os.kill(os.getpid(), how)
        os._exit(3)
    return {"id": pair.id, "status": "accepted"}

def die_once(pair, reserve, mark):
    if pair.id == "2" and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"id": pair.id, "status": "accepted"}

def fail(pair, reserve):
    raise OSError(28, "No space left on device", "somewhere.jpg")

def chatter(pair, reserve):
    os.write(1, b"a C library prints to the standard output")
    return {"id": pair.id}

def sleep(pair, reserve, folder):
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


def pairs(*sizes):
    return [
        SourcePair(str(number), Path(str(size)), Path("target"), None)
        for number, size in enumerate(sizes, 1)
    ]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        (signal.SIGKILL, "killed by SIGKILL, as the system does when memory runs out"),
        (signal.SIGSEGV, "killed by SIGSEGV: the file makes its decoder crash"),
        (0, "ended with exit code 3"),
    ],
)
def test_a_pair_whose_reader_dies_is_refused_and_the_others_are_done(jobs, how, cause):
    rows = list(pool.run(functools.partial(jobs.die, how=how), pairs(*range(5)), 2))
    assert sorted(row["id"] for row in rows) == ["1", "2", "3", "4", "5"]
    (refused,) = [row for row in rows if row["status"] == "rejected"]
    assert (refused["id"], refused["kind"]) == ("2", "reader died")
    assert cause in refused["reason"]


def test_a_pair_whose_reader_was_killed_by_chance_gets_another_try(jobs, tmp_path):
    rows = list(
        pool.run(functools.partial(jobs.die_once, mark=tmp_path / "mark"), pairs(*range(4)), 2)
    )
    assert {row["status"] for row in rows} == {"accepted"}
    assert len(rows) == 4


def test_large_photos_take_turns_and_small_ones_share(jobs, tmp_path):
    job = functools.partial(jobs.note, folder=tmp_path)
    list(pool.run(job, pairs(80, 90, 30, 20, 500), 3, memory=100))
    times = {
        number: [float((tmp_path / f"{number}.{end}").read_text()) for end in ("began", "ended")]
        for number in range(1, 6)
    }
    sizes = dict(zip(range(1, 6), (80, 90, 30, 20, 100), strict=True))
    for number, (began, _) in times.items():
        at_once = [other for other, (start, end) in times.items() if start <= began < end]
        assert sum(sizes[other] for other in at_once) <= 100, f"{at_once} beside {number}"


def test_what_a_job_raises_is_raised_here(jobs):
    with pytest.raises(OSError, match="No space left") as caught:
        list(pool.run(jobs.fail, pairs(1), 1))
    assert caught.value.filename == "somewhere.jpg"


def test_what_libraries_print_does_not_disturb_the_answers(jobs):
    assert list(pool.run(jobs.chatter, pairs(1), 1)) == [{"id": "1"}]


def test_workers_that_cannot_start_are_no_endless_loop(jobs, monkeypatch):
    monkeypatch.setattr(pool, "_PROGRAM", "raise SystemExit(7)")
    with pytest.raises(PreparationError, match="ended with exit code 7 before it could begin"):
        list(pool.run(jobs.chatter, pairs(1), 2))


def test_no_worker_outlives_an_interrupted_run(jobs, tmp_path):
    running = pool.run(functools.partial(jobs.sleep, folder=tmp_path), pairs(1, 2), 2)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 2.5)
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            list(running)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 5
    assert not [path for path in tmp_path.iterdir() if is_alive(int(path.stem))]


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads the list of processes")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_its_parent(jobs, tmp_path, how):
    program = f"""
from datasets.workers import pool
from datasets.sources.lists import SourcePair
from pathlib import Path
import functools, jobs_for_workers, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background programs without it
pairs = [SourcePair(str(number), Path("a"), Path("b"), None) for number in range(2)]
try:
    list(pool.run(functools.partial(jobs_for_workers.sleep, folder={str(tmp_path)!r}), pairs, 2))
except KeyboardInterrupt:
    sys.exit("stopped")
"""
    environment = os.environ | {"PYTHONPATH": f"{os.environ['PYTHONPATH']}{os.pathsep}{ROOT}"}
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, stderr=subprocess.PIPE
    )
    wait_until(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    process.send_signal(how)
    _, printed = process.communicate(timeout=20)
    assert printed == (b"stopped\n" if how == signal.SIGINT else b"")
    wait_until(lambda: not [path for path in tmp_path.iterdir() if is_alive(int(path.stem))], 5)


def test_a_budget_serves_those_who_wait_in_their_order():
    budget = MemoryBudget(100)
    for who, num_bytes in ((1, 60), (2, 300), (3, 10)):
        budget.ask(who, num_bytes)
    assert budget.grant() == [1]  # 3 would fit, but 2 was there before
    budget.leave(1)
    assert budget.grant() == [2]  # more than there is: alone
    budget.leave(2)
    assert budget.grant() == [3]


def test_pairs_reach_the_workers_from_where_datasets_is_another_library(monkeypatch, tmp_path):
    job = functools.partial(prepare_one, output=tmp_path, long_edge=None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "datasets"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "datasets", types.ModuleType("datasets"))
    (row,) = pool.run(job, [SourcePair("1", tmp_path / "a.jpg", tmp_path / "b.jpg", None)], 1)
    assert row["kind"] == "unreadable photo"
