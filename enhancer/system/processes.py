"""The processes that train together: how they find each other, wait for each other, and end together."""

import collections
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, NoReturn

import jax
import numpy as np
from jax._src import (
    distributed,
)  # the coordination service has no public interface; Orbax uses the same one
from jax.experimental import multihost_utils

from enhancer.system.errors import EnhancerError

_DONE, _FAILED, _STOPPED = "done", "failed", "stopped"
_POLL_SECONDS = 0.2
_LEAVE_SECONDS = 15
_SHUTDOWN_SECONDS = 60  # how long a process that ends waits for the others
_times_met: collections.Counter[str] = collections.Counter()


class JoinError(EnhancerError, ValueError):
    """Processes that cannot find each other; the message says what to set."""


class OtherProcessFailed(EnhancerError, RuntimeError):
    """The first process could not do what all depend on; it has said why itself."""

    exit_code = 1


class OtherProcessStopped(EnhancerError, RuntimeError):
    """A signal asked the first process to end."""

    exit_code = 75


def join_other_processes() -> None:
    """Join the processes that train together, before JAX is used for anything else; alone, do nothing.

    Under Slurm, `srun` with several tasks says all that is needed. Elsewhere JAX_COORDINATOR_ADDRESS (host:port of the first process),
    JAX_NUM_PROCESSES and JAX_PROCESS_ID do.

    Raises:
        JoinError: JAX_COORDINATOR_ADDRESS stands alone, or the processes did not find each other in five minutes.
    """
    # Its SIGTERM handler would replace ours, which saves a checkpoint.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        if address := os.environ.get("JAX_COORDINATOR_ADDRESS"):
            jax.distributed.initialize(
                address, *_numbers(address), shutdown_timeout_seconds=_SHUTDOWN_SECONDS
            )
        elif "SLURM_STEP_NODELIST" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1:
            jax.distributed.initialize(
                local_device_ids=slurm_device_ids(os.environ),
                shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
            )
    except RuntimeError as error:  # what XLA raises after five minutes
        raise JoinError(
            f"The processes that train together did not find each other: {error}. All must run, and reach the first one's host "
            "and port; proxy variables in the environment may be in the way."
        ) from error


def _numbers(address: str) -> tuple[int, int]:
    try:
        number, own = int(os.environ["JAX_NUM_PROCESSES"]), int(os.environ["JAX_PROCESS_ID"])
    except (KeyError, ValueError) as error:
        raise JoinError(
            f"JAX_COORDINATOR_ADDRESS is {address}, so JAX_NUM_PROCESSES and JAX_PROCESS_ID must be numbers: {error}."
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


def slurm_device_ids(environment: os._Environ[str] | dict[str, str]) -> list[int] | None:
    """Which of the GPUs that Slurm shows a task are its own, by their number among those that it sees.

    JAX takes a task for the owner of the GPU with its number on the node. That is right when each task sees all of the node's GPUs,
    and wrong when Slurm shows each its own only (--gpus-per-task, --gpus-per-task's binding).

    Returns:
        Numbers; None leaves the choice to JAX.
    """
    visible = [gpu for gpu in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]
    if visible and ("SLURM_GPUS_PER_TASK" in environment or len(visible) == 1):
        return list(range(len(visible)))
    return None


def is_first_process() -> bool:
    """Whether this process is the one that prints, and writes what is written once."""
    return jax.process_index() == 0


@contextlib.contextmanager
def first_process_first(what: str) -> Iterator[None]:
    """Let the first process run the block alone, then the others, which find its work done. It may take hours.

    Raises:
        OtherProcessFailed, OtherProcessStopped: In the others, when the block raised in the first.
    """
    if is_first_process():
        with _announced(what):
            yield
    else:
        _wait_for(what)
        yield


@contextlib.contextmanager
def _announced(what: str) -> Iterator[None]:
    if jax.process_count() == 1:
        yield
        return
    key, ended = _key(what), _STOPPED
    try:
        yield
        ended = _DONE
    except Exception:
        ended = _FAILED
        raise
    finally:
        _client().key_value_set(key, ended)


def _wait_for(what: str) -> None:
    """Wait for what the first process announces. Asking now and then, not in one call: signals are then seen meanwhile."""
    key = _key(what)
    while (ended := _announcement(key)) is None:
        time.sleep(_POLL_SECONDS)
    if ended == _FAILED:
        raise OtherProcessFailed(f"The first process did not get through this: {what}.")
    if ended == _STOPPED:
        raise OtherProcessStopped(f"The first process was stopped at this: {what}.")


def _announcement(key: str) -> str | None:
    try:
        return _client().key_value_try_get(key)
    except jax.errors.JaxRuntimeError as error:
        if "NOT_FOUND" in str(error):
            return None
        raise OtherProcessFailed("The first process is gone.") from error


def _client() -> Any:
    """This process's connection to the coordination service."""
    return distributed.global_state.client


def _key(what: str) -> str:
    """A name for this time that the processes come to this place; they all come to it equally often."""
    _times_met[what] += 1
    return f"enhancer/{what}/{_times_met[what]}"


def greatest(number: int) -> int:
    """The greatest of the numbers that the processes bring; all must call it at the same place."""
    if jax.process_count() == 1:
        return number
    return int(np.max(multihost_utils.process_allgather(np.int32(number))))


def are_several() -> bool:
    """Whether others train with this process, or were to; starts no device to find out."""
    return distributed.global_state.num_processes > 1


def leave(code: int, *, failed: bool) -> NoReturn:
    """End the process with an exit code.

    After a failure it does not wait long for the others: they may be waiting for it in the middle of a step. They find out and
    end, at the latest when the coordination service misses its heartbeat, after a hundred seconds.
    """
    if failed and are_several():
        sys.stdout.flush()
        sys.stderr.flush()
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            # Others that fail for the same reason come here too, once they have read so; the service ends with the first.
            _client().wait_at_barrier("enhancer/leave", _LEAVE_SECONDS * 1000)
        if distributed.global_state.process_id == 0:
            time.sleep(1)
        os._exit(code)
    sys.exit(code)
