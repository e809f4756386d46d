"""A network as a stage left it on disk: its configuration, its best weights, and a hash over them.

`enhancer.training.checkpoints` writes what is read here, and says how the folder is laid out.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
import safetensors
from orbax.checkpoint import v1 as ocp
from safetensors.numpy import save

from enhancer.config import Keep, ModelConfig, StageConfig
from enhancer.network.restormer import Restormer
from enhancer.network.torch_weights import read_torch_state, restormer_from_torch
from enhancer.system.console import say
from enhancer.system.errors import EnhancerError
from enhancer.system.files import write_atomically, write_json
from enhancer.system.processes import is_first_process

Items = Mapping[str, Mapping[str, jax.Array]]
"""A checkpoint's arrays: by item, such as "weights", and path."""
PACKAGED = Path(__file__).with_name("rooms.safetensors")
"""The network that comes with the package: `recipes.default_model` makes it."""


class CheckpointError(EnhancerError):
    """A folder without the checkpoint that was asked for, or one that cannot be written."""

    exit_code = 1


def load_best(stage_dir: str | os.PathLike[str]) -> Restormer:
    """A stage's network with its best weights, in float32; CheckpointError if there is none."""
    stage_dir = Path(stage_dir)
    model = Restormer(read_config(stage_dir)[0])
    weights = load_best_weights(stage_dir, weights_of(model))
    for variable in model.trainable_variables:
        variable.assign(weights[variable.path])
    return model


def save_alone(path: Path, model: Restormer, about: dict[str, Any]) -> None:
    """Write a network as one file, safetensors, that `load_alone` reads.

    Args:
        path: replaced if it exists, whole or not at all.
        model: its weights are written in float32.
        about: what else is to be said of it, as JSON.
    """
    weights = weights_of(model)
    about = about | {"model": dataclasses.asdict(model.config), "sha256": weights_sha256(weights)}
    arrays = {name: np.asarray(value, np.float32) for name, value in weights.items()}
    content = save(arrays, {name: json.dumps(value) for name, value in about.items()})
    write_atomically(path, content)


def load_alone(path: Path = PACKAGED) -> tuple[Restormer, dict[str, Any]]:
    """Read a network that is one file, in float32, and what is said about it.

    Raises:
        CheckpointError: the file is missing or damaged, or its weights are not those of its hash.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            about = {name: json.loads(value) for name, value in file.metadata().items()}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model = Restormer(ModelConfig.from_json(about["model"]))
        for variable in model.trainable_variables:
            variable.assign(weights[variable.path])
        intact = weights_sha256(weights) == about["sha256"]
    except Exception as error:  # of many kinds, for what is not such a file
        raise CheckpointError(f"{path} does not hold a network: {error!r}.") from error
    if not intact:
        raise CheckpointError(f"{path} is damaged: its weights are not those that were written.")
    return model, about


def load_best_weights(stage_dir: Path, like: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """What a stage leaves: by its `keep` the weights of lowest validation loss, or the last.

    `like` has arrays of the wanted shapes, by variable path.

    Raises:
        CheckpointError: there is no checkpoint, or it belongs to a network of another shape.
    """
    checkpoints = stage_dir / "checkpoints"
    if not checkpoints.is_dir():
        raise CheckpointError(
            f"{stage_dir} holds no checkpoints/; train the stage first or name another folder."
        )
    keep, best = read_config(stage_dir)[1].keep, checkpoints
    try:
        with ocp.training.Checkpointer(str(checkpoints.absolute())) as checkpointer:
            metrics = {checkpoints / str(c.step): c.metrics for c in checkpointer.checkpoints}
        finished = [folder for folder in metrics if is_complete(folder)]
        if not finished:
            raise CheckpointError(
                f"{checkpoints} holds no finished checkpoint; train the stage first."
            )
        best = max(finished, key=lambda folder: rank(metrics[folder], keep))
        path = str(best.absolute())
        saved = cast(Any, ocp.metadata(path, checkpointable_name="weights").metadata)
        _refuse_other_shape(stage_dir, saved, like)
        weights = ocp.load(path, abstract(like), checkpointable_name="weights")
        refuse_damaged(best, {"weights": weights})
        return weights
    except CheckpointError:
        raise
    except Exception as error:  # Orbax raises errors of many kinds for damaged files
        raise CheckpointError(
            f"{best} is damaged: {first_line(error)} Restore it from a copy; or move it away, and "
            "the next best checkpoint of the stage is used."
        ) from error


def load_start(start: Path, like: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """`load_best_weights` of a stage, or the weights of a file that `load_file` reads."""
    if not start.is_file():
        return load_best_weights(start, like)
    weights = weights_of(load_file(start))
    _refuse_other_shape(start, weights, like)
    return {path: jax.device_put(x, like[path].sharding) for path, x in weights.items()}


def load_file(path: Path) -> Restormer:
    """The network in a file: `load_alone`'s, or a PyTorch state dict.

    Raises:
        CheckpointError, TorchWeightsError: it does not hold one.
    """
    with contextlib.suppress(OSError, safetensors.SafetensorError):
        with safetensors.safe_open(path, framework="numpy") as file:
            is_ours = "sha256" in (file.metadata() or {})
        if is_ours:
            return load_alone(path)[0]
    return restormer_from_torch(read_torch_state(path))


def _refuse_other_shape(stage_dir: Path, saved: dict[str, Any], like: dict[str, Any]) -> None:
    there, here = ({path: tuple(x.shape) for path, x in arrays.items()} for arrays in (saved, like))
    if there == here:
        return
    path = min(path for path in {*there, *here} if there.get(path) != here.get(path))
    raise CheckpointError(
        f"The weights in {stage_dir} are of a network of another shape: {path} is "
        f"{there.get(path, 'missing')} there and {here.get(path, 'missing')} here. Use the size it "
        "was trained with."
    )


def write_config(stage_dir: Path, model: ModelConfig, stage: StageConfig) -> None:
    """Write what `read_config` reads; CheckpointError if the folder holds a stage with others."""
    if (stage_dir / "checkpoints").is_dir() and (saved := read_config(stage_dir)) != (model, stage):
        was, now = {**vars(saved[0]), **vars(saved[1])}, {**vars(model), **vars(stage)}
        changes = [f"{name} {was[name]} -> {now[name]}" for name in now if was[name] != now[name]]
        raise CheckpointError(
            f"{stage_dir} holds a stage with other settings ({', '.join(changes)}); name another."
        )
    if not is_first_process():
        return
    stage_dir.mkdir(parents=True, exist_ok=True)
    settings = {"model": dataclasses.asdict(model), "stage": dataclasses.asdict(stage)}
    write_json(stage_dir / "config.json", settings)


def read_config(stage_dir: Path) -> tuple[ModelConfig, StageConfig]:
    """The network's shape and the settings that a stage was trained with; CheckpointError where
    these cannot be read."""
    path = stage_dir / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{stage_dir} is not a trained stage: it holds no config.json.")
    try:
        saved = json.loads(path.read_text())
        return ModelConfig.from_json(saved["model"]), StageConfig.from_json(saved["stage"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a stage's configuration: {error!r}.") from error


def weights_of(model: Restormer) -> dict[str, jax.Array]:
    """A network's weights by variable path."""
    return {variable.path: variable.value for variable in model.trainable_variables}


