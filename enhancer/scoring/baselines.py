"""What training pairs give without a network: tone curves and smooth colour lookup tables."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageFilter
from scipy import sparse
from scipy.sparse.linalg import cg

from enhancer.data.pairs import Pair

FIT_SIDE = 256
"""Short side in pixels that is enough to fit on; more pixels of the same photos change nothing."""
_LEVELS = 256
_SMOOTHING = 3.0  # standard deviation in input levels: rare levels learn from their neighbours
_NODES = 9  # of a table, per axis
_FIT_PIXELS = 96  # long side of what a table is fitted on
_SMOOTHNESS = 2e-3
"""Weight of a table's squared second differences against the mean squared error."""
_SHRINKAGE = (1e-4, 2e-3)
"""Weights that pull the base table to leaving colours as they are where no pixel says otherwise,
and the tables that depend on the photo towards zero: ten photos must not be learned by heart."""


def fit_baselines(pairs: Sequence[Pair]) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """All baselines by method name, fitted on decoded pairs whose short sides are `FIT_SIDE`."""
    return {
        "curve": GlobalCurve(pairs),
        "lookup": ColorLookup(pairs),
        "adaptive_lookup": ColorLookup(pairs, adaptive=True),
    }


class GlobalCurve:
    """Per channel and input level the median level of the targets: the curve of least L1.

    Every photo weighs the same. Levels that hardly occur take from their neighbours (a Gaussian),
    and beyond the known ones the curve runs on straight. `table`: uint8 `(256, 3)`, by input level.
    """

    def __init__(self, pairs: Iterable[Pair]):
        """Fit on pairs, read once; raises ValueError if there are none."""
        counts = np.zeros((3, _LEVELS, _LEVELS))
        for pair in pairs:
            for channel, count in enumerate(counts):
                before, after = pair.input[..., channel], pair.target[..., channel]
                cells = before.astype(np.intp).ravel() * _LEVELS + after.ravel()
                count += np.bincount(cells, minlength=_LEVELS**2).reshape(count.shape) / cells.size
        if not counts.any():
            raise ValueError("A curve needs at least one training pair.")
        self.table = np.stack([_medians(channel) for channel in counts], axis=-1)

    def __call__(self, photo: np.ndarray) -> np.ndarray:
        """Apply the curve: uint8 `(H, W, 3)` to the same."""
        return np.asarray(cv2.LUT(photo, self.table[None]))


class ColorLookup:
    """A 9 x 9 x 9 table from colour to colour, by ridge regression; photos weigh the same.

    The adaptive form adds tables that are weighted by how bright, contrasty and warm a photo is.

    Reference: Zeng, Cai, Li, Cao and Zhang, "Learning Image-adaptive 3D Lookup Tables for High
    Performance Photo Enhancement in Real-time", TPAMI 2020; linear here, and fitted at once.
    """

    def __init__(self, pairs: Iterable[Pair], *, adaptive: bool = False):
        """Fit on pairs, read once; raises ValueError if there are none."""
        self._adaptive = adaptive
        samples = [(_features(pair.input), *_colors(pair)) for pair in pairs]
        if not samples:
            raise ValueError("A lookup table needs at least one training pair.")
        features = np.stack([sample[0] for sample in samples])
        self._centre, self._scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-3)
        tables, size = 1 + adaptive * features.shape[1], _NODES**3
        normal: Any = sparse.csr_matrix((tables * size, tables * size))
        right = np.zeros((tables * size, 3))
        for feature, colors, targets in samples:
            weights = self._weights(feature)[None]
            rows = sparse.kron(weights, _interpolation(colors), format="csr")
            normal = normal + rows.T @ rows / len(colors)
            right += rows.T @ (targets - colors) / len(colors)
        bends = _second_differences()
        penalties = [
            _SMOOTHNESS * (bends.T @ bends) + _SHRINKAGE[table > 0] * sparse.identity(size)
            for table in range(tables)
        ]
        matrix = (normal / len(samples) + sparse.block_diag(penalties, format="csr")).tocsr()
        # Conjugate gradients: photos of many colours fill a factorisation, but not these.
        jacobi = sparse.diags(1.0 / matrix.diagonal())
        solved = [
            cg(matrix, channel, rtol=1e-5, maxiter=2000, M=jacobi)[0]
            for channel in right.T / len(samples)
        ]
        # What is fitted is the change of colour: without pixels nearby there is none.
        self._tables = np.stack(solved, axis=-1).reshape(tables, size, 3)
        axes = np.meshgrid(*[np.linspace(0.0, 1.0, _NODES)] * 3, indexing="ij")
        self._tables[0] += np.stack(axes, axis=-1).reshape(size, 3)

    def __call__(self, photo: np.ndarray) -> np.ndarray:
        """Apply the table, trilinearly: uint8 `(H, W, 3)` to the same."""
        # Pillow's table has red as its fastest index.
        table = self.table(photo).reshape(_NODES, _NODES, _NODES, 3).transpose(2, 1, 0, 3)
        lookup = ImageFilter.Color3DLUT(_NODES, table.ravel().tolist())
        return np.asarray(Image.fromarray(photo).filter(lookup))

    def table(self, photo: np.ndarray) -> np.ndarray:
        """The table for a photo, float32 `(9 ** 3, 3)` in [0, 1], blue the fastest index."""
        table = np.tensordot(self._weights(_features(photo)), self._tables, axes=1)
        return np.clip(table, 0.0, 1.0).astype(np.float32)

    def _weights(self, features: np.ndarray) -> np.ndarray:
        """1 for the base table; for the others how far the photo is from the average one."""
        if not self._adaptive:
            return np.ones(1)
        # Beyond what was seen in training, the most extreme is used.
        return np.concatenate([[1.0], np.clip((features - self._centre) / self._scale, -2.0, 2.0)])


