"""Restormers from PyTorch: state dicts read from files, and networks built from them.

Names are those of the paper's official implementation (`encoder_level1.0.attn.qkv.weight` ...).
"""

import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np

from enhancer.config import ModelConfig
from enhancer.network.restormer import Restormer
from enhancer.system.errors import EnhancerError

_WRAPPED = re.compile(r"^((module|_orig_mod)\.)+")
"""What DataParallel and torch.compile put before each name."""
GROUPS = (
    *("encoder_level1", "encoder_level2", "encoder_level3", "latent"),
    *("decoder_level3", "decoder_level2", "decoder_level1", "refinement"),
)
BLOCK_NAMES = {
    "norm1.body.weight": "attention_norm_scale",
    "norm1.body.bias": "attention_norm_bias",
    "attn.temperature": "attention_temperature",
    "attn.qkv.weight": "attention_qkv",
    "attn.qkv.bias": "attention_qkv_bias",
    "attn.qkv_dwconv.weight": "attention_depthwise",
    "attn.qkv_dwconv.bias": "attention_depthwise_bias",
    "attn.project_out.weight": "attention_projection",
    "attn.project_out.bias": "attention_projection_bias",
    "norm2.body.weight": "ffn_norm_scale",
    "norm2.body.bias": "ffn_norm_bias",
    "ffn.project_in.weight": "ffn_expansion",
    "ffn.project_in.bias": "ffn_expansion_bias",
    "ffn.dwconv.weight": "ffn_depthwise",
    "ffn.dwconv.bias": "ffn_depthwise_bias",
    "ffn.project_out.weight": "ffn_projection",
    "ffn.project_out.bias": "ffn_projection_bias",
}
CONVOLUTIONS = {
    "patch_embed.proj": "patch_embed",
    "down1_2.body.0": "down1_2",
    "down2_3.body.0": "down2_3",
    "down3_4.body.0": "down3_4",
    "up4_3.body.0": "up4_3",
    "up3_2.body.0": "up3_2",
    "up2_1.body.0": "up2_1",
    "reduce_chan_level3": "reduce_chan_level3",
    "reduce_chan_level2": "reduce_chan_level2",
    "output": "output_conv",
}


class TorchWeightsError(EnhancerError):
    """A file without a state dict, or a state dict that does not describe a Restormer."""


