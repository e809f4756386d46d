"""The machine that a result came from, in words: a time or a cost without it says nothing."""

import contextlib
import os
import platform
from pathlib import Path
from typing import Any

import jax


def describe() -> dict[str, Any]:
    """CPU, cores, memory in GiB and JAX's devices, for JSON."""
    kinds = sorted({device.device_kind for device in jax.devices()})
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu() or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "devices": f"{jax.device_count()} x {', '.join(kinds)}",
    }


def _cpu() -> str:
    """The CPU's name, where Linux says it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return ""
