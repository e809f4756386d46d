"""Scripts in processes of their own that train together, as `srun` would start them."""

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_joined(
    folder: Path, script: str, *arguments: object, num_processes: int = 2, num_devices: int = 1
) -> list[tuple[int, str]]:
    """Run a script in processes that have joined; return the exit code and the output of each."""
    join = "from enhancer.system import processes\nprocesses.join_other_processes()\n"
    path = folder / "joined.py"
    path.write_text(join + textwrap.dedent(script))
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    devices = f"--xla_force_host_platform_device_count={num_devices}"
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {devices}",
    }
    if num_processes > 1:
        environment |= {
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": str(num_processes),
        }
    started = [
        subprocess.Popen(
            [sys.executable, str(path), *map(str, arguments)],
            env=environment | {"JAX_PROCESS_ID": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(num_processes)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in started]
    return [(process.returncode, output) for process, output in zip(started, outputs, strict=True)]
