"""A run's folder with weights in it that nobody trained."""

from pathlib import Path

import keras

from enhancer.config import StageConfig
from enhancer.network.restormer import Restormer
from enhancer.network.trained import write_config
from enhancer.training.checkpoints import Checkpoints, Progress
from enhancer.training.state import initial_state


def save_run(folder: Path, model: Restormer, resolution: int) -> Path:
    """Write what a recipe leaves behind after fine-tuning, and return the folder."""
    write_config(folder / "finetune", model.config, StageConfig(resolution=resolution))
    optimizer = keras.optimizers.SGD(name="sgd")
    optimizer.build(model.trainable_variables)
    epoch = {"epoch": 1, "step": 1, "validation_loss": 0.1}
    progress = Progress(num_pairs=2, step=1, history=[epoch])
    with Checkpoints(folder / "finetune") as checkpoints:
        checkpoints.save(initial_state(model, optimizer, with_average=False), progress)
    return folder
