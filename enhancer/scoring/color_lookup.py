"""A baseline without a network: a smooth 3D colour lookup table, fitted on training pairs in closed form.

The adaptive form's table is a base table plus a few others, weighted by what a photo's histogram says (how bright and how
warm it is), as in image-adaptive 3D lookup tables, but linear, so that a ridge regression fits everything at once.

Reference: Zeng, Cai, Li, Cao and Zhang, "Learning Image-adaptive 3D Lookup Tables for High Performance Photo Enhancement in
Real-time", TPAMI 2020.
"""

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from scipy import sparse
from scipy.sparse.linalg import cg

from enhancer.data.pairs import Pair

_NODES = 9  # per axis
_FIT_PIXELS = 96  # long side of what a pair is fitted on
_SMOOTHNESS = 2e-3
"""Weight of the table's squared second differences against the mean squared error."""
_SHRINKAGE = 1e-4
"""Weight that pulls the base table to leaving colours as they are, where no pixel says otherwise."""
_ADAPTIVE_SHRINKAGE = 2e-3
"""The same for the tables that depend on the photo, towards zero: ten photos must not be learned by heart."""
_LEVEL_PLACE = np.arange(256) / 255.0 * (_NODES - 1)
_LEVEL_NODE = np.minimum(_LEVEL_PLACE.astype(np.intp), _NODES - 2)
"""The node below each level of an 8-bit colour, and how far towards the next it lies."""
_LEVEL_PART = _LEVEL_PLACE - _LEVEL_NODE


class ColorLookup:
    """A 9 x 9 x 9 lookup table from colour to colour, read with trilinear interpolation.

    Every photo has the same weight. Args of the constructor: `pairs`, read once one after the other, and `adaptive`.
    """

    def __init__(self, pairs: Iterable[Pair], *, adaptive: bool = False):
        """Fit.

        Raises:
            ValueError: no pairs.
        """
        self._adaptive = adaptive
        small = [_Sample(pair) for pair in pairs]
        if not small:
            raise ValueError("A lookup table needs at least one training pair.")
        features = np.stack([sample.features for sample in small])
        self._centre, self._scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-3)
        tables = 1 + (features.shape[1] if adaptive else 0)
        size = _NODES**3
        identity = np.stack(
            np.meshgrid(*[np.linspace(0.0, 1.0, _NODES)] * 3, indexing="ij"), axis=-1
        ).reshape(size, 3)
        normal: Any = sparse.csr_matrix((tables * size, tables * size))
        right = np.zeros((tables * size, 3))
        for sample in small:
            corners = _interpolation(sample.colors)
            rows = sparse.kron(self._weights(sample.features)[None], corners, format="csr")
            normal = normal + rows.T @ rows / len(sample.colors)
            right += rows.T @ (sample.targets - sample.colors) / len(sample.colors)
        bends = _second_differences()
        base = _SMOOTHNESS * (bends.T @ bends) + _SHRINKAGE * sparse.identity(size)
        extra = _SMOOTHNESS * (bends.T @ bends) + _ADAPTIVE_SHRINKAGE * sparse.identity(size)
        penalty = sparse.block_diag([base, *[extra] * (tables - 1)], format="csr")
        matrix = (normal / len(small) + penalty).tocsr()
        solved = np.stack([_solve(matrix, channel) for channel in right.T / len(small)], axis=-1)
        # What is fitted is the change of colour: without pixels nearby there is none.
        self._tables = solved.reshape(tables, size, 3)
        self._tables[0] += identity

    def __call__(self, photo: np.ndarray) -> np.ndarray:
        """Apply the table: uint8 `(H, W, 3)` to the same."""
        table = self.table(photo)
        # Of 8-bit colours there are but 256 levels per axis. Along green and blue the table is read at all of them at once, so
        # that two places in it are left to look up per pixel instead of eight.
        lines = table.reshape(_NODES, _NODES, _NODES, 3)
        node, part = _LEVEL_NODE, _LEVEL_PART.astype(np.float32)[:, None]
        lines = lines[:, node] * (1.0 - part[:, None]) + lines[:, node + 1] * part[:, None]
        lines = lines[:, :, node] * (1.0 - part) + lines[:, :, node + 1] * part
        lines = lines.reshape(-1, 3) * np.float32(255.0)
        result = np.empty_like(photo)
        for row, edited in zip(photo, result, strict=True):  # what lies between stays in the cache
            place = (node[row[:, 0]] * 256 + row[:, 1]) * 256 + row[:, 2]
            below, weight = np.take(lines, place, axis=0), part[row[:, 0]]
            below += weight * (np.take(lines, place + 256 * 256, axis=0) - below)
            edited[:] = np.rint(below)
        return result

    def table(self, photo: np.ndarray) -> np.ndarray:
        """The table for a photo, float32 `(9 ** 3, 3)` in [0, 1]: colours by red, green and blue node, blue the fastest."""
        table = np.tensordot(self._weights(_features(photo)), self._tables, axes=1)
        return np.clip(table, 0.0, 1.0).astype(np.float32)

    def _weights(self, features: np.ndarray) -> np.ndarray:
        """Of the tables: 1 for the base, and for the others how far the photo is from the average one."""
        if not self._adaptive:
            return np.ones(1)
        # Beyond what was seen in training, the most extreme is used.
        return np.concatenate([[1.0], np.clip((features - self._centre) / self._scale, -2.0, 2.0)])


