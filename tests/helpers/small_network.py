"""A network that compiles in a fraction of a second, for tests of the loop and of the recipe.

As a program, the recipe's command that trains it in place of a Restormer.
"""

import functools
import sys
from collections.abc import Callable

import keras
import numpy as np
import pytest

from enhancer.config import ModelConfig, StageConfig
from enhancer.network import trained
from enhancer.network.levels import LEVELS
from enhancer.training import compiled_steps, loop
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


class InPlaceOfRestormer(SmallNetwork):
    """It with a Restormer's arguments, of which the shape counts for nothing."""

    def __init__(self, config: ModelConfig, *, remat: str = "none", dtype: str = "float32"):
        super().__init__(remat, dtype)
        self.config = config


def stand_in(patch: pytest.MonkeyPatch) -> None:
    """Have everything train, load and test the small network in place of Restormers."""
    patch.setattr(compiled_steps, "_programs", _stand_in_programs)
    patch.setattr(trained, "Restormer", InPlaceOfRestormer)


@functools.lru_cache
def _stand_in_programs(config: ModelConfig, settings: tuple) -> Programs:
    return _programs(settings, functools.partial(InPlaceOfRestormer, config))


def _draw(shape, dtype=None):
    """By NumPy, whose generator the loop seeds; small, so that the edit begins near nothing."""
    return np.random.uniform(-0.03, 0.03, shape).astype(dtype or "float32")


def _programs(settings: tuple, network: Callable[..., keras.Model]) -> Programs:
    return Programs(network, StageConfig(**dict(zip(COMPILED_FIELDS, settings, strict=True))))


@functools.lru_cache
def _small_programs(settings: tuple) -> Programs:
    return _programs(settings, SmallNetwork)


def train(stage: StageConfig, pairs: list[dict], stage_dir, **options) -> loop.StageResult:
    """As `enhancer.training.loop.train`, validated on the first three pairs."""
    programs = _small_programs(tuple(getattr(stage, name) for name in COMPILED_FIELDS))
    return loop.train(
        stage, ModelConfig(), pairs, pairs[:3], stage_dir, programs=programs, **options
    )


def without_clock(rows: list[dict]) -> list[dict]:
    """A history's rows without what differs from run to run."""
    clock = ("images_per_second", "seconds")
    return [{key: value for key, value in row.items() if key not in clock} for row in rows]


if __name__ == "__main__":
    from recipes.fivek_transfer import main

    stand_in(pytest.MonkeyPatch())
    sys.exit(main())
