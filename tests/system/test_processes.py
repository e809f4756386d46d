"""Processes that train together wait for each other, end together, and know which GPUs are theirs."""

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from enhancer.system.processes import (
    JoinError,
    first_process_first,
    greatest,
    is_first_process,
    join_other_processes,
    slurm_device_ids,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("number", "own", "message"),
    [
        (None, "0", "JAX_NUM_PROCESSES and JAX_PROCESS_ID must be numbers"),
        ("2", "second", "must be numbers"),
        ("2", "2", r"JAX_PROCESS_ID is 2; it must lie in 0 \.\.\. 1"),
    ],
)
def test_address_without_right_numbers_is_refused(monkeypatch, number, own, message):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "localhost:1")
    monkeypatch.delenv("JAX_NUM_PROCESSES", raising=False)
    if number is not None:
        monkeypatch.setenv("JAX_NUM_PROCESSES", number)
    monkeypatch.setenv("JAX_PROCESS_ID", own)
    with pytest.raises(JoinError, match=message):
        join_other_processes()


def test_alone_nothing_is_waited_for():
    for _ in range(2):
        with first_process_first("something"):
            assert is_first_process()
    assert greatest(2) == 2


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (
            {"CUDA_VISIBLE_DEVICES": "0", "SLURM_GPUS_PER_TASK": "1"},
            [0],
        ),  # one of four tasks, shown its own GPU
        ({"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_GPUS_PER_TASK": "2"}, [0, 1]),
        ({"CUDA_VISIBLE_DEVICES": "3"}, [0]),
        (
            {"CUDA_VISIBLE_DEVICES": "0,1,2,3"},
            None,
        ),  # all tasks see all GPUs of the node: JAX gives each one
        ({}, None),
    ],
)
def test_gpus_that_slurm_shows_to_one_task_alone_are_that_task_s(environment, expected):
    assert slurm_device_ids(environment) == expected


def run_two(tmp_path: Path, script: str) -> list[tuple[int, str]]:
    """Run a script in two processes that have joined; return the exit code and the output of each."""
    joined = (
        "import sys, time\nfrom enhancer.system import processes\nprocesses.join_other_processes()\n"
        + textwrap.dedent(script)
    )
    (tmp_path / "script.py").write_text(joined)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": "2",
    }
    started = [
        subprocess.Popen(
            [sys.executable, str(tmp_path / "script.py")],
            env=environment | {"JAX_PROCESS_ID": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in started]
    return [(process.returncode, output) for process, output in zip(started, outputs, strict=True)]


def test_others_wait_for_the_first_each_time_and_agree_on_the_greatest_number(tmp_path):
    (first_code, first), (second_code, second) = run_two(
        tmp_path,
        f"""
        from pathlib import Path
        for turn in range(2):
            with processes.first_process_first("writing"):
                path = Path({str(tmp_path)!r}, f"turn{{turn}}")
                if processes.is_first_process():
                    time.sleep(1)
                    path.write_text("done")
                print(path.read_text())
        print(processes.greatest(7 - processes.jax.process_index()))
        """,
    )
    assert (first_code, second_code) == (0, 0), first + second
    for output in (first, second):
        assert [line for line in output.splitlines() if "Gloo" not in line] == ["done", "done", "7"]


def test_failure_of_the_first_ends_the_others(tmp_path):
    (first_code, first), (second_code, second) = run_two(
        tmp_path,
        """
        try:
            with processes.first_process_first("building"):
                if processes.is_first_process():
                    raise ValueError("no such folder")
        except processes.OtherProcessFailed as error:
            print(error)
            processes.leave(3, failed=True)
        except ValueError:
            processes.leave(2, failed=True)
        """,
    )
    assert first_code == 2, first
    assert second_code == 3, second
    assert "did not get through this: building" in second
