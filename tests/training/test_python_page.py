"""What docs/python.md shows runs, in one program and in this order."""

import re
from pathlib import Path

import jax.numpy as jnp

from enhancer.export import export
from enhancer.training import loop
from enhancer.training.compiled_steps import Programs, programs_of
from enhancer.training.step import StepReport

ROOT = Path(__file__).resolve().parents[2]


def programs_that_train_nothing(*settings) -> Programs:
    """Restormer's own steps would take longer to compile than all of the page."""
    programs = programs_of(*settings)
    zero = jnp.zeros(())

    def train_step(state, batch, controls):
        return state, StepReport(zero, zero, jnp.zeros((), int), jnp.max(controls.request))

    programs.train_step = train_step
    programs.eval_step = lambda weights, batch, pair_weights: (zero, pair_weights.sum())
    return programs


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)
    assert len(blocks) == 5
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loop, "programs_of", programs_that_train_nothing)
    monkeypatch.setattr(export, "_check_pictures", lambda *_: [])  # compiled for each once more
    names: dict = {}
    exec("\n".join(blocks), names)
    assert names["edited"].shape == (90, 120, 3)
    assert len(names["rows"]["mine"]) == len(names["test_pairs"])
    assert Path("mine.onnx").is_file()
    assert "mine: finished after epoch 2 of 2" in capsys.readouterr().out
