"""What `benchmarks.gpu` measures: a function for each figure, from the rows so far to a row."""

import importlib.util
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# What needs JAX is imported by the figure that needs it.

_REPEATS, _MOST_SECONDS = 10, 6.0
_SIZES = {  # network, side and number of crops, of larger ones, rows and columns of a photo
    False: ("base", (512, 8), (896, 4), (4000, 6000)),
    True: ("tiny", (32, 2), (48, 1), (480, 640)),
}
IN_TORCH = "PyTorch"
Row = dict[str, Any]


def figures_of(tiny: bool, device: str) -> dict[str, Callable[[dict[str, Row]], Row]]:
    """Functions from the rows so far to a row, by what they measure; the most valuable first."""
    model, (side, batch), (large, few), photo = _SIZES[tiny]
    half = "bfloat16" if device == "cuda" else "float32"  # a CPU compiles bfloat16 for minutes
    small, big = f"train step {model} {side}² × {batch}", f"train step {model} {large}² × {few}"

    def step(size: int, count: int, dtype: str, formulation: str, remat: str) -> Callable:
        return lambda rows: _step(rows, model, size, count, dtype, formulation, remat)

    def theirs(opponent: str) -> Callable:
        ours = f"{small} {half} remat block"
        return lambda rows: _torch_step(rows.get(ours, {}), model, side, batch, half, opponent)

    def forward(dtype: str) -> Callable:
        return lambda rows: _forward(rows, model, large, dtype)

    return {
        "machine": lambda rows: _machine(tiny),
        f"{small} {half} remat block": step(side, batch, half, "shifted", "block"),
        f"{big} {half} remat block": step(large, few, half, "shifted", "block"),
        **{
            f"{small} {half} remat block {formulation}": step(
                side, batch, half, formulation, "block"
            )
            for formulation in ("library", "own-gradient")
        },
        f"{IN_TORCH} {small} {half} remat block eager": theirs("eager"),
        f"{IN_TORCH} {small} {half} remat block compile": theirs("compile"),
        f"{small} {half} remat none": step(side, batch, half, "shifted", "none"),
        f"{small} float32 remat block": step(side, batch, "float32", "shifted", "block"),
        f"forward {model} {large}² {half}": forward(half),
        f"forward {model} {large}² float32": forward("float32"),
        "parity with the CPU": lambda rows: _parity(model, side),
        "photo, file to file": lambda rows: _file_to_file(model, large, photo),
        "trainer against its bare step": lambda rows: _trainer(model, side, batch, half, tiny),
        f"{big} {half} remat none": step(large, few, half, "shifted", "none"),
        "loader": lambda rows: _loader(tiny),
    }


def _machine(tiny: bool) -> Row:
    """The card, the versions, and what a matrix product and a copy reach."""
    import jax
    import jax.numpy as jnp

    from benchmarks import machine

    device, about = jax.devices()[0], machine.describe()
    stats = device.memory_stats() or {}
    row: Row = {"device": device.device_kind, "memory GiB": stats.get("bytes_limit", 0) / 2**30}
    row |= {name: about[name] for name in ("jax", "keras", "python", "torch") if name in about}
    side = 512 if tiny else 8192
    for dtype in ("bfloat16", "float32"):
        x = jnp.ones((side, side), dtype)
        row[f"{dtype} matmul TFLOP/s"] = 2e-12 * side**3 / _fastest(jax.jit(jnp.matmul), x, x)
    x = jnp.ones((1 << (20 if tiny else 28),), jnp.float32)
    row["copy GB/s"] = 2e-9 * x.nbytes / _fastest(jax.jit(lambda x: x + 1), x)
    return row


def _step(rows: dict, model: str, side: int, batch: int, dtype: str, form: str, remat: str) -> Row:
    from benchmarks import flops
    from benchmarks.cases import Case
    from benchmarks.formulations import formulated
    from benchmarks.program import OurProgram, random_pictures
    from enhancer.config import MODEL_SIZES

    case = Case("train_step", model, side, batch, dtype)  # type: ignore[arg-type]
    with formulated(form, remat):
        program = OurProgram(case, random_pictures(case))
    seconds = _fastest(program)
    work = flops.train_step_flops(MODEL_SIZES[case.model], case.pixels)
    return _rates(rows, program, seconds, batch, work, dtype)


def _forward(rows: dict[str, Row], model: str, side: int, dtype: str) -> Row:
    from benchmarks import flops
    from benchmarks.cases import Case
    from benchmarks.program import OurProgram, random_pictures
    from enhancer.config import MODEL_SIZES

    case = Case("forward", model, side, 1, dtype)  # type: ignore[arg-type]
    program = OurProgram(case, random_pictures(case))
    work = flops.forward_flops(MODEL_SIZES[case.model], case.pixels)
    return _rates(rows, program, _fastest(program), 1, work, dtype)


