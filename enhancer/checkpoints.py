"""What a stage leaves on disk: Orbax checkpoints (the latest and the best), and its configuration beside them.

    <stage>/config.json        the network's shape and the stage's settings
    <stage>/checkpoints/<n>/   after epoch n: weights, optimizer, data_iterator, metrics, each a separate item
    <stage>/history.json       one row per epoch, for people and plots; the checkpoint's own copy is the truth

Resuming takes everything from the latest checkpoint; the next stage takes the weights of the best one alone.
"""

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any, cast

import grain
import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from enhancer.atomic_file import write_json
from enhancer.config import ModelConfig, StageConfig
from enhancer.restormer import Restormer
from enhancer.train_state import TrainState

Row = dict[str, Any]


class CheckpointError(ValueError):
    """A folder without the checkpoint that was asked for; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Resumed:
    """What the latest checkpoint held; the data iterator was set in place."""

    state: TrainState
    history: list[Row]


class Checkpoints:
    """The checkpoints of one stage, written once per epoch. Use as a context manager.

    Orbax writes to a temporary folder and renames it, so a killed save leaves the one before intact.
    """

    def __init__(self, stage_dir: Path):
        self.stage_dir = stage_dir
        policies: Any = ocp.training.preservation_policies  # their own annotations contradict each other
        self._checkpointer = ocp.training.Checkpointer(
            str((stage_dir / "checkpoints").absolute()),
            preservation_policy=policies.AnyPreservationPolicy(
                [policies.LatestN(1), policies.BestN(n=1, get_metric_fn=_rank)]
            ),
            cleanup_tmp_directories=True,
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._checkpointer.close()

    def save(self, state: TrainState, data_iterator: grain.DatasetIterator, history: list[Row]) -> None:
        """Save everything after the epoch of `history[-1]`, then write `history.json`."""
        epoch = history[-1]["epoch"]
        self._checkpointer.save_checkpointables(
            epoch,
            {"weights": state.weights, "optimizer": state.optimizer, "data_iterator": data_iterator},
            metrics=cast(Any, {"validation_loss": history[-1]["validation_loss"], "epoch": epoch, "history": history}),
            force=True,
        )
        write_json(self.stage_dir / "history.json", history)

    def resume(self, like: TrainState, data_iterator: grain.DatasetIterator) -> Resumed | None:
        """Restore the latest checkpoint, or return None where there is none.

        Args:
            like: a state with the shapes, dtypes and placement that are wanted.
            data_iterator: a fresh iterator over the same data; it is moved to where the checkpoint stood.
        """
        latest = self._checkpointer.latest
        if latest is None:
            return None
        loaded = self._checkpointer.load_checkpointables(
            latest.step,
            {
                "weights": _abstract(like.weights),
                "optimizer": _abstract(like.optimizer),
                "data_iterator": data_iterator,
            },
        )
        history = cast(Any, latest.metrics)["history"]
        write_json(
            self.stage_dir / "history.json", history
        )  # a kill may have come between the checkpoint and this file
        return Resumed(TrainState(loaded["weights"], loaded["optimizer"]), history)


def _rank(metrics: Any) -> tuple[float, float]:
    """Higher is better: the lowest validation loss, and the earlier epoch of two equal ones."""
    return -metrics["validation_loss"], -metrics["epoch"]


def _abstract(arrays: dict[str, jax.Array]) -> dict[str, jax.ShapeDtypeStruct]:
    return {path: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding) for path, x in arrays.items()}


def load_best_weights(stage_dir: Path, like: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """The weights with the lowest validation loss, and nothing else of the checkpoint.

    Args:
        stage_dir: folder of a stage that has trained.
        like: arrays with the wanted shapes, by variable path.

    Raises:
        CheckpointError: There is no checkpoint, or it belongs to a network of another shape.
    """
    if not (stage_dir / "checkpoints").is_dir():
        raise CheckpointError(
            f"{stage_dir} holds no checkpoints/ folder; train the stage first or name another folder."
        )
    with ocp.training.Checkpointer(str((stage_dir / "checkpoints").absolute())) as checkpointer:
        if not checkpointer.checkpoints:
            raise CheckpointError(f"{stage_dir}/checkpoints holds no finished checkpoint; train the stage first.")
        best = max(checkpointer.checkpoints, key=lambda checkpoint: _rank(checkpoint.metrics))
        best_dir = stage_dir / "checkpoints" / str(best.step)
        saved = cast(Any, ocp.metadata(str(best_dir.absolute()), checkpointable_name="weights").metadata)
        saved_shapes = {path: tuple(array.shape) for path, array in saved.items()}
        if different := sorted(set(saved_shapes.items()) ^ {(path, tuple(x.shape)) for path, x in like.items()}):
            path = different[0][0]
            raise CheckpointError(
                f"The weights in {stage_dir} are of a network of another shape: {path} is {saved_shapes.get(path, 'missing')} "
                f"there and {tuple(like[path].shape) if path in like else 'missing'} here. Use the size it was trained with."
            )
        return checkpointer.load_checkpointables(best.step, {"weights": _abstract(like)})["weights"]


def load_best(stage_dir: str | os.PathLike[str]) -> Restormer:
    """The network of a stage with its best weights, computing in float32.

    Raises:
        CheckpointError: The folder is no trained stage.
    """
    stage_dir = Path(stage_dir)
    model_config, _ = read_config(stage_dir)
    model = Restormer(model_config)
    weights = load_best_weights(stage_dir, {v.path: v.value for v in model.trainable_variables})
    for variable in model.trainable_variables:
        variable.assign(weights[variable.path])
    return model


def write_config(stage_dir: Path, model: ModelConfig, stage: StageConfig) -> None:
    """Write what `read_config` reads."""
    stage_dir.mkdir(parents=True, exist_ok=True)
    write_json(stage_dir / "config.json", {"model": dataclasses.asdict(model), "stage": dataclasses.asdict(stage)})


def read_config(stage_dir: Path) -> tuple[ModelConfig, StageConfig]:
    """The network's shape and the settings that a stage was trained with.

    Raises:
        CheckpointError: The folder holds no readable configuration of a stage.
    """
    path = stage_dir / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{stage_dir} is no trained stage: it holds no config.json.")
    try:
        saved = json.loads(path.read_text())
        return ModelConfig.from_json(saved["model"]), StageConfig(**saved["stage"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a stage's configuration: {error!r}.") from error


def weights_sha256(weights: dict[str, jax.Array]) -> str:
    """A hash over all weights in the order of their paths: equal exactly when names, shapes, dtypes and bits are."""
    digest = hashlib.sha256()
    for path in sorted(weights):
        value = np.ascontiguousarray(weights[path])
        digest.update(f"{path} {value.dtype} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
