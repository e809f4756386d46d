"""A real Restormer, in row strips and bfloat16, learns; stopped, it ends in the same weights."""

import dataclasses
import json

import pytest

from enhancer.system.interruption import NOTHING, STOP, Interrupted
from enhancer.training import loop
from tests.helpers.small_network import without_clock


def test_it_learns_and_stopped_in_an_epoch_it_continues_to_the_same_weights(
    tmp_path, nano, nano_stage, brightened_pairs, monkeypatch
):
    stage = dataclasses.replace(
        nano_stage, precision="mixed", batch_size=2, epochs=1, warmup_epochs=0
    )

    def train(name: str) -> loop.StageResult:
        return loop.train(stage, nano, brightened_pairs, brightened_pairs[:3], tmp_path / name)

    result = train("undisturbed")
    rows = json.loads((tmp_path / "undisturbed" / "history.json").read_text())
    assert [row["epoch"] for row in rows] == [0, 1]
    assert rows[1]["validation_loss"] < rows[0]["validation_loss"]

    requests = iter([STOP])
    with monkeypatch.context() as patch:
        patch.setattr(loop.SaveRequests, "now", lambda _: next(requests, NOTHING))
        with pytest.raises(Interrupted):
            train("stopped")
    assert {path.name for path in (tmp_path / "stopped" / "checkpoints").iterdir()} == {"0", "3"}
    again = train("stopped")
    assert again.weights_sha256 == result.weights_sha256
    assert without_clock(again.history) == without_clock(rows)