def read_torch_state(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a state dict from `.safetensors`, or with PyTorch from what `torch.save` wrote.

    PyTorch reads tensors alone (`weights_only=True`): nothing that a file holds is run. A
    `params_ema` (of several the first: it scores better), `params` or `state_dict` around the
    tensors is opened; float16 and bfloat16 become float32.

    Raises:
        TorchWeightsError: the file is missing, damaged, or no state dict, or PyTorch is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise TorchWeightsError(f"There is no file {path}; name a .safetensors, .pth or .pt file.")
    loaded = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    for around in ("params_ema", "params", "state_dict"):
        if isinstance(loaded, dict) and isinstance(loaded.get(around), dict):
            loaded = loaded[around]
    if not isinstance(loaded, dict) or not all(
        hasattr(value, "dtype") for value in loaded.values()
    ):
        raise TorchWeightsError(
            f"{path} does not hold a dictionary of tensors but a {type(loaded).__name__} of other "
            "things; save the state dict alone: torch.save(model.state_dict(), ...)."
        )
    return {str(name): _as_array(value) for name, value in loaded.items()}


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.flax import load_file  # the NumPy loader has no bfloat16

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise TorchWeightsError(f"{path} is not a whole safetensors file: {error}.") from error


def _read_pickle(path: Path) -> Any:
    if importlib.util.find_spec("torch") is None:
        raise TorchWeightsError(
            f"PyTorch reads {path}: pip install 'enhancer[torch]', or save it as .safetensors."
        )
    import torch  # pyright: ignore[reportMissingImports]  # an extra

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch raises errors of many kinds for what is not a state dict
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise TorchWeightsError(f"{path} is not a state dict of tensors: {reason}") from error


def _as_array(value: Any) -> np.ndarray:
    """A JAX array or a PyTorch tensor as NumPy's, its 16-bit floats widened."""
    if hasattr(value, "detach"):
        value = value.detach()
        value = (value.float() if value.is_floating_point() else value).numpy()
    value = np.asarray(value)
    narrow = value.dtype.itemsize == 2 and value.dtype.kind not in "iu"
    return value.astype("float32") if narrow else value


def restormer_from_torch(state: Mapping[str, np.ndarray]) -> Restormer:
    """Build the float32 model that a PyTorch state dict describes, with its weights.

    Args:
        state: official parameter names, a `module.` or `_orig_mod.` before them or not, to float
            arrays in PyTorch's layout (convolutions OIHW). All hyperparameters come from names and
            shapes.

    Raises:
        TorchWeightsError: a tensor is missing, left over, or of a shape that fits no Restormer.
    """
    if unnamed := [name for name in state if not isinstance(name, str)]:
        raise TorchWeightsError(f"The keys of a state dict are names; received {unnamed[0]!r}.")
    state = {_WRAPPED.sub("", name): np.asarray(value) for name, value in state.items()}
    model = Restormer(infer_config(state), dtype="float32")
    remaining = dict(state)
    for variable, keys in sources(model):
        if missing := [key for key in keys if key not in remaining]:
            raise TorchWeightsError(f"The state dict lacks {_listed(missing)}.")
        stacked = keys[0].split(".")[0] in GROUPS
        shape = tuple(variable.shape[1:] if stacked else variable.shape)
        values = [_to_keras_layout(key, remaining.pop(key), shape) for key in keys]
        variable.assign(np.stack(values) if stacked else values[0])
    if remaining:
        raise TorchWeightsError(
            f"These tensors belong to no part of a Restormer: {_listed(sorted(remaining))}."
        )
    return model


def infer_config(state: Mapping[str, np.ndarray]) -> ModelConfig:
    """Read every hyperparameter off names and shapes; TorchWeightsError if these make no sense."""

    def shape(key: str, rank: int) -> tuple[int, ...]:
        if key not in state:
            raise TorchWeightsError(
                f"Not a Restormer: {key} is missing. The state dict holds {_listed(sorted(state))}."
            )
        if state[key].ndim != rank or 0 in state[key].shape:
            raise TorchWeightsError(
                f"{key} has shape {state[key].shape}; a Restormer has {rank} dimensions there."
            )
        return state[key].shape

    def count(group: str) -> int:
        indices = {int(m.group(1)) for key in state if (m := re.match(rf"{group}\.(\d+)\.", key))}
        if indices != set(range(len(indices))) or not indices:
            raise TorchWeightsError(
                f"Blocks of {group} should be numbered 0, 1, ...; found {sorted(indices)}."
            )
        return len(indices)

    dim, channels = shape("patch_embed.proj.weight", 4)[:2]
    encoder = GROUPS[:4]
    widths = [shape(f"{group}.0.norm1.body.weight", 1)[0] for group in encoder]
    hidden = [shape(f"{group}.0.ffn.project_out.weight", 4)[1] for group in encoder]
    num_heads = tuple(shape(f"{group}.0.attn.temperature", 3)[0] for group in encoder)
    for group, width, heads in zip(encoder, widths, num_heads, strict=True):
        if width % heads:
            raise TorchWeightsError(
                f"The {heads} heads of {group}.0.attn.temperature do not divide {width} channels."
            )
    return ModelConfig(
        dim=dim,
        num_blocks=cast(Any, tuple(count(group) for group in encoder)),
        num_refinement_blocks=count("refinement"),
        num_heads=cast(Any, num_heads),
        ffn_expansion_factor=_expansion_factor(widths, hidden),
        conv_bias="encoder_level1.0.attn.qkv.bias" in state,
        norm="with_bias" if "encoder_level1.0.norm1.body.bias" in state else "bias_free",
        channels=channels,
    )


def _expansion_factor(widths: list[int], hidden: list[int]) -> float:
    """The shortest decimal `f` with `int(width * f) == hidden` on every level."""
    lowest = max(h / width for width, h in zip(widths, hidden, strict=True))
    for digits in range(1, 9):
        for candidate in (round(lowest, digits), round(lowest + 10.0**-digits, digits)):
            if [int(width * candidate) for width in widths] == hidden:
                return candidate
    raise TorchWeightsError(
        f"No expansion factor gives feed-forward widths {hidden} for {widths} channels."
    )


def sources(model: Restormer) -> list[tuple[keras.Variable, list[str]]]:
    """Each variable of the model with the official names that fill it, a stacked one's by block."""
    found = []
    for group in GROUPS:
        layer = getattr(model, group)
        for torch_name, name in BLOCK_NAMES.items():
            if name in layer.stacked:
                keys = [f"{group}.{index}.{torch_name}" for index in range(layer.num_blocks)]
                found.append((layer.stacked[name], keys))
    for torch_name, name in CONVOLUTIONS.items():
        layer = getattr(model, name)
        found.append((layer.kernel, [f"{torch_name}.weight"]))
        if layer.use_bias:
            found.append((layer.bias, [f"{torch_name}.bias"]))
    return found


def _to_keras_layout(key: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """PyTorch's array for a variable of `shape`, as float32 in that layout."""
    expected = shape
    if key.endswith("temperature"):
        expected = (*shape, 1, 1)
    elif "dwconv.weight" in key:
        expected = (shape[2], 1, *shape[:2])  # (3, 3, C) from (C, 1, 3, 3)
    elif len(shape) == 4:
        expected = (shape[3], shape[2], *shape[:2])  # HWIO from OIHW
    elif len(shape) == 2:
        expected = (shape[1], shape[0], 1, 1)  # a 1x1 convolution as a matrix
    if value.shape != expected:
        raise TorchWeightsError(
            f"{key} has shape {value.shape}; the rest of the state dict wants {expected}."
        )
    try:
        value = value.astype("float32")
    except (TypeError, ValueError) as error:
        raise TorchWeightsError(f"{key} holds {value.dtype}, not numbers.") from error
    if not np.isfinite(value).all():
        raise TorchWeightsError(
            f"{key} holds values that are not finite; the training that made it failed."
        )
    if "dwconv.weight" in key:
        return value[:, 0].transpose(1, 2, 0)
    return value.transpose(2, 3, 1, 0).reshape(shape) if value.ndim == 4 else value.reshape(shape)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more or "nothing"