def weights_sha256(weights: dict[str, jax.Array]) -> str:
    """A hash over all weights by path: equal exactly when names, shapes, dtypes and bits are."""
    digest = hashlib.sha256()
    for path in sorted(weights):
        value = np.ascontiguousarray(weights[path])
        digest.update(f"{path} {value.dtype} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def array_hashes(items: Items) -> dict[str, dict[str, str]]:
    """What a checkpoint's metadata hold of its arrays: `weights_sha256` of each alone."""
    return {
        item: {path: weights_sha256({path: array}) for path, array in arrays.items()}
        for item, arrays in items.items()
    }


def refuse_damaged(checkpoint: Path, loaded: Items) -> None:
    """Raise ValueError unless arrays are what their hashes in the checkpoint say.
    One of an earlier version has none: that is said, and it passes."""
    metadata = json.loads((checkpoint / "_CHECKPOINT_METADATA").read_text())
    saved = metadata["custom_metadata"].get("sha256")
    if saved is None:
        say(f"{checkpoint} was saved without hashes: damage to it would not be noticed.")
        return
    for item, hashes in array_hashes(loaded).items():
        for path, found in hashes.items():
            if found != saved[item].get(path):
                raise ValueError(f"{item}/{path} is not what was saved.")


def first_line(error: BaseException) -> str:
    """What lies behind an error, without the pages that Orbax and TensorStore add."""
    while error.__cause__:
        error = error.__cause__
    return (str(error).partition("\n")[0] or repr(error))[:300]


def rank(metrics: Any, keep: Keep) -> tuple[float, float]:
    """Of a checkpoint by its metrics, higher is better: the lowest validation loss (of equal ones
    the earlier), or the latest. Within an epoch nothing is known yet."""
    step, history = metrics["step"], metrics["history"]
    if not history or history[-1]["step"] != step:
        return -math.inf, -step
    return (0.0, step) if keep == "last" else (-history[-1]["validation_loss"], -step)


def is_complete(checkpoint: Path) -> bool:
    """Whether all that a checkpoint says it holds is there, and its JSON can be read."""
    try:
        items = json.loads((checkpoint / "_CHECKPOINT_METADATA").read_text())["item_handlers"]
        json.loads((checkpoint / "metrics" / "metrics").read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError):
        return False  # any other failure to read says nothing about the checkpoint
    return bool(items) and all((checkpoint / item).exists() for item in (*items, "metrics"))


def abstract(arrays: dict[str, jax.Array]) -> dict[str, jax.ShapeDtypeStruct]:
    """What Orbax is told about the arrays that are wanted."""
    return {
        path: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
        for path, x in arrays.items()
    }
