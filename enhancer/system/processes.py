"""The processes that train together: how they find, wait for, and end with each other.

The first one announces in a file of the run's folder how work ended that all depend on: in a
collective operation there is a time-out, and no signal is heard.
"""

import contextlib
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from enhancer.system.errors import EnhancerError
from enhancer.system.files import write_json
from enhancer.system.interruption import Interrupted

_DONE, _FAILED, _STOPPED = "done", "failed", "stopped"
_POLL_SECONDS = 0.2
_LEAVE_SECONDS = 3  # in which others read what the first announced
_SECONDS: Any = {
    "heartbeat_timeout_seconds": 30,  # after which one that is gone ends the others
    "shutdown_timeout_seconds": 60,  # how long one that ends waits for the others
}


class JoinError(EnhancerError):
    """Processes that cannot find each other."""


class OtherProcessFailed(EnhancerError):
    """The first process could not do what all depend on; it has said why itself."""

    exit_code = 1


class _Meetings:
    """Where the processes of this run wait for the first: they all come to equally many places."""

    run = 0  # a number that tells this run's announcements from those of earlier ones
    count = 0


def join_other_processes() -> None:
    """Join the others that train together, before JAX is used for anything; alone, do nothing.

    `srun` with several tasks says all that is needed; elsewhere JAX_COORDINATOR_ADDRESS (host:port
    of the first process), JAX_NUM_PROCESSES and JAX_PROCESS_ID do.

    Raises:
        JoinError: these make no sense, or the others were not found in five minutes.
    """
    # Its SIGTERM handler would replace ours, which saves a checkpoint.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        if address := os.environ.get("JAX_COORDINATOR_ADDRESS"):
            jax.distributed.initialize(address, *_numbers(address), **_SECONDS)
        elif "SLURM_STEP_NODELIST" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1:
            own = slurm_device_ids(os.environ)
            jax.distributed.initialize(local_device_ids=own, **_SECONDS)
        else:
            return
    except RuntimeError as error:  # what XLA raises after five minutes
        raise JoinError(
            f"The processes that train together did not find each other: {error}. All must run, "
            "and reach the first one's host and port; proxy variables may be in the way."
        ) from error
    if jax.default_backend() == "cpu":
        # A step that one process reads from the cache and another one compiles adds up between them
        # in two orders, which Gloo takes for a mismatch (JAX 0.10.2): the run would abort.
        jax.config.update("jax_enable_compilation_cache", False)
    number = np.int32(secrets.randbits(31))
    _Meetings.run = int(multihost_utils.broadcast_one_to_all(number))


def _numbers(address: str) -> tuple[int, int]:
    try:
        number, own = int(os.environ["JAX_NUM_PROCESSES"]), int(os.environ["JAX_PROCESS_ID"])
    except (KeyError, ValueError) as error:
        raise JoinError(
            f"JAX_COORDINATOR_ADDRESS is {address}, so JAX_NUM_PROCESSES and JAX_PROCESS_ID must "
            f"be numbers: {error}."
        ) from error
    if not 0 <= own < number:
        raise JoinError(
            f"JAX_PROCESS_ID is {own}; it must lie in 0 ... {number - 1} (JAX_NUM_PROCESSES - 1)."
        )
    if not address.rpartition(":")[2].isdigit():
        raise JoinError(
            f"JAX_COORDINATOR_ADDRESS is {address}; it must be host:port of the first process."
        )
    return number, own


def slurm_device_ids(environment: Mapping[str, str]) -> list[int] | None:
    """Which of the GPUs that Slurm shows a task are its own; None leaves the choice to JAX.

    JAX gives a task the GPU with its number on the node, which is wrong when Slurm shows each task
    its own only (--gpus-per-task).
    """
    visible = [gpu for gpu in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]
    if visible and ("SLURM_GPUS_PER_TASK" in environment or len(visible) == 1):
        return list(range(len(visible)))
    return None


def is_first_process() -> bool:
    """Whether this process is the one that prints, and writes what is written once."""
    return jax.process_index() == 0


@contextlib.contextmanager
def first_process_first(what: str, folder: Path) -> Iterator[None]:
    """Let the first process run the block alone, then the others, which find its work done.

    Args:
        what: the block, in words for the others' error.
        folder: of the run; all processes see it.

    Raises:
        OtherProcessFailed: in the others, when the block raised in the first.
        Interrupted: in the others, when a signal stopped it in the first.
    """
    if jax.process_count() == 1:
        yield
        return
    _Meetings.count += 1
    if not is_first_process():
        _wait_for(what, folder)
        yield
        return
    ended = _STOPPED
    try:
        yield
        ended = _DONE
    except Exception:
        ended = _FAILED
        raise
    finally:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(_announcement(folder), {"count": _Meetings.count, "ended": ended})
        if ended == _DONE:  # the folder is this run's: what earlier ones announced can go
            for path in folder.glob(_announcement(folder, "*").name):
                if path != _announcement(folder):
                    path.unlink(missing_ok=True)


def _announcement(folder: Path, run: str = "") -> Path:
    return folder / f".first_process.{run or _Meetings.run}.json"


def _wait_for(what: str, folder: Path) -> None:
    while (ended := _announced(folder)) is None:
        time.sleep(_POLL_SECONDS)
    if ended == _FAILED:
        raise OtherProcessFailed(
            f"The first process did not get through this: {what}. Its own output says why."
        )
    if ended == _STOPPED:
        raise Interrupted(signal.SIGTERM)


def _announced(folder: Path) -> str | None:
    """How the work ended that this process waits for; None while it goes on."""
    try:
        found = json.loads(_announcement(folder).read_text())
    except (OSError, ValueError):
        return None
    if found["count"] < _Meetings.count:
        return None
    return found["ended"] if found["count"] == _Meetings.count else _DONE  # it has gone on since


def greatest(number: int) -> int:
    """The greatest of the numbers that the processes bring; all must call it at the same place."""
    if jax.process_count() == 1:
        return number
    return int(np.max(multihost_utils.process_allgather(np.int32(number))))


def are_several() -> bool:
    """Whether others train with this process; starts no device to find out."""
    return jax.distributed.is_initialized()


def leave(code: int, *, failed: bool) -> NoReturn:
    """End the process with an exit code.

    After a failure it does not wait for the others, which may wait for it in the middle of a step:
    they end at the latest when its heartbeat is missed, after half a minute.
    """
    if failed and are_several():
        sys.stdout.flush()
        sys.stderr.flush()
        if is_first_process():
            # With the first one JAX ends the others, which may be about to say why they end.
            time.sleep(_LEAVE_SECONDS)
        os._exit(code)
    sys.exit(code)
