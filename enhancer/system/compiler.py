"""How XLA compiles our programs: options for the device at hand, and a cache for the next start."""

import atexit
import concurrent.futures
import contextvars
import os
import platform
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import jax

from enhancer.system.interruption import Interrupted

Result = TypeVar("Result")

SLOW_SECONDS = 20.0
WORTH_KEEPING_SECONDS = 0.2  # JAX itself keeps what took a second

# The scheduler keeps so many buffers alive that page faults cost a third of a step.
CPU_COMPILER_OPTIONS = {"xla_cpu_enable_concurrency_optimized_scheduler": False}


def on_cpu() -> bool:
    """Whether the device at hand is a CPU."""
    return jax.default_backend() == "cpu"


def compiler_options() -> dict[str, bool]:
    """XLA options for the device at hand, for `jax.jit`."""
    return CPU_COMPILER_OPTIONS if on_cpu() else {}


def enable_cache() -> None:
    """Cache compiled programs in `$JAX_COMPILATION_CACHE_DIR`, or else in the user's cache folder.

    Those for a CPU need not run on another host that shares the home, and have a folder by host.
    What took less than `WORTH_KEEPING_SECONDS`, or JAX's own variable, is not kept, and nothing
    where a CPU stands for several devices: read from the cache, their sums can wait for each other
    without end (JAX 0.10.2).
    """
    if on_cpu() and jax.device_count() > 1:
        jax.config.update("jax_enable_compilation_cache", False)
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", WORTH_KEEPING_SECONDS)
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    shared_by = (platform.node() or "local") if on_cpu() else jax.default_backend()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    jax.config.update("jax_compilation_cache_dir", str(home / "enhancer" / f"xla-{shared_by}"))


def call_interruptibly(function: Callable[[], Result], when_slow: Callable[[], None]) -> Result:
    """Call what compiles in a thread of its own: XLA hears no signal.

    What a signal's handler raises leaves the compiler behind, and the process will end without
    waiting for it. `when_slow` is called after `SLOW_SECONDS`.
    """
    call: concurrent.futures.Future[Result] = concurrent.futures.Future()

    def work() -> None:
        try:
            call.set_result(function())
        except BaseException as error:
            call.set_exception(error)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), daemon=True).start()
    try:
        if concurrent.futures.wait([call], SLOW_SECONDS).not_done:
            when_slow()
        return call.result()
    except (Interrupted, KeyboardInterrupt) as stop:
        atexit.register(_end_without, call, getattr(stop, "exit_code", 130))
        raise


def _end_without(call: concurrent.futures.Future, code: int) -> None:
    if not call.done():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
