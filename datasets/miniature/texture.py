"""Random textures: smooth noise that looks the same at every resolution."""

import cv2
import numpy as np

Array = np.ndarray
_ROW = 1024


class Noise:
    """Smooth random values over the plane, repeating after 64 units."""

    _PERIOD = 64

    def __init__(self, rng: np.random.Generator):
        """Draw the lattice of values."""
        self._lattice = rng.random((self._PERIOD, self._PERIOD), dtype=np.float32)
        self._repeated = np.pad(self._lattice, (0, 1), mode="wrap")

    def __call__(self, u: Array, v: Array) -> Array:
        """Return values in [0, 1] at the points (u, v), smooth on the scale of one unit."""
        u, v = np.broadcast_arrays(u, v)
        # OpenCV bounds a picture's sides, so the points become rows of a picture.
        places = np.zeros((2, -(-u.size // _ROW) * _ROW), np.float32)
        for place, x in zip(places, (u, v), strict=True):
            whole = np.floor(x)
            lattice = whole - self._PERIOD * np.floor(whole / self._PERIOD)
            place[: x.size] = (lattice + _smoothstep(x - whole)).ravel()
        values = cv2.remap(
            self._repeated, *places.reshape(2, -1, _ROW), interpolation=cv2.INTER_LINEAR
        )
        return values.ravel()[: u.size].reshape(u.shape)

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
