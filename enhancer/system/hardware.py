"""The machine that a result came from, in words: a time or a cost without it says nothing."""

import os
import platform
from pathlib import Path
from typing import Any

import jax


def describe() -> dict[str, Any]:
    """CPU, cores, memory in GiB and JAX's devices, for JSON; what the system hides is None."""
    kinds = sorted({device.device_kind for device in jax.devices()})
    return {
        "cpu": _proc_value("cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "devices": f"{jax.device_count()} x {', '.join(kinds)}",
    }


def _memory_gib() -> float | None:
    kibibytes = (_proc_value("meminfo", "MemTotal") or "").removesuffix(" kB")
    return round(int(kibibytes) / 2**20, 1) if kibibytes.isdigit() else None


def _proc_value(file: str, key: str) -> str | None:
    try:
        lines = Path("/proc", file).read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)
