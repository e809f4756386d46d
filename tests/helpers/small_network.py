"""A network that compiles in a fraction of a second, for tests of the loop, not of the network."""

import functools

import keras
import numpy as np

from enhancer.config import ModelConfig, StageConfig
from enhancer.network.levels import LEVELS
from enhancer.training import loop
from enhancer.training.compiled_steps import COMPILED_FIELDS, Programs

_LAYERS = (*(names[0] for names in LEVELS), "output")


class SmallNetwork(keras.Model):
    """A 1x1 convolution or two a level, `(batch, height, width, 3)` in and out."""

    def __init__(self, remat: str = "none", dtype: str = "float32"):
        super().__init__(name="small", dtype=dtype)
        self.autocast = False
        self.convolutions = []
        for name in _LAYERS:
            layer = keras.layers.Conv2D(
                3, 1, use_bias=False, kernel_initializer=_draw, dtype=dtype, name=name
            )
            layer.build((None, None, None, 3))
            self.convolutions.append(layer)
        self.built = True

    def call(self, x):
        for convolution in self.convolutions:
            x = x + keras.ops.cast(convolution(x), "float32")
        return x


def _draw(shape, dtype=None):
    """By NumPy, whose generator the loop seeds; small, so that the edit begins near nothing."""
    return np.random.uniform(-0.03, 0.03, shape).astype(dtype or "float32")


@functools.lru_cache
def _programs(settings: tuple) -> Programs:
    return Programs(SmallNetwork, StageConfig(**dict(zip(COMPILED_FIELDS, settings, strict=True))))


def train(stage: StageConfig, pairs: list[dict], stage_dir, **options) -> loop.StageResult:
    """As `enhancer.training.loop.train`, validated on the first three pairs."""
    programs = _programs(tuple(getattr(stage, name) for name in COMPILED_FIELDS))
    return loop.train(
        stage, ModelConfig(), pairs, pairs[:3], stage_dir, programs=programs, **options
    )
