"""All devices of all processes as one row, along which batches are cut: data parallelism."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from enhancer.system.errors import EnhancerError


class UnequalSharesError(EnhancerError):
    """A batch that cannot be cut evenly."""


class Devices:
    """Places arrays: batches cut along the devices, everything else copied to each."""

    def __init__(self):
        mesh = Mesh(np.asarray(jax.devices()), ("batch",))
        self._cut = NamedSharding(mesh, PartitionSpec("batch"))
        self._copied = NamedSharding(mesh, PartitionSpec())
        self.process, self.num_processes = jax.process_index(), jax.process_count()

    def __len__(self) -> int:
        return jax.device_count()

    def refuse_unequal_shares(self, batch_size: int, parts: int) -> None:
        """Raise `UnequalSharesError` unless each of `parts` gives every device equally much."""
        if batch_size % (len(self) * parts):
            accumulated = f" in {parts} parts (gradient_accumulation_steps)" if parts > 1 else ""
            raise UnequalSharesError(
                f"A batch of {batch_size} pairs{accumulated} cannot be shared out evenly among "
                f"{len(self)} devices; choose a multiple of {len(self) * parts} as batch_size."
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
