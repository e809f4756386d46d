"""What docs/python.md shows runs, in one program and in this order."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)
    assert len(blocks) == 5
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec("\n".join(blocks), names)
    assert names["edited"].shape == (90, 120, 3)
    assert len(names["rows"]["mine"]) == len(names["test_pairs"])
    assert Path("mine.onnx").is_file()
    assert "mine: finished after epoch 2 of 2" in capsys.readouterr().out
