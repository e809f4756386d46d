"""A model whose edit is known, in place of a network."""

import keras


class Lift(keras.Model):
    """An edit with a known answer, that compiles in no time, and a record of what was compiled."""

    def __init__(self):
        super().__init__()
        self.compiled_shapes = []
        self.gain = self.add_weight(shape=(), initializer="ones", name="gain")

    def call(self, x):
        self.compiled_shapes.append(tuple(x.shape))
        return self.gain * x**0.8
