"""AdamW with linear warm-up and cosine decay (Loshchilov & Hutter, 2019, 2017)."""

import math
from typing import Any

import keras

from enhancer.config import StageConfig
from enhancer.network.layers import zeros


def learning_rate_at(stage: StageConfig, steps_per_epoch: int, step: int) -> float:
    """The learning rate of a step, counted from 0: linear from 0 to the peak in `warmup_epochs`,
    then half a cosine that reaches 0 with the last epoch's end."""
    num_train_steps = stage.epochs * steps_per_epoch
    warmup_steps = min(stage.warmup_epochs * steps_per_epoch, max(0, num_train_steps - 1))
    if step < warmup_steps:
        return stage.peak_learning_rate * step / warmup_steps
    progress = (step - warmup_steps) / max(1, num_train_steps - warmup_steps)
    return stage.peak_learning_rate * (1 + math.cos(math.pi * min(1.0, progress))) / 2


def make_optimizer(
    weight_decay: float, variables: list[keras.Variable]
) -> keras.optimizers.Optimizer:
    """AdamW, built for `variables`. Its learning rate is a variable that each step sets.
    Norms, temperatures, biases and tone curves are not decayed."""
    optimizer = _AdamW(
        name="adamw",  # a fixed name keeps variable paths equal between processes
        learning_rate=0.0,
        weight_decay=weight_decay,
    )
    optimizer.exclude_from_weight_decay(var_names=["norm", "temperature", "bias", "curve"])
    optimizer.build(variables)
    return optimizer


class _AdamW(keras.optimizers.AdamW):
    def add_variable_from_reference(self, reference_variable, name=None, initializer="zeros"):
        """Keras', whose own zeros would compile a program per shape."""
        fast: Any = zeros if initializer == "zeros" else initializer
        return super().add_variable_from_reference(reference_variable, name, fast)
