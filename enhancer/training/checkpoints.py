"""What a stage leaves on disk: Orbax checkpoints, of the latest step and the best epoch.

    <stage>/config.json        the network's shape and the stage's settings
    <stage>/checkpoints/<n>/   after step n: weights, optimizer, live_weights, metrics
    <stage>/history.json       a row per epoch, for people; the checkpoint's own copy counts

"weights" are what is validated: in a stage that keeps a moving average this, and "live_weights" are
what the optimizer changes. "metrics" hold the progress, which with the seed says where the data
stand. Resuming takes everything from the latest checkpoint; the next stage takes the weights of the
best one alone, or of the last one where `StageConfig.keep` says so.
"""

import dataclasses
import functools
import json
import shutil
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp

from enhancer.config import Keep
from enhancer.network.trained import (
    CheckpointError,
    abstract,
    array_hashes,
    first_line,
    is_complete,
    rank,
    refuse_damaged,
)
from enhancer.system.console import say
from enhancer.system.files import write_json
from enhancer.system.processes import first_process_first, greatest, is_first_process
from enhancer.training.history import Row
from enhancer.training.state import TrainState

_LIVE_WEIGHTS = "live_weights"


@dataclasses.dataclass
class Progress:
    """Where a stage stands. The position in the data follows from `step` and the stage's seed."""

    num_pairs: int
    """Training pairs, kept to notice that a stage is continued on other data."""
    step: int = 0
    """Steps taken, skipped ones included."""
    history: list[Row] = dataclasses.field(default_factory=list)
    """A row per finished epoch, epoch 0 being the state before the first step."""
    loss_sum: float = 0.0
    """Over the `num_losses` finite losses of the epoch that has begun."""
    num_losses: int = 0
    skipped_steps: int = 0
    """Of that epoch: those that changed nothing."""
    skips_in_a_row: int = 0

    @property
    def epoch(self) -> int:
        """The last finished epoch."""
        return self.history[-1]["epoch"]

    @property
    def train_loss(self) -> float | None:
        """Mean of the epoch so far; None before a finite loss."""
        return self.loss_sum / self.num_losses if self.num_losses else None

    def add(self, loss: float, skips_in_a_row: int) -> None:
        """Count a step that has run."""
        self.skips_in_a_row = skips_in_a_row
        if skips_in_a_row:
            self.skipped_steps += 1
        else:
            self.loss_sum += loss
            self.num_losses += 1

    def finish_epoch(self, row: Row) -> None:
        """Add the epoch's row and begin the next."""
        self.history.append(row)
        self.loss_sum, self.num_losses, self.skipped_steps = 0.0, 0, 0


