"""Restormer in plain NumPy, float64, NCHW, by the paper's formulas and official parameter names.

Slow and independent of the library: what the fast formulation is held against where the official
tensors do not reach.
"""

import numpy as np
from scipy.special import erf

State = dict[str, np.ndarray]


def random_state(
    dim: int,
    num_blocks: tuple[int, int, int, int],
    num_refinement_blocks: int,
    num_heads: tuple[int, int, int, int],
    ffn_expansion_factor: float,
    bias: bool,
    with_bias_norm: bool,
    channels: int = 3,
) -> State:
    """Random parameters with the names and shapes of the official implementation."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, out: int, into: int, size: int, has_bias: bool) -> None:
        shapes[f"{name}.weight"] = (out, into, size, size)
        if has_bias:
            shapes[f"{name}.bias"] = (out,)

    def block(name: str, width: int, heads: int) -> None:
        hidden = int(width * ffn_expansion_factor)
        for norm in ("norm1", "norm2"):
            shapes[f"{name}.{norm}.body.weight"] = (width,)
            if with_bias_norm:
                shapes[f"{name}.{norm}.body.bias"] = (width,)
        shapes[f"{name}.attn.temperature"] = (heads, 1, 1)
        convolution(f"{name}.attn.qkv", 3 * width, width, 1, bias)
        convolution(f"{name}.attn.qkv_dwconv", 3 * width, 1, 3, bias)
        convolution(f"{name}.attn.project_out", width, width, 1, bias)
        convolution(f"{name}.ffn.project_in", 2 * hidden, width, 1, bias)
        convolution(f"{name}.ffn.dwconv", 2 * hidden, 1, 3, bias)
        convolution(f"{name}.ffn.project_out", width, hidden, 1, bias)

    convolution("patch_embed.proj", dim, channels, 3, False)
    for group, count, width, heads in (
        ("encoder_level1", num_blocks[0], dim, num_heads[0]),
        ("encoder_level2", num_blocks[1], 2 * dim, num_heads[1]),
        ("encoder_level3", num_blocks[2], 4 * dim, num_heads[2]),
        ("latent", num_blocks[3], 8 * dim, num_heads[3]),
        ("decoder_level3", num_blocks[2], 4 * dim, num_heads[2]),
        ("decoder_level2", num_blocks[1], 2 * dim, num_heads[1]),
        ("decoder_level1", num_blocks[0], 2 * dim, num_heads[0]),
        ("refinement", num_refinement_blocks, 2 * dim, num_heads[0]),
    ):
        for index in range(count):
            block(f"{group}.{index}", width, heads)
    for name, width in (("down1_2", dim), ("down2_3", 2 * dim), ("down3_4", 4 * dim)):
        convolution(f"{name}.body.0", width // 2, width, 3, False)
    for name, width in (("up4_3", 8 * dim), ("up3_2", 4 * dim), ("up2_1", 2 * dim)):
        convolution(f"{name}.body.0", 2 * width, width, 3, False)
    convolution("reduce_chan_level3", 4 * dim, 8 * dim, 1, bias)
    convolution("reduce_chan_level2", 2 * dim, 4 * dim, 1, bias)
    convolution("output", channels, 2 * dim, 3, bias)

    rng = np.random.default_rng(0)
    state = {}
    for name, shape in shapes.items():
        spread = 0.5 / np.sqrt(np.prod(shape[1:])) if len(shape) == 4 else 0.25
        centre = (
            1.0 if "temperature" in name or ("norm" in name and name.endswith("weight")) else 0.0
        )
        state[name] = centre + spread * rng.standard_normal(shape)
    return state


def forward(state: State, x: np.ndarray) -> np.ndarray:
    """The network of `state` on float64 `(batch, channels, height, width)`.

    Sides are multiples of 8.
    """

    def convolution(x: np.ndarray, name: str) -> np.ndarray:
        weight, (height, width) = state[f"{name}.weight"], x.shape[2:]
        size = weight.shape[-1]
        padded = np.pad(x, ((0, 0), (0, 0), (size // 2, size // 2), (size // 2, size // 2)))
        y = np.zeros((len(x), len(weight), height, width))
        for i in range(size):
            for j in range(size):
                shifted = padded[:, :, i : i + height, j : j + width]
                if "dwconv" in name:
                    y += shifted * weight[:, 0, i, j][None, :, None, None]
                else:
                    y += np.einsum("bchw,oc->bohw", shifted, weight[:, :, i, j])
        return y + state.get(f"{name}.bias", np.zeros(len(weight)))[None, :, None, None]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        weight = state[f"{name}.body.weight"][None, :, None, None]
        deviation = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
        if f"{name}.body.bias" not in state:
            return x / deviation * weight
        return (x - x.mean(axis=1, keepdims=True)) / deviation * weight + state[
            f"{name}.body.bias"
        ][None, :, None, None]

    def attention(x: np.ndarray, name: str) -> np.ndarray:
        temperature = state[f"{name}.temperature"]
        qkv = convolution(convolution(x, f"{name}.qkv"), f"{name}.qkv_dwconv")
        query, key, value = (
            part.reshape(len(x), len(temperature), -1, x[0, 0].size)
            for part in np.split(qkv, 3, axis=1)
        )
        query, key = (
            t / np.maximum(np.linalg.norm(t, axis=-1, keepdims=True), 1e-12) for t in (query, key)
        )
        logits = query @ key.transpose(0, 1, 3, 2) * temperature
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return convolution((weights @ value).reshape(x.shape), f"{name}.project_out")

    def feed_forward(x: np.ndarray, name: str) -> np.ndarray:
        gate, content = np.split(
            convolution(convolution(x, f"{name}.project_in"), f"{name}.dwconv"), 2, axis=1
        )
        return convolution(
            0.5 * gate * (1 + erf(gate / np.sqrt(2))) * content, f"{name}.project_out"
        )

    def blocks(x: np.ndarray, group: str) -> np.ndarray:
        index = 0
        while f"{group}.{index}.attn.temperature" in state:
            name = f"{group}.{index}"
            x = x + attention(norm(x, f"{name}.norm1"), f"{name}.attn")
            x = x + feed_forward(norm(x, f"{name}.norm2"), f"{name}.ffn")
            index += 1
        return x

    def down(x: np.ndarray, name: str) -> np.ndarray:
        y = convolution(x, f"{name}.body.0")
        b, c, h, w = y.shape
        return (
            y.reshape(b, c, h // 2, 2, w // 2, 2)
            .transpose(0, 1, 3, 5, 2, 4)
            .reshape(b, 4 * c, h // 2, w // 2)
        )

    def up(x: np.ndarray, name: str) -> np.ndarray:
        y = convolution(x, f"{name}.body.0")
        b, c, h, w = y.shape
        return (
            y.reshape(b, c // 4, 2, 2, h, w)
            .transpose(0, 1, 4, 2, 5, 3)
            .reshape(b, c // 4, 2 * h, 2 * w)
        )

    level1 = blocks(convolution(x, "patch_embed.proj"), "encoder_level1")
    level2 = blocks(down(level1, "down1_2"), "encoder_level2")
    level3 = blocks(down(level2, "down2_3"), "encoder_level3")
    y = blocks(down(level3, "down3_4"), "latent")
    y = blocks(
        convolution(np.concatenate([up(y, "up4_3"), level3], axis=1), "reduce_chan_level3"),
        "decoder_level3",
    )
    y = blocks(
        convolution(np.concatenate([up(y, "up3_2"), level2], axis=1), "reduce_chan_level2"),
        "decoder_level2",
    )
    y = blocks(np.concatenate([up(y, "up2_1"), level1], axis=1), "decoder_level1")
    return convolution(blocks(y, "refinement"), "output") + x
