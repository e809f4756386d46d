"""The learning rate's course, and what weight decay leaves alone."""

import dataclasses

import jax
import numpy as np
import pytest

from enhancer.config import StageConfig
from enhancer.optimizer import learning_rate_at, learning_rate_schedule, make_optimizer
from enhancer.restormer import Restormer


def test_rate_warms_up_linearly_and_decays_along_a_cosine_to_zero():
    stage = StageConfig(epochs=30, warmup_epochs=5, peak_learning_rate=5e-5)
    schedule = learning_rate_schedule(stage, steps_per_epoch=10)
    rates = [learning_rate_at(schedule, step) for step in (0, 25, 50, 175, 300)]
    np.testing.assert_allclose(rates, [0, 2.5e-5, 5e-5, 2.5e-5, 0], atol=1e-11)


@pytest.mark.parametrize("warmup_epochs", [0, 1, 5])
def test_stage_of_one_step_has_a_finite_rate(warmup_epochs):
    schedule = learning_rate_schedule(StageConfig(epochs=1, warmup_epochs=warmup_epochs), steps_per_epoch=1)
    assert learning_rate_at(schedule, 0) == pytest.approx(5e-5)


def test_norms_temperatures_and_biases_are_not_decayed(nano):
    model = Restormer(dataclasses.replace(nano, norm="with_bias", conv_bias=True))
    stage = StageConfig(weight_decay=0.5, warmup_epochs=0, peak_learning_rate=0.1)
    optimizer = make_optimizer(stage, learning_rate_schedule(stage, 10), model.trainable_variables)
    ones = [np.ones(v.shape, "float32") for v in model.trainable_variables]
    zeros = [np.zeros(v.shape, "float32") for v in model.trainable_variables]
    updated, _ = jax.jit(optimizer.stateless_apply)([v.value for v in optimizer.variables], zeros, ones)
    for variable, value in zip(model.trainable_variables, updated, strict=True):
        decayed = not any(word in variable.path for word in ("norm", "temperature", "bias"))
        np.testing.assert_allclose(value, 0.95 if decayed else 1.0, rtol=1e-6, err_msg=variable.path)
