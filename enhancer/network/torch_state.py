"""Read PyTorch state dicts from files, without PyTorch and without running anything the file holds."""

import collections
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np


class TorchStateError(ValueError):
    """A file that is no state dict, is damaged, or asks for anything but tensors."""


class _StorageType(NamedTuple):
    dtype: np.dtype


_STORAGE_TYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


def read_torch_state(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a state dict from `.safetensors`, or from `.pth`/`.pt` as `torch.save` has written it since PyTorch 1.6.

    A `.pth` is a pickle in a zip archive. Only the few names that rebuild tensors are resolved; any other is refused.

    Returns:
        Names to arrays; float16 and bfloat16 become float32. A `params` or `state_dict` level around the tensors is
        opened.

    Raises:
        TorchStateError: The file is missing, is neither format, is damaged, or asks for anything but tensors.
    """
    path = Path(path)
    try:
        loaded = _read_safetensors(path) if path.suffix == ".safetensors" else _read_archive(path)
    except OSError as error:
        raise TorchStateError(f"{path} cannot be read: {error.strerror or error}.") from error
    for level in ("params", "state_dict"):
        if isinstance(loaded, dict) and isinstance(loaded.get(level), dict):
            loaded = loaded[level]
    if not isinstance(loaded, dict) or not all(
        isinstance(value, np.ndarray) for value in loaded.values()
    ):
        raise TorchStateError(
            f"{path} holds no dictionary of tensors but a {type(loaded).__name__} of other things."
        )
    return {str(name): _widened(value) for name, value in loaded.items()}


def _widened(value: np.ndarray) -> np.ndarray:
    return (
        value.astype("float32")
        if value.dtype.itemsize == 2 and value.dtype.kind not in "iu"
        else value
    )


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.flax import load_file  # the NumPy loader has no bfloat16

    try:
        return {name: np.asarray(value) for name, value in load_file(path).items()}
    except SafetensorError as error:
        raise TorchStateError(f"{path} is a damaged safetensors file: {error}.") from error


def _read_archive(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise TorchStateError(
                    f"{path} is a zip archive, but not one that torch.save wrote."
                )
            prefix = pickles[0].removesuffix("data.pkl")
            if (
                f"{prefix}byteorder" in archive.namelist()
                and archive.read(f"{prefix}byteorder") != b"little"
            ):
                raise TorchStateError(
                    f"{path} was written on a big-endian machine; save it again on another."
                )
            with archive.open(pickles[0]) as stream:
                return _TensorUnpickler(stream, archive, prefix, path).load()
    except zipfile.BadZipFile as error:
        raise TorchStateError(
            f"{path} is neither .safetensors nor a zip archive as torch.save has written since PyTorch 1.6."
        ) from error
    except (
        pickle.UnpicklingError,
        EOFError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        ValueError,
    ) as error:
        if isinstance(error, TorchStateError):
            raise
        raise TorchStateError(f"{path} is damaged: {error}.") from error


class _TensorUnpickler(pickle.Unpickler):
    """Resolves the names that make up tensors; everything else in the pickle is refused by name."""

    def __init__(self, stream, archive: zipfile.ZipFile, prefix: str, path: Path):
        super().__init__(stream)
        self.archive, self.prefix, self.path = archive, prefix, path

    def find_class(self, module_name: str, global_name: str) -> Any:
        if module_name in ("torch", "torch.storage") and global_name in _STORAGE_TYPES:
            return _StorageType(_STORAGE_TYPES[global_name])
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): lambda data, requires_grad, hooks: data,
            ("torch", "Size"): tuple,
        }
        if (module_name, global_name) not in known:
            raise TorchStateError(
                f"{self.path} asks to load {module_name}.{global_name}, which is no part of a state dict. Refused: it could "
                "run code. Save the state dict alone: torch.save(model.state_dict(), ...)."
            )
        return known[module_name, global_name]

    def persistent_load(self, pid: Any) -> np.ndarray:
        _, storage_type, key, _, _ = pid
        return np.frombuffer(self.archive.read(f"{self.prefix}data/{key}"), storage_type.dtype)


def _rebuild_tensor(
    storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_
) -> np.ndarray:
    if offset < 0 or any(s < 0 for s in (*size, *stride)):
        raise TorchStateError(
            f"A tensor has negative size, stride or offset: {size}, {stride}, {offset}."
        )
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if all(size) and last >= len(storage):
        raise TorchStateError(
            f"A tensor of shape {size} reaches past the end of its storage ({len(storage)} values)."
        )
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides).copy()
