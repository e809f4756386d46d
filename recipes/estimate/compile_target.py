"""The device that a program is compiled for without being run: the one at hand, or a GPU that is only described."""

import importlib.util
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies


class CompileTargetError(ValueError):
    """Nothing can be compiled for the device that was asked for; the message says what is missing."""


class CompileTarget(NamedTuple):
    """A device of JAX, there or described."""

    device: Any
    name: str
    """Such as "NVIDIA H100 80GB HBM3"."""
    is_accelerator: bool
    """False: the CPU's compiler, whatever the program was written for."""


def compile_target(target_config: Path | None = None) -> CompileTarget:
    """The first device at hand, or with `target_config` the GPU which that file describes.

    Args:
        target_config: a `GpuTargetConfig` as text, as XLA's sources hold them for many GPUs. It needs JAX's CUDA plugin, and no GPU.

    Raises:
        CompileTargetError: The plugin is not installed, or it does not take the description.
        OSError: The file cannot be read.
    """
    if target_config is None:
        device = jax.devices()[0]
        return CompileTarget(device, device.device_kind, device.platform != "cpu")
    description = target_config.read_text()
    if importlib.util.find_spec("jax_cuda12_plugin") is None:
        raise CompileTargetError(
            "JAX's CUDA plugin is not installed, so nothing can be compiled for the GPU described in "
            f"{target_config}. Install it with: uv pip install jax-cuda12-plugin=={jax.__version__} "
            f"jax-cuda12-pjrt=={jax.__version__} nvidia-cuda-nvcc-cu12. Or leave --target-config out."
        )
    os.environ.setdefault(
        "JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1"
    )  # it asks the driver, which may not be there
    try:
        device = topologies.get_topology_desc(
            "", "cuda", topology="1x1x1", target_config=description
        ).devices[0]
    except (jax.errors.JaxRuntimeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise CompileTargetError(
            f"XLA takes no description of a GPU from {target_config}: {reason}"
        ) from error
    named = re.search(r'^\s*name: "([^"]+)"', description, re.MULTILINE)
    return CompileTarget(device, named[1] if named else target_config.name, True)
