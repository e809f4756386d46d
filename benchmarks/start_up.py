"""How long a fresh Python process takes until a program of ours can run, at first and again.

    python -m benchmarks.start_up
    python -m benchmarks.start_up --model base --size 512 --only forward

Each row starts two processes, one after the other, that share a cache of compiled programs, empty
at first. Each imports JAX and Keras, builds the network (and optimizer), traces, and compiles.
Ctrl-C keeps the rows that are finished.
"""

import dataclasses
import inspect
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tyro

from benchmarks.cases import Case, Picks, picked
from enhancer.system.lean_keras import import_keras

INTERRUPTED, WRONG_USAGE = 130, 2


@dataclasses.dataclass(frozen=True)
class Arguments(Picks):
    __doc__ = f"{__doc__}\n{inspect.getdoc(Picks)}"

    json: Path | None = None
    """File for the numbers; written anew after every row."""
    case: str | None = None
    """Start one, here: what the processes that this command starts are told."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m benchmarks.start_up")
    if arguments.case:
        print(json.dumps(_stages(Case(**json.loads(arguments.case)))))
        return 0
    try:
        cases = picked(arguments)
    except ValueError as error:
        print(error, file=sys.stderr)
        return WRONG_USAGE

    from benchmarks import machine
    from benchmarks.table import aligned
    from enhancer.system.files import write_json

    about = machine.describe()
    print(machine.sentence(about), flush=True)
    rows: list[dict[str, Any]] = []
    try:
        for number, case in enumerate(cases, 1):
            print(f"[{number}/{len(cases)}] {case}", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(prefix="enhancer-xla-") as cache:
                starts = [{"start": start} | _start(case, cache) for start in ("first", "second")]
            rows += [{"program": str(case)} | row for row in starts]
            if arguments.json:
                write_json(arguments.json, {"machine": about, "rows": rows})
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    finally:
        print(f"\n{aligned(rows)}")
    return 0


def _start(case: Case, cache: str) -> dict[str, float]:
    """Seconds of each part, and of the whole process as its caller sees it."""
    command = [sys.executable, "-m", "benchmarks.start_up", "--case"]
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": cache}
    started = time.perf_counter()
    printed = subprocess.run(
        [*command, json.dumps(dataclasses.asdict(case))],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    total = time.perf_counter() - started
    return json.loads(printed.splitlines()[-1]) | {"process s": total}


def _stages(case: Case) -> dict[str, float]:
    started = time.perf_counter()
    import_keras()  # as the commands do
    from benchmarks.program import build_model, program_of, random_pictures

    imported = time.perf_counter()
    program, inputs = program_of(case, build_model(case), random_pictures(case))
    built = time.perf_counter()
    lowered = program.lower(*inputs)
    traced = time.perf_counter()
    lowered.compile()
    compiled = time.perf_counter()
    return {
        "import s": imported - started,
        "build s": built - imported,
        "trace s": traced - built,
        "compile s": compiled - traced,
    }


if __name__ == "__main__":
    sys.exit(main())