def _medians(counts: np.ndarray) -> np.ndarray:
    """The median output level of each input level, uint8 `(256,)`."""
    smooth = cv2.GaussianBlur(
        counts, (1, 0), sigmaX=0.1, sigmaY=_SMOOTHING, borderType=cv2.BORDER_CONSTANT
    )
    total = smooth.sum(axis=1)
    known = np.flatnonzero(total > 0)
    medians = (np.cumsum(smooth[known], axis=1) >= total[known, None] / 2).argmax(axis=1)
    return np.rint(np.interp(np.arange(_LEVELS), known, medians)).astype(np.uint8)


def _colors(pair: Pair) -> list[np.ndarray]:
    """Input and target reduced to what a fit needs, float32 `(n, 3)` in [0, 1]."""
    scale = min(1.0, _FIT_PIXELS / max(pair.input.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in pair.input.shape[:2])
    small = [
        cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        for picture in (pair.input, pair.target)
    ]
    return [picture.reshape(-1, 3) / np.float32(255.0) for picture in small]


def _features(photo: np.ndarray) -> np.ndarray:
    """A photo's mean luma, its spread, and red and blue against green; float `(4,)`."""
    small = cv2.resize(photo, (32, 32), interpolation=cv2.INTER_AREA).reshape(-1, 3) / 255.0
    red, green, blue = small.mean(axis=0)
    luma = small @ (0.2126, 0.7152, 0.0722)
    return np.array([luma.mean(), luma.std(), red - green, blue - green])


def _interpolation(colors: np.ndarray) -> sparse.csr_matrix:
    """Trilinear weights of each colour's eight nodes, sparse `(n, nodes)`."""
    place = colors.astype(np.float64) * (_NODES - 1)
    below = np.minimum(place.astype(np.intp), _NODES - 2)
    part = place - below
    columns, weights = [], []
    for corner in np.ndindex(2, 2, 2):
        columns.append((below + corner) @ (_NODES**2, _NODES, 1))
        weights.append(np.where(corner, part, 1.0 - part).prod(axis=1))
    starts = np.arange(0, 8 * len(colors) + 1, 8)
    values = (np.stack(weights, axis=1).ravel(), np.stack(columns, axis=1).ravel(), starts)
    return sparse.csr_matrix(values, shape=(len(colors), _NODES**3))


def _second_differences() -> Any:
    """One row per three nodes in a line, sparse: how far the middle one is off it."""
    line = sparse.csr_matrix(np.diff(np.eye(_NODES), n=2, axis=0))
    same = sparse.identity(_NODES)
    along = [[line, same, same], [same, line, same], [same, same, line]]
    return sparse.vstack([sparse.kron(sparse.kron(a, b), c) for a, b, c in along], format="csr")
