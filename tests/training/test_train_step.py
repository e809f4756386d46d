"""What a step does to the state: equal in parts, nothing if not finite, an average, rates."""

import dataclasses

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from enhancer.config import StageConfig
from enhancer.network.levels import LEVELS, learning_rate_factors, level_of
from enhancer.training.optimizer import make_optimizer
from enhancer.training.state import TrainState, initial_state, starting_from
from enhancer.training.step import StepControls, l1, make_train_step
from tests.helpers.small_network import SmallNetwork

STAGE = StageConfig(precision="float32", remat="none", weight_decay=0.1)
RATE = 1e-3


class Run:
    """A network with its step; each call takes the same batch."""

    def __init__(self, **settings):
        self.stage = dataclasses.replace(STAGE, **settings)
        keras.utils.set_random_seed(0)
        model = SmallNetwork()
        optimizer = make_optimizer(self.stage.weight_decay, model.trainable_variables)
        self.program = make_train_step(model, optimizer, self.stage)
        self.state = initial_state(model, optimizer, with_average=self.stage.ema_decay > 0)
        rng = np.random.default_rng(0)
        pictures = rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
        self.batch = {"input": pictures, "target": pictures[:, ::-1].copy()}

    def step(self, batch=None, epoch: int = 1):
        factors = learning_rate_factors(self.stage, epoch)
        controls = StepControls(np.float32(RATE), factors, np.zeros(jax.device_count(), "int32"))
        before = jax.tree.map(np.array, self.state)
        self.state, report = self.program(self.state, batch or self.batch, controls)
        return before, jax.tree.map(np.asarray, self.state), jax.tree.map(np.asarray, report)


def poisoned(batch):
    """Pictures are bytes and cannot be NaN; as floats they can."""
    broken = {key: pictures.astype("float32") for key, pictures in batch.items()}
    broken["input"][0, 3, 5, 1] = np.nan
    return broken


def moments(state):
    found = {name: value for name, value in state.optimizer.items() if "momentum" in name}
    assert found
    return found


def changes(before, after):
    return {path: after.weights[path] - old for path, old in before.weights.items()}


def test_a_step_moves_nothing_between_host_and_device():
    """On a CPU JAX watches the way to the device alone; the way back would be a callback or a
    feed in the program."""
    run = Run()
    factors = learning_rate_factors(run.stage, 1)
    request = np.zeros(jax.device_count(), "int32")
    given = jax.device_put((run.batch, StepControls(np.float32(RATE), factors, request)))
    text = run.program.lower(run.state, *given).as_text()
    assert "stablehlo.subtract" in text
    for word in ("callback", "outfeed", "infeed", "stablehlo.send", "stablehlo.recv"):
        assert word not in text
    state, _ = run.program(run.state, *given)
    with jax.transfer_guard("disallow"):
        state, report = run.program(state, *given)
        jax.block_until_ready((state, report))
        with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
            run.program(state, run.batch, given[1])


def test_gradient_in_parts_is_the_gradient_of_the_whole():
    _, state, report = Run().step()
    _, state_in_parts, report_in_parts = Run(gradient_accumulation_steps=2).step()
    np.testing.assert_allclose(report_in_parts.loss, report.loss, rtol=1e-6)
    np.testing.assert_allclose(report_in_parts.gradient_norm, report.gradient_norm, rtol=1e-5)
    in_parts = moments(state_in_parts)
    for name, value in moments(state).items():
        np.testing.assert_allclose(in_parts[name], value, rtol=1e-4, atol=1e-8, err_msg=name)


def test_update_is_adamw_on_gradients_clipped_to_the_global_norm():
    _, clipped, report = Run(gradient_clip_norm=1e-3).step()
    _, loose, _ = Run(gradient_clip_norm=1e9).step()
    assert report.gradient_norm > 1e-3
    scale, of_loose = 1e-3 / report.gradient_norm, moments(loose)
    for name, value in moments(clipped).items():
        np.testing.assert_allclose(value, of_loose[name] * scale, rtol=1e-4, atol=1e-12)


