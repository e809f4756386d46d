"""Compare two methods on the same photos, over one or several training seeds.

Photos are paired, which removes what makes one photo harder than another for both methods. The luck
of training varies besides, so photos and seeds are both resampled (crossed factors, each by itself;
this errs on the wide side). Near-duplicates are resampled together, as scenes.

A plain percentile bootstrap of few photos is too narrow: of simulated 95 % intervals over five
photos 83 % hold the truth. Its quantiles are therefore stretched about the estimate to the width of
Student's t with Satterthwaite's degrees of freedom over photos and seeds, and keep the bootstrap's
skew; `docs/evaluation.md` has their coverage.

References: Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician
    2015, 4.3. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007. Satterthwaite,
    "An approximate distribution of estimates of variance components", 1946. Bloom, "Minimum
    Detectable Effects", Evaluation Review 1995.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

RESAMPLES = 4000
SEED = 0
CONFIDENCE = 0.95
POWER = 0.8
"""Probability with which a difference of the smallest detectable size is found."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval; the bounds are None for a single photo or scene."""

    estimate: float
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Method a against method b on the same photos."""

    difference: Interval
    """Mean a - mean b, in the metric's unit."""
    relative: Interval | None
    """Mean a / mean b - 1; None where b's mean may be 0."""
    detectable: float | None
    """The smallest true relative difference that such a test finds 80 times of 100 (Bloom 1995);
    None for a single photo."""
    photos: int
    scenes: int
    equal: bool
    """Whether all scores are the same numbers: two copies of one model."""


def compare(a: np.ndarray, b: np.ndarray, scenes: Sequence[int | str] | None = None) -> Comparison:
    """Compare two methods; raises ValueError without photos, or with different numbers of them.

    Args:
        a, b: scores, float `(seeds, photos)` or `(photos,)`: the same photos in the same order,
            each method's own seeds.
        scenes: per photo what scene it shows, and by default each its own.
    """
    a, b = np.atleast_2d(np.asarray(a, np.float64)), np.atleast_2d(np.asarray(b, np.float64))
    if a.shape[1] != b.shape[1] or a.shape[1] == 0:
        raise ValueError(
            "Only scores of the same photos can be compared, "
            f"received {a.shape[1]} and {b.shape[1]} of them."
        )
    scene = np.unique(range(a.shape[1]) if scenes is None else scenes, return_inverse=True)[1]
    mean_a, mean_b = float(a.mean()), float(b.mean())
    num_scenes = int(scene.max()) + 1
    equal = bool((a == a[:1]).all() and (b == a[:1]).all())
    resampled_a, resampled_b = _resampled_means(a, b, scene)
    difference = _stretched(
        mean_a - mean_b, resampled_a - resampled_b, *_variance(a, b, 1.0, scene)
    )
    relative, detectable = None, None
    if mean_b > 0.0 and (num_scenes < 2 or resampled_b.min() > 0.0):
        ratio = mean_a / mean_b
        relative = Interval(ratio - 1.0, None, None)
        if num_scenes > 1:
            variance, degrees = _variance(a / mean_b, b / mean_b, ratio, scene)
            relative = _stretched(ratio - 1.0, resampled_a / resampled_b - 1.0, variance, degrees)
            if a.min() >= 0.0 and relative.low is not None:  # nothing is more than 100 % lower
                relative = dataclasses.replace(relative, low=max(-1.0, relative.low))
            multiple = stats.t.ppf(0.975, degrees) + stats.t.ppf(POWER, degrees)
            detectable = float(multiple) * math.sqrt(variance)
    if num_scenes < 2:
        difference = Interval(difference.estimate, None, None)
    return Comparison(difference, relative, detectable, a.shape[1], num_scenes, equal)


def _resampled_means(a: np.ndarray, b: np.ndarray, scene: np.ndarray) -> list[np.ndarray]:
    """Both means in each resample: the same photos for both, each method's seeds by themselves."""
    photos = _counts(int(scene.max()) + 1, 0)[:, scene]
    photos = photos / photos.sum(axis=1, keepdims=True)
    return [
        np.einsum("rs,rs->r", _counts(len(scores), stream) / len(scores), photos @ scores.T)
        for stream, scores in ((1, a), (2, b))
    ]


@functools.lru_cache(maxsize=64)
def _counts(number: int, stream: int) -> np.ndarray:
    """How often each of `number` units is drawn in each resample, float `(RESAMPLES, number)`."""
    generator = np.random.default_rng((SEED, stream, number))
    return generator.multinomial(number, np.full(number, 1.0 / number), RESAMPLES).astype(float)


def _variance(a: np.ndarray, b: np.ndarray, ratio: float, scene: np.ndarray) -> tuple[float, float]:
    """Of mean a - ratio x mean b over scenes and seeds (delta method), and degrees of freedom."""
    scenes = int(scene.max()) + 1
    per_photo = a.mean(axis=0) - ratio * b.mean(axis=0)
    squares = np.square(np.bincount(scene, per_photo - per_photo.mean(), scenes)).sum()
    parts = []
    if scenes > 1:
        parts.append((scenes / (scenes - 1) * float(squares) / a.shape[1] ** 2, scenes - 1))
    for scores, weight in ((a, 1.0), (b, ratio)):
        if (seeds := len(scores)) > 1:
            over_seeds = float(scores.mean(axis=1).var(ddof=1))
            parts.append((weight**2 * over_seeds / seeds, seeds - 1))
    total = sum(part for part, _ in parts)
    if total <= 0.0:
        return 0.0, float(max(1, scenes - 1))
    return total, total**2 / sum(part**2 / degrees for part, degrees in parts)


def _stretched(estimate: float, resampled: np.ndarray, variance: float, degrees: float) -> Interval:
    spread = float(resampled.std())
    if spread == 0.0:
        return Interval(estimate, estimate, estimate)
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(resampled, [tail, 1.0 - tail]) - estimate
    wanted = float(stats.t.ppf(1.0 - tail, degrees)) * math.sqrt(variance)
    stretch = max(1.0, wanted / (float(stats.norm.ppf(1.0 - tail)) * spread))
    return Interval(estimate, float(estimate + stretch * low), float(estimate + stretch * high))
