"""What one step does to the state: the same update in parts, nothing when it is not finite, an average, rates by level."""

import dataclasses

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from enhancer.config import StageConfig
from enhancer.network.levels import LEVELS, learning_rate_factors, level_of
from enhancer.network.restormer import Restormer
from enhancer.training.optimizer import make_optimizer
from enhancer.training.state import TrainState, initial_state, starting_from
from enhancer.training.step import StepControls, make_train_step

STAGE = StageConfig(precision="float32", remat="none", weight_decay=0.1)
RATE = 1e-3


class Run:
    """A network with its step; each call takes the same batch."""

    def __init__(self, nano, **settings):
        self.stage = dataclasses.replace(STAGE, **settings)
        keras.utils.set_random_seed(0)
        model = Restormer(nano)
        optimizer = make_optimizer(self.stage.weight_decay, model.trainable_variables)
        self.program = make_train_step(model, optimizer, self.stage)
        self.state = initial_state(model, optimizer, with_average=self.stage.ema_decay > 0)
        rng = np.random.default_rng(0)
        pictures = rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
        self.batch = {"input": pictures, "target": pictures[:, ::-1].copy()}

    def step(self, batch=None, epoch: int = 1):
        controls = StepControls(
            np.float32(RATE),
            learning_rate_factors(self.stage, epoch),
            np.zeros(jax.device_count(), "int32"),
        )
        before = jax.tree.map(np.array, self.state)
        self.state, report = self.program(self.state, batch or self.batch, controls)
        return before, jax.tree.map(np.asarray, self.state), jax.tree.map(np.asarray, report)


def poisoned(batch):
    """Pictures are bytes and cannot be NaN; as floats they can."""
    broken = {key: pictures.astype("float32") for key, pictures in batch.items()}
    broken["input"][0, 3, 5, 1] = np.nan
    return broken


def test_gradient_in_parts_is_the_gradient_of_the_whole(nano):
    whole, parts = Run(nano), Run(nano, gradient_accumulation_steps=2)
    _, state, report = whole.step()
    _, state_in_parts, report_in_parts = parts.step()
    np.testing.assert_allclose(report_in_parts.loss, report.loss, rtol=1e-6)
    np.testing.assert_allclose(report_in_parts.gradient_norm, report.gradient_norm, rtol=1e-5)
    first_moments = [name for name in state.optimizer if "momentum" in name]
    assert first_moments
    for name in first_moments:
        np.testing.assert_allclose(
            state_in_parts.optimizer[name],
            state.optimizer[name],
            rtol=1e-4,
            atol=1e-8,
            err_msg=name,
        )


def test_update_is_adamw_on_gradients_clipped_to_the_global_norm(nano):
    clipped, loose = Run(nano, gradient_clip_norm=1e-3), Run(nano, gradient_clip_norm=1e9)
    _, a, report = clipped.step()
    _, b, _ = loose.step()
    assert report.gradient_norm > 1e-3
    for name in a.optimizer:
        if "momentum" in name:
            np.testing.assert_allclose(
                a.optimizer[name],
                b.optimizer[name] * (1e-3 / report.gradient_norm),
                rtol=1e-4,
                atol=1e-12,
            )


def test_step_that_is_not_finite_changes_nothing_and_is_counted(nano):
    run = Run(nano, ema_decay=0.9)
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


def test_average_follows_the_weights_with_a_memory_that_grows_to_the_decay(nano):
    run = Run(nano, ema_decay=0.9)
    before, after, _ = run.step()
    jax.tree.map(np.testing.assert_array_equal, before.average, before.weights)
    decay = 2 / 11  # (1 + 1) / (10 + 1) after the first update
    for path, average in after.average.items():
        expected = decay * before.average[path] + (1 - decay) * after.weights[path]
        np.testing.assert_allclose(average, expected, rtol=1e-5, atol=1e-7)
    assert after.scored_weights is after.average


def test_stage_without_average_scores_its_weights(nano):
    state = Run(nano).state
    assert state.average == {}
    assert state.scored_weights is state.weights


def test_average_of_a_stage_that_starts_from_others_weights_starts_there(nano):
    state = Run(nano, ema_decay=0.9).state
    other = {path: x + 1 for path, x in state.weights.items()}
    started = starting_from(state, other)
    jax.tree.map(np.testing.assert_array_equal, started.average, other)
    assert isinstance(started, TrainState)


@pytest.mark.parametrize("unfreeze_every_epochs", [0, 1])
def test_frozen_levels_stand_still_to_the_bit_and_the_others_move(nano, unfreeze_every_epochs):
    run = Run(nano, frozen_levels=3, unfreeze_every_epochs=unfreeze_every_epochs)
    before, after, _ = run.step(epoch=1)
    for path in before.weights:
        moved = not np.array_equal(before.weights[path], after.weights[path])
        assert moved == (level_of(path) >= 3), path


def test_level_that_is_set_free_moves(nano):
    run = Run(nano, frozen_levels=3, unfreeze_every_epochs=1)
    run.step(epoch=1)
    before, after, _ = run.step(epoch=2)
    levels = {
        level_of(p)
        for p in before.weights
        if not np.array_equal(before.weights[p], after.weights[p])
    }
    assert levels == set(range(2, len(LEVELS)))


def test_rates_that_decay_scale_each_levels_change(nano):
    before, after, _ = Run(nano, level_decay=0.5).step()
    _, plain, _ = Run(nano).step()
    for path in before.weights:
        change, full = (
            after.weights[path] - before.weights[path],
            plain.weights[path] - before.weights[path],
        )
        np.testing.assert_allclose(
            change,
            full * 0.5 ** (len(LEVELS) - 1 - level_of(path)),
            rtol=1e-2,
            atol=2e-7,
            err_msg=path,
        )


def test_the_curve_of_a_developed_base_has_a_rate_of_its_own(nano):
    developed = dataclasses.replace(nano, base="developed")
    before, after, _ = Run(developed, curve_rate=30.0).step()
    _, plain, _ = Run(developed).step()
    for path in before.weights:
        change, full = (
            after.weights[path] - before.weights[path],
            plain.weights[path] - before.weights[path],
        )
        factor = 30 if path == "development/curve" else 1
        np.testing.assert_allclose(change, full * factor, rtol=1e-2, atol=2e-7, err_msg=path)


def test_learning_rate_is_a_value_and_not_part_of_the_program(nano):
    run = Run(nano)
    run.step()
    compiled = run.program._cache_size()
    controls = StepControls(
        np.float32(0), learning_rate_factors(run.stage, 1), np.zeros(jax.device_count(), "int32")
    )
    before = jax.tree.map(np.array, run.state.weights)
    run.state, _ = run.program(run.state, run.batch, controls)
    jax.tree.map(np.testing.assert_array_equal, dict(run.state.weights), before)
    assert run.program._cache_size() == compiled


def test_step_passes_on_the_greatest_request(nano):
    run = Run(nano)
    requests = np.zeros(jax.device_count(), "int32")
    requests[-1] = 2
    _, report = run.program(
        run.state, run.batch, StepControls(np.float32(0), jnp.ones(len(LEVELS)), requests)
    )
    assert report.request == 2
