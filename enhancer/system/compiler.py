"""How XLA compiles our programs: options for the device at hand, and a cache for the next start."""

import os
import platform
from pathlib import Path

import jax

# The scheduler keeps so many buffers alive that page faults cost a third of a step.
CPU_COMPILER_OPTIONS = {"xla_cpu_enable_concurrency_optimized_scheduler": False}


def compiler_options() -> dict[str, bool]:
    """XLA options for the device at hand, for `jax.jit`."""
    return CPU_COMPILER_OPTIONS if jax.default_backend() == "cpu" else {}


def enable_cache() -> None:
    """Cache compiled programs in `$JAX_COMPILATION_CACHE_DIR`, or else in the user's cache folder.

    Those for a CPU need not run on another host that shares the home, and have a folder by host.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    backend = jax.default_backend()
    shared_by = (platform.node() or "local") if backend == "cpu" else backend
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    jax.config.update("jax_compilation_cache_dir", str(home / "enhancer" / f"xla-{shared_by}"))
