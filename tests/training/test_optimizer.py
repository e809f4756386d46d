"""The learning rate's course, and what weight decay leaves alone."""

import dataclasses

import jax
import keras
import numpy as np
import pytest

from enhancer.config import ModelConfig, StageConfig
from enhancer.network.restormer import Restormer
from enhancer.training.optimizer import learning_rate_at, make_optimizer
from enhancer.training.state import initial_state


def test_rate_warms_up_linearly_and_decays_along_a_cosine_to_zero():
    stage = StageConfig(epochs=30, warmup_epochs=5, peak_learning_rate=5e-5)
    rates = [learning_rate_at(stage, 10, step) for step in (0, 25, 50, 175, 300)]
    np.testing.assert_allclose(rates, [0, 2.5e-5, 5e-5, 2.5e-5, 0], atol=1e-11)


def test_rate_is_that_of_keras_cosine_decay():
    stage = StageConfig(epochs=7, warmup_epochs=2, peak_learning_rate=1e-3)
    theirs = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=15, warmup_target=1e-3, warmup_steps=6
    )
    rates = [learning_rate_at(stage, 3, step) for step in range(22)]
    np.testing.assert_allclose(
        rates, [float(theirs(step)) for step in range(22)], rtol=1e-5, atol=1e-9
    )


@pytest.mark.parametrize("warmup_epochs", [0, 1, 5])
def test_stage_of_one_step_has_its_peak_rate(warmup_epochs):
    assert learning_rate_at(
        StageConfig(epochs=1, warmup_epochs=warmup_epochs), 1, 0
    ) == pytest.approx(5e-5)


def test_norms_temperatures_and_biases_are_not_decayed(nano):
    model = Restormer(dataclasses.replace(nano, norm="with_bias", conv_bias=True))
    optimizer = make_optimizer(0.5, model.trainable_variables)
    optimizer.learning_rate = 0.1
    ones = [np.ones(v.shape, "float32") for v in model.trainable_variables]
    zeros = [np.zeros(v.shape, "float32") for v in model.trainable_variables]
    updated, _ = jax.jit(optimizer.stateless_apply)(
        [v.value for v in optimizer.variables], zeros, ones
    )
    for variable, value in zip(model.trainable_variables, updated, strict=True):
        decayed = not any(word in variable.path for word in ("norm", "temperature", "bias"))
        np.testing.assert_allclose(
            value, 0.95 if decayed else 1.0, rtol=1e-6, err_msg=variable.path
        )


def test_a_network_and_its_optimizer_are_built_without_a_program_per_shape(caplog):
    """Each would take XLA a hundredth of a second, and there are a hundred shapes."""
    shape = ModelConfig(10, (1, 1, 1, 1), 1, (1, 1, 1, 1), base="retouch")
    with jax.log_compiles():
        jax.jit(lambda x: x - 3)(1.0)  # so that a log that is never written does not pass
        model = Restormer(shape)
        optimizer = make_optimizer(0.1, model.trainable_variables)
        initial_state(model, optimizer, with_average=True)
    compiled = [r.getMessage() for r in caplog.records if "Compiling" in r.getMessage()]
    assert 1 <= len(compiled) <= 5, compiled
