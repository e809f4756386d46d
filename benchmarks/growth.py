"""How our cost grows: pictures per second and memory against pixels, batch and network.

    python -m benchmarks.growth --plot growth.png --json growth.json

Each column of the figure changes one thing; the dashed lines are what cost in proportion would look like. Ctrl-C keeps
what is finished, figure included.
"""

import dataclasses
import gc
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmarks.cases import Case, Dtype
from enhancer.config import MODEL_SIZES, ModelSize

# What needs JAX, Keras or Matplotlib is imported after the command line is understood, so that --help answers at once.

INTERRUPTED, WRONG_USAGE = 130, 2


@dataclasses.dataclass(frozen=True)
class Arguments:
    __doc__ = __doc__

    model: ModelSize = "small"
    """The network whose growth with pixels and batch is measured."""
    sizes: Annotated[tuple[int, ...], tyro.conf.arg(metavar="PIXELS...")] = (128, 256, 384)
    """Sides of the square pictures, multiples of 8; batch and network change at the first one."""
    batches: Annotated[tuple[int, ...], tyro.conf.arg(metavar="PICTURES...")] = (1, 2, 4)
    """Pictures per call."""
    models: tuple[ModelSize, ...] = ("tiny", "small", "base")
    """The networks that are compared, small ones first."""
    dtype: Dtype = "float32"
    """float32, or bfloat16 activations over float32 weights."""
    repeats: int = 5
    """Calls per measurement, after one warm-up; the median counts."""
    json: Path | None = None
    """File for the numbers; written anew after every row."""
    plot: Path | None = None
    """File for the figure, .png, .svg or .pdf."""


def cases_of(arguments: Arguments) -> dict[str, list[Case]]:
    """The cases by what changes in them; one may stand under several."""
    first, dtype = arguments.sizes[0], arguments.dtype
    cases: dict[str, list[Case]] = {"pixels": [], "batch": [], "model": []}
    for what in ("forward", "train_step"):
        cases["pixels"] += [Case(what, arguments.model, size, 1, dtype) for size in arguments.sizes]
        cases["batch"] += [
            Case(what, arguments.model, first, batch, dtype) for batch in arguments.batches
        ]
        cases["model"] += [Case(what, model, first, 1, dtype) for model in arguments.models]
    return cases


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m benchmarks.growth")
    if not all((arguments.sizes, arguments.batches, arguments.models)) or any(
        size % 8 for size in arguments.sizes
    ):
        print(
            "--sizes takes multiples of 8; --sizes, --batches and --models at least one value.",
            file=sys.stderr,
        )
        return WRONG_USAGE
    if min(*arguments.sizes, *arguments.batches, arguments.repeats) < 1:
        print("--sizes, --batches and --repeats take positive numbers.", file=sys.stderr)
        return WRONG_USAGE

    from benchmarks import machine
    from benchmarks.table import aligned
    from enhancer.system.files import write_json

    about = machine.describe()
    print(machine.sentence(about), flush=True)
    columns = cases_of(arguments)
    cases = list(dict.fromkeys(case for column in columns.values() for case in column))
    rows: dict[Case, dict[str, Any]] = {}
    try:
        for number, case in enumerate(cases, 1):
            print(f"[{number}/{len(cases)}] {case}", file=sys.stderr, flush=True)
            rows[case] = _measure(case, arguments.repeats)
            gc.collect()
            if arguments.json:
                write_json(arguments.json, {"machine": about, "rows": list(rows.values())})
    except KeyboardInterrupt:
        print(f"\ninterrupted after {len(rows)} of {len(cases)} rows", file=sys.stderr)
        return INTERRUPTED
    finally:
        print(f"\n{aligned([_line(row) for row in rows.values()])}")
        if arguments.plot and rows:
            from benchmarks.growth_figure import draw

            finished = {
                name: [rows[case] for case in column if case in rows]
                for name, column in columns.items()
            }
            draw(finished, f"{machine.sentence(about)}\n{arguments.dtype}", arguments.plot)
    return 0


def _measure(case: Case, repeats: int) -> dict[str, Any]:
    from benchmarks import flops
    from benchmarks.our_programs import OurProgram, random_pictures
    from benchmarks.timing import interleaved, median

    program = OurProgram(case, random_pictures(case))
    program()
    seconds = median(interleaved({"ours": program}, repeats, {})["ours"])
    count = flops.forward_flops if case.what == "forward" else flops.train_step_flops
    return dataclasses.asdict(case) | {
        "seconds": seconds,
        "images_per_second": case.batch / seconds,
        "temp_bytes": program.temp_bytes,
        "compile_s": program.compile_s,
        "gflops": count(MODEL_SIZES[case.model], case.pixels) / 1e9,
    }


def _line(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "what": row["what"],
        "model": row["model"],
        "size": f"{row['size']}x{row['batch']}",
        "images/s": row["images_per_second"],
        "GFLOP/s": row["gflops"] / row["seconds"],
        "temp MB": row["temp_bytes"] / 1e6,
        "compile s": row["compile_s"],
    }


if __name__ == "__main__":
    sys.exit(main())
