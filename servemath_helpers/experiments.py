"""Is the new version better? Canary tests, sample sizes and paired comparisons.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from servemath_helpers._validate import finite_numbers_in, probability, same_length, whole
from servemath_helpers.quantities import exact_probability

if TYPE_CHECKING:
    from servemath_helpers.quantities import Exact

__all__ = ["paired_bootstrap_interval", "two_proportion_sample_size", "two_proportion_z"]


def two_proportion_z(bad_a: int, n_a: int, bad_b: int, n_b: int) -> float:
    """Return the z statistic of the difference between two failure rates.

    Parameters
    ----------
    bad_a, n_a : int
        Failed and all requests of arm a, for instance the stable version; n_a at
        least 1, bad_a from 0 to n_a.
    bad_b, n_b : int
        The same of arm b, for instance the canary.

    Returns
    -------
    float
        (p_b - p_a) / standard error, positive when b fails more often; 0.0 if nothing
        failed or everything did.

    Notes
    -----
    Pooled: under the hypothesis of one common rate p = (bad_a + bad_b) / (n_a + n_b),
    the standard error is sqrt(p (1 - p) (1 / n_a + 1 / n_b)). Beyond 1.96 either way is
    significant at 5 % two-sided. The normal approximation wants some ten failures and
    some ten successes an arm.

    Examples
    --------
    >>> round(two_proportion_z(200, 20_000, 28, 2_000), 3)
    1.684
    """
    n_a, n_b = whole("n_a", n_a, minimum=1), whole("n_b", n_b, minimum=1)
    bad_a, bad_b = whole("bad_a", bad_a), whole("bad_b", bad_b)
    for name, bad, n in (("a", bad_a, n_a), ("b", bad_b, n_b)):
        if bad > n:
            raise ValueError(f"bad_{name} must be at most n_{name} = {n}, got {bad}")
    bad, n = bad_a + bad_b, n_a + n_b
    if bad in (0, n):
        return 0.0
    # The difference of the rates in whole numbers: equal rates give exactly 0.
    difference = (bad_b * n_a - bad_a * n_b) / (n_a * n_b)
    return difference / math.sqrt(bad / n * ((n - bad) / n) * (n / (n_a * n_b)))


def two_proportion_sample_size(
    p_a: float, p_b: float, alpha: float = 0.05, power: float = 0.8, pooled: bool = False
) -> int:
    """Return how many requests each arm needs to tell two failure rates apart.

    Parameters
    ----------
    p_a, p_b : float
        The two rates, in [0, 1], different.
    alpha : float
        Two-sided significance level, in (0, 1).
    power : float
        Probability of noticing the difference, in (alpha / 2, 1).
    pooled : bool
        Whether the test's standard error uses the pooled rate (p_a + p_b) / 2.

    Returns
    -------
    int
        Requests per arm, rounded up.

    Raises
    ------
    ValueError
        If the rates are equal.

    Notes
    -----
    With z_a and z_b the normal quantiles of 1 - alpha / 2 and of the power, and
    v = p (1 - p): unpooled n = (z_a + z_b)^2 (v_a + v_b) / (p_a - p_b)^2; pooled
    n = (z_a sqrt(2 v_mean) + z_b sqrt(v_a + v_b))^2 / (p_a - p_b)^2.

    References
    ----------
    J. L. Fleiss, B. Levin and M. C. Paik, *Statistical Methods for Rates and
    Proportions*, third edition, 2003, chapter 4.

    Examples
    --------
    >>> two_proportion_sample_size(0.010, 0.012)
    42691
    >>> two_proportion_sample_size(0.010, 0.012, pooled=True)
    42693
    """
    from statistics import NormalDist  # slow to import, and only needed here

    p_a, p_b = probability("p_a", p_a), probability("p_b", p_b)
    alpha = probability("alpha", alpha, zero_allowed=False, one_allowed=False)
    power = probability("power", power, zero_allowed=False, one_allowed=False)
    if p_a == p_b:
        raise ValueError(f"p_a and p_b must differ, got {p_a!r} for both")
    if power <= alpha / 2:
        raise ValueError(f"power must be greater than alpha / 2 = {alpha / 2:g}, got {power!r}")
    normal = NormalDist()
    z_alpha, z_power = -normal.inv_cdf(alpha / 2), normal.inv_cdf(power)
    spread = math.sqrt(p_a * (1 - p_a) + p_b * (1 - p_b))
    mean = (p_a + p_b) / 2
    spread_alpha = math.sqrt(2 * mean * (1 - mean)) if pooled else spread
    n = ((z_alpha * spread_alpha + z_power * spread) / (p_a - p_b)) ** 2
    return max(1, math.ceil(n))


def paired_bootstrap_interval(
    baseline: Iterable[float],
    candidate: Iterable[float],
    confidence: Exact = "0.95",
    n_resamples: int = 10_000,
    rng: np.random.Generator | None = None,
) -> tuple[float, float]:
    """Return a bootstrap interval of the mean difference between paired scores.

    Parameters
    ----------
    baseline : iterable of float
        Scores of the present version, at least two.
    candidate : iterable of float
        Scores of the new version on the same items in the same order.
    confidence : int, str, Decimal, Fraction or float
        Coverage aimed at, in (0, 1).
    n_resamples : int
        Number of resamples, at least 1.
    rng : numpy.random.Generator, optional
        Source of randomness; a generator seeded with 0 if not given, so that the same
        scores always give the same interval.

    Returns
    -------
    tuple of float
        Low and high end of the interval of mean(candidate - baseline).

    Raises
    ------
    ValueError
        If lengths differ, there are fewer than two pairs, or an argument is out of
        range.

    Notes
    -----
    The percentile method: resample the differences with replacement, and take the
    nearest-rank quantiles (1 - confidence) / 2 and (1 + confidence) / 2 of their means.
    With few pairs the interval is somewhat too narrow.

    References
    ----------
    B. Efron and R. J. Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13.

    Examples
    --------
    >>> low, high = paired_bootstrap_interval([0.70, 0.72, 0.71], [0.72, 0.74, 0.73])
    >>> round(low, 6), round(high, 6)
    (0.02, 0.02)
    """
    old = finite_numbers_in("baseline", baseline)
    new = finite_numbers_in("candidate", candidate)
    same_length(baseline=old, candidate=new)
    if len(old) < 2:
        raise ValueError(f"baseline must have at least two values, got {len(old)}")
    level = exact_probability(confidence, "confidence", zero_allowed=False, one_allowed=False)
    n_resamples = whole("n_resamples", n_resamples, minimum=1)
    if rng is None:
        rng = np.random.default_rng(0)
    elif not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng must be a numpy random Generator or None, got {rng!r}")

    differences = np.subtract(new, old)
    # Whole resamples in blocks of about a million draws: memory stays flat.
    block = max(1, 2**20 // len(old))
    means = np.concatenate(
        [
            rng.choice(differences, size=(min(block, n_resamples - start), len(old))).mean(axis=1)
            for start in range(0, n_resamples, block)
        ]
    )
    means.sort()
    low_rank, high_rank = (math.ceil(q * n_resamples) for q in ((1 - level) / 2, (1 + level) / 2))
    return float(means[low_rank - 1]), float(means[high_rank - 1])
