"""`benchmarks.gpu` ends in time with an answer for every figure, whatever the machine lacks."""

import json
import subprocess
import sys
import time

from benchmarks import gpu


def test_it_ends_in_time_and_answers_for_every_figure(tmp_path):
    path, started = tmp_path / "gpu.json", time.monotonic()
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--tiny"]
    done = subprocess.run(
        [*command, "--minutes", "0.1", "--json", str(path)], capture_output=True, text=True
    )
    assert time.monotonic() - started < 6 + 10
    rows = {row["what"]: row for row in json.loads(path.read_text())}
    assert list(rows) == list(gpu.figures_of(tiny=True, device="cpu"))
    assert all("problem" in row or len(row) > 1 for row in rows.values())
    assert "begun" not in path.read_text()
    assert rows["loader"] == {"what": "loader", "problem": "no time left"}
    assert "loader: problem no time left" in done.stdout


def test_a_figure_that_fails_is_said_and_the_next_one_is_measured(tmp_path, monkeypatch):
    def fails(rows):
        raise MemoryError("out of memory\nlong explanation")

    figures = {"first": fails, "second": lambda rows: {"seconds": 1.0}}
    monkeypatch.setattr(gpu, "figures_of", lambda tiny, device: figures)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    path = tmp_path / "gpu.json"
    arguments = ["--device", "cpu", "--json", str(path), "--measure", "first", "second"]
    assert gpu.main(arguments) == 0
    first, second = json.loads(path.read_text())
    assert first == {"what": "first", "problem": "MemoryError: out of memory"}
    assert second == {"what": "second", "seconds": 1.0}
