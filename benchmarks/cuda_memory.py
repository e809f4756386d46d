"""What a training step of the base model needs of an NVIDIA GPU, compiled for one on a machine that
has none.

Besides the package it takes `uv pip install jax-cuda12-plugin==V jax-cuda12-pjrt==V
nvidia-cuda-nvcc-cu12`, V being jax's own version, and a description of the GPU (a `GpuTargetConfig`
as text, from XLA's xla/backends/gpu/target_config/specs).

Temporary memory is XLA's own figure, without the workspaces that cuDNN asks for once it runs; past
three quarters of the GPU's memory XLA recomputes on its own account, perhaps for many minutes.
Traffic is an estimate: every kernel reads its operands from the GPU's memory and writes its results
there. How much slower than that a step is, only a GPU can tell.
"""

import dataclasses
import importlib.util
import itertools
import json
import math
import os
import re
import time
from pathlib import Path
from typing import Any, Literal

os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"  # it asks the driver, which is not there
os.environ["JAX_PLATFORMS"] = ""  # "cpu" would hide the CUDA plugin

import enhancer  # noqa: F401, I001  # chooses Keras' backend, so it comes before Keras
import jax
import keras
import tyro
from jax.experimental import topologies
from jax.extend.core import ClosedJaxpr, Jaxpr

from benchmarks.formulations import FORMULATIONS, formulated
from enhancer.training import step
from enhancer.config import MODEL_SIZES, StageConfig
from enhancer.training.optimizer import make_optimizer
from enhancer.network.restormer import Restormer
from recipes.estimate.step_cost import step_arguments

STAGES = {"512x8": (512, 8), "896x4": (896, 4)}
REMATS = ("none", "block", "half", "dots")


def measure(device: Any, stage: str, formulation: str, remat: str, precision: str) -> dict:
    """Compile the whole training step in one variant, and read the program."""
    side, batch = STAGES[stage]
    config = StageConfig(resolution=side, batch_size=batch)
    keras.backend.clear_session()
    with formulated(formulation, remat):
        policy = "mixed_bfloat16" if precision == "mixed" else "float32"
        model = Restormer(MODEL_SIZES["base"], dtype=policy)
        optimizer = make_optimizer(config.weight_decay, model.trainable_variables)
        arguments = step_arguments(model, optimizer, config, device)
        traced = step.make_train_step(model, optimizer, config).trace(*arguments)
    started = time.monotonic()
    compiled, seconds = traced.lower().compile(), time.monotonic() - started
    memory, text = compiled.memory_analysis(), compiled.as_text()
    moved, kernels = Program(text).totals()
    state = memory.argument_size_in_bytes + memory.output_size_in_bytes
    state -= memory.alias_size_in_bytes  # donated: once
    triton = text.count('"__triton_nested_gemm_fusion"') + text.count('"__triton_gemm"')
    return {
        "temporary GiB": memory.temp_size_in_bytes / 2**30,
        "state and batch GiB": state / 2**30,
        "matmul TFLOP": matmul_flops(traced.jaxpr) / 1e12,
        "traffic GB": moved / 1e9,
        "kernels run": kernels,
        "cuDNN calls": text.count('custom_call_target="__cudnn$conv'),
        "cuBLAS calls": text.count('custom_call_target="__cublas'),
        "Triton matmuls": triton,
        "compile s": seconds,
    }


def matmul_flops(jaxpr: Jaxpr | ClosedJaxpr) -> int:
    """Operations of all matrix products and convolutions, before XLA."""
    total = 0
    for equation in jaxpr.eqns:
        params, depth = equation.params, 0
        if equation.primitive.name == "dot_general":
            shape = equation.invars[0].aval.shape
            depth = math.prod(shape[axis] for axis in params["dimension_numbers"][0][0])
        elif equation.primitive.name == "conv_general_dilated":
            shape = equation.invars[1].aval.shape
            depth = math.prod(shape) // shape[params["dimension_numbers"].rhs_spec[0]]
        inner = sum(matmul_flops(x) for x in params.values() if isinstance(x, Jaxpr | ClosedJaxpr))
        total += params.get("length", 1) * inner
        if depth:
            total += 2 * depth * equation.outvars[0].aval.size
    return total