def test_step_that_is_not_finite_changes_nothing_and_is_counted():
    run = Run(ema_decay=0.9)
    run.step()
    for number in (1, 2):
        before, after, report = run.step(poisoned(run.batch))
        assert not np.isfinite(report.loss)
        assert report.skips_in_a_row == number
        for kept, old in zip(after[:3], before[:3], strict=True):
            jax.tree.map(np.testing.assert_array_equal, kept, old)
    _, after, report = run.step()
    assert report.skips_in_a_row == after.skips_in_a_row == 0
    assert np.isfinite(report.loss)


def test_average_follows_the_weights_with_a_memory_that_grows_to_the_decay():
    before, after, _ = Run(ema_decay=0.9).step()
    jax.tree.map(np.testing.assert_array_equal, before.average, before.weights)
    decay = 2 / 11  # (1 + 1) / (10 + 1) after the first update
    for path, average in after.average.items():
        expected = decay * before.average[path] + (1 - decay) * after.weights[path]
        np.testing.assert_allclose(average, expected, rtol=1e-5, atol=1e-7)
    assert after.scored_weights is after.average


def test_stage_without_average_scores_its_weights():
    state = Run().state
    assert state.average == {}
    assert state.scored_weights is state.weights


def test_average_of_a_stage_that_starts_from_others_weights_starts_there():
    state = Run(ema_decay=0.9).state
    other = {path: x + 1 for path, x in state.weights.items()}
    started = starting_from(state, other)
    jax.tree.map(np.testing.assert_array_equal, started.average, other)
    assert isinstance(started, TrainState)


@pytest.mark.parametrize("unfreeze_every_epochs", [0, 1])
def test_frozen_levels_stand_still_to_the_bit_and_the_others_move(unfreeze_every_epochs):
    run = Run(frozen_levels=3, unfreeze_every_epochs=unfreeze_every_epochs)
    before, after, _ = run.step(epoch=1)
    for path, change in changes(before, after).items():
        assert change.any() == (level_of(path) >= 3), path


def test_level_that_is_set_free_moves():
    run = Run(frozen_levels=3, unfreeze_every_epochs=1)
    run.step(epoch=1)
    before, after, _ = run.step(epoch=2)
    moved = {level_of(path) for path, change in changes(before, after).items() if change.any()}
    assert moved == set(range(2, len(LEVELS)))


def test_level_decay_scales_each_levels_change():
    plain = changes(*Run().step()[:2])
    for path, change in changes(*Run(level_decay=0.5).step()[:2]).items():
        expected = plain[path] * 0.5 ** (len(LEVELS) - 1 - level_of(path))
        np.testing.assert_allclose(change, expected, rtol=1e-2, atol=2e-7, err_msg=path)


def test_learning_rate_is_a_value_and_not_part_of_the_program():
    run = Run()
    run.step()
    compiled = run.program._cache_size()
    factors, requests = learning_rate_factors(run.stage, 1), np.zeros(jax.device_count(), "int32")
    before = jax.tree.map(np.array, run.state.weights)
    run.state, _ = run.program(run.state, run.batch, StepControls(np.float32(0), factors, requests))
    jax.tree.map(np.testing.assert_array_equal, dict(run.state.weights), before)
    assert run.program._cache_size() == compiled


def test_step_passes_on_the_greatest_request():
    run = Run()
    requests = np.zeros(jax.device_count(), "int32")
    requests[-1] = 2
    controls = StepControls(np.float32(0), jnp.ones(len(LEVELS)), requests)
    assert run.program(run.state, run.batch, controls)[1].request == 2


def test_loss_is_taken_in_float32():
    """A loss in bfloat16 could not tell a validation loss of 0.0500 from one of 0.0501."""
    target = np.random.default_rng(0).uniform(0, 1, (2, 64, 64, 3)).astype("float32")
    prediction = jnp.asarray(target + 0.0501).astype("bfloat16")
    exact = np.abs(np.asarray(prediction, "float64") - target).mean()
    assert l1(prediction, jnp.asarray(target)).dtype == "float32"
    np.testing.assert_allclose(l1(prediction, jnp.asarray(target)), exact, rtol=1e-5)
    in_bfloat16 = jnp.mean(jnp.abs(prediction - jnp.asarray(target).astype("bfloat16")))
    assert abs(float(in_bfloat16) - exact) > 1e-5 * exact
