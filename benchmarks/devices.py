"""The same stage on one device, on four in one process, and in two processes: equal weights?

    python -m benchmarks.devices
    python -m benchmarks.devices --model tiny --resolution 64 --batch 8

The devices are stand-ins: one CPU cut into four, and two processes on this computer that talk
through a socket. So the figures say that the sharing is right and what it costs, and nothing of how
fast several GPUs would be. Differences are those of the best weights and of the losses, against one
device.
"""

import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import tyro

from enhancer.config import ModelSize

# What needs JAX is imported after the command line is understood, so that --help answers at once.

_LAYOUTS = {"1 device": (1, 1), "4 devices, 1 process": (1, 4), "2 processes": (2, 1)}
_PAIRS = 64


@dataclasses.dataclass(frozen=True)
class Arguments:
    __doc__ = __doc__

    model: ModelSize = "tiny"
    """The network that is trained."""
    resolution: int = 64
    """Side of the training crops, a multiple of 8."""
    batch: int = 8
    """Pairs per step, of all devices together; a multiple of 4."""
    epochs: int = 3
    """Of 64 pairs; the rate is that of the last one."""
    stage_dir: Path | None = None
    """Train once, here, into this folder: what the processes that this command starts are told."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m benchmarks.devices")
    if arguments.stage_dir:
        _train(arguments, arguments.stage_dir)
        return 0
    import numpy as np

    from benchmarks.table import aligned

    rows, reference = [], None
    with tempfile.TemporaryDirectory(prefix="enhancer-devices-") as scratch:
        for name, (processes, devices) in _LAYOUTS.items():
            stage_dir = Path(scratch) / name.replace(" ", "_")
            _start(arguments, stage_dir, processes, devices)
            weights = np.load(stage_dir / "weights.npz")
            history = json.loads((stage_dir / "history.json").read_text())
            losses = np.asarray([row["validation_loss"] for row in history])
            reference = reference or (weights, losses)
            differences = [np.abs(weights[key] - reference[0][key]).max() for key in weights.files]
            rows.append(
                {
                    "layout": name,
                    "weights differ by": f"{max(differences):.1e}",
                    "losses differ by": f"{np.abs(losses - reference[1]).max():.1e}",
                    "images/s": history[-1]["images_per_second"],
                }
            )
    print(aligned(rows))
    return 0


def _start(arguments: Arguments, stage_dir: Path, processes: int, devices: int) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment: dict[str, Any] = os.environ | {"XLA_FLAGS": flags}
    if processes > 1:
        environment |= {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(processes)}
    command = [sys.executable, "-m", "benchmarks.devices", "--stage-dir", str(stage_dir)]
    names = ("model", "resolution", "batch", "epochs")
    command += [f"--{name}={getattr(arguments, name)}" for name in names]
    started = []
    for number in range(processes):
        own = {"JAX_PROCESS_ID": str(number)} if processes > 1 else {}
        started.append(subprocess.Popen(command, env=environment | own))
    if any(process.wait() for process in started):
        raise SystemExit("a training failed; its error stands above")


def _train(arguments: Arguments, stage_dir: Path) -> None:
    from enhancer.system.processes import is_first_process, join_other_processes

    join_other_processes()
    import numpy as np

    from benchmarks.synthetic_photos import pairs
    from enhancer.config import MODEL_SIZES, StageConfig
    from enhancer.network.trained import load_best
    from enhancer.training.loop import train

    stage = StageConfig(
        resolution=arguments.resolution,
        batch_size=arguments.batch,
        epochs=arguments.epochs,
        peak_learning_rate=1e-3,
        warmup_epochs=1,
        precision="float32",
        remat="none",
    )
    source = pairs(_PAIRS, 160, 160)
    train(stage, MODEL_SIZES[arguments.model], source, source[:8], stage_dir)
    network = load_best(stage_dir)
    if is_first_process():
        weights = {v.path.replace("/", "."): np.asarray(v.value) for v in network.weights}
        np.savez(stage_dir / "weights.npz", **weights)


if __name__ == "__main__":
    sys.exit(main())
