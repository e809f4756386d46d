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
import shutil
from pathlib import Path
from typing import Any, cast

import grain
import jax
import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp

from enhancer.atomic_file import write_json
from enhancer.config import ModelConfig, StageConfig
from enhancer.restormer import Restormer
from enhancer.train_state import TrainState

Row = dict[str, Any]
ITEMS = ("weights", "optimizer", "data_iterator")


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
        _remove_incomplete(stage_dir / "checkpoints")
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

    def save(self, state: TrainState, data_iterator: grain.DatasetIterator, history: list[Row], num_pairs: int) -> None:
        """Begin to save everything as it is after the epoch of `history[-1]`, and write `history.json`.

        Files are written while training goes on; the next save, and leaving the context, wait for them. An error in writing them is raised
        there.

        Args:
            state: weights and optimizer.
            data_iterator: where the data stand.
            history: a row per epoch so far.
            num_pairs: training pairs, kept to notice that a stage is continued on other data.
        """
        epoch = history[-1]["epoch"]
        metrics = {"validation_loss": history[-1]["validation_loss"], "epoch": epoch}
        metrics |= {"num_pairs": num_pairs, "history": list(history)}
        # The next step donates the state's buffers; where host and device share memory, they are what would be written.
        weights, optimizer = jax.tree.map(jnp.copy, (state.weights, state.optimizer))
        self._checkpointer.save_checkpointables_async(
            epoch,
            {"weights": weights, "optimizer": optimizer, "data_iterator": data_iterator},
            metrics=cast(Any, metrics),
            force=True,
        )
        write_json(self.stage_dir / "history.json", history)

    def resume(self, like: TrainState, data_iterator: grain.DatasetIterator, num_pairs: int) -> Resumed | None:
        """Restore the latest checkpoint, or return None where there is none.

        Args:
            like: a state with the shapes, dtypes and placement that are wanted.
            data_iterator: a fresh iterator over the same data; it is moved to where the checkpoint stood.
            num_pairs: training pairs now.

        Raises:
            CheckpointError: The stage was begun with another number of pairs.
        """
        latest = self._checkpointer.latest
        if latest is None:
            return None
        saved = cast(Any, latest.metrics)
        if saved["num_pairs"] != num_pairs:
            raise CheckpointError(
                f"{self.stage_dir} was begun with {saved['num_pairs']} training pairs, and now there are {num_pairs}: continuing "
                "would mix two experiments. Restore the data set, or start in another folder."
            )
        loaded = self._checkpointer.load_checkpointables(
            latest.step,
            {
                "weights": _abstract(like.weights),
                "optimizer": _abstract(like.optimizer),
                "data_iterator": data_iterator,
            },
        )
        history = saved["history"]
        # A kill may have come between the checkpoint and this file.
        write_json(self.stage_dir / "history.json", history)
        return Resumed(TrainState(loaded["weights"], loaded["optimizer"]), history)


def _remove_incomplete(folder: Path) -> None:
    """Remove checkpoints that a kill left half deleted: Orbax deletes in place, and then trips over what it finds."""
    for checkpoint in folder.glob("[0-9]*"):
        if checkpoint.name.isdigit() and not _is_complete(checkpoint):
            shutil.rmtree(checkpoint)


def _is_complete(checkpoint: Path) -> bool:
    return all((checkpoint / item).exists() for item in (*ITEMS, "metrics", "_CHECKPOINT_METADATA"))


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
    try:
        with ocp.training.Checkpointer(str((stage_dir / "checkpoints").absolute())) as checkpointer:
            found = {
                stage_dir / "checkpoints" / str(checkpoint.step): checkpoint for checkpoint in checkpointer.checkpoints
            }
        finished = [folder for folder in found if _is_complete(folder)]
        if not finished:
            raise CheckpointError(f"{stage_dir}/checkpoints holds no finished checkpoint; train the stage first.")
        best = max(finished, key=lambda folder: _rank(found[folder].metrics))
        saved = cast(Any, ocp.metadata(str(best.absolute()), checkpointable_name="weights").metadata)
        saved_shapes = {path: tuple(array.shape) for path, array in saved.items()}
        if different := sorted(set(saved_shapes.items()) ^ {(path, tuple(x.shape)) for path, x in like.items()}):
            path = different[0][0]
            raise CheckpointError(
                f"The weights in {stage_dir} are of a network of another shape: {path} is {saved_shapes.get(path, 'missing')} "
                f"there and {tuple(like[path].shape) if path in like else 'missing'} here. Use the size it was trained with."
            )
        return ocp.load(str(best.absolute()), _abstract(like), checkpointable_name="weights")
    except CheckpointError:
        raise
    except Exception as error:  # Orbax raises errors of many kinds for damaged files
        raise CheckpointError(f"The checkpoints in {stage_dir} are damaged: {error}") from error


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
    """Write what `read_config` reads, unless the folder holds a stage with other settings.

    Raises:
        CheckpointError: It does.
    """
    if (stage_dir / "checkpoints").is_dir() and (saved := read_config(stage_dir)) != (model, stage):
        was = {**vars(saved[0]), **vars(saved[1])}
        now = {**vars(model), **vars(stage)}
        changes = ", ".join(f"{name} {was[name]} -> {now[name]}" for name in now if was[name] != now[name])
        raise CheckpointError(f"{stage_dir} holds a stage with other settings ({changes}); use another folder.")
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
