"""Keep XLA's compiled programs on disk, so that the second start does not compile again."""

import os
import platform
from pathlib import Path

import jax


def enable() -> None:
    """Cache compiled programs in `$JAX_COMPILATION_CACHE_DIR`, or else in the user's cache folder.

    The folder is one per host: programs compiled for one CPU's instructions need not run on another's that shares the home.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    jax.config.update("jax_compilation_cache_dir", str(home / "enhancer" / f"xla-{platform.node() or 'local'}"))
