"""A start finds what an earlier one traced, and trains to the same bits with it."""

import jax
import keras
import numpy as np
import pytest

from enhancer.config import StageConfig
from enhancer.network.levels import learning_rate_factors
from enhancer.training.compiled_steps import Programs
from enhancer.training.kept_traces import KeptTrace
from enhancer.training.state import initial_state
from enhancer.training.step import StepControls
from tests.helpers.small_network import SmallNetwork

STAGE = StageConfig(ema_decay=0.9, precision="float32", remat="none")


class CountingNetwork(SmallNetwork):
    """It counts how often Python runs through it."""

    traced = 0

    def call(self, x):
        type(self).traced += 1
        return super().call(x)


@pytest.fixture(autouse=True)
def cache(tmp_path):
    before = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path / "traces"
    jax.config.update("jax_compilation_cache_dir", before)


def start(kept_as: str = "a network", stage: StageConfig = STAGE, size: int = 16):
    """Validate, train two steps and validate: how often that traced, and the state's arrays."""
    CountingNetwork.traced = 0
    keras.utils.set_random_seed(0)
    programs = Programs(CountingNetwork, stage, kept_as=kept_as)
    state = initial_state(programs.network(), programs.optimizer, with_average=True)
    pictures = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    batch = {"input": pictures, "target": pictures[:, ::-1].copy()}
    controls = StepControls(
        np.float32(1e-3), learning_rate_factors(stage, 1), np.zeros(jax.device_count(), "int32")
    )
    scores = [programs.eval_step(state.scored_weights, batch, np.ones(4, "float32"))]
    for _ in range(2):
        given = state
        state, report = programs.train_step(state, batch, controls)
        assert all(array.is_deleted() for array in given.weights.values())  # donated
    scores.append(programs.eval_step(state.scored_weights, batch, np.ones(4, "float32")))
    return CountingNetwork.traced, jax.tree.map(np.array, (state, report, scores))


def test_second_start_traces_nothing_and_computes_the_same_bits(cache):
    first, expected = start()
    assert first == 2  # both programs, once each
    assert len(list(cache.iterdir())) == 2
    again, found = start()
    assert again == 0
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_result_is_that_of_the_program_itself(cache):
    _, kept = start()
    jax.config.update("jax_compilation_cache_dir", None)
    _, itself = start()
    jax.tree.map(np.testing.assert_array_equal, kept, itself)


@pytest.mark.parametrize(
    "other",
    [
        {"kept_as": "another network"},
        {"stage": StageConfig(ema_decay=0.5, precision="float32", remat="none")},
        {"size": 24},
    ],
    ids=["network", "setting", "size"],
)
def test_what_shapes_a_program_is_told_apart(cache, other):
    start()
    assert start(**other)[0] == 2


def test_other_sources_are_traced_anew(cache, monkeypatch):
    start()
    monkeypatch.setattr("enhancer.training.kept_traces._sources_sha256", lambda: "changed")
    assert start()[0] == 2


@pytest.mark.parametrize("kept", [0, 0.01, 0.5, 1])
def test_damaged_file_is_traced_anew_and_replaced(cache, kept):
    _, expected = start()
    for file in cache.iterdir():
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content[: int(kept * len(content))])
    again, found = start()
    assert again == 2
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert start()[0] == 0


def test_folder_that_cannot_be_written_stops_nothing(cache):
    cache.write_text("a file where the folder would be")
    assert start()[0] == 2


def test_bucket_is_no_folder_to_keep_traces_in():
    jax.config.update("jax_compilation_cache_dir", "gs://bucket")
    program = jax.jit(lambda weights, batch: weights)
    assert KeptTrace(program, (), "a network")._kept(()) is program
