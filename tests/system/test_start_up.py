"""What answers at once imports no framework, which takes seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

import enhancer
from enhancer.inference.enhancer import Enhancer

ROOT = Path(__file__).resolve().parents[2]
SLOW = {"jax", "keras", "cv2", "onnx", "gradio", "tensorflow_datasets"}


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import enhancer", ""),
        ("from enhancer.__main__ import main; main(['--help'])", "130  interrupted by Ctrl-C"),
        ("from enhancer.__main__ import main; main(['export', '--help'])", "HxW|dynamic"),
        ("from recipes.fivek_transfer import main; main(['--help'])", "Exit codes"),
    ],
)
def test_what_answers_at_once_imports_no_framework(program, said):
    code = f"import sys\ntry: {program}\nfinally: assert not {SLOW} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


def test_the_package_offers_the_enhancer_and_nothing_that_is_not_there():
    assert enhancer.Enhancer is Enhancer
    assert not hasattr(enhancer, "Enhancor")
