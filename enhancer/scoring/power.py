"""What a test could have found: the smallest difference that it would detect, and how many photos a difference takes.

Reference: Bloom, "Minimum Detectable Effects: A Simple Way to Report the Statistical Power of Experimental Designs",
Evaluation Review 1995: the difference that a two-sided test at 5 % finds with the wanted probability is
(t(0.975) + t(power)) standard errors.
"""

from scipy import stats

POWER = 0.8
"""Probability with which a difference of that size is found; the usual choice."""
_MOST_PHOTOS = 1_000_000


def smallest_detectable(
    standard_error: float, degrees_of_freedom: float, power: float = POWER
) -> float:
    """The smallest true difference that the test finds with probability `power`, in the unit of its standard error."""
    return _multiple(degrees_of_freedom, power) * standard_error


def photos_needed(difference: float, deviation: float, power: float = POWER) -> int | None:
    """The number of test photos with which a true difference is found with probability `power`.

    Args:
        difference: what is to be found, not 0, such as 0.05 for 5 %.
        deviation: standard deviation over photos of the paired difference, in the same unit: a test of n photos and one
            seed has a standard error of deviation / sqrt(n).

    Returns:
        At least 2; None when a million do not suffice.
    """

    def finds(photos: int) -> bool:
        return _multiple(photos - 1, power) * deviation / photos**0.5 <= abs(difference)

    low, high = 2, 2
    while not finds(high):
        low, high = high, high * 2
        if high > _MOST_PHOTOS:
            return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if finds(middle) else (middle + 1, high)
    return high


def _multiple(degrees_of_freedom: float, power: float) -> float:
    return float(stats.t.ppf(0.975, degrees_of_freedom) + stats.t.ppf(power, degrees_of_freedom))
