"""Our forward pass and train step against PyTorch's: same weights, same pictures, taking turns.

    python -m benchmarks.restormer                                   the goal rows, half an hour
    python -m benchmarks.restormer --only forward --model base       one row: base 256x1 float32

A ratio is PyTorch's time over ours, the median over the rounds; low and high are the least and the
greatest (from ten rounds on, the 10th and 90th percentile). A row with batch 2 and size 128 reads
128x2. Ctrl-C keeps the rows that are finished.
"""

import dataclasses
import gc
import inspect
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tyro

from benchmarks.cases import Case, Opponent, Picks, picked

# What needs JAX, Keras and PyTorch is imported once the command line is understood.

INTERRUPTED, WRONG_USAGE = 130, 2
_MOST_LOSS_DIFFERENCE = {"float32": 1e-5, "bfloat16": 1e-2}  # of losses about 0.3


@dataclasses.dataclass(frozen=True)
class Arguments(Picks):
    __doc__ = f"{__doc__}\n{inspect.getdoc(Picks)}"

    repeats: int = 5
    """Rounds per row, after one warm-up."""
    opponents: tuple[Opponent, ...] = ("eager", "kept_memory")
    """PyTorch as it is; with the C library told to keep freed memory, which an engineer would set
    where fresh pages are slow; in the channels-last memory format; or through torch.compile. Eager
    always runs."""
    json: Path | None = None
    """File for the numbers; written anew after every row."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m benchmarks.restormer")
    try:
        cases = picked(arguments)
        if find_spec("torch") is None:
            raise ValueError(
                "PyTorch is not installed; run this with: "
                "uv run --extra torch python -m benchmarks.restormer"
            )
        if arguments.repeats < 1:
            raise ValueError("--repeats takes a positive number.")
    except ValueError as error:
        print(error, file=sys.stderr)
        return WRONG_USAGE
    rows: list[dict[str, Any]] = []
    try:
        _measure_all(cases, arguments, rows)
    except KeyboardInterrupt:
        print(f"\ninterrupted after {len(rows)} of {len(cases)} rows", file=sys.stderr)
        return INTERRUPTED
    finally:
        _print_table(rows)
    return 0


def _measure_all(cases: list[Case], arguments: Arguments, rows: list[dict[str, Any]]) -> None:
    os.environ["JAX_PLATFORMS"] = "cpu"  # PyTorch runs there too
    import torch

    from benchmarks import machine
    from benchmarks.opponent import shared_weights
    from benchmarks.timing import cold_cache
    from enhancer.system.files import write_json

    if hasattr(os, "sched_getaffinity"):
        # PyTorch counts all cores of the machine, XLA those that it may use.
        torch.set_num_threads(min(torch.get_num_threads(), len(os.sched_getaffinity(0))))
    about = machine.describe() | {"torch_threads": torch.get_num_threads()}
    print(f"{machine.sentence(about)}, {about['torch_threads']} PyTorch threads")
    peaks = {}
    for dtype in {case.dtype for case in cases}:
        peaks[dtype] = machine.matmul_peak_gflops(dtype)
        print(f"matrix product in {dtype}, GFLOP/s: {peaks[dtype]}")
    weights = {}
    for model in {case.model for case in cases}:
        *weights[model], difference = shared_weights(model)
        print(f"{model}: outputs differ by {difference:.1e} at most", flush=True)
    with cold_cache():
        for number, case in enumerate(cases, 1):
            _progress(f"[{number}/{len(cases)}] {case}")
            row = dataclasses.asdict(case) | _measure(case, arguments, *weights[case.model])
            peak = row["matmul_peak_gflops"] = max(peaks[case.dtype].values())
            row["fraction_of_peak"] = row["gflops"] / row["ours_s"] / peak
            rows.append(row)
            gc.collect()
            if arguments.json:
                write_json(arguments.json, [row | {"machine": about} for row in rows])


def _measure(case: Case, arguments: Arguments, our_weights, their_weights) -> dict[str, Any]:
    """Run both sides in turns; a variant that fails or does not fit is left out and its problem
    noted."""
    from benchmarks import flops, machine
    from benchmarks.opponent import TorchProgram, estimated_peak_bytes, kept_memory
    from benchmarks.program import OurProgram, random_pictures
    from benchmarks.timing import interleaved, median, ratio
    from enhancer.config import MODEL_SIZES

    others = machine.OtherProcesses()
    opponents = tuple(dict.fromkeys(("eager", *arguments.opponents)))
    pictures = random_pictures(case)
    ours = OurProgram(case, pictures, our_weights)
    count = flops.forward_flops if case.what == "forward" else flops.train_step_flops
    row: dict[str, Any] = {
        "compile_s": ours.compile_s,
        "second_compile_s": ours.compile_again_s(),
        "gflops": count(MODEL_SIZES[case.model], case.pixels) / 1e9,
        "our_temp_bytes": ours.temp_bytes,
        "repeats": arguments.repeats,
    }
    loss = ours()
    theirs, problems = {}, {}
    needed, free = estimated_peak_bytes(case, their_weights), machine.available_bytes()
    for opponent in opponents:
        if free is not None and needed >= free:
            problems[opponent] = f"needs about {needed / 1e9:.0f} GB, {free / 1e9:.0f} GB are free"
            continue
        try:
            if opponent == "kept_memory":
                with kept_memory():
                    pass  # or fail here, where the other opponents still count
            program = TorchProgram(case, pictures, their_weights, opponent)
            first = program()
        except Exception as error:  # Inductor alone can fail in dozens of ways
            line = str(error).strip().splitlines()[0][:200]
            problems[opponent] = f"failed: {type(error).__name__}: {line}"
            continue
        if case.what == "train_step":
            difference = abs(float(loss) - first.item())
            if not difference <= _MOST_LOSS_DIFFERENCE[case.dtype]:
                raise SystemExit(f"{case}: the first step's losses differ by {difference:.1e}.")
        theirs[opponent] = program
    surroundings = {"kept_memory": kept_memory} if "kept_memory" in theirs else {}
    seconds = interleaved({"ours": ours, **theirs}, arguments.repeats, surroundings)
    row["ours_s"] = median(seconds["ours"])
    for name in opponents:
        field = "ratio" if name == "eager" else f"ratio_{name}"
        measured = name in theirs
        against = ratio(seconds[name], seconds["ours"]) if measured else (None, None, None)
        row[f"torch_{name}_s"] = median(seconds[name]) if measured else None
        row[field], row[f"{field}_low"], row[f"{field}_high"] = against
    row["torch_peak_bytes"] = theirs["eager"].peak_bytes() if "eager" in theirs else None
    row["others_cpu"] = others.share()
    if row["others_cpu"] > machine.QUIET_SHARE:
        _progress(f"    BUSY: others took {row['others_cpu']:.0%} of the cores")
    return row | {"problems": problems}


def _print_table(rows: list[dict[str, Any]]) -> None:
    from benchmarks.table import aligned

    lines = []
    for row in rows:
        line = {
            "what": row["what"] + " remat" * row["remat"],
            "model": row["model"],
            "size": f"{row['size']}x{row['batch']}",
            "dtype": row["dtype"],
            "ours s": row["ours_s"],
        }
        for key in (
            key for key in row if key.startswith(("torch_", "ratio")) and "bytes" not in key
        ):
            line[key.replace("torch_", "").replace("_", " ")] = row[key]
        peak = row["torch_peak_bytes"]
        lines.append(
            line
            | {
                "of peak": f"{row['fraction_of_peak']:.0%}",
                "temp MB": row["our_temp_bytes"] / 1e6,
                "torch MB": peak / 1e6 if peak is not None else None,
                "our compile s": row["compile_s"],
                "2nd": row["second_compile_s"],
            }
        )
        for opponent, problem in row["problems"].items():
            _progress(f"{line['what']} {line['model']} {line['size']}, {opponent}: {problem}")
    print(f"\n{aligned(lines)}")


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
