"""Build a Restormer from a PyTorch state dict (`enhancer.network.torch_state` reads one from a file).

Names are those of the paper's official implementation (`encoder_level1.0.attn.qkv.weight` ...).
"""

import re
from collections.abc import Mapping

import keras
import numpy as np

from enhancer.config import ModelConfig
from enhancer.network.restormer import Restormer

GROUPS = (
    "encoder_level1",
    "encoder_level2",
    "encoder_level3",
    "latent",
    "decoder_level3",
    "decoder_level2",
    "decoder_level1",
    "refinement",
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


class TorchWeightsError(ValueError):
    """A state dict that does not describe a Restormer; the message says what is missing, left over or misshapen."""


def restormer_from_torch(state: Mapping[str, np.ndarray]) -> Restormer:
    """Build the model that a PyTorch state dict describes, with its weights.

    Args:
        state: official parameter names to float arrays in PyTorch's layout (convolutions OIHW). A `module.` prefix, as
            DataParallel writes it, is accepted.

    Returns:
        A float32 `Restormer`. All hyperparameters come from names and shapes.

    Raises:
        TorchWeightsError: A tensor is missing, left over, or of a shape that fits no Restormer.
    """
    state = {_checked_name(name): np.asarray(value) for name, value in state.items()}
    model = Restormer(infer_config(state), dtype="float32")
    remaining = dict(state)
    for variable, keys in _sources(model):
        missing = [key for key in keys if key not in remaining]
        if missing:
            raise TorchWeightsError(f"The state dict lacks {_listed(missing)}.")
        shape = tuple(variable.shape[1:] if _is_block_key(keys[0]) else variable.shape)
        values = [_to_keras_layout(key, remaining.pop(key), shape) for key in keys]
        variable.assign(np.stack(values) if _is_block_key(keys[0]) else values[0])
    if remaining:
        raise TorchWeightsError(
            f"These tensors belong to no part of a Restormer: {_listed(sorted(remaining))}."
        )
    return model


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise TorchWeightsError(
            f"A state dict's keys are parameter names; received the key {name!r}."
        )
    return name.removeprefix("module.")


def infer_config(state: Mapping[str, np.ndarray]) -> ModelConfig:
    """Read every hyperparameter off names and shapes.

    Raises:
        TorchWeightsError: A tensor that decides a hyperparameter is missing or contradicts another.
    """

    def shape(key: str, rank: int) -> tuple[int, ...]:
        if key not in state:
            raise TorchWeightsError(
                f"No Restormer state dict: {key} is missing. It holds {_listed(sorted(state))}."
            )
        if state[key].ndim != rank:
            raise TorchWeightsError(
                f"{key} has shape {state[key].shape}; a Restormer has {rank} dimensions there."
            )
        if 0 in state[key].shape:
            raise TorchWeightsError(f"{key} has shape {state[key].shape} and so holds nothing.")
        return state[key].shape

    def count(group: str) -> int:
        indices = {int(m.group(1)) for key in state if (m := re.match(rf"{group}\.(\d+)\.", key))}
        if indices != set(range(len(indices))) or not indices:
            raise TorchWeightsError(
                f"Blocks of {group} should be numbered 0, 1, ...; found {sorted(indices)}."
            )
        return len(indices)

    dim, channels = shape("patch_embed.proj.weight", 4)[:2]
    levels = GROUPS[:4]
    hidden = {
        shape(f"{g}.0.norm1.body.weight", 1)[0]: shape(f"{g}.0.ffn.project_out.weight", 4)[1]
        for g in levels
    }
    num_blocks = tuple(count(group) for group in levels)
    num_heads = tuple(shape(f"{group}.0.attn.temperature", 3)[0] for group in levels)
    for group, width, heads in zip(levels, hidden, num_heads, strict=False):
        if heads < 1 or width % heads:
            raise TorchWeightsError(
                f"{group}.0.attn.temperature has {heads} heads, which do not divide {width} channels."
            )
    return ModelConfig(
        dim=dim,
        num_blocks=num_blocks,  # type: ignore[arg-type]  # four levels
        num_refinement_blocks=count("refinement"),
        num_heads=num_heads,  # type: ignore[arg-type]
        ffn_expansion_factor=_expansion_factor(hidden),
        conv_bias="encoder_level1.0.attn.qkv.bias" in state,
        norm="with_bias" if "encoder_level1.0.norm1.body.bias" in state else "bias_free",
        channels=channels,
    )


def _expansion_factor(hidden: dict[int, int]) -> float:
    """The shortest decimal `f` with `int(width * f) == hidden` at every level."""
    for digits in range(1, 9):
        step = 10.0**-digits
        lowest = max(h / width for width, h in hidden.items())
        for candidate in (round(lowest, digits), round(lowest + step, digits)):
            if all(int(width * candidate) == h for width, h in hidden.items()):
                return candidate
    raise TorchWeightsError(
        f"No expansion factor gives these feed-forward widths (channels: hidden): {hidden}."
    )


def _sources(model: Restormer) -> list[tuple[keras.Variable, list[str]]]:
    """Each variable of the model with the state-dict names that fill it, one per block for stacked ones."""
    sources = []
    for group in GROUPS:
        layer = getattr(model, group)
        for torch_name, name in BLOCK_NAMES.items():
            if name in layer.stacked:
                sources.append(
                    (
                        layer.stacked[name],
                        [f"{group}.{i}.{torch_name}" for i in range(layer.num_blocks)],
                    )
                )
    for torch_name, name in CONVOLUTIONS.items():
        layer = getattr(model, name)
        sources.append((layer.kernel, [f"{torch_name}.weight"]))
        if layer.use_bias:
            sources.append((layer.bias, [f"{torch_name}.bias"]))
    return sources


def _is_block_key(key: str) -> bool:
    return key.split(".")[0] in GROUPS


def _to_keras_layout(key: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """PyTorch's array as float32 in the layout of a variable of `shape`, or an error if it is not PyTorch's for that."""
    if key.endswith("temperature"):
        expected = (*shape, 1, 1)
    elif "dwconv.weight" in key:
        expected = (shape[2], 1, *shape[:2])  # (3, 3, C) from (C, 1, 3, 3)
    elif len(shape) == 4:
        expected = (shape[3], shape[2], *shape[:2])  # HWIO from OIHW
    elif len(shape) == 2:
        expected = (shape[1], shape[0], 1, 1)  # a 1x1 convolution as a matrix
    else:
        expected = shape
    if value.shape != expected:
        raise TorchWeightsError(
            f"{key} has shape {value.shape}, which does not fit the rest of the state dict: expected {expected}."
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


def _listed(names: list[str], most: int = 8) -> str:
    return (
        ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
        or "nothing"
    )
