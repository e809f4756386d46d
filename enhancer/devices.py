"""All devices of all processes as one row, along which batches are cut: data parallelism."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_AXIS = "batch"


class UnequalSharesError(ValueError):
    """A batch that cannot be cut evenly; the message says what to change."""


def join_other_processes() -> None:
    """Join the processes that train together, before JAX is used for anything else; alone, do nothing.

    Under Slurm, `srun` with several tasks says all that is needed. Elsewhere JAX_COORDINATOR_ADDRESS (host:port of the first process),
    JAX_NUM_PROCESSES and JAX_PROCESS_ID do.

    Raises:
        ValueError: JAX_COORDINATOR_ADDRESS stands alone.
    """
    if address := os.environ.get("JAX_COORDINATOR_ADDRESS"):
        try:
            number, own = int(os.environ["JAX_NUM_PROCESSES"]), int(os.environ["JAX_PROCESS_ID"])
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"JAX_COORDINATOR_ADDRESS is {address}, so JAX_NUM_PROCESSES and JAX_PROCESS_ID must be numbers: {error}."
            ) from error
        jax.distributed.initialize(address, number, own)
    elif "SLURM_STEP_NODELIST" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        jax.distributed.initialize()


def is_first_process() -> bool:
    """Whether this process is the one that prints, and writes what is written once."""
    return jax.process_index() == 0


@contextlib.contextmanager
def first_process_first(what: str) -> Iterator[None]:
    """Let the first process run the block alone, then the others, which find its work done."""
    if not is_first_process():
        wait_for_all(what)
    yield
    if is_first_process():
        wait_for_all(what)


def wait_for_all(what: str) -> None:
    """Wait until every process has come to the place called `what`."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


class Devices:
    """Places arrays: batches cut along the devices, everything else copied to each.

    Attributes:
        process, num_processes: this process and how many there are.
    """

    def __init__(self):
        mesh = Mesh(np.asarray(jax.devices()), (_AXIS,))
        self._cut, self._copied = NamedSharding(mesh, PartitionSpec(_AXIS)), NamedSharding(mesh, PartitionSpec())
        self.process, self.num_processes = jax.process_index(), jax.process_count()

    def __len__(self) -> int:
        return jax.device_count()

    def refuse_unequal_shares(self, batch_size: int, parts: int) -> None:
        """Raise `UnequalSharesError` unless each of a batch's `parts` falls into equal shares, one a device."""
        if batch_size % (len(self) * parts):
            accumulated = f" in {parts} parts (gradient_accumulation_steps)" if parts > 1 else ""
            raise UnequalSharesError(
                f"A batch of {batch_size} pairs{accumulated} cannot be shared out evenly among {len(self)} devices; choose a multiple "
                f"of {len(self) * parts} as batch_size."
            )

    def put_batch(self, local: Mapping[str, np.ndarray] | np.ndarray) -> Any:
        """Rows of this process as part of arrays that lie on all devices."""
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(self._cut, x), local)

    def put_request(self, request: int) -> jax.Array:
        """A number of this process's own as part of an int32 array with one element a device."""
        return self.put_batch(np.full(jax.local_device_count(), request, "int32"))

    def copy_to_each(self, arrays: Any) -> Any:
        """A pytree of arrays, equal in all processes, on every device."""
        return jax.device_put(arrays, self._copied)
