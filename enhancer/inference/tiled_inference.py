"""Run the network itself over every pixel of a full-size photo, tile by tile, as if it saw the photo at once.

Restormer's attention runs across channels: its maps are sums over all pixels. Tiles with maps of their own would each be toned
differently and their borders would show. Here the maps are taken from one look at the whole photo, reduced to the size that the network
was trained at, and every tile attends with those. What is left in the network reaches a limited distance, which the overlap covers.
"""

from collections.abc import Callable

import jax
import keras
import numpy as np

from enhancer.inference.tiles import edit_in_tiles
from enhancer.network.restormer import Restormer
from enhancer.system.compiler import compiler_options

TILE = 512
"""Side of a tile in pixels."""
OVERLAP = 128
"""Pixels that neighbouring tiles share, at least. With 64, which costs a quarter less, tiny networks show no seam either; deeper ones reach
further (`docs/decisions/0008-tiled-attention.md`)."""


class TiledInference:
    """Applies a network to full-size photos in tiles. Not to be called from two threads at once.

    Args:
        model: its weights are read at each call.

    Raises:
        ValueError: `model` is no `Restormer`, whose attention could be shared.
    """

    def __init__(self, model: keras.Model):
        if not isinstance(model, Restormer):
            raise ValueError(
                f"Tiles share the channel attention of a Restormer, received a {type(model).__name__}."
            )
        self.model = model

        def look(weights, x):
            return model.stateless_call(*weights, x, return_attention=True)[0][1]

        def edit(weights, attention, x):
            return model.stateless_call(*weights, x, attention=attention)[0]

        self._look = jax.jit(look, compiler_options=compiler_options())
        self._edit = jax.jit(edit, compiler_options=compiler_options())

    def enhance(
        self,
        photo: np.ndarray,
        low_input: np.ndarray,
        *,
        tile: int = TILE,
        overlap: int = OVERLAP,
        batch: int = 1,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Return the edited photo at its full size.

        Args:
            photo: uint8 or uint16 `(H, W, 3)`, upright sRGB.
            low_input: what the network should see of the whole photo, uint8, uint16 or float in [0, 1] `(h, w, 3)`: the photo reduced to
                the size that it was trained at, or the photo itself.
            tile, overlap, batch, on_progress: see `enhancer.inference.tiles.edit_in_tiles`. On a CPU a network of the paper's size takes about
                1.7 kB for each pixel of the tiles that are worked on at a time.

        Returns:
            Shape and dtype of `photo`.

        Raises:
            ValueError: an argument is none of the above, or the network answers with values that are not numbers.
        """
        weights = [
            [variable.value for variable in variables]
            for variables in (self.model.trainable_variables, self.model.non_trainable_variables)
        ]
        peak = 1 if low_input.dtype.kind == "f" else np.iinfo(low_input.dtype).max
        attention = self._look(weights, low_input[None].astype(np.float32) / np.float32(peak))

        def edit(x: np.ndarray) -> np.ndarray:
            edited = np.asarray(self._edit(weights, attention, x))
            if not np.isfinite(edited).all():
                raise ValueError(
                    "The model answered with values that are not numbers; its training failed, train it again."
                )
            return edited

        return edit_in_tiles(
            photo, edit, tile=tile, overlap=overlap, batch=batch, on_progress=on_progress
        )
