"""All that this project says about GPUs, measured on the one at hand in one call.

    python -m benchmarks.gpu --minutes 8
    python -m benchmarks.gpu --device cpu --tiny --minutes 2     the same code, small, for a test

Runs from a checkout that need not be installed. Each figure is measured in turn, the most valuable
first, in processes of its own which are ended when one takes a quarter of the time, or the time is
up; each is in --json as soon as it is known. What a machine lacks (PyTorch, memory) is said in the
figure's place, and the rest goes on.

Peaks are what a large matrix product and a large copy reach here. Memory is XLA's own figure for
the program, arguments included, and for PyTorch what its allocator gave out.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu_figures import IN_TORCH, Row, figures_of

# What needs JAX is imported once the command line is understood, so that --help answers at once.


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--minutes", type=float, default=8, help="after which it ends, whatever happens"
    )
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="what is measured"
    )
    parser.add_argument("--tiny", action="store_true", help="small networks and pictures")
    parser.add_argument("--json", type=Path, default=Path("gpu.json"), help="file for the figures")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)  # what a child is told
    arguments = parser.parse_args(argv)
    os.environ["JAX_PLATFORMS"] = "cpu" if arguments.device == "cpu" else "cuda,cpu"
    # Both libraries take turns on one card, and neither may hold all of it.
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    if arguments.tiny:  # it is the code that is tried out, not the speed
        flags = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    if arguments.measure:
        _measure(arguments)
        return 0
    if not arguments.minutes > 0:
        print("--minutes takes a positive number.", file=sys.stderr)
        return 2
    arguments.json.unlink(missing_ok=True)
    try:
        _run_children(arguments)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
    rows = _read(arguments.json)
    for row in rows.values():
        print(f"{row.pop('what')}: {', '.join(f'{key} {_text(x)}' for key, x in row.items())}")
    print(f"\nas JSON: {arguments.json}")
    return 0 if any("problem" not in row for row in rows.values()) else 1


def _run_children(arguments: argparse.Namespace) -> None:
    """Measure in processes of their own; one that hangs or dies costs its figure alone."""
    ends = time.monotonic() + 60 * arguments.minutes
    most = max(15.0, 15 * arguments.minutes)
    todo = list(figures_of(arguments.tiny, arguments.device))
    while todo and time.monotonic() < ends:
        _, group = next(itertools.groupby(todo, lambda name: name.startswith(IN_TORCH)))
        group = list(group)
        flags = ["--device", arguments.device, "--json", str(arguments.json)]
        flags += ["--tiny"] * arguments.tiny
        command = [sys.executable, "-m", "benchmarks.gpu", *flags, "--measure", *group]
        child = subprocess.Popen(command, stdout=sys.stderr)
        try:
            _watch(child, arguments.json, len(group), ends, most)
        finally:
            child.kill()
            child.wait()
        rows = _read(arguments.json)
        begun = [name for name in group if name in rows]
        for name in begun:
            if rows[name].pop("begun", None):
                late = time.monotonic() >= ends or child.returncode == -9
                reason = "took too long" if late else f"its process ended with {child.returncode}"
                rows[name]["problem"] = reason
        if not begun:
            rows[group[0]] = {"what": group[0], "problem": "its process did not start"}
            begun = group[:1]
        _write(arguments.json, rows)
        todo = [name for name in todo if name not in begun]
    left = {name: {"what": name, "problem": "no time left"} for name in todo}
    _write(arguments.json, _read(arguments.json) | left)


def _watch(child: Any, path: Path, count: int, ends: float, most: float) -> None:
    """Wait until a child has ended, its time is up, or one figure has taken too long."""
    seen, since = 0, time.monotonic()
    while child.poll() is None and time.monotonic() < min(ends, since + most):
        time.sleep(0.2)
        finished = sum("begun" not in row for row in _read(path).values())
        if finished != seen:
            seen, since = finished, time.monotonic()


def _measure(arguments: argparse.Namespace) -> None:
    figures, rows = figures_of(arguments.tiny, arguments.device), _read(arguments.json)
    for name in arguments.measure:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows[name] = {"what": name, "begun": True}
        _write(arguments.json, rows)
        try:
            found = figures[name](rows)
        except Exception as error:  # whatever it is, the next figure may still be had
            lines = str(error).strip().splitlines() or [""]
            found = {"problem": f"{type(error).__name__}: {lines[0][:200]}"}
        rows[name] = {"what": name, **found}
        _write(arguments.json, rows)


def _read(path: Path) -> dict[str, Row]:
    try:
        return {row["what"]: row for row in json.loads(path.read_text())}
    except (OSError, ValueError):
        return {}


def _write(path: Path, rows: dict[str, Row]) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(list(rows.values()), indent=1))
    part.replace(path)


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
