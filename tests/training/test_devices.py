"""One device, four of them, and two processes train the same network and continue each other's."""

import json
import pickle

import numpy as np
import pytest

from enhancer.network.trained import load_best_weights
from enhancer.system.devices import Devices, UnequalSharesError
from tests.helpers.joined_processes import run_joined
from tests.helpers.small_network import SmallNetwork, train

FOUR_DEVICES = """
    import pickle, sys
    from pathlib import Path
    import jax
    from enhancer.network.blocks import on_one_cpu_device
    from tests.helpers.small_network import train
    stage, pairs = pickle.loads(Path(sys.argv[1]).read_bytes())
    train(stage, pairs, Path(sys.argv[2]))
    assert jax.device_count() == 4
    assert not on_one_cpu_device()
"""
TWO_PROCESSES = """
    import pickle, shutil, sys
    from pathlib import Path
    import jax
    from enhancer.system import interruption
    from enhancer.training import loop
    from tests.helpers.small_network import train
    stage, pairs = pickle.loads(Path(sys.argv[1]).read_bytes())
    folder = Path(sys.argv[2])
    asked = []
    def now(requests):  # as a signal does: from the third step on every process asks for the end
        asked.append(True)
        return interruption.STOP if len(asked) == 3 else interruption.NOTHING
    loop.SaveRequests.now = now
    try:
        train(stage, pairs, folder / "stopped")
    except interruption.Interrupted:
        print("stopped")
    with processes.first_process_first("copying", folder):
        if processes.is_first_process():
            shutil.copytree(folder / "stopped", folder / "moved")
    train(stage, pairs, folder / "stopped")
    assert jax.process_count() == 2
"""


def losses_of(stage_dir):
    rows = json.loads((stage_dir / "history.json").read_text())
    return np.asarray([(row["train_loss"], row["validation_loss"]) for row in rows[1:]], "float64")


def assert_learned_alike(stage_dir, other):
    np.testing.assert_allclose(losses_of(stage_dir), losses_of(other), rtol=1e-4)
    like = {v.path: v.value for v in SmallNetwork().trainable_variables}
    weights, expected = (load_best_weights(folder, like) for folder in (stage_dir, other))
    for path in like:
        np.testing.assert_allclose(weights[path], expected[path], rtol=2e-3, atol=2e-4)


def test_four_devices_learn_what_one_device_learns(
    tmp_path, small_stage, nano_stage, brightened_pairs
):
    arguments, stage_dir = tmp_path / "arguments.pickle", tmp_path / "four"
    arguments.write_bytes(pickle.dumps((nano_stage, brightened_pairs)))
    ((code, output),) = run_joined(
        tmp_path, FOUR_DEVICES, arguments, stage_dir, num_processes=1, num_devices=4
    )
    assert code == 0, output
    assert_learned_alike(stage_dir, small_stage)


def test_two_processes_learn_what_one_device_learns_and_it_continues_what_they_began(
    tmp_path, small_stage, nano_stage, brightened_pairs
):
    """Both are asked to stop in the middle; they agree on the step, and save together."""
    arguments = tmp_path / "arguments.pickle"
    arguments.write_bytes(pickle.dumps((nano_stage, brightened_pairs)))
    for code, output in run_joined(tmp_path, TWO_PROCESSES, arguments, tmp_path):
        assert code == 0, output
        assert "stopped" in output.splitlines()
    saved = [path.name for path in (tmp_path / "moved" / "checkpoints").iterdir()]
    assert 0 < max(int(name) for name in saved if name.isdigit()) < 6
    train(nano_stage, brightened_pairs, tmp_path / "moved")

    for stage_dir in (tmp_path / "stopped", tmp_path / "moved"):
        assert_learned_alike(stage_dir, small_stage)


def test_batch_that_cannot_be_shared_out_is_refused():
    number = len(Devices())
    with pytest.raises(
        UnequalSharesError,
        match=rf"A batch of {2 * number + 1} pairs in 2 parts .*multiple of {2 * number}",
    ):
        Devices().refuse_unequal_shares(2 * number + 1, 2)
