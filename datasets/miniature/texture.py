"""Random textures: smooth noise that looks the same at every resolution."""

import numpy as np

Array = np.ndarray


class Noise:
    """Smooth random values over the plane, repeating after 64 units."""

    _PERIOD = 64

    def __init__(self, rng: np.random.Generator):
        """Draw the lattice of values."""
        self._lattice = rng.random((self._PERIOD, self._PERIOD), dtype=np.float32)

    def __call__(self, u: Array, v: Array) -> Array:
        """Return values in [0, 1] at the points (u, v), smooth on the scale of one unit."""
        column, row = np.floor(u), np.floor(v)
        fraction_u, fraction_v = _smoothstep(u - column), _smoothstep(v - row)
        column, row = column.astype(np.int32) % self._PERIOD, row.astype(np.int32) % self._PERIOD
        right, below = (column + 1) % self._PERIOD, (row + 1) % self._PERIOD
        lattice = self._lattice
        top = lattice[row, column] * (1 - fraction_u) + lattice[row, right] * fraction_u
        bottom = lattice[below, column] * (1 - fraction_u) + lattice[below, right] * fraction_u
        return top * (1 - fraction_v) + bottom * fraction_v

    def octaves(self, u: Array, v: Array, num_octaves: int, roughness: float = 0.5) -> Array:
        """Return a sum of ever finer and fainter noise, in [0, 1]: clouds, hills, stone."""
        total, weight, amplitude = np.zeros(np.broadcast(u, v).shape, np.float32), 0.0, 1.0
        for octave in range(num_octaves):
            # Shifted, so that the lattice points of the octaves do not coincide.
            finer = self(u * 2**octave + 17.3 * octave, v * 2**octave + 5.7 * octave)
            total = total + amplitude * finer
            weight += amplitude
            amplitude *= roughness
        return total / weight

    def per_cell(self, index: Array, salt: int = 0) -> Array:
        """Return one value in [0, 1] per integer, such as the tone of each floor board."""
        index = index.astype(np.int64)
        row, column = index * 7 + salt, index * 13 + salt * 3
        return self._lattice[row % self._PERIOD, column % self._PERIOD]


def _smoothstep(x: Array) -> Array:
    return x * x * (3 - 2 * x)


def ramp(x: Array, start: float, end: float) -> Array:
    """Return 0 below `start`, 1 above `end`, smooth between; `start` may be the larger."""
    return _smoothstep(np.clip((x - start) / (end - start), 0, 1))


def rgb(red: float, green: float, blue: float) -> Array:
    """Return a colour, float32 `(3,)`."""
    return np.array((red, green, blue), np.float32)


def mix(first: Array, second: Array, share: Array) -> Array:
    """Blend colours `(..., 3)` by a share `(...)` of the second."""
    return first + (np.asarray(second) - first) * share[..., None]
