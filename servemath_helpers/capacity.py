"""How many replicas: counting, pooling, staffing, scaling out and starting up.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from servemath_helpers._validate import (
    finite_non_negative,
    finite_positive,
    positive,
)
from servemath_helpers.quantities import (
    exact,
    exact_at_least,
    exact_ceil_div,
    exact_probability,
)
from servemath_helpers.queueing import mmc_wait

if TYPE_CHECKING:
    from servemath_helpers.quantities import Exact

__all__ = [
    "cold_start_s",
    "replicas_for_slo",
    "replicas_needed",
    "square_root_staffing",
    "usl_peak",
    "usl_speedup",
]


def replicas_needed(lam: Exact, mu: Exact, target: Exact, spare: Exact = 0) -> int:
    """Return how many replicas keep the utilisation at or below a target.

    Parameters
    ----------
    lam : int, str, Decimal, Fraction or float
        Arrival rate [1/s], at least 0.
    mu : int, str, Decimal, Fraction or float
        Service rate of one replica [1/s], greater than 0.
    target : int, str, Decimal, Fraction or float
        Target utilisation in (0, 1].
    spare : int
        Replicas kept besides, at least 0 (N + k redundancy).

    Returns
    -------
    int
        max(1, ceil(lam / (target mu))) + spare, computed exactly.

    Notes
    -----
    36 requests/s on replicas of 12/s at 60 % need exactly 5; in floating point
    36 / (0.6 * 12) is a little above 5, and its ceiling is 6. A target of 1 allows
    rho = 1, where a random queue is not stable.

    Examples
    --------
    >>> replicas_needed(36, 12, "0.6"), math.ceil(36 / (0.6 * 12))
    (5, 6)
    >>> replicas_needed(120, 30, "0.75", spare=1)
    7
    """
    rate = exact_at_least(lam, 0, "lam")
    one_replica = exact_at_least(mu, 0, "mu", strict=True)
    share = exact_probability(target, "target", zero_allowed=False)
    extra = exact(spare, "spare")
    if extra.denominator != 1 or extra < 0:
        raise ValueError(f"spare must be a whole number of at least 0, got {spare!r}")
    return max(1, exact_ceil_div(rate, share * one_replica)) + int(extra)


def replicas_for_slo(lam: float, mu: float, wq_max: float) -> int:
    """Return the least number of pooled replicas whose mean wait is within a bound.

    Parameters
    ----------
    lam : float
        Arrival rate [1/s], at least 0.
    mu : float
        Service rate of one replica [1/s], greater than 0.
    wq_max : float
        Bound on the mean wait in the queue [s], greater than 0.

    Returns
    -------
    int
        The least c with lam < c mu and an M/M/c mean wait of at most wq_max.

    Notes
    -----
    Stability is strict: at lam = c mu the queue grows without end. The wait falls
    with every replica added but is never 0 while requests arrive, which is why a
    bound of 0 is refused.

    Examples
    --------
    >>> replicas_for_slo(10, 3, 0.1), replicas_for_slo(120, 30, 0.005)
    (5, 6)
    """
    lam, mu = finite_non_negative("lam", lam), finite_positive("mu", mu)
    wq_max = positive("wq_max", wq_max)
    if lam == 0:
        return 1
    stable = math.floor(lam / mu) + 1
    # Gallop to a c that meets the bound, then bisect: each wait costs c steps.
    high = stable
    while mmc_wait(lam, mu, high) > wq_max:
        high += max(1, high - stable)
    low = stable - 1
    while high - low > 1:
        middle = (low + high) // 2
        if mmc_wait(lam, mu, middle) > wq_max:
            low = middle
        else:
            high = middle
    return high


def square_root_staffing(a: float, beta: float) -> int:
    """Return the square-root rule's number of servers for an offered load.

    Parameters
    ----------
    a : float
        Offered load lam / mu [servers], at least 0.
    beta : float
        Quality-of-service parameter, at least 0; about 1 when roughly a quarter of the
        arrivals may wait.

    Returns
    -------
    int
        ceil(a + beta sqrt(a)), and never fewer than the least stable number.

    Notes
    -----
    With c = a + beta sqrt(a) the probability of waiting tends to a constant that
    depends on beta only, so that the reserve grows as the root of the load: pooling
    is why ten times the load does not need ten times the reserve.

    References
    ----------
    S. Halfin and W. Whitt, "Heavy-traffic limits for queues with many exponential
    servers", Operations Research 29 (1981).

    Examples
    --------
    >>> square_root_staffing(100, 1), square_root_staffing(10_000, 1)
    (110, 10100)
    """
    a, beta = finite_non_negative("a", a), finite_non_negative("beta", beta)
    # Rounded first, so that 0.64 + 2.95 sqrt(0.64) = 3.0000000000000004 counts as 3.
    return max(math.ceil(round(a + beta * math.sqrt(a), 9)), math.floor(a) + 1)


def usl_speedup(n: float, sigma: float, kappa: float) -> float:
    """Return the relative capacity of n workers under the universal scalability law.

    Parameters
    ----------
    n : float
        Number of workers, at least 1.
    sigma : float
        Contention: the share of work that cannot be shared, in [0, 1].
    kappa : float
        Coherence: the cost of each pair's agreement, at least 0.

    Returns
    -------
    float
        Throughput relative to one worker.

    Notes
    -----
    C(n) = n / (1 + sigma (n - 1) + kappa n (n - 1)). With kappa = 0 this is Amdahl's
    law; with kappa > 0 capacity falls beyond `usl_peak`.

    References
    ----------
    N. J. Gunther, *Guerrilla Capacity Planning*, 2007.

    Examples
    --------
    >>> round(usl_speedup(44, 0.03, 0.0005), 2)
    13.6
    """
    n = finite_positive("n", n)
    if n < 1:
        raise ValueError(f"n must be a finite number of at least 1, got {n!r}")
    sigma, kappa = _usl(sigma, kappa)
    return n / (1 + sigma * (n - 1) + kappa * n * (n - 1))


def _usl(sigma: float, kappa: float) -> tuple[float, float]:
    sigma = finite_non_negative("sigma", sigma)
    if sigma > 1:
        raise ValueError(f"sigma must be in [0, 1], got {sigma!r}")
    return sigma, finite_non_negative("kappa", kappa)


def usl_peak(sigma: float, kappa: float) -> float:
    """Return the number of workers at which the universal scalability law peaks.

    Parameters
    ----------
    sigma : float
        Contention, in [0, 1].
    kappa : float
        Coherence, at least 0.

    Returns
    -------
    float
        sqrt((1 - sigma) / kappa), and at least 1: a real number, of which the
        better neighbouring whole number is meant; inf for kappa = 0 (no peak).

    References
    ----------
    N. J. Gunther, *Guerrilla Capacity Planning*, 2007.

    Examples
    --------
    >>> round(usl_peak(0.03, 0.0005), 2)
    44.05
    """
    sigma, kappa = _usl(sigma, kappa)
    return math.inf if kappa == 0 else max(1.0, math.sqrt((1 - sigma) / kappa))


def cold_start_s(
    weights_bytes: float, load_Bps: float, detect_s: float = 0.0, provision_s: float = 0.0
) -> float:
    """Return how long a scale-out takes to help: detect, provision, load the weights.

    Parameters
    ----------
    weights_bytes : float
        Size of the weights to load [bytes], at least 0.
    load_Bps : float
        Bandwidth of loading [bytes/s], greater than 0.
    detect_s : float
        Time until the need is noticed [s], at least 0.
    provision_s : float
        Time until a machine is ready to load [s], at least 0.

    Returns
    -------
    float
        Reaction time [s].

    Notes
    -----
    Requests above capacity pile up all that time: an excess of 10 requests/s leaves a
    backlog of 200 after 20 s.

    Examples
    --------
    >>> round(cold_start_s(141e9, 7e9), 1)
    20.1
    """
    load_s = finite_non_negative("weights_bytes", weights_bytes) / finite_positive(
        "load_Bps", load_Bps
    )
    return (
        finite_non_negative("detect_s", detect_s)
        + finite_non_negative("provision_s", provision_s)
        + load_s
    )
