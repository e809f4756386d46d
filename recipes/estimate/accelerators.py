"""Accelerators by name, from their data sheets: does a training step fit, and how long could it take at best?"""

from typing import Literal, NamedTuple

from enhancer.config import ModelConfig, Precision, StageConfig
from recipes.estimate.flops import features_per_pixel, train_step_flops

GIB = 2**30


class Accelerator(NamedTuple):
    """A data sheet's figures."""

    name: str
    gigabytes: int
    """Memory, in what makers call GB and is GiB."""
    bytes_per_second: float
    """Between memory and chip."""
    flops_per_second: float
    """Matrix products of dense bfloat16 matrices, summed in float32."""


ACCELERATORS = (
    Accelerator("RTX 4090 24 GB", 24, 1008e9, 165e12),
    Accelerator("A100 40 GB", 40, 1555e9, 312e12),
    Accelerator("A100 80 GB", 80, 2039e9, 312e12),
    Accelerator("H100 80 GB SXM", 80, 3350e9, 989e12),
)
MEMORY_SIZES = (24, 40, 80)
ATTAINABLE = (0.4, 0.8)
"""Assumed: the least and the greatest fraction of the data sheet's rates that a whole step reaches. Nothing of ours was timed."""
RESERVE_BYTES = GIB
"""Assumed: what a program takes beyond XLA's analysis, such as cuDNN's workspaces."""
DEFAULT_SHARE, LARGEST_SHARE = 0.75, 0.92
"""Of a GPU's memory: what JAX takes unless told otherwise, and what can be had beside the driver's part."""

# Bytes that a step moves for each number that a block hands on, fitted to programs compiled for an H100 (docs/performance.md): 1414 GB at
# 512 px x 8 and 2157 GB at 896 px x 4 in mixed precision, 5259 GB in float32, for base's 1440 numbers per pixel.
_BYTES_PER_FEATURE: dict[Precision, float] = {"mixed": 467.0, "float32": 1137.0}

Fit = Literal["yes", "with a larger share", "no"]


def fit(total_bytes: float, gigabytes: int) -> Fit:
    """Whether a step fits a GPU: with what JAX takes of it by default, with all that can be had, or not at all."""
    needed = (total_bytes + RESERVE_BYTES) / (gigabytes * GIB)
    return (
        "yes"
        if needed <= DEFAULT_SHARE
        else "with a larger share"
        if needed <= LARGEST_SHARE
        else "no"
    )


def step_traffic_bytes(model: ModelConfig, pixels: int, precision: Precision) -> float:
    """Estimated bytes between memory and chip in one training step over `pixels` pixels in all.

    The same with and without rematerialisation: keeping everything moves as much as computing it again (they differ by less than 1 % in
    the programs compared).
    """
    return _BYTES_PER_FEATURE[precision] * features_per_pixel(model) * pixels


def step_seconds(
    accelerator: Accelerator, model: ModelConfig, stage: StageConfig, pixels: int
) -> tuple[float, float]:
    """Estimated least and greatest seconds of a training step over `pixels` pixels on one accelerator; not a measurement.

    At the data sheet's rates it takes as long as the slower of memory traffic and matrix products.
    """
    # Recomputing is one more forward pass, beside the three forward passes that a step is worth.
    operations = train_step_flops(model, pixels) * (4 / 3 if stage.remat == "block" else 1)
    # float32 matrices are multiplied in TF32, at half the rate.
    rate = accelerator.flops_per_second / (1 if stage.precision == "mixed" else 2)
    traffic = step_traffic_bytes(model, pixels, stage.precision)
    at_best = max(traffic / accelerator.bytes_per_second, operations / rate)
    return at_best / max(ATTAINABLE), at_best / min(ATTAINABLE)
