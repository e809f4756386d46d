"""Learn a photo edit from before/after pairs and apply it at full resolution.

Keras picks its backend when it is first imported, so the choice is made here, once, before any module
of the library can import it. Set ``KERAS_BACKEND`` yourself to run the network on another backend;
training needs JAX.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
