"""Our forward pass and train step against PyTorch's: same weights, same pictures, one process, taking turns.

    python -m benchmarks.restormer                                   the goal rows, half an hour
    python -m benchmarks.restormer --only forward --model base       one row: base 256x1 float32

A ratio is PyTorch's time over ours, the median over the rounds; low and high are the least and the greatest (from ten rounds
on, the 10th and 90th percentile). A row with batch 2 and size 128 reads 128x2. Ctrl-C keeps the rows that are finished.
"""

import dataclasses
import gc
import inspect
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import tyro

from benchmarks.cases import Case, Opponent, Picks, picked

if TYPE_CHECKING:
    from benchmarks.match import SharedWeights

# What needs JAX, Keras and PyTorch is imported after the command line is understood, so that --help answers at once.

INTERRUPTED, WRONG_USAGE = 130, 2


@dataclasses.dataclass(frozen=True)
class Arguments(Picks):
    __doc__ = f"{__doc__}\n{inspect.getdoc(Picks)}"

    repeats: int = 5
    """Rounds per row, after one warm-up."""
    opponents: tuple[Opponent, ...] = ("eager", "kept_memory")
    """PyTorch as it is; with the C library told to keep freed memory, which an engineer would set where fresh pages are slow;
    in the channels-last memory format; or through torch.compile. Eager always runs."""
    json: Path | None = None
    """File for the numbers; written anew after every row."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m benchmarks.restormer")
    if find_spec("torch") is None:
        print(
            "PyTorch is not installed; run this with: uv run --extra torch python -m benchmarks.restormer",
            file=sys.stderr,
        )
        return WRONG_USAGE
    try:
        cases = picked(arguments)
    except ValueError as error:
        print(error, file=sys.stderr)
        return WRONG_USAGE
    if arguments.repeats < 1:
        print("--repeats takes a positive number.", file=sys.stderr)
        return WRONG_USAGE
    rows: list[dict[str, Any]] = []
    try:
        return _measure_all(cases, arguments, rows)
    except KeyboardInterrupt:
        print(f"\ninterrupted after {len(rows)} of {len(cases)} rows", file=sys.stderr)
        return INTERRUPTED
    finally:
        _print_table(rows)


def _measure_all(cases: list[Case], arguments: Arguments, rows: list[dict[str, Any]]) -> int:
    os.environ["JAX_PLATFORMS"] = "cpu"  # PyTorch runs there too
    import torch

    from benchmarks import machine
    from benchmarks.cold_cache import cold_cache
    from benchmarks.match import SharedWeights
    from enhancer.system.files import write_json

    if hasattr(
        os, "sched_getaffinity"
    ):  # PyTorch counts all cores of the machine, XLA those that it may use
        torch.set_num_threads(min(torch.get_num_threads(), len(os.sched_getaffinity(0))))
    about = machine.describe() | {"torch_threads": torch.get_num_threads()}
    print(f"{machine.sentence(about)}, {about['torch_threads']} PyTorch threads")
    peaks: dict[str, dict[str, float]] = {}
    for dtype in dict.fromkeys(case.dtype for case in cases):
        _progress(f"peak of a matrix product in {dtype}")
        peaks[dtype] = machine.matmul_peak_gflops(dtype)
        print(
            f"matrix product in {dtype}: "
            + ", ".join(f"{k} {v:.0f} GFLOP/s" for k, v in peaks[dtype].items())
        )

    shared: dict[str, SharedWeights] = {}
    for model in dict.fromkeys(case.model for case in cases):
        _progress(f"weights of {model}")
        shared[model] = SharedWeights.of(model)
        print(f"{model}: outputs differ by {shared[model].difference:.1e} at most", flush=True)
    with cold_cache():
        for number, case in enumerate(cases, 1):
            _progress(f"[{number}/{len(cases)}] {case}")
            rows.append(
                _measure(case, arguments, shared[case.model], max(peaks[case.dtype].values()))
            )
            gc.collect()
            if arguments.json:
                write_json(arguments.json, [row | {"machine": about} for row in rows])
    return 0


def _measure(
    case: Case, arguments: Arguments, shared: "SharedWeights", peak_gflops: float
) -> dict[str, Any]:
    """One row."""
    from benchmarks import flops, machine
    from benchmarks.duel import Duel
    from enhancer.config import MODEL_SIZES

    others = machine.OtherProcesses()
    duel = Duel(case, shared, tuple(dict.fromkeys(("eager", *arguments.opponents))), _progress)
    row = dataclasses.asdict(case) | duel.run(arguments.repeats)
    count = flops.forward_flops if case.what == "forward" else flops.train_step_flops
    row["gflops"] = count(MODEL_SIZES[case.model], case.pixels) / 1e9
    row["matmul_peak_gflops"] = peak_gflops
    row["fraction_of_peak"] = row["gflops"] / row["ours_s"] / peak_gflops
    eager = (
        f"PyTorch {row['torch_eager_s']:.3f} s, ratio {row['ratio']:.2f}"
        if row["ratio"]
        else row["problems"]["eager"]
    )
    row["others_cpu"] = others.share()
    busy = (
        f"; BUSY: others took {row['others_cpu']:.0%} of the cores"
        if row["others_cpu"] > machine.QUIET_SHARE
        else ""
    )
    _progress(f"    ours {row['ours_s']:.3f} s, {eager}{busy}")
    return row


def _print_table(rows: list[dict[str, Any]]) -> None:
    from benchmarks.table import aligned, megabytes

    others = [name for name in get_args(Opponent)[1:] if rows and f"torch_{name}_s" in rows[0]]
    print()
    print(
        aligned(
            [
                {
                    "what": row["what"] + (" remat" if row["remat"] else ""),
                    "model": row["model"],
                    "size": f"{row['size']}x{row['batch']}",
                    "dtype": row["dtype"],
                    "ours s": row["ours_s"],
                    "torch s": row["torch_eager_s"],
                    "ratio": row["ratio"],
                    "low": row["ratio_low"],
                    "high": row["ratio_high"],
                    **{key: value for name in others for key, value in _against(row, name).items()},
                    "of peak": f"{row['fraction_of_peak']:.0%}",
                    "temp MB": megabytes(row["our_temp_bytes"]),
                    "torch MB": megabytes(row["torch_peak_bytes"]),
                    "our compile s": row["compile_s"],
                    "2nd": row["second_compile_s"],
                }
                for row in rows
            ]
        )
    )
    for row in rows:
        for opponent, problem in row["problems"].items():
            print(
                f"{row['what']} {row['model']} {row['size']}x{row['batch']} {row['dtype']}, {opponent}: {problem}"
            )


def _against(row: dict[str, Any], opponent: str) -> dict[str, Any]:
    ratio = f"ratio_{opponent}"
    return {
        f"{opponent} s": row[f"torch_{opponent}_s"],
        f"{opponent} ratio": row[ratio],
        f"{opponent} low": row[f"{ratio}_low"],
        f"{opponent} high": row[f"{ratio}_high"],
    }


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
