"""How long a fresh Python process takes until a program of ours can run, the first time and the second.

    python -m benchmarks.start_up
    python -m benchmarks.start_up --model base --size 512 --only forward

Each row starts two processes, one after the other, that share a cache of compiled programs, empty at first. Each imports
JAX and Keras, builds the network (and optimizer), traces, and compiles. Ctrl-C keeps the rows that are finished.
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
from benchmarks.table import aligned

INTERRUPTED, WRONG_USAGE = 130, 2
_STAGES = ("import_s", "build_s", "trace_s", "compile_s")


@dataclasses.dataclass(frozen=True)
class Arguments(Picks):
    __doc__ = f"{__doc__}\n{inspect.getdoc(Picks)}"

    json: Path | None = None
    """File for the numbers; written anew after every row."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m benchmarks.start_up")
    try:
        cases = picked(arguments)
    except ValueError as error:
        print(error, file=sys.stderr)
        return WRONG_USAGE

    from benchmarks import machine
    from enhancer.system.files import write_json

    about = machine.describe()
    print(machine.sentence(about), flush=True)
    rows: list[dict[str, Any]] = []
    try:
        for number, case in enumerate(cases, 1):
            print(f"[{number}/{len(cases)}] {case}", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(prefix="enhancer-xla-") as cache:
                first, second = _start(case, cache), _start(case, cache)
            rows.append(dataclasses.asdict(case) | {"first": first, "second": second})
            if arguments.json:
                write_json(arguments.json, {"machine": about, "rows": rows})
    except KeyboardInterrupt:
        print(f"\ninterrupted after {len(rows)} of {len(cases)} rows", file=sys.stderr)
        return INTERRUPTED
    finally:
        print(f"\n{aligned([line for row in rows for line in _lines(row)])}")
    return 0


def _start(case: Case, cache: str) -> dict[str, float]:
    """Seconds of each stage, and of the whole process as its caller sees it."""
    command = [sys.executable, "-m", "benchmarks.one_start", json.dumps(dataclasses.asdict(case))]
    started = time.perf_counter()
    process = subprocess.run(
        command,
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": cache},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    total = time.perf_counter() - started
    return json.loads(process.stdout.splitlines()[-1]) | {"process_s": total}


def _lines(row: dict[str, Any]) -> list[dict[str, Any]]:
    name = (
        f"{row['what']} {row['model']} {row['size']}x{row['batch']} {row['dtype']}"
        + " remat" * row["remat"]
    )
    titles = {stage: stage.replace("_s", " s") for stage in (*_STAGES, "process_s")}
    return [
        {
            "program": name,
            "start": start,
            **{title: row[start][stage] for stage, title in titles.items()},
        }
        for start in ("first", "second")
    ]


if __name__ == "__main__":
    sys.exit(main())
