"""AdamW with linear warm-up and cosine decay (Loshchilov & Hutter, 2019, 2017)."""

import keras
import numpy as np

from enhancer.config import StageConfig


def learning_rate_schedule(stage: StageConfig, steps_per_epoch: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate by step: linear from 0 to the peak in `warmup_epochs`, then half a cosine to 0 at the last epoch."""
    num_train_steps = stage.epochs * steps_per_epoch
    warmup_steps = min(stage.warmup_epochs * steps_per_epoch, num_train_steps - 1)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else stage.peak_learning_rate,
        decay_steps=num_train_steps - warmup_steps,
        warmup_target=stage.peak_learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


def make_optimizer(
    stage: StageConfig, schedule: keras.optimizers.schedules.LearningRateSchedule, variables: list[keras.Variable]
) -> keras.optimizers.Optimizer:
    """The stage's optimizer, built for `variables`.

    Norms, temperatures and biases are not decayed: shrinking a scale is no regulariser.
    """
    optimizer = keras.optimizers.AdamW(
        name="adamw",  # a fixed name keeps variable paths equal between processes
        learning_rate=schedule,  # pyright: ignore[reportArgumentType]  # Keras annotates float alone
        weight_decay=stage.weight_decay,
        global_clipnorm=stage.gradient_clip_norm,
    )
    optimizer.exclude_from_weight_decay(var_names=["norm", "temperature", "bias"])
    optimizer.build(variables)
    return optimizer


def learning_rate_at(schedule: keras.optimizers.schedules.LearningRateSchedule, step: int) -> float:
    """The schedule's value at a step, as a plain number for a log."""
    return float(np.asarray(schedule(step)))
