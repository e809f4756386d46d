"""A model whose edit is known, in place of a network, and photos for it."""

import keras
import numpy as np


class Lift(keras.Model):
    """An edit with a known answer, that compiles in no time, and a record of what was compiled."""

    def __init__(self):
        super().__init__()
        self.compiled_shapes = []
        self.gain = self.add_weight(shape=(), initializer="ones", name="gain")

    def call(self, x):
        self.compiled_shapes.append(tuple(x.shape))
        return self.gain * x**0.8


def photo_of(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    pixels = np.stack([40 + 150 * x, 60 + 120 * y, 90 + 60 * x * y], axis=-1)
    noise = np.random.default_rng(0).normal(0, 2, pixels.shape)
    return (pixels + noise).clip(0, 255).astype(np.uint8)
