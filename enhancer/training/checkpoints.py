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
from enhancer.network.trained import CheckpointError, abstract, is_complete, rank
from enhancer.system.console import say
from enhancer.system.files import write_json
from enhancer.system.processes import first_process_first, is_first_process
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
    def at_epoch_end(self) -> bool:
        """Whether no step has been taken since the last row."""
        return bool(self.history) and self.history[-1]["step"] == self.step

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
        with first_process_first("incomplete checkpoints are put aside", stage_dir):
            if is_first_process():
                _put_incomplete_aside(stage_dir / "checkpoints")
        policies: Any = ocp.training.preservation_policies  # its annotations contradict each other
        best = policies.BestN(n=1, get_metric_fn=functools.partial(rank, keep=keep))
        self._checkpointer = ocp.training.Checkpointer(
            str((stage_dir / "checkpoints").absolute()),
            preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(1), best]),
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
                force=True,
            )
            if is_first_process():
                write_json(self.stage_dir / "history.json", progress.history)
        except Exception as error:  # Orbax and the libraries under it raise errors of many kinds
            raise self._unwritable(error) from error

    def resume(self, like: TrainState, num_pairs: int) -> tuple[TrainState, Progress] | None:
        """Restore the latest checkpoint, or return None where there is none.

        Args:
            like: a state with the wanted shapes, dtypes and placement; devices may be others now.
            num_pairs: training pairs now.

        Raises:
            CheckpointError: the stage was begun with another number of pairs, or the checkpoint is
                damaged.
        """
        latest = self._checkpointer.latest
        if latest is None:
            return None
        progress = Progress(**cast(Any, latest.metrics))
        if progress.num_pairs != num_pairs:
            raise CheckpointError(
                f"{self.stage_dir} was begun with {progress.num_pairs} training pairs, and now "
                f"there are {num_pairs}: continuing would mix two experiments. Restore the data "
                "set, or start in another folder."
            )
        items = {"weights": abstract(like.weights), "optimizer": abstract(like.optimizer)}
        if like.average:
            items[_LIVE_WEIGHTS] = items["weights"]
        try:
            loaded = self._checkpointer.load_checkpointables(latest.step, cast(Any, items))
        except Exception as error:
            raise CheckpointError(
                f"The checkpoint of step {latest.step} in {self.stage_dir} is damaged: {error}. "
                "Delete its folder to continue from the one before, or start in another folder."
            ) from error
        if is_first_process():  # a kill may have come between the checkpoint and this file
            write_json(self.stage_dir / "history.json", progress.history)
        skips = jax.device_put(np.int32(progress.skips_in_a_row), like.skips_in_a_row.sharding)
        live = loaded.get(_LIVE_WEIGHTS, loaded["weights"])
        average = loaded["weights"] if like.average else {}
        return TrainState(live, loaded["optimizer"], average, skips), progress

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
    kept = folder.with_name("incomplete_checkpoints")
    for checkpoint in incomplete:
        if not none_left and not _is_torn(checkpoint):
            shutil.rmtree(checkpoint)
            continue
        kept.mkdir(exist_ok=True)
        shutil.rmtree(kept / checkpoint.name, ignore_errors=True)
        checkpoint.rename(kept / checkpoint.name)
        say(
            f"{checkpoint} is damaged, and moved to {kept}; if it was the best one, another one "
            "now counts as the best."
        )
    if incomplete and none_left:
        raise CheckpointError(
            f"None of the checkpoints in {folder} is complete; they are moved to {kept}. Look at "
            "them, or start the same command once more to begin the stage anew."
        )


def _is_torn(checkpoint: Path) -> bool:
    """Whether the list of what it holds is there and says nothing."""
    try:
        json.loads((checkpoint / "_CHECKPOINT_METADATA").read_text())["item_handlers"]
    except (ValueError, KeyError, TypeError):
        return True
    except OSError:
        return False
    return False
