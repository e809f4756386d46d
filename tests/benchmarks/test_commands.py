"""Every benchmark that the documentation names starts."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("docs/**/*.md"), ROOT / "README.md"]
NAMES = {name for page in PAGES for name in re.findall(r"-m benchmarks\.(\w+)", page.read_text())}


def test_the_documentation_names_programs_that_exist():
    assert len(NAMES) > 6
    assert all((ROOT / "benchmarks" / f"{name}.py").is_file() for name in NAMES)


# `cuda_memory` imports JAX before it answers.
@pytest.mark.parametrize("name", sorted(NAMES - {"cuda_memory"}))
def test_help_answers_at_once(name):
    command = [sys.executable, "-m", f"benchmarks.{name}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"python -m benchmarks.{name}" in done.stdout
