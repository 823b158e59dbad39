"""Service times [s]: constant, exponential, lognormal, hyper-exponential, mixed, empirical.

The distributions are given by their mean and, where it is free, by the squared coefficient
of variation ``cs2 = variance / mean**2``, the two numbers that queueing formulas ask for.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from servemath_helpers._validate import (
    finite_non_negative,
    finite_numbers_in,
    number,
    same_length,
    whole,
)
from servemath_helpers.sim._arrays import FloatArray, generator, times

__all__ = [
    "deterministic",
    "empirical",
    "exponential",
    "hyperexponential",
    "lognormal",
    "mixture",
]


def deterministic(n: int, mean_s: float) -> FloatArray:
    """Return n times the same service time.

    Parameters
    ----------
    n : int
        Customers, at least 1.
    mean_s : float
        Service time, at least 0.

    Returns
    -------
    numpy.ndarray
        Seconds.

    Examples
    --------
    >>> deterministic(3, 0.02).tolist()
    [0.02, 0.02, 0.02]
    """
    return np.full(whole("n", n, 1), finite_non_negative("mean_s", mean_s))


def exponential(n: int, mean_s: float, rng: np.random.Generator) -> FloatArray:
    """Return exponential service times (cs2 = 1).

    Parameters
    ----------
    n : int
        Customers, at least 1.
    mean_s : float
        Mean service time, at least 0.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Seconds.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(exponential(200_000, 0.02, np.random.default_rng(1)).mean()), 3)
    0.02
    """
    mean_s = finite_non_negative("mean_s", mean_s)
    return mean_s * generator(rng).standard_exponential(whole("n", n, 1))


def lognormal(n: int, mean_s: float, cs2: float, rng: np.random.Generator) -> FloatArray:
    """Return lognormal service times.

    Parameters
    ----------
    n : int
        Customers, at least 1.
    mean_s : float
        Mean service time, at least 0.
    cs2 : float
        Squared coefficient of variation, at least 0.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Seconds.

    Notes
    -----
    ``sigma**2 = ln(1 + cs2)`` and a median of ``mean_s / sqrt(1 + cs2)``.

    Examples
    --------
    >>> import numpy as np
    >>> sample = lognormal(200_000, 0.02, cs2=1, rng=np.random.default_rng(1))
    >>> round(float(sample.mean()), 3), round(float(np.median(sample)), 3)
    (0.02, 0.014)
    """
    mean_s, cs2 = finite_non_negative("mean_s", mean_s), finite_non_negative("cs2", cs2)
    normal = generator(rng).standard_normal(whole("n", n, 1))
    return np.exp(math.sqrt(math.log1p(cs2)) * normal) * (mean_s / math.sqrt(1 + cs2))


def hyperexponential(n: int, mean_s: float, cs2: float, rng: np.random.Generator) -> FloatArray:
    """Return service times of two exponential kinds, a frequent short and a rare long one.

    Parameters
    ----------
    n : int
        Customers, at least 1.
    mean_s : float
        Mean service time, at least 0.
    cs2 : float
        Squared coefficient of variation, at least 1.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Seconds.

    Notes
    -----
    Balanced means: the short kind has probability ``p = (1 + sqrt((cs2 - 1)/(cs2 + 1)))/2``
    and mean ``mean_s / (2 p)``, the long kind ``1 - p`` and ``mean_s / (2 (1 - p))``, so
    that both kinds bring the same amount of work.

    Examples
    --------
    >>> import numpy as np
    >>> sample = hyperexponential(400_000, 0.02, cs2=4, rng=np.random.default_rng(1))
    >>> bool(abs(sample.var() / sample.mean() ** 2 - 4) < 0.1)
    True
    """
    n, mean_s = whole("n", n, 1), finite_non_negative("mean_s", mean_s)
    if not 1 <= number("cs2", cs2) < math.inf:
        raise ValueError(f"cs2 must be a finite number of at least 1, got {cs2!r}")
    rng = generator(rng)
    short = (1 + math.sqrt((cs2 - 1) / (cs2 + 1))) / 2
    # 1 - short without the cancellation that a large cs2 would suffer
    long = 1 / ((cs2 + 1) * 2 * short)
    is_short = rng.random(n) < short
    means = np.where(is_short, mean_s / (2 * short), mean_s / (2 * long))
    return means * rng.standard_exponential(n)


def mixture(
    n: int, shares: Iterable[float], parts_s: Iterable[float], rng: np.random.Generator
) -> FloatArray:
    """Return service times that take one of a few values, such as hit and miss.

    Parameters
    ----------
    n : int
        Customers, at least 1.
    shares : iterable of float
        Probability of each value, at least 0, summing to 1.
    parts_s : iterable of float
        The values in seconds, at least 0, as many as shares.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Seconds.

    Raises
    ------
    ValueError
        If the shares do not sum to 1.

    Examples
    --------
    99 % of the requests take 5 ms, one in a hundred 505 ms:

    >>> import numpy as np
    >>> sample = mixture(100_000, [0.99, 0.01], [0.005, 0.505], np.random.default_rng(1))
    >>> sorted(set(sample.tolist()))
    [0.005, 0.505]
    """
    weights = finite_numbers_in("shares", shares, minimum=0)
    values = finite_numbers_in("parts_s", parts_s, minimum=0)
    same_length(shares=weights, parts_s=values)
    if not math.isclose(math.fsum(weights), 1, rel_tol=1e-9):
        raise ValueError(f"shares must sum to 1, got a sum of {math.fsum(weights)!r}")
    # The last bound is left out: rounding must not leave a gap below 1.
    bounds = np.cumsum(weights)[:-1]
    draws = generator(rng).random(whole("n", n, 1))
    return np.array(values)[np.searchsorted(bounds, draws, side="right")]


def empirical(n: int, sample_s: Iterable[float], rng: np.random.Generator) -> FloatArray:
    """Return service times drawn with replacement from a measured sample.

    Parameters
    ----------
    n : int
        Customers, at least 1.
    sample_s : iterable of float
        Measured service times [s], at least 0.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Seconds.

    Raises
    ------
    ValueError
        If the sample is empty.

    Examples
    --------
    >>> import numpy as np
    >>> drawn = empirical(1000, [0.01, 0.02, 0.09], np.random.default_rng(1))
    >>> sorted(set(drawn.tolist()))
    [0.01, 0.02, 0.09]
    """
    sample = times("sample_s", sample_s)
    return sample[generator(rng).integers(0, sample.size, whole("n", n, 1))]
