"""Restormer: a U-shaped transformer that attends across channels (Zamir et al., CVPR 2022)."""

import dataclasses
from typing import Any, cast

import keras
import numpy as np

from enhancer.config import ModelConfig, Remat
from enhancer.network import retouch
from enhancer.network.blocks import TransformerBlocks, is_static, on_one_cpu_device
from enhancer.network.layers import fan_in_uniform, unfolded_convolution, zeros
from enhancer.network.tensors import Tensor, ops

SIZE_MULTIPLE = 8  # three halvings


@keras.saving.register_keras_serializable(package="enhancer")
class Restormer(keras.Model):
    """Edit pictures of any height and width.

    Args:
        model: shape of the network, a `ModelConfig` (or its fields as a dictionary, as a saved
            model holds them).
        remat: "block" recomputes activations in the backward pass. Changes no result.

    Call:
        Float `(batch, height, width, channels)` in [0, 1]; returns the edited pictures, float32,
        same shape, not clipped. Sides that are no multiple of 8 are padded by reflection and
        cropped back. With `retouch_only`, of base "retouch": how to retouch them, a
        `enhancer.network.retouch.Retouch`, for photos of any size.

    Reference: Restormer (Zamir et al., CVPR 2022).
    """

    def __init__(self, model: ModelConfig | dict[str, Any], remat: Remat = "none", **kwargs):
        # A fixed name keeps variable paths equal between processes.
        super().__init__(**{"name": "restormer", **kwargs})
        if isinstance(model, dict):
            model = ModelConfig.from_json(model)
        # Keras would round the photo to the compute type before `call` sees it.
        self.autocast = False
        self.config, self.remat = model, remat
        dim, heads, dtype = model.dim, model.num_heads, self.dtype_policy

        def conv(
            channels: int, filters: int, name: str, kernel_size: int = 3, use_bias: bool = False
        ) -> keras.layers.Conv2D:
            layer = keras.layers.Conv2D(
                filters,
                kernel_size,
                padding="same",
                use_bias=use_bias,
                data_format="channels_last",
                kernel_initializer=cast(Any, fan_in_uniform(kernel_size**2 * channels)),
                bias_initializer=cast(Any, zeros),
                dtype=dtype,
                name=name,
            )
            # A model has all its weights before it sees a picture.
            layer.build((None, None, None, channels))
            return layer

        def blocks(name: str, level: int, num_blocks: int, channels: int) -> TransformerBlocks:
            return TransformerBlocks(
                channels, num_blocks, heads[level - 1], model, remat=remat, dtype=dtype, name=name
            )

        self.patch_embed = conv(model.embedded_channels, dim, "patch_embed")
        self.encoder_level1 = blocks("encoder_level1", 1, model.num_blocks[0], dim)
        self.down1_2 = conv(dim, dim // 2, "down1_2")
        self.encoder_level2 = blocks("encoder_level2", 2, model.num_blocks[1], 2 * dim)
        self.down2_3 = conv(2 * dim, dim, "down2_3")
        self.encoder_level3 = blocks("encoder_level3", 3, model.num_blocks[2], 4 * dim)
        self.down3_4 = conv(4 * dim, 2 * dim, "down3_4")
        self.latent = blocks("latent", 4, model.num_blocks[3], 8 * dim)
        self.up4_3 = conv(8 * dim, 16 * dim, "up4_3")
        self.reduce_chan_level3 = conv(8 * dim, 4 * dim, "reduce_chan_level3", 1, model.conv_bias)
        self.decoder_level3 = blocks("decoder_level3", 3, model.num_blocks[2], 4 * dim)
        self.up3_2 = conv(4 * dim, 8 * dim, "up3_2")
        self.reduce_chan_level2 = conv(4 * dim, 2 * dim, "reduce_chan_level2", 1, model.conv_bias)
        self.decoder_level2 = blocks("decoder_level2", 2, model.num_blocks[1], 2 * dim)
        self.up2_1 = conv(2 * dim, 4 * dim, "up2_1")
        self.decoder_level1 = blocks("decoder_level1", 1, model.num_blocks[0], 2 * dim)
        self.refinement = blocks("refinement", 1, model.num_refinement_blocks, 2 * dim)
        outputs = retouch.NUM_LOCAL if model.base == "retouch" else model.channels
        self.output_conv = conv(2 * dim, outputs, "output", use_bias=model.conv_bias)
        if model.base == "retouch":
            # The edit begins as the identity, and the same everywhere.
            kernel: Any = self.output_conv.kernel
            kernel.assign(np.zeros_like(np.asarray(kernel)))
            num_features = 2 * 8 * dim + 4 * retouch.NUM_BINS
            self.retouch_hidden = _dense(num_features, 64, "retouch_hidden", "gelu")
            self.retouch_numbers = _dense(64, retouch.NUM_NUMBERS, "retouch_numbers", scale=0.1)
        self.built = True

    def build(self, input_shape=None):
        self.built = True

    def get_config(self) -> dict[str, Any]:
        own = {"model": dataclasses.asdict(self.config), "remat": self.remat}
        return {**super().get_config(), **own}

    def compute_output_spec(self, x: keras.KerasTensor) -> keras.KerasTensor:
        # Also of a symbolic input whose height and width are not known yet.
        return keras.KerasTensor(x.shape, "float32")

    def call(self, x: Tensor, retouch_only: bool = False) -> Any:
        height, width = x.shape[1:3]
        x = _reflect(_reflect(ops.cast(x, "float32"), 1), 2)

        seen = x
        if self.config.base == "retouch":  # shadows are told apart by their logarithm
            seen = ops.concatenate([ops.sqrt(x + 1e-4) - 0.4, ops.log(x + 0.01) / 4 + 0.4], -1)
        level1 = self.encoder_level1(self._embed(ops.cast(seen, self.compute_dtype)))
        level2 = self.encoder_level2(pixel_unshuffle(self.down1_2(level1)))
        level3 = self.encoder_level3(pixel_unshuffle(self.down2_3(level2)))
        latent = self.latent(pixel_unshuffle(self.down3_4(level3)))

        y = ops.concatenate([pixel_shuffle(self.up4_3(latent)), level3], axis=-1)
        y = self.decoder_level3(self.reduce_chan_level3(y))
        y = ops.concatenate([pixel_shuffle(self.up3_2(y)), level2], axis=-1)
        y = self.decoder_level2(self.reduce_chan_level2(y))
        y = ops.concatenate([pixel_shuffle(self.up2_1(y)), level1], axis=-1)
        y = self.refinement(self.decoder_level1(y))
        output = ops.cast(self.output_conv(y), "float32")

        if self.config.base == "photo":
            # The photo itself never passes through a narrower type: bfloat16 has 8 bits, and near
            # white they are 1/256 apart.
            return (output + x)[:, :height, :width]
        hidden = cast(Any, self.retouch_hidden)(retouch.features(latent, x))
        numbers = cast(Any, self.retouch_numbers)(hidden)
        found = retouch.Retouch(numbers, retouch.splat(output, x))
        return found if retouch_only else retouch.apply(found, x)[:, :height, :width]

    def _embed(self, x: Tensor) -> Tensor:
        if on_one_cpu_device() and is_static(x):
            return unfolded_convolution(x, ops.cast(self.patch_embed.kernel, x.dtype))
        return self.patch_embed(x)


def _dense(
    inputs: int, outputs: int, name: str, activation: str | None = None, scale: float = 1.0
) -> keras.layers.Dense:
    layer = keras.layers.Dense(
        outputs,
        activation,
        kernel_initializer=cast(Any, fan_in_uniform(inputs, scale)),
        bias_initializer=cast(Any, zeros),
        dtype="float32",
        name=name,
    )
    layer.build((None, inputs))
    return layer


def pixel_unshuffle(x: Tensor) -> Tensor:
    """`(b, h, w, c)` to `(b, h / 2, w / 2, 4 c)`: 2x2 pixels to channels, in PyTorch's order."""
    batch, height, width, channels = x.shape
    x = ops.reshape(x, (batch, height // 2, 2, width // 2, 2, channels))
    x = ops.transpose(x, (0, 1, 3, 5, 2, 4))
    return ops.reshape(x, (batch, height // 2, width // 2, 4 * channels))


def pixel_shuffle(x: Tensor) -> Tensor:
    """`(b, h, w, 4 c)` to `(b, 2 h, 2 w, c)`: the inverse of `pixel_unshuffle`."""
    batch, height, width, channels = x.shape
    x = ops.reshape(x, (batch, height, width, channels // 4, 2, 2))
    x = ops.transpose(x, (0, 1, 4, 2, 5, 3))
    return ops.reshape(x, (batch, 2 * height, 2 * width, channels // 4))


def _reflect(x: Tensor, axis: int) -> Tensor:
    """Pad an axis, however short, at its end by reflection, up to a multiple of `SIZE_MULTIPLE`."""
    length = x.shape[axis]
    missing = -length % SIZE_MULTIPLE
    if not missing:
        return x
    mode = "reflect" if length > 1 else "edge"
    return ops.take(x, np.pad(np.arange(length), (0, missing), mode=mode), axis=axis)