class _Sample:
    """A pair reduced to what the fit needs, colours float `(n, 3)` in [0, 1]."""

    def __init__(self, pair: Pair):
        scale = min(1.0, _FIT_PIXELS / max(pair.input.shape[:2]))
        size = (
            max(1, round(pair.input.shape[1] * scale)),
            max(1, round(pair.input.shape[0] * scale)),
        )
        self.features = _features(pair.input)
        self.colors, self.targets = (
            cv2.resize(picture, size, interpolation=cv2.INTER_AREA).reshape(-1, 3)
            / np.float32(255.0)
            for picture in (pair.input, pair.target)
        )


def _features(photo: np.ndarray) -> np.ndarray:
    """What a photo's histogram says: mean luma, its spread, and red and blue against green; float `(4,)`."""
    small = (
        cv2.resize(photo, (32, 32), interpolation=cv2.INTER_AREA).reshape(-1, 3).astype(np.float64)
        / 255.0
    )
    red, green, blue = small.mean(axis=0)
    luma = small @ (0.2126, 0.7152, 0.0722)
    return np.array([luma.mean(), luma.std(), red - green, blue - green])


def _interpolation(colors: np.ndarray) -> sparse.csr_matrix:
    """Trilinear weights of each colour's eight nodes, sparse `(n, nodes)`."""
    place = colors.astype(np.float64) * (_NODES - 1)
    below = np.minimum(place.astype(np.intp), _NODES - 2)
    part = place - below
    columns, weights = [], []
    for corner in range(8):
        bits = np.array([corner >> 2 & 1, corner >> 1 & 1, corner & 1])
        node = below + bits
        columns.append((node[:, 0] * _NODES + node[:, 1]) * _NODES + node[:, 2])
        weights.append(np.where(bits, part, 1.0 - part).prod(axis=1))
    starts = np.arange(0, 8 * len(colors) + 1, 8)
    values = (np.stack(weights, axis=1).ravel(), np.stack(columns, axis=1).ravel(), starts)
    return sparse.csr_matrix(values, shape=(len(colors), _NODES**3))


def _solve(matrix: Any, right: np.ndarray) -> np.ndarray:
    """Solve a positive definite system by conjugate gradients: photos of many colours fill a factorisation, but not these."""
    solution, _ = cg(
        matrix, right, rtol=1e-5, maxiter=2000, M=sparse.diags(1.0 / matrix.diagonal())
    )
    return solution


def _second_differences() -> Any:
    """One row per three nodes in a line, sparse `(rows, nodes)`: how far the middle one is off their line."""
    line = sparse.csr_matrix(
        np.eye(_NODES - 2, _NODES)
        - 2.0 * np.eye(_NODES - 2, _NODES, 1)
        + np.eye(_NODES - 2, _NODES, 2)
    )
    same = sparse.identity(_NODES)
    along = [[line, same, same], [same, line, same], [same, same, line]]
    return sparse.vstack([sparse.kron(sparse.kron(a, b), c) for a, b, c in along], format="csr")
