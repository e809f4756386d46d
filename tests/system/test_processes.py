"""Processes that train together wait for each other, end together, and know their GPUs."""

import pytest

from enhancer.system.processes import (
    JoinError,
    first_process_first,
    greatest,
    is_first_process,
    join_other_processes,
    slurm_device_ids,
)
from tests.helpers.joined_processes import run_joined


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


def test_alone_nothing_is_waited_for_and_nothing_written(tmp_path):
    for _ in range(2):
        with first_process_first("something", tmp_path):
            assert is_first_process()
    assert not list(tmp_path.iterdir())
    assert greatest(2) == 2


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        # One of four tasks, shown its own GPU.
        ({"CUDA_VISIBLE_DEVICES": "0", "SLURM_GPUS_PER_TASK": "1"}, [0]),
        ({"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_GPUS_PER_TASK": "2"}, [0, 1]),
        ({"CUDA_VISIBLE_DEVICES": "3"}, [0]),
        # All tasks see all GPUs of the node: JAX gives each one.
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3"}, None),
        ({}, None),
    ],
)
def test_gpus_that_slurm_shows_to_one_task_alone_are_that_task_s(environment, expected):
    assert slurm_device_ids(environment) == expected


def test_others_wait_for_the_first_and_end_with_it(tmp_path):
    """Twice they find its work done, then a signal stops it, at last it fails.

    What an earlier run announced is not believed, and cleared away.
    """
    earlier = tmp_path / ".first_process.7.json"
    earlier.write_text('{"count": 99, "ended": "failed"}')
    (first_code, first), (second_code, second) = run_joined(
        tmp_path,
        """
        import signal, sys, time
        from pathlib import Path
        from enhancer.system.interruption import Interrupted
        folder, is_first = Path(sys.argv[1]), processes.is_first_process()
        assert not processes.jax.config.jax_enable_compilation_cache  # on CPUs
        for turn in range(2):
            with processes.first_process_first("writing", folder):
                path = folder / f"turn{turn}"
                if is_first:
                    time.sleep(1)
                    path.write_text("done")
                print(path.read_text())
        print(processes.greatest(7 - processes.jax.process_index()))
        try:
            with processes.first_process_first("testing", folder / "new"):
                if is_first:
                    raise Interrupted(signal.SIGINT)
        except Interrupted as interrupted:
            print(interrupted)
        try:
            with processes.first_process_first("building", folder):
                if is_first:
                    raise ValueError("no such folder")
        except processes.OtherProcessFailed as error:
            print(error)
            processes.leave(3, failed=True)
        except ValueError:
            processes.leave(2, failed=True)
        """,
        tmp_path,
    )
    assert (first_code, second_code) == (2, 3), first + second
    said = [
        [line for line in output.splitlines() if "Gloo" not in line] for output in (first, second)
    ]
    assert said[0] == ["done", "done", "7", "SIGINT"]
    assert said[1][:4] == ["done", "done", "7", "SIGTERM"]
    assert "did not get through this: building" in second
    assert not earlier.exists()