def _rates(rows: dict, program: Any, seconds: float, images: int, work: float, dtype: str) -> Row:
    row: Row = {
        "compile s": program.compile_s,
        "seconds": seconds,
        "images/s": images / seconds,
        "memory GiB": program.memory_bytes / 2**30,
    }
    peaks = rows.get("machine", {})
    if peak := peaks.get(f"{dtype} matmul TFLOP/s"):
        row["share of matmul peak"] = 1e-12 * work / seconds / peak
    if peak := peaks.get("copy GB/s"):
        row["share of memory peak"] = 1e-9 * program.bytes_accessed / seconds / peak
    return row


def _torch_step(ours: Row, model: str, side: int, batch: int, dtype: str, opponent: Any) -> Row:
    if importlib.util.find_spec("torch") is None:
        return {"problem": "PyTorch is not installed"}
    import torch

    from benchmarks.cases import Case
    from benchmarks.opponent import TorchProgram
    from benchmarks.program import random_pictures
    from benchmarks.torch_restormer import TorchRestormer
    from enhancer.config import MODEL_SIZES

    case = Case("train_step", model, side, batch, dtype, remat=True)  # type: ignore[arg-type]
    device = "cpu" if os.environ["JAX_PLATFORMS"] == "cpu" else "cuda"
    weights = TorchRestormer(MODEL_SIZES[case.model]).state_dict()
    started = time.perf_counter()
    program = TorchProgram(case, random_pictures(case), weights, opponent, device)
    program()
    first = time.perf_counter() - started
    seconds = _fastest(program)
    row: Row = {"first call s": first, "seconds": seconds, "images/s": batch / seconds}
    if device == "cuda":
        row["memory GiB"] = torch.cuda.max_memory_allocated() / 2**30
    return row | ({"ours faster by": seconds / ours["seconds"]} if "seconds" in ours else {})


def _parity(model: str, side: int) -> Row:
    """Largest difference of the outputs in [0, 1], same weights and photo, to a float32 CPU."""
    import jax
    import numpy as np

    from benchmarks.cases import Case
    from benchmarks.program import build_model, program_of, random_pictures
    from enhancer.network.blocks import formulated_for_accelerators

    case = Case("forward", model, min(side, 256), 1)  # type: ignore[arg-type]
    with formulated_for_accelerators():
        network = build_model(case)
        program, arguments = program_of(case, network, random_pictures(case))
        on_cpu = jax.device_put(arguments, jax.devices("cpu")[0])
        weights, x = on_cpu
        reference = jax.jit(lambda w, x: network.stateless_call(w, [], x)[0])(weights, x)
        row: Row = {}
        for name, precision in (("float32", "highest"), ("TF32", "default")):
            jax.clear_caches()
            with jax.default_matmul_precision(precision):
                found = program(*arguments)
            row[f"{name} differs by"] = float(np.abs(np.asarray(found) - reference).max())
    return row


def _file_to_file(model: str, side: int, size: tuple[int, int]) -> Row:
    from benchmarks.synthetic_photos import jpeg, render
    from enhancer.config import MODEL_SIZES
    from enhancer.inference.enhancer import Enhancer
    from enhancer.network.restormer import Restormer

    enhancer = Enhancer(Restormer(MODEL_SIZES[model]), side)
    with tempfile.TemporaryDirectory(prefix="enhancer-photos-") as folder:
        source, edited = Path(folder, "photo.jpg"), Path(folder, "edited.jpg")
        source.write_bytes(jpeg(render(*size, seed=0)))
        started = time.perf_counter()
        enhancer.enhance_file(source, edited, overwrite=True)
        first = time.perf_counter() - started
        seconds = _fastest(lambda: enhancer.enhance_file(source, edited, overwrite=True))
    megapixels = size[0] * size[1] / 1e6
    return {"first s": first, "seconds": seconds, "MP/s": megapixels / seconds}


def _trainer(model: str, side: int, batch: int, dtype: str, tiny: bool) -> Row:
    from benchmarks.pipeline import Arguments, measure_trainer

    pairs = 8 if tiny else 64
    given = Arguments(model, side, batch, dtype, pairs, epochs=2)  # type: ignore[arg-type]
    return measure_trainer(given)


def _loader(tiny: bool) -> Row:
    from benchmarks.pipeline import data_rows

    rows = data_rows(0.2 if tiny else 3.0)
    return {f"{r['photo']}, {r['threads']} threads, pairs/s": r["pipeline pairs/s"] for r in rows}


def _fastest(call: Callable[..., Any], *arguments: Any) -> float:
    """Least seconds of a call, after one that warms it up."""
    import jax

    def seconds() -> Iterator[float]:
        began = time.perf_counter()
        for _ in range(_REPEATS):
            started = time.perf_counter()
            jax.block_until_ready(call(*arguments))
            yield time.perf_counter() - started
            if time.perf_counter() - began > _MOST_SECONDS:
                return

    jax.block_until_ready(call(*arguments))
    return min(seconds())
