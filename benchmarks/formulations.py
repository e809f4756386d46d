"""Other ways to write a Restormer block, and to recompute it, for a GPU to compare.

shifted: sums of shifted slices, differentiated by JAX: what the package runs on a GPU.
own-gradient: the CPU's row strips, the whole batch as one. library: the library's depthwise
convolution, which is cuDNN's.
"""

import contextlib
from collections.abc import Callable, Iterator
from unittest import mock

import jax
from keras import ops

import enhancer  # noqa: F401  # chooses Keras' backend, so it comes before Keras
from enhancer.network import blocks, layers, restormer, strip_scan
from enhancer.training import step

FORMULATIONS = ("shifted", "own-gradient", "library")


def _library_filter(x, projection, kernel, projection_bias=None, kernel_bias=None):
    """`enhancer.network.layers.projected_depthwise` by the book; the base model has no biases."""
    return ops.depthwise_conv(ops.matmul(x, projection), kernel[..., None], padding="same")


def _add_kernel_gradient(sums, projected, d_filtered):
    """`strip_scan._add_kernel_gradient` as nine reductions: unrolled it would be thousands."""
    _, rows, width, _ = d_filtered.shape
    d_filtered = ops.cast(d_filtered, "float32")
    shifted = (projected[:, i : i + rows, j : j + width] for i in range(3) for j in range(3))
    products = (ops.cast(x, "float32") * d_filtered for x in shifted)
    return tuple(
        total + ops.sum(product, axis=1) for total, product in zip(sums, products, strict=True)
    )


def _checkpointed(method: Callable, policy: Callable | None = None) -> Callable:
    def run(self, *arrays, **options):
        call = jax.checkpoint(lambda *arrays: method(self, *arrays, **options), policy=policy)
        return call(*arrays)

    return run


@contextlib.contextmanager
def formulated(formulation: str, remat: str) -> Iterator[None]:
    """Replace the package's functions, for building the model and for tracing it alike.

    remat: none, block, half (each half of a block) or dots (a block keeps its matrix products).
    """
    block_class = blocks.TransformerBlocks
    # Both ask JAX for the device at hand, which is this machine's CPU.
    in_strips = formulation == "own-gradient"
    patches = [(blocks, "on_one_cpu_device", lambda: in_strips), (step, "compiler_options", dict)]
    patches += [(restormer, "on_one_cpu_device", lambda: False)]
    if in_strips:
        patches += [(strip_scan, "MOST_BACKWARD_ROWS", None)]
        limits = "FORWARD_STRIP_BYTES", "BACKWARD_STRIP_BYTES"
        patches += [(strip_scan, limit, 1 << 62) for limit in limits]
        patches += [(strip_scan, "_add_kernel_gradient", _add_kernel_gradient)]
    if formulation == "library":
        patches += [(module, "projected_depthwise", _library_filter) for module in (layers, blocks)]
    policy = jax.checkpoint_policies.dots_saveable if remat == "dots" else None
    wrapped = {"none": (), "half": ("_add_attention", "_add_feed_forward")}.get(remat, ("_block",))
    for name in wrapped:
        patches += [(block_class, name, _checkpointed(getattr(block_class, name), policy))]
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(mock.patch.object(*patch))
        yield
