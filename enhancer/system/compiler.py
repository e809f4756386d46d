"""How XLA compiles our programs: options for the device at hand, and a cache for the next start."""

import os
import platform
from pathlib import Path

import jax

# XLA's latency-minded CPU scheduler keeps so many buffers alive that page faults cost a third of a
# step.
CPU_COMPILER_OPTIONS = {"xla_cpu_enable_concurrency_optimized_scheduler": False}


def compiler_options() -> dict[str, bool]:
    """XLA options for the device at hand, for `jax.jit`."""
    return CPU_COMPILER_OPTIONS if jax.default_backend() == "cpu" else {}


def enable_cache() -> None:
    """Cache compiled programs in `$JAX_COMPILATION_CACHE_DIR`, or else in the user's cache folder.

    Programs for a CPU go to a folder of their host: compiled for one CPU's instructions, they need
    not run on another's that shares the home. Programs for GPUs are shared: only the first process
    writes them.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    backend = jax.default_backend()
    shared_by = (platform.node() or "local") if backend == "cpu" else backend
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    jax.config.update("jax_compilation_cache_dir", str(home / "enhancer" / f"xla-{shared_by}"))
