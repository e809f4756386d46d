"""The recipe of the packaged model, with few rooms and a network that compiles soon."""

import concurrent.futures

import pytest

from datasets import miniature
from datasets.miniature.rendered_rooms import RenderedRooms
from enhancer.network.trained import load_alone
from recipes import default_model
from tests.helpers.small_network import stand_in


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Starting processes would take longer than rendering a few rooms."""
    monkeypatch.setattr(
        concurrent.futures, "ProcessPoolExecutor", concurrent.futures.ThreadPoolExecutor
    )


def test_it_renders_trains_tests_and_writes_one_file(tmp_path, monkeypatch, capsys):
    stand_in(monkeypatch)
    monkeypatch.setattr(default_model, "_TEST_ROOMS", 2)
    command = [f"--workdir={tmp_path / 'run'}", f"--output={tmp_path / 'made.safetensors'}"]
    command += ["--rooms=4", "--stage.epochs=1", "--stage.batch-size=4", "--stage.resolution=16"]
    assert default_model.main(command) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "fitted lookup table, adaptive" in said
    _, about = load_alone(tmp_path / "made.safetensors")
    assert about["working_size"] == 16
    assert about["scores"]["photos"] == 2
    assert set(about["scores"]["model"]["mean"]) >= {"l1", "psnr_db"}
    assert "4 rendered rooms, and on no photo" in about["trained_on"]


def test_a_room_is_rendered_once_and_each_has_an_editor_of_its_own(tmp_path):
    RenderedRooms(tmp_path, [1])
    made = (tmp_path / "1_target.jpg").stat().st_mtime_ns
    rooms = RenderedRooms(tmp_path, [1, 2])
    assert (tmp_path / "1_target.jpg").stat().st_mtime_ns == made
    assert [rooms[i]["id"] for i in range(len(rooms))] == [b"room 1", b"room 2"]
    one, other = (miniature.real_estate_pair(1, 96, editor) for editor in (1, 2))
    assert (one[0] == other[0]).all()
    assert (one[1] != other[1]).any()
