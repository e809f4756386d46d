"""A real Restormer, in row strips and bfloat16, learns; stopped, it ends in the same weights."""

import dataclasses
import json

import pytest

from enhancer.system.interruption import NOTHING, STOP, Interrupted
from enhancer.training import loop
from enhancer.training.history import best_row
from tests.helpers.small_network import without_clock


def test_it_learns_and_stopped_in_an_epoch_it_continues_to_the_same_weights(
    tmp_path, nano, nano_stage, brightened_pairs, monkeypatch
):
    stage = dataclasses.replace(nano_stage, precision="mixed", epochs=2)

    def train(name: str) -> loop.StageResult:
        return loop.train(stage, nano, brightened_pairs, brightened_pairs[:3], tmp_path / name)

    result = train("undisturbed")
    rows = json.loads((tmp_path / "undisturbed" / "history.json").read_text())
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert best_row(rows)["epoch"] > 0
    assert best_row(rows)["validation_loss"] < rows[0]["validation_loss"]
    kept = {path.name for path in (tmp_path / "undisturbed" / "checkpoints").iterdir()}
    assert kept == {str(best_row(rows)["step"]), "2", "4"}

    requests = iter([NOTHING, NOTHING, STOP])
    with monkeypatch.context() as patch:
        patch.setattr(loop.SaveRequests, "now", lambda _: next(requests, NOTHING))
        with pytest.raises(Interrupted):
            train("stopped")
    again = train("stopped")
    assert again.weights_sha256 == result.weights_sha256
    assert without_clock(again.history) == without_clock(rows)
