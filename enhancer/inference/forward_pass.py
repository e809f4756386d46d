"""A network's forward pass, compiled once for each size of pictures."""

import threading
from collections.abc import Sequence
from typing import Any

import jax
import keras
import numpy as np

from enhancer.inference.sizes import MARGIN, crop, pad, padded_size
from enhancer.system.compiler import compiler_options


class ForwardPass:
    """Answers pictures of any size with one program per size bucket and batch size. Safe to share
    between threads.

    Args:
        model: from float32 `(batch, height, width, 3)` in [0, 1] to the same shape. Its weights are
            read at each call.
    """

    def __init__(self, model: keras.Model):
        self._model = model
        # Held while the network is traced or run: tracing a Keras model in two threads at once is
        # not safe, and one photo keeps the machine busy anyway.
        self._lock = threading.Lock()
        self._programs: dict[tuple[int, ...], Any] = {}
        self._only: list[tuple[int, int]] = []

        def forward(trainable, non_trainable, x):
            return model.stateless_call(trainable, non_trainable, x)[0].astype("float32")

        self._forward = jax.jit(forward, compiler_options=compiler_options())

    @property
    def compiled_shapes(self) -> tuple[tuple[int, ...], ...]:
        """`(batch, height, width, 3)` of every program so far, in the order in which they were
        compiled."""
        return tuple(self._programs)

    def compile(self, height: int, width: int) -> None:
        """Compile what a single picture of this size needs, without running it."""
        with self._lock:
            self._program((1, *padded_size(height, width), 3), self._weights())

    def keep_to_compiled(self) -> None:
        """From now on compile no other size: a picture is padded to the smallest that holds it.

        What is compiled has to hold every picture that will come; one that fits nowhere compiles
        its own.
        """
        sizes = {(shape[1], shape[2]) for shape in self._programs}
        self._only = sorted(sizes, key=lambda size: size[0] * size[1])

    def size_for(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of the program for pictures of this size."""
        usual = padded_size(height, width)
        if usual in self._only:
            return usual
        least = (height + 2 * MARGIN, width + 2 * MARGIN)
        fits = (size for size in self._only if size[0] >= least[0] and size[1] >= least[1])
        return next(fits, usual)

    def __call__(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the network's answers.

        Args:
            pictures: uint8 or uint16 `(h, w, 3)`, of one `size_for`.

        Returns:
            float32, the pictures' own shapes, [0, 1] and not clipped.

        Raises:
            ValueError: the answer holds values that are not numbers.
        """
        size = self.size_for(*pictures[0].shape[:2])
        x = np.stack(
            [pad(p, size).astype(np.float32) / np.float32(np.iinfo(p.dtype).max) for p in pictures],
            dtype=np.float32,
        )
        with self._lock:
            weights = self._weights()
            answers = np.asarray(self._program(x.shape, weights)(*weights, x))
        cropped = [crop(answer, *p.shape[:2]) for answer, p in zip(answers, pictures, strict=True)]
        if not all(np.isfinite(answer).all() for answer in cropped):
            raise ValueError(
                "The model answered with values that are not numbers; its training failed, "
                "train it again."
            )
        return cropped

    def _weights(self) -> tuple[list[Any], list[Any]]:
        kinds = self._model.trainable_variables, self._model.non_trainable_variables
        trainable, non_trainable = ([variable.value for variable in kind] for kind in kinds)
        return trainable, non_trainable

    def _program(self, shape: tuple[int, ...], weights: tuple[list[Any], list[Any]]) -> Any:
        if shape not in self._programs:
            pictures = jax.ShapeDtypeStruct(shape, np.float32)
            self._programs[shape] = self._forward.lower(*weights, pictures).compile()
        return self._programs[shape]
