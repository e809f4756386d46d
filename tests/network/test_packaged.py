"""The network that comes with the package: whole, verified, and harmless to a photo."""

import json
import struct

import numpy as np
import pytest

from enhancer.config import ModelConfig
from enhancer.inference.enhancer import Enhancer
from enhancer.network.restormer import Restormer
from enhancer.network.trained import (
    PACKAGED,
    CheckpointError,
    load_alone,
    save_alone,
    weights_of,
    weights_sha256,
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, nano: ModelConfig):
    """A network, and the file that holds it."""
    model, path = Restormer(nano), tmp_path_factory.mktemp("alone") / "network.safetensors"
    save_alone(path, model, {"scores": {"photos": 3}})
    return model, path


def test_a_network_is_one_file_and_what_is_said_about_it(alone):
    model, path = alone
    loaded, about = load_alone(path)
    assert loaded.config == model.config
    assert about["scores"] == {"photos": 3}
    assert (
        about["sha256"] == weights_sha256(weights_of(loaded)) == weights_sha256(weights_of(model))
    )


def test_changed_weights_are_noticed(alone, tmp_path):
    content = bytearray(alone[1].read_bytes())
    content[-9] ^= 64
    (tmp_path / "changed.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="its weights are not those that were written"):
        load_alone(tmp_path / "changed.safetensors")


def headed(header: dict) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "content", [b"", b"not a network", headed({}), headed({"__metadata__": {"model": "[]"}})]
)
def test_another_file_is_refused_in_a_sentence(tmp_path, content):
    (tmp_path / "other.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="does not hold a network"):
        load_alone(tmp_path / "other.safetensors")


def test_the_packaged_one_says_where_it_comes_from():
    _, about = load_alone()
    assert PACKAGED.stat().st_size < 4e6
    assert about["recipe"] == "python -m recipes.default_model"
    assert about["licence"].startswith("Apache-2.0")
    assert about["settings"]["rooms"] > 0
    scores = about["scores"]
    assert scores["model"]["mean"]["l1"] < scores["unedited"]["mean"]["l1"]


def test_the_packaged_one_brightens_a_dark_room_and_leaves_its_lamp_white():
    room = np.full((120, 160, 3), (70, 55, 40), np.uint8)
    room[60:] = (50, 36, 24)
    room[10:30, 70:90] = 255
    edited = Enhancer.load().enhance(room).astype(int)
    assert edited[40:, :].mean() > room[40:, :].mean() + 40
    lamp = edited[17:23, 77:83]
    assert np.ptp(lamp, axis=-1).max() <= 2
    assert lamp.min() > 225
