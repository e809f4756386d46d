"""The machine that numbers were measured on: a number without it says nothing."""

import importlib.metadata
import os
import platform
import resource
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_MATMUL_SIDE = 4096
_MATMUL_REPEATS = 3
QUIET_SHARE = 0.05
_QUIET_LOAD = 0.5  # processes that wanted to run in the last minute, on average


def describe() -> dict[str, Any]:
    """CPU, cores and versions, for a table's head and for JSON."""
    names = ("jax", "jaxlib", "keras", "numpy", "torch")
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in names if find_spec(name)},
    }


def sentence(machine: dict[str, Any]) -> str:
    """`describe()` on one line."""
    is_busy = machine["load_average"] > _QUIET_LOAD
    busy = " (BUSY: others run on this machine, expect noise)" if is_busy else ""
    names = [name for name in ("jax", "keras", "torch") if name in machine]
    versions = ", ".join(f"{name} {machine[name]}" for name in ("python", *names))
    return f"{machine['cpu']}, {machine['cores']} cores{busy}; {versions}"


class OtherProcesses:
    """The share of the machine's cores that others take, from when this is made."""

    def __init__(self):
        self._started = _busy_seconds(), sum(os.times()[:2]), time.monotonic()

    def share(self) -> float:
        """0 where nobody else computes, 1 where they have everything; 0 too where the system does
        not say."""
        now = _busy_seconds(), sum(os.times()[:2]), time.monotonic()
        busy, own, seconds = (a - b for a, b in zip(now, self._started, strict=True))
        return max(0.0, busy - own) / (seconds * (os.cpu_count() or 1))


def _busy_seconds() -> float:
    """All cores' user, nice and system time, and what a virtual machine's host took (steal)."""
    try:
        fields = Path("/proc/stat").read_text().split()[1:11]
        user, nice, system, _, _, _, _, steal, *_ = map(int, fields)
    except (OSError, ValueError):
        return 0.0
    return (user + nice + system + steal) / os.sysconf("SC_CLK_TCK")


def matmul_peak_gflops(dtype: str) -> dict[str, float]:
    """What the machine reaches on a large matrix product in `dtype`, by library."""
    import jax
    import jax.numpy as jnp
    import torch

    from benchmarks.timing import seconds_of

    side = _MATMUL_SIDE
    operations = 2 * side**3
    ours = jax.jit(jnp.matmul)
    x = jnp.ones((side, side), dtype)
    y = torch.ones((side, side), dtype=getattr(torch, dtype))
    calls = {"jax": lambda: jax.block_until_ready(ours(x, x)), "torch": lambda: y @ y}
    peaks = {}
    for name, call in calls.items():
        call()  # compiles, starts threads
        peaks[name] = operations / min(seconds_of(call) for _ in range(_MATMUL_REPEATS)) / 1e9
    return peaks


def available_bytes() -> int | None:
    """Memory that a program can still take without swapping; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = (1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return next(found, None)


def peak_resident_bytes() -> int:
    """The most memory that this process has held at any time so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
