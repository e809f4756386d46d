"""An empty cache of compiled programs, so that the first compilation is one and the second is what users have."""

import contextlib
import tempfile
from collections.abc import Iterator

import jax
from jax.experimental.compilation_cache import compilation_cache


@contextlib.contextmanager
def cold_cache() -> Iterator[None]:
    """Cache compiled programs in a temporary folder, which is empty at first and gone at the end."""
    before = jax.config.jax_compilation_cache_dir
    with tempfile.TemporaryDirectory(prefix="enhancer-xla-") as folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        compilation_cache.reset_cache()  # JAX opens its cache once and would stay with the one before
        try:
            yield
        finally:
            jax.config.update("jax_compilation_cache_dir", before)
            compilation_cache.reset_cache()
