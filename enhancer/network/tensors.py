"""What the network computes with, for people and for the type checker."""

from typing import Any, TypeAlias

import jax
import keras

Tensor: TypeAlias = jax.Array
"""Checked as JAX's arrays; other backends' tensors and Keras' symbolic ones pass through too."""

ops: Any = keras.ops
"""Keras' operations, unchecked: by their annotations every result may be None."""
