"""State dicts are read from files without PyTorch and without running what the files hold."""

import collections
import io
import os
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from enhancer.network.torch_state import TorchStateError, read_torch_state


class _Global:
    """Pickles as a reference to `module.name` called with `arguments`, as PyTorch's tensors do."""

    def __init__(self, module, name, *arguments):
        self.module, self.name, self.arguments = module, name, arguments


class _TorchPickler(pickle._Pickler):
    """Writes what torch.save writes, without PyTorch."""

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, _Storage):
            self.save(("storage", obj.type, obj.key, "cpu", obj.count), save_persistent_id=False)
            self.write(pickle.BINPERSID)
        elif isinstance(obj, _Global):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
            if obj.arguments:
                self.save(obj.arguments)
                self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)


class _Storage:
    def __init__(self, kind, key, count):
        self.type, self.key, self.count = _Global("torch", kind), key, count


def write_pth(path, content, storages):
    stream = io.BytesIO()
    _TorchPickler(stream, protocol=2).dump(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", stream.getvalue())
        archive.writestr("weights/byteorder", "little")
        for key, array in storages.items():
            archive.writestr(f"weights/data/{key}", array.tobytes())


def tensor(kind, key, size, stride, offset=0):
    return _Global(
        "torch._utils",
        "_rebuild_tensor_v2",
        _Storage(kind, key, 6),
        offset,
        size,
        stride,
        False,
        collections.OrderedDict(),
    )


def test_pth_is_read_with_strides_offsets_and_bfloat16(tmp_path):
    values = np.arange(6, dtype="float32")
    state = {
        "params": {
            "a": tensor("FloatStorage", "0", (3, 2), (1, 3)),
            "b": tensor("BFloat16Storage", "1", (2,), (1,), 4),
        }
    }
    write_pth(tmp_path / "w.pth", state, {"0": values, "1": values.astype(ml_dtypes.bfloat16)})
    read = read_torch_state(tmp_path / "w.pth")
    np.testing.assert_array_equal(read["a"], values.reshape(2, 3).T)
    np.testing.assert_array_equal(read["b"], [4, 5])
    assert read["b"].dtype == "float32"


def test_pickled_code_is_refused_and_does_not_run(tmp_path):
    witness = tmp_path / "ran"
    write_pth(tmp_path / "evil.pth", {"a": _Global("os", "system", f"touch {witness}")}, {})
    with pytest.raises(TorchStateError, match=r"os\.system, which is no part of a state dict"):
        read_torch_state(tmp_path / "evil.pth")
    assert not witness.exists()


def test_tensor_reaching_past_its_storage_is_refused(tmp_path):
    write_pth(
        tmp_path / "w.pth",
        {"a": tensor("FloatStorage", "0", (100,), (1,))},
        {"0": np.zeros(6, "float32")},
    )
    with pytest.raises(TorchStateError, match="past the end of its storage"):
        read_torch_state(tmp_path / "w.pth")


def test_safetensors_is_read(tmp_path):
    save_file({"a": np.ones((2, 3), "float32")}, tmp_path / "w.safetensors")
    np.testing.assert_array_equal(
        read_torch_state(tmp_path / "w.safetensors")["a"], np.ones((2, 3))
    )


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights", os.urandom(200)])
def test_file_of_another_kind_is_refused_in_a_sentence(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TorchStateError, match=name):
        read_torch_state(tmp_path / name)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(TorchStateError, match=r"gone\.pth cannot be read: No such file"):
        read_torch_state(tmp_path / "gone.pth")


def test_real_torch_save_is_read(tmp_path):
    torch = pytest.importorskip("torch", reason="needs the extra `torch`")
    state = {"a": torch.arange(6.0).reshape(2, 3).t(), "b": torch.ones(2, dtype=torch.float16)}
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    read = read_torch_state(tmp_path / "w.pth")
    np.testing.assert_array_equal(read["a"], state["a"].numpy())
    assert read["b"].dtype == "float32"
