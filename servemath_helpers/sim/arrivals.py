"""Instants of arrival [s]: periodic, Poisson, bursty, of changing rate, from a trace.

Every generator returns n instants in ascending order (`varying`: as many as come), the first
one interval after 0 (periodic: at its phase). What is random comes from the generator that is
passed in, so one seed gives one run.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from servemath_helpers._validate import (
    finite_non_negative,
    finite_numbers_in,
    finite_positive,
    same_length,
    whole,
)
from servemath_helpers.sim import services
from servemath_helpers.sim._arrays import FloatArray, generator, sorted_times

__all__ = ["bursty", "from_trace", "markov_modulated", "periodic", "poisson", "varying"]


def poisson(n: int, rate_rps: float, rng: np.random.Generator) -> FloatArray:
    """Return arrivals with independent exponential intervals: the memoryless baseline.

    Parameters
    ----------
    n : int
        Arrivals, at least 1.
    rate_rps : float
        Mean arrivals per second, greater than 0.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Instants [s], ascending.

    Examples
    --------
    >>> import numpy as np
    >>> arrivals_s = poisson(100_000, rate_rps=50, rng=np.random.default_rng(1))
    >>> round(100_000 / arrivals_s[-1])
    50
    """
    gaps = generator(rng).standard_exponential(whole("n", n, 1))
    return np.cumsum(gaps / finite_positive("rate_rps", rate_rps))


def periodic(
    n: int,
    period_s: float,
    jitter_s: float = 0.0,
    rng: np.random.Generator | None = None,
    *,
    phase_s: float = 0.0,
) -> FloatArray:
    """Return arrivals on a clock, each late by a random jitter.

    Parameters
    ----------
    n : int
        Arrivals, at least 1.
    period_s : float
        Time between ticks, greater than 0.
    jitter_s : float, optional
        Each arrival comes uniformly within this time after its tick, at least 0.
    rng : numpy.random.Generator, optional
        Source of randomness; needed if there is jitter.
    phase_s : float, optional
        Instant of the first tick, at least 0.

    Returns
    -------
    numpy.ndarray
        Instants [s], ascending.

    Raises
    ------
    ValueError
        If there is jitter and no generator.

    Notes
    -----
    Jitter does not add up: tick k is at ``phase_s + k * period_s`` whatever happened before.
    With more jitter than a period an arrival can overtake its neighbour; the instants are
    sorted.

    Examples
    --------
    >>> periodic(4, 0.25).tolist()
    [0.0, 0.25, 0.5, 0.75]
    """
    ticks: FloatArray = np.arange(whole("n", n, 1), dtype=np.float64)
    ticks *= finite_positive("period_s", period_s)
    ticks += finite_non_negative("phase_s", phase_s)
    jitter = finite_non_negative("jitter_s", jitter_s)
    if jitter == 0:
        return ticks
    late: FloatArray = ticks + jitter * generator(rng).random(ticks.size)
    return np.sort(late)


def bursty(n: int, rate_rps: float, ca2: float, rng: np.random.Generator) -> FloatArray:
    """Return arrivals whose independent intervals have a chosen variability.

    Parameters
    ----------
    n : int
        Arrivals, at least 1.
    rate_rps : float
        Mean arrivals per second, greater than 0.
    ca2 : float
        Squared coefficient of variation of the intervals, at least 0: 0 is a clock, 1 is
        Poisson, more is bursty.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Instants [s], ascending.

    Notes
    -----
    Above 1 the intervals are hyper-exponential with balanced means: a coin decides between
    a short and a long mean (`services.hyperexponential`). Below 1 they are gamma with shape
    1 / ca2. The intervals are independent; bursts that last, as in real traffic, need
    `markov_modulated`.

    Examples
    --------
    >>> import numpy as np
    >>> gaps = np.diff(bursty(200_000, 10, ca2=4, rng=np.random.default_rng(1)))
    >>> bool(abs(gaps.var() / gaps.mean() ** 2 - 4) < 0.1)
    True
    """
    n, mean_s = whole("n", n, 1), 1 / finite_positive("rate_rps", rate_rps)
    ca2 = finite_non_negative("ca2", ca2)
    if ca2 >= 1:
        return np.cumsum(services.hyperexponential(n, mean_s, ca2, rng))
    if ca2 == 0:
        return np.asarray((1 + np.arange(n)) * mean_s, dtype=np.float64)
    return np.cumsum(generator(rng).gamma(1 / ca2, mean_s * ca2, n))


def markov_modulated(
    n: int, rates_rps: Iterable[float], dwell_s: Iterable[float], rng: np.random.Generator
) -> FloatArray:
    """Return arrivals of a Poisson process whose rate changes by itself.

    Parameters
    ----------
    n : int
        Arrivals, at least 1.
    rates_rps : iterable of float
        Arrivals per second in each phase, at least 0, one of them above 0.
    dwell_s : iterable of float
        Mean length of each phase in seconds, greater than 0, as many as rates.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Instants [s], ascending.

    Notes
    -----
    The phases follow one another in a circle, starting with the first, each of exponential
    length; with two phases this is the Markov-modulated Poisson process MMPP(2). The mean
    rate is ``sum(rate * dwell) / sum(dwell)``.

    Examples
    --------
    Quiet and busy minutes, 5 and 50 requests per second:

    >>> import numpy as np
    >>> arrivals_s = markov_modulated(200_000, [5, 50], [60, 60], np.random.default_rng(2))
    >>> bool(abs(200_000 / arrivals_s[-1] - 27.5) < 3)
    True
    """
    n, rng = whole("n", n, 1), generator(rng)
    rates = finite_numbers_in("rates_rps", rates_rps, minimum=0)
    means = [finite_positive(f"dwell_s[{i}]", d) for i, d in enumerate(dwell_s)]
    same_length(rates_rps=rates, dwell_s=means)
    if not any(rates):
        raise ValueError("rates_rps must have a rate above 0, got only zeros")
    # In units of expected arrivals the process is Poisson with rate 1: draw the
    # arrivals there, then map them back through the piecewise linear clock.
    ripe = np.cumsum(rng.standard_exponential(n))
    clock_s, expected = [np.zeros(1)], [np.zeros(1)]
    period = sum(rate * mean for rate, mean in zip(rates, means, strict=True))
    while expected[-1][-1] < ripe[-1]:
        missing = ripe[-1] - expected[-1][-1]
        cycles = 8 + math.ceil(1.1 * missing / period)
        lengths = rng.standard_exponential((cycles, len(means))) * np.array(means)
        clock_s.append(clock_s[-1][-1] + np.cumsum(lengths))
        expected.append(expected[-1][-1] + np.cumsum(lengths * np.array(rates)))
    instants: FloatArray = np.interp(ripe, np.concatenate(expected), np.concatenate(clock_s))
    return instants


def varying(rates_rps: Iterable[float], interval_s: float, rng: np.random.Generator) -> FloatArray:
    """Return arrivals of a Poisson process whose rate follows a timetable, such as a day.

    Parameters
    ----------
    rates_rps : iterable of float
        Arrivals per second in each interval, at least 0.
    interval_s : float
        Length of each interval in seconds, greater than 0.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Instants [s], ascending; how many is random.

    Notes
    -----
    With `sim.simulate_ggc` and exponential service this is the M_t/M/c queue. Its longest
    queue comes after the peak of the rate, by about the time that the backlog takes.

    Examples
    --------
    An hour of 50 a second between two quiet ones:

    >>> import numpy as np
    >>> arrivals_s = varying([5, 50, 5], 3600, np.random.default_rng(3))
    >>> [round(n / 3600) for n in np.histogram(arrivals_s, [0, 3600, 7200, 10_800])[0]]
    [5, 50, 5]
    """
    rates = finite_numbers_in("rates_rps", rates_rps, minimum=0)
    interval_s, rng = finite_positive("interval_s", interval_s), generator(rng)
    # Given their number, the arrivals of an interval are uniform in it.
    counts = rng.poisson(np.array(rates) * interval_s)
    begins = np.repeat(np.arange(len(rates)) * interval_s, counts)
    instants: FloatArray = np.sort(begins + interval_s * rng.random(begins.size))
    return instants


def from_trace(times_s: Iterable[float], speedup: float = 1.0) -> FloatArray:
    """Return the arrivals of a trace, moved to start at 0 and played faster or slower.

    Parameters
    ----------
    times_s : iterable of float
        Instants of arrival [s], at least 0, ascending.
    speedup : float, optional
        2 halves every interval and so doubles the rate; greater than 0.

    Returns
    -------
    numpy.ndarray
        Instants [s], ascending, the first at 0.

    Raises
    ------
    ValueError
        If there is no instant or they are not sorted.

    Examples
    --------
    >>> from_trace([100.0, 101.0, 104.0], speedup=2).tolist()
    [0.0, 0.5, 2.0]
    """
    array = sorted_times("times_s", times_s)
    from_zero: FloatArray = array - array[0]
    return from_zero / finite_positive("speedup", speedup)
