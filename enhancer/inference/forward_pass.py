"""A network's forward pass, compiled once for each shape of its input."""

import threading
from typing import Any

import jax
import keras
import numpy as np

from enhancer.system.compiler import compiler_options


class ForwardPass:
    """Answers batches of any shape with one program a shape. Safe to share between threads.

    `model` takes float32 `(batch, height, width, 3)` in [0, 1], and `call`, keyword arguments. Its
    weights are read each time.
    """

    def __init__(self, model: keras.Model, **call: Any):
        self._model = model
        # Held while the network is traced or run: tracing a Keras model in two threads at once is
        # not safe, and one photo keeps the machine busy anyway.
        self._lock = threading.Lock()
        self._programs: dict[tuple[int, ...], Any] = {}

        def forward(trainable, non_trainable, x):
            answer = model.stateless_call(trainable, non_trainable, x, **call)[0]
            return jax.tree.map(lambda a: a.astype("float32"), answer)

        self._forward = jax.jit(forward, compiler_options=compiler_options())

    @property
    def compiled_shapes(self) -> tuple[tuple[int, ...], ...]:
        """`(batch, height, width, 3)` of every program so far, in their order."""
        return tuple(self._programs)

    def compile(self, *shape: int) -> None:
        """Compile what a batch of this shape needs, without running it."""
        with self._lock:
            self._program(shape, self._weights())

    def __call__(self, x: np.ndarray) -> Any:
        """The network's answer to float32 `(batch, height, width, 3)`, as NumPy arrays; raises
        ValueError if they hold values that are not numbers."""
        with self._lock:
            weights = self._weights()
            answer = jax.tree.map(np.asarray, self._program(x.shape, weights)(*weights, x))
        if not all(np.isfinite(part).all() for part in jax.tree.leaves(answer)):
            raise ValueError(
                "The model answered with values that are not numbers; its training failed, "
                "train it again."
            )
        return answer

    def _weights(self) -> tuple[list[Any], list[Any]]:
        kinds = self._model.trainable_variables, self._model.non_trainable_variables
        trainable, non_trainable = ([variable.value for variable in kind] for kind in kinds)
        return trainable, non_trainable

    def _program(self, shape: tuple[int, ...], weights: tuple[list[Any], list[Any]]) -> Any:
        if shape not in self._programs:
            pictures = jax.ShapeDtypeStruct(shape, np.float32)
            self._programs[shape] = self._forward.lower(*weights, pictures).compile()
        return self._programs[shape]