class Program:
    """A compiled program's text. Loops count as often as they run, slices their part alone."""

    INSTRUCTION = re.compile(r"^  (ROOT )?%(\S+) = (.*?) ([a-z][a-z0-9-]*)\(([^)]*)\)(.*)$")
    ARRAY = re.compile(r"\b(?:pred|[a-z]+(\d+)[a-z0-9]*)\[([\d,]*)\]")
    FREE = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "partition-id")
    FREE += ("after-all",)

    def __init__(self, text: str):
        self.computations, self.roots, self.entry = {}, {}, ""
        for line in text.splitlines():
            if line.startswith(("%", "ENTRY")) and line.endswith("{"):
                name = line.removeprefix("ENTRY ").split()[0].lstrip("%")
                self.entry = name if line.startswith("ENTRY") else self.entry
                instructions = self.computations[name] = {}
            elif match := self.INSTRUCTION.match(line):
                root, result, kind, opcode, operands, rest = match.groups()
                size = 0
                for bits, shape in self.ARRAY.findall(kind):
                    count = math.prod(int(n) for n in shape.split(",") if n)
                    size += max(1, int(bits or 8) // 8) * count
                names = re.findall(r"%([^,\s]+)", operands)
                instructions[result] = opcode, size, names, operands + rest
                if root:
                    self.roots[name] = result

    def totals(self, name: str | None = None) -> tuple[int, int]:
        """Bytes between memory and kernels, and kernels run, in a computation, by default all."""
        instructions, moved, kernels = self.computations[name or self.entry], 0, 0
        for opcode, size, operands, rest in instructions.values():
            if opcode in ("while", "call"):
                trips = re.search(r'known_trip_count":\{"n":"(\d+)"', rest)
                times = int(trips[1]) if trips else 1
                inner = self.totals(re.search(r"(?:body|to_apply)=%([^,\s]+)", rest)[1])
                moved, kernels = moved + times * inner[0], kernels + times * inner[1]
            elif opcode not in self.FREE:
                sizes = [instructions[operand][1] for operand in operands]
                fused = re.search(r"calls=%([^,\s]+)", rest) if opcode == "fusion" else None
                moved += self._moved_by_fusion(fused[1], sizes) if fused else size + sum(sizes)
                kernels += 1
        return moved, kernels

    def _moved_by_fusion(self, name: str, sizes: list[int]) -> int:
        instructions = self.computations[name]

        def read(wanted: str, whole: int) -> int:
            total = 0
            for result, (opcode, size, operands, _) in instructions.items():
                if wanted not in operands:
                    continue
                first = operands[0] == wanted
                if opcode == "bitcast":
                    total += read(result, whole)
                elif first and opcode in ("slice", "dynamic-slice", "gather"):
                    total += size
                elif not (first and opcode == "dynamic-update-slice"):
                    total += whole
            return min(total, whole)

        def written(result: str) -> int:
            opcode, size, operands, _ = instructions[result]
            if opcode in ("tuple", "bitcast"):
                return sum(map(written, operands))
            return instructions[operands[1]][1] if opcode == "dynamic-update-slice" else size

        total = written(self.roots[name])
        for result, (opcode, *_, rest) in instructions.items():
            if opcode == "parameter":
                total += read(result, sizes[int(rest.split(",")[0])])
        return total


@dataclasses.dataclass(frozen=True)
class Arguments:
    __doc__ = __doc__

    target_config: Path
    """Description of the GPU."""
    stage: tuple[str, ...] = tuple(STAGES)
    """Side of the crops x batch: 512x8, 896x4."""
    formulation: tuple[str, ...] = tuple(FORMULATIONS)
    """As `benchmarks.formulations` says."""
    remat: tuple[str, ...] = ("block", "half", "dots")
    """none: everything is kept for the backward pass. block: a block keeps its input. half: each
    half of a block does. dots: a block keeps its input and its matrix products (dots_saveable)."""
    precision: tuple[Literal["mixed", "float32"], ...] = ("mixed",)
    json: Path | None = None
    """Keep the rows here; those found there are not compiled again."""


def main() -> None:
    """Compile every variant asked for and print a table, row by row."""
    arguments = tyro.cli(Arguments, prog="python -m benchmarks.cuda_memory")
    if importlib.util.find_spec("jax_cuda12_plugin") is None:
        raise SystemExit(
            "JAX's CUDA plugin is not installed, so nothing can be compiled. Run: uv pip install "
            f"jax-cuda12-plugin=={jax.__version__} jax-cuda12-pjrt=={jax.__version__} "
            "nvidia-cuda-nvcc-cu12"
        )
    description = arguments.target_config.read_text()
    bytes_per_second = int(re.search(r"memory_bandwidth: (\d+)", description)[1])
    topology = {"topology": "1x1x1", "target_config": description}
    device = topologies.get_topology_desc(platform="cuda", **topology).devices[0]
    kept = arguments.json
    rows = json.loads(kept.read_text()) if kept and kept.exists() else []
    asked = (arguments.precision, arguments.remat, arguments.stage, arguments.formulation)
    for number, (precision, remat, stage, formulation) in enumerate(itertools.product(*asked)):
        key = {"stage": stage, "precision": precision, "formulation": formulation, "remat": remat}
        row = next((row for row in rows if key.items() <= row.items()), None)
        if row is None:
            row = key | measure(device, **key)
            row["ms at full bandwidth"] = row["traffic GB"] * 1e12 / bytes_per_second
            rows.append(row)
            if kept:
                kept.write_text(json.dumps(rows, indent=1))
        if number == 0:
            print(f"| {' | '.join(row)} |\n|{' --- |' * len(row)}")
        cells = (f"{x:.1f}" if isinstance(x, float) else str(x) for x in row.values())
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
