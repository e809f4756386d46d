"""State dicts are read from files without running what the files hold."""

import importlib.util
import os
import pickle

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from enhancer.network import torch_weights
from enhancer.network.torch_weights import TorchWeightsError, read_torch_state


def test_safetensors_is_read_and_bfloat16_widened(tmp_path):
    state = {"a": np.ones((2, 3), "float32"), "b": np.asarray([4, 5], ml_dtypes.bfloat16)}
    save_file(state, tmp_path / "w.safetensors")
    read = read_torch_state(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(read["a"], np.ones((2, 3)))
    np.testing.assert_array_equal(read["b"], [4, 5])
    assert read["b"].dtype == "float32"


@pytest.mark.parametrize("content", [b"", b"not weights", os.urandom(200)])
def test_file_of_another_kind_is_refused_in_a_sentence(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(TorchWeightsError, match=r"w\.safetensors is not a whole safetensors file"):
        read_torch_state(tmp_path / "w.safetensors")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(TorchWeightsError, match=r"no file .*gone\.pth"):
        read_torch_state(tmp_path / "gone.pth")


def test_pth_without_pytorch_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "w.pth").write_bytes(b"anything")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TorchWeightsError, match=r"pip install 'enhancer\[torch\]'"):
        read_torch_state(tmp_path / "w.pth")


def test_averaged_weights_of_a_training_checkpoint_come_first(tmp_path, monkeypatch):
    (tmp_path / "w.pth").touch()
    saved = {"params": {"a": np.zeros(2)}, "params_ema": {"a": np.ones(2)}, "iter": 7}
    monkeypatch.setattr(torch_weights, "_read_pickle", lambda path: saved)
    np.testing.assert_array_equal(read_torch_state(tmp_path / "w.pth")["a"], [1, 1])


def test_what_torch_save_wrote_is_read(tmp_path):
    torch = pytest.importorskip("torch", reason="needs the extra `torch`")
    state = {"a": torch.arange(6.0).reshape(2, 3).t(), "b": torch.ones(2, dtype=torch.float16)}
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    read = read_torch_state(tmp_path / "w.pth")
    np.testing.assert_array_equal(read["a"], state["a"].numpy())
    assert read["b"].dtype == "float32"


def test_pickled_code_is_refused_and_does_not_run(tmp_path):
    pytest.importorskip("torch", reason="needs the extra `torch`")

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"a": Evil()}))
    with pytest.raises(TorchWeightsError, match=r"evil\.pth is not a state dict of tensors"):
        read_torch_state(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()
