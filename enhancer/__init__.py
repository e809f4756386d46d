"""Learn a photo edit from before/after pairs and apply it at full resolution.

    from enhancer import Enhancer

Keras picks its backend when it is first imported, so the choice is made here, once, before any
module of the library can import it. Set ``KERAS_BACKEND`` yourself to run the network on another
backend; training needs JAX.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enhancer.inference.enhancer import Enhancer

__all__ = ["Enhancer"]

os.environ.setdefault("KERAS_BACKEND", "jax")


def __getattr__(name: str):
    # Late, so that nothing that imports a module of the library waits for JAX and Keras.
    if name == "Enhancer":
        from enhancer.inference.enhancer import Enhancer

        return Enhancer
    raise AttributeError(f"module 'enhancer' has no attribute {name!r}")
