"""One device, four of them, and two processes train the same network; a checkpoint of one continues on another."""

import os
import pickle
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from enhancer.system.devices import Devices, UnequalSharesError

ROOT = Path(__file__).resolve().parents[2]
STAGE_SCRIPT = textwrap.dedent("""
    import dataclasses, pickle, sys
    from pathlib import Path
    from enhancer.system import processes
    processes.join_other_processes()
    import jax, numpy as np
    from enhancer.network.trained import load_best
    from enhancer.training.loop import train
    stage, model, pairs = pickle.loads(Path(sys.argv[1]).read_bytes())
    stop_after = int(sys.argv[4])
    if stop_after:  # as a signal does: after so many steps every process asks for the end
        from enhancer.system import interruption
        from enhancer.training import loop
        asked = []
        def now(requests):
            asked.append(True)
            return interruption.STOP if len(asked) > stop_after else interruption.NOTHING
        loop.SaveRequests.now = now
        try:
            train(stage, model, pairs, pairs[:3], Path(sys.argv[2]))
        except interruption.Interrupted:
            sys.exit(75)
    result = train(stage, model, pairs, pairs[:3], Path(sys.argv[2]))
    weights = load_best(Path(sys.argv[2])).get_weights()
    if processes.is_first_process():
        history = [(row["train_loss"], row["validation_loss"]) for row in result.history]
        Path(sys.argv[3]).write_bytes(pickle.dumps((jax.device_count(), history, weights)))
""")


def train_apart(
    folder: Path, workdir: Path, num_processes: int = 1, num_devices: int = 1, stop_after: int = 0
):
    """Train in processes of their own; return the number of devices in all, the losses by epoch and the best weights.

    With `stop_after` the training is stopped about that many steps after its start, and what it printed is returned.
    """
    script, answer = (
        folder / "stage.py",
        folder / f"{workdir.name}_{num_processes}x{num_devices}.pickle",
    )
    script.write_text(STAGE_SCRIPT)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={num_devices}",
    }
    processes = []
    for number in range(num_processes):
        apart = {
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": str(num_processes),
            "JAX_PROCESS_ID": str(number),
        }
        command = [
            sys.executable,
            str(script),
            str(folder / "arguments.pickle"),
            str(workdir),
            str(answer),
            str(stop_after),
        ]
        processes.append(
            subprocess.Popen(
                command,
                env=environment | (apart if num_processes > 1 else {}),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == (75 if stop_after else 0), output
    if stop_after:
        return outputs[0]
    return pickle.loads(answer.read_bytes())


@pytest.fixture
def arguments(tmp_path, nano, nano_stage, brightened_pairs) -> Path:
    (tmp_path / "arguments.pickle").write_bytes(pickle.dumps((nano_stage, nano, brightened_pairs)))
    return tmp_path


def assert_close(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


def test_four_devices_and_two_processes_learn_what_one_device_learns(arguments):
    number, losses, weights = train_apart(arguments, arguments / "one")
    assert number == 1
    for name, processes, devices in (("four", 1, 4), ("two_processes", 2, 1)):
        number, other_losses, other_weights = train_apart(
            arguments, arguments / name, processes, devices
        )
        assert number == processes * devices
        np.testing.assert_allclose(
            np.asarray(other_losses[1:], "float64"), np.asarray(losses[1:], "float64"), rtol=1e-4
        )
        assert_close(other_weights, weights)


def test_stage_stopped_on_two_processes_continues_on_one_device(arguments):
    """Both are asked to stop in the middle; they agree on the step, save together, and one device takes over."""
    _, losses, weights = train_apart(arguments, arguments / "one")
    train_apart(arguments, arguments / "moved", 2, 1, stop_after=2)
    stopped_at = max(
        int(path.name)
        for path in (arguments / "moved" / "checkpoints").iterdir()
        if path.name.isdigit()
    )
    assert 0 < stopped_at < 6
    number, continued_losses, continued = train_apart(arguments, arguments / "moved", 1, 1)
    assert number == 1
    np.testing.assert_allclose(np.asarray(continued_losses[1:]), np.asarray(losses[1:]), rtol=1e-4)
    assert_close(continued, weights)


def test_batch_that_cannot_be_shared_out_is_refused():
    number = len(Devices())
    with pytest.raises(
        UnequalSharesError,
        match=rf"A batch of {2 * number + 1} pairs in 2 parts .*multiple of {2 * number}",
    ):
        Devices().refuse_unequal_shares(2 * number + 1, 2)