class Checkpoints:
    """The checkpoints of one stage, as a context manager.

    Orbax writes to a temporary folder and renames it: a killed save leaves the one before intact.
    """

    def __init__(self, stage_dir: Path, keep: Keep = "best"):
        self.stage_dir = stage_dir
        self._folder = stage_dir / "checkpoints"
        with first_process_first("incomplete checkpoints are put aside", stage_dir):
            if is_first_process():
                _put_incomplete_aside(self._folder)
        policies: Any = ocp.training.preservation_policies  # its annotations contradict each other
        best = policies.BestN(n=1, get_metric_fn=functools.partial(rank, keep=keep))
        self._checkpointer = ocp.training.Checkpointer(
            str(self._folder.absolute()),
            preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(2), best]),
            cleanup_tmp_directories=True,
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        try:
            self._checkpointer.close()
        except Exception as error:
            if error_type is None:  # else it would hide the error that ended the training
                raise self._unwritable(error) from error

    def save(self, state: TrainState, progress: Progress) -> None:
        """Begin to save everything as it is now, and write `history.json`.

        Files are written while training goes on; the next save, and leaving the context, wait for
        them.

        Raises:
            CheckpointError: this or the previous checkpoint could not be written.
        """
        items = {"weights": state.scored_weights, "optimizer": state.optimizer}
        if state.average:
            items[_LIVE_WEIGHTS] = state.weights
        try:
            # The next step donates the state's buffers, which may be what would be written.
            self._checkpointer.save_checkpointables_async(
                progress.step,
                jax.tree.map(jnp.copy, items),
                metrics=cast(Any, dataclasses.asdict(progress)),
                custom_metadata=cast(Any, {"sha256": array_hashes(items)}),
                force=True,
            )
            if is_first_process():
                write_json(self.stage_dir / "history.json", progress.history)
        except Exception as error:  # Orbax and the libraries under it raise errors of many kinds
            raise self._unwritable(error) from error

    def resume(self, like: TrainState, num_pairs: int) -> tuple[TrainState, Progress] | None:
        """Restore the latest checkpoint that is not damaged, or return None where there is none.

        Args:
            like: a state with the wanted shapes, dtypes and placement; devices may be others now.
            num_pairs: training pairs now.

        Raises:
            CheckpointError: the stage was begun with another number of pairs, or all its
                checkpoints are damaged.
        """
        items = {"weights": abstract(like.weights), "optimizer": abstract(like.optimizer)}
        if like.average:
            items[_LIVE_WEIGHTS] = items["weights"]
        damaged: list[Path] = []
        for saved in reversed(self._checkpointer.checkpoints):
            progress = Progress(**cast(Any, saved.metrics))
            if progress.num_pairs != num_pairs:
                raise CheckpointError(
                    f"{self.stage_dir} was begun with {progress.num_pairs} training pairs, and now "
                    f"there are {num_pairs}: continuing would mix two experiments. Restore the "
                    "data set, or start in another folder."
                )
            if loaded := self._load(saved.step, items):
                break
            damaged.append(self._folder / str(saved.step))
        else:
            if not damaged:
                return None
            raise CheckpointError(
                f"No checkpoint in {self._folder} can be restored. Restore the folder from a copy, "
                "or delete it to begin the stage anew."
            )
        if damaged:
            with first_process_first("damaged checkpoints are put aside", self.stage_dir):
                if is_first_process():
                    for checkpoint in damaged:
                        _put_aside(checkpoint)
            self._checkpointer.reload()
        if is_first_process():  # a kill may have come between the checkpoint and this file
            write_json(self.stage_dir / "history.json", progress.history)
        skips = jax.device_put(np.int32(progress.skips_in_a_row), like.skips_in_a_row.sharding)
        live = loaded.get(_LIVE_WEIGHTS, loaded["weights"])
        average = loaded["weights"] if like.average else {}
        return TrainState(live, loaded["optimizer"], average, skips), progress

    def _load(self, step: int, items: dict[str, Any]) -> dict[str, Any] | None:
        """A step's arrays; None, and why, when any process finds them damaged."""
        loaded = None
        try:
            loaded = self._checkpointer.load_checkpointables(step, items)
            refuse_damaged(self._folder / str(step), loaded)
        except Exception as error:  # Orbax raises errors of many kinds for damaged files
            name = self.stage_dir.name
            say(f"{name}: the checkpoint of step {step} is damaged: {first_line(error)}")
            loaded = None
        return None if greatest(int(loaded is None)) else loaded

    def _unwritable(self, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"A checkpoint could not be written to {self.stage_dir}: {error}. The last complete "
            "one is kept; make room, or make the folder writable, and start the same command again."
        )


def _put_incomplete_aside(folder: Path) -> None:
    """Take checkpoints that lack something away from Orbax, which trips over them.

    A kill leaves one half deleted, since Orbax deletes in place: what is left of it goes. A power
    cut may leave one whole but for a torn file; perhaps the best one, it is kept to look at.
    """
    numbered = [path for path in folder.glob("[0-9]*") if path.name.isdigit()]
    incomplete = [path for path in numbered if not is_complete(path)]
    none_left = len(incomplete) == len(numbered)
    for checkpoint in incomplete:
        if none_left or _is_torn(checkpoint):
            _put_aside(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    if incomplete and none_left:
        raise CheckpointError(
            f"None of the checkpoints in {folder} is complete. Look at them where they are now, or "
            "start the same command once more to begin the stage anew."
        )


def _put_aside(checkpoint: Path) -> None:
    kept = checkpoint.parent.with_name("incomplete_checkpoints")
    kept.mkdir(exist_ok=True)
    shutil.rmtree(kept / checkpoint.name, ignore_errors=True)
    checkpoint.rename(kept / checkpoint.name)
    say(
        f"{checkpoint} is damaged, and moved to {kept}; if it was the best one, another one now "
        "counts as the best."
    )


def _is_torn(checkpoint: Path) -> bool:
    """Whether its JSON is there and says nothing."""
    try:
        json.loads((checkpoint / "metrics" / "metrics").read_text())
        json.loads((checkpoint / "_CHECKPOINT_METADATA").read_text())["item_handlers"]
    except (ValueError, KeyError, TypeError):
        return True
    except OSError:
        return False
    return False
