"""The opponent: Restormer in plain PyTorch, written after the paper, with the parameter names of
the published weights.

It keeps to what a PyTorch user would write: library convolutions (oneDNN on a CPU), library softmax
and GELU, no custom kernels.

Reference: Restormer: Efficient Transformer for High-Resolution Image Restoration (Zamir et al.,
CVPR 2022).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from enhancer.config import ModelConfig


class ChannelNorm(nn.Module):
    """Normalise each pixel over its channels; without bias the mean stays in."""

    def __init__(self, channels: int, with_bias: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if with_bias else None

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        variance, mean = torch.var_mean(wide, dim=1, keepdim=True, correction=0)
        factor = torch.rsqrt(variance + 1e-5) * self.weight.view(-1, 1, 1)
        if self.bias is None:
            return (wide * factor).to(x.dtype)
        return ((wide - mean) * factor + self.bias.view(-1, 1, 1)).to(x.dtype)


class Attention(nn.Module):
    """MDTA: attention across channels."""

    def __init__(self, channels: int, heads: int, bias: bool):
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=bias)
        wide = 3 * channels
        self.qkv_dwconv = nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=bias)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        shape = batch, 3, self.heads, channels // self.heads, height * width
        query, key, value = self.qkv_dwconv(self.qkv(x)).reshape(shape).unbind(1)
        query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
        attention = torch.softmax((query @ key.transpose(-2, -1)) * self.temperature, dim=-1)
        return self.project_out((attention.to(value.dtype) @ value).reshape(x.shape))


class FeedForward(nn.Module):
    """GDFN: a gated feed-forward network with a depthwise convolution."""

    def __init__(self, channels: int, hidden: int, bias: bool):
        super().__init__()
        self.project_in = nn.Conv2d(channels, 2 * hidden, 1, bias=bias)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=bias)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        gate, content = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(F.gelu(gate) * content)


class Named(nn.Module):
    """A module under the name that the published parameters have, such as `norm1.body.weight`."""

    def __init__(self, **modules: nn.Module):
        super().__init__()
        ((self._name, module),) = modules.items()
        self.add_module(self._name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.get_submodule(self._name)(x)


class Block(nn.Module):
    def __init__(self, channels: int, heads: int, model: ModelConfig):
        super().__init__()
        self.norm1 = Named(body=ChannelNorm(channels, model.norm == "with_bias"))
        self.attn = Attention(channels, heads, model.conv_bias)
        self.norm2 = Named(body=ChannelNorm(channels, model.norm == "with_bias"))
        hidden = int(channels * model.ffn_expansion_factor)
        self.ffn = FeedForward(channels, hidden, model.conv_bias)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


def resample(channels: int, out_channels: int, shuffle: nn.Module) -> Named:
    """A 3x3 convolution and a pixel (un)shuffle."""
    convolution = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
    return Named(body=nn.Sequential(convolution, shuffle))


class TorchRestormer(nn.Module):
    """Edit pictures, float `(batch, 3, height, width)` in [0, 1], both sides multiples of 8.

    Args:
        model: shape of the network.
        remat: recompute each block in the backward pass (`torch.utils.checkpoint`).
    """

    def __init__(self, model: ModelConfig, remat: bool = False):
        super().__init__()
        self.remat = remat
        dim, heads, counts = model.dim, model.num_heads, model.num_blocks

        def blocks(level: int, number: int, channels: int) -> nn.ModuleList:
            return nn.ModuleList(Block(channels, heads[level - 1], model) for _ in range(number))

        self.patch_embed = Named(proj=nn.Conv2d(model.channels, dim, 3, padding=1, bias=False))
        self.encoder_level1 = blocks(1, counts[0], dim)
        self.down1_2 = resample(dim, dim // 2, nn.PixelUnshuffle(2))
        self.encoder_level2 = blocks(2, counts[1], 2 * dim)
        self.down2_3 = resample(2 * dim, dim, nn.PixelUnshuffle(2))
        self.encoder_level3 = blocks(3, counts[2], 4 * dim)
        self.down3_4 = resample(4 * dim, 2 * dim, nn.PixelUnshuffle(2))
        self.latent = blocks(4, counts[3], 8 * dim)
        self.up4_3 = resample(8 * dim, 16 * dim, nn.PixelShuffle(2))
        self.reduce_chan_level3 = nn.Conv2d(8 * dim, 4 * dim, 1, bias=model.conv_bias)
        self.decoder_level3 = blocks(3, counts[2], 4 * dim)
        self.up3_2 = resample(4 * dim, 8 * dim, nn.PixelShuffle(2))
        self.reduce_chan_level2 = nn.Conv2d(4 * dim, 2 * dim, 1, bias=model.conv_bias)
        self.decoder_level2 = blocks(2, counts[1], 2 * dim)
        self.up2_1 = resample(2 * dim, 4 * dim, nn.PixelShuffle(2))
        self.decoder_level1 = blocks(1, counts[0], 2 * dim)
        self.refinement = blocks(1, model.num_refinement_blocks, 2 * dim)
        self.output = nn.Conv2d(2 * dim, model.channels, 3, padding=1, bias=model.conv_bias)

    def _run(self, blocks: nn.ModuleList, x: Tensor) -> Tensor:
        for block in blocks:
            again = self.remat and self.training
            x = checkpoint(block, x, use_reentrant=False) if again else block(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        level1 = self._run(self.encoder_level1, self.patch_embed(x))
        level2 = self._run(self.encoder_level2, self.down1_2(level1))
        level3 = self._run(self.encoder_level3, self.down2_3(level2))
        y = self._run(self.latent, self.down3_4(level3))
        y = self.reduce_chan_level3(torch.cat([self.up4_3(y), level3], dim=1))
        y = self._run(self.decoder_level3, y)
        y = self.reduce_chan_level2(torch.cat([self.up3_2(y), level2], dim=1))
        y = self._run(self.decoder_level2, y)
        y = self._run(self.decoder_level1, torch.cat([self.up2_1(y), level1], dim=1))
        return self.output(self._run(self.refinement, y)).float() + x
