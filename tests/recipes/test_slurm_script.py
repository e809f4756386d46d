"""The sbatch script passes Slurm's signal on and queues the job again exactly when the recipe says
so. Slurm is a stand-in."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "recipes" / "slurm" / "fivek_transfer.sbatch"


@pytest.fixture
def slurm(tmp_path) -> dict[str, str]:
    """`srun` waits for SIGUSR1 and then ends with 75, or at once with the code in $ENDS_WITH."""
    commands = {
        "srun": "trap 'sleep 0.3; exit 75' USR1\n"
        '[ -n "${ENDS_WITH:-}" ] && { echo "$@" >&2; exit $ENDS_WITH; }\n'
        "echo ready\nsleep 60 >/dev/null 2>&1 & wait\n",
        "uv": "",
        "scontrol": 'echo "$@"\n',
    }
    for name, body in commands.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}")
        (tmp_path / name).chmod(0o755)
    return os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}


pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the script is for bash")


@pytest.mark.parametrize(("number", "requeued"), [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_job_whose_time_is_up_goes_back_into_the_queue_and_a_cancelled_one_does_not(
    slurm, number, requeued
):
    """What Slurm itself takes the nodes from, it queues again itself; both get SIGTERM, and both
    save."""
    process = subprocess.Popen(
        ["bash", str(SCRIPT), "--workdir", "run"], env=slurm, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert ("requeue 7" in process.stdout.read()) == requeued
    assert process.wait(30) == 75


@pytest.mark.parametrize("code", [0, 1, 2])
def test_job_that_ended_is_not_queued_again_and_keeps_its_exit_code(slurm, code):
    ended = subprocess.run(
        ["bash", str(SCRIPT)], env=slurm | {"ENDS_WITH": str(code)}, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (code, "")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--workdir", "run"], "--workdir run/seed_3"),
        (["--workdir=run", "quick"], "--workdir=run/seed_3 quick"),
        (["quick"], "quick --workdir runs/seed_3"),
    ],
)
def test_each_task_of_an_array_has_a_seed_and_a_folder_of_its_own(slurm, given, expected):
    environment = slurm | {"ENDS_WITH": "0", "SLURM_ARRAY_TASK_ID": "3"}
    ended = subprocess.run(
        ["bash", str(SCRIPT), *given], env=environment, capture_output=True, text=True
    )
    command = ".venv/bin/python -m recipes.fivek_transfer"
    seeds = "--pretrain.seed 3 --finetune.seed 3"
    assert ended.stderr.strip().endswith(f"{command} {expected} {seeds}")


def test_a_container_brings_its_own_python_and_packages(slurm):
    environment = slurm | {"ENDS_WITH": "0", "CONTAINER": "enhancer.sif"}
    ended = subprocess.run(
        ["bash", str(SCRIPT), "quick"], env=environment, capture_output=True, text=True
    )
    assert "apptainer exec --nv --bind" in ended.stderr
    assert ended.stderr.strip().endswith("enhancer.sif python -m recipes.fivek_transfer quick")
