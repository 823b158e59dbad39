"""Who goes first, who is let in: service orders, priorities, retries, rate limits.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from servemath_helpers._validate import (
    finite,
    finite_non_negative,
    finite_numbers_in,
    finite_positive,
    probability,
    same_length,
)

__all__ = [
    "TokenBucket",
    "fcfs_mean_sojourn",
    "priority_waits",
    "retry_amplification",
    "srpt_mean_sojourn",
]

# Refilling in floating-point steps may leave a token short by a rounding error.
_ROUNDING = 1e-9


def fcfs_mean_sojourn(sizes: Iterable[float]) -> float:
    """Return the mean time in the system of jobs served in the given order.

    Parameters
    ----------
    sizes : iterable of float
        Service times [any unit], at least 0, at least one job, all present at time 0.

    Returns
    -------
    float
        Mean of the completion times [same unit].

    Raises
    ------
    ValueError
        If there is no job or a size is negative or infinite.

    Notes
    -----
    Job i of n delays itself and all n - i behind it. One long job in front makes
    everybody wait: head-of-line blocking.

    Examples
    --------
    >>> fcfs_mean_sojourn([10, 1]), fcfs_mean_sojourn([1, 10])
    (10.5, 6.0)
    """
    jobs = finite_numbers_in("sizes", sizes, minimum=0)
    return math.fsum((len(jobs) - index) * size for index, size in enumerate(jobs)) / len(jobs)


def srpt_mean_sojourn(sizes: Iterable[float]) -> float:
    """Return the mean time in the system under shortest remaining processing time first.

    Parameters
    ----------
    sizes : iterable of float
        Service times [any unit], at least 0, at least one job, all present at time 0.

    Returns
    -------
    float
        Mean of the completion times [same unit], the least that any order reaches.

    Raises
    ------
    ValueError
        If there is no job or a size is negative or infinite.

    Notes
    -----
    When nothing arrives later, no job is ever preempted, and the policy is to serve in
    ascending order of size. With arrivals it still minimises the mean.

    References
    ----------
    L. Schrage, "A proof of the optimality of the shortest remaining processing time
    discipline", Operations Research 16 (1968).

    Examples
    --------
    >>> srpt_mean_sojourn([10, 1])
    6.0
    """
    return fcfs_mean_sojourn(sorted(finite_numbers_in("sizes", sizes, minimum=0)))


def priority_waits(lams: Iterable[float], ES: Iterable[float], ES2: Iterable[float]) -> list[float]:
    """Return the mean waits of the classes of a nonpreemptive priority queue.

    Parameters
    ----------
    lams : iterable of float
        Arrival rate of each class [1/s], at least 0, the most urgent class first.
    ES : iterable of float
        Mean service time of each class [s], at least 0.
    ES2 : iterable of float
        Mean square of the service time of each class [s^2], at least ES squared:
        2 ES**2 if exponential, ES**2 if constant.

    Returns
    -------
    list of float
        Mean wait in the queue of each class [s]; inf from the first class on with
        which the load reaches 1.

    Raises
    ------
    ValueError
        If the lengths differ or there is no class.

    Notes
    -----
    One server, Poisson arrivals, first come first served within a class:

    W_k = (sum_i lam_i ES2_i / 2) / ((1 - sigma_(k-1)) (1 - sigma_k)),

    sigma_k = rho_1 + ... + rho_k. Where the load of all classes reaches 1, the first
    class to be starved gets only the capacity left to it, the classes behind it get
    none, and the sum over i counts what is really in service. So urgent classes keep a
    finite wait while the server as a whole is overloaded.

    References
    ----------
    A. Cobham, "Priority assignment in waiting line problems", Journal of the
    Operations Research Society of America 2 (1954).

    Examples
    --------
    A quarter of the requests first; the mean wait over all stays that of one queue.

    >>> [round(wait, 3) for wait in priority_waits([2, 6], [0.1, 0.1], [0.02, 0.02])]
    [0.1, 0.5]
    """
    rates = finite_numbers_in("lams", lams, minimum=0)
    means = finite_numbers_in("ES", ES, minimum=0)
    squares = finite_numbers_in("ES2", ES2, minimum=0)
    same_length(lams=rates, ES=means, ES2=squares)
    for index, (mean, square) in enumerate(zip(means, squares, strict=True)):
        if square < mean**2 * (1 - _ROUNDING):
            raise ValueError(f"ES2[{index}] must be at least ES[{index}]**2, got {square!r}")

    # loads[k] = sigma_(k-1) and loads[k + 1] = sigma_k, summed afresh, without drift.
    work = [rate * mean for rate, mean in zip(rates, means, strict=True)]
    loads = [math.fsum(work[:k]) for k in range(len(work) + 1)]
    n_stable = sum(load < 1 for load in loads) - 1
    in_service = [rate * square for rate, square in zip(rates, squares, strict=True)][:n_stable]
    if n_stable < len(work):
        served = (1 - loads[n_stable]) / means[n_stable]
        in_service.append(served * squares[n_stable])
    residual = math.fsum(in_service) / 2
    waits = [residual / ((1 - loads[k]) * (1 - loads[k + 1])) for k in range(n_stable)]
    return waits + [math.inf] * (len(work) - n_stable)


def retry_amplification(r: float) -> float:
    """Return how many attempts a request costs when failed ones are always retried.

    Parameters
    ----------
    r : float
        Probability that an attempt fails and is retried, in [0, 1].

    Returns
    -------
    float
        1 / (1 - r) attempts per request; inf for r = 1.

    Notes
    -----
    1 + r + r^2 + ..., if every attempt fails alike. Under overload r itself rises with
    the load, which is how a retry storm feeds itself.

    Examples
    --------
    >>> retry_amplification(0), retry_amplification(0.5)
    (1.0, 2.0)
    """
    r = probability("r", r)
    return math.inf if r == 1 else 1 / (1 - r)


class TokenBucket:
    """A rate limiter that lets bursts through and holds the long-run rate.

    The bucket holds at most `burst` tokens and starts full; `rate` tokens flow in each
    second; a request takes tokens or is refused.

    Parameters
    ----------
    rate : float
        Tokens added per second [1/s], at least 0.
    burst : float
        Capacity of the bucket [tokens], greater than 0.

    Notes
    -----
    In any span of t seconds at most burst + rate t tokens are granted (plus a
    billionth for each call: a token short by less, as rounding leaves it, counts).

    Examples
    --------
    >>> bucket = TokenBucket(rate=2, burst=3)
    >>> [bucket.allow(0.0) for _ in range(4)]
    [True, True, True, False]
    >>> bucket.allow(0.25), bucket.allow(0.5)
    (False, True)
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = finite_non_negative("rate", rate)
        self._burst = finite_positive("burst", burst)
        self._tokens = self._burst
        self._time_s = -math.inf

    def __repr__(self) -> str:
        return f"TokenBucket(rate={self._rate:g}, burst={self._burst:g})"

    @property
    def tokens(self) -> float:
        """Tokens in the bucket at the time of the last call."""
        return self._tokens

    def allow(self, t_s: float, cost: float = 1) -> bool:
        """Grant a request at a time, or refuse it and take nothing.

        Parameters
        ----------
        t_s : float
            Time of the request [s], not before that of the call before.
        cost : float
            Tokens that the request takes, at least 0. More than the capacity of the
            bucket is never granted.

        Returns
        -------
        bool
            Whether the request may go ahead.

        Raises
        ------
        ValueError
            If time goes back.

        Examples
        --------
        >>> TokenBucket(rate=1, burst=5).allow(0.0, cost=6)
        False
        """
        t_s, cost = finite("t_s", t_s), finite_non_negative("cost", cost)
        if t_s < self._time_s:
            raise ValueError(f"t_s must not go back before {self._time_s!r}, got {t_s!r}")
        if self._tokens < self._burst:
            refilled = self._tokens + self._rate * (t_s - self._time_s)
            self._tokens = min(self._burst, refilled)
        self._time_s = t_s
        if cost > self._tokens + _ROUNDING:
            return False
        self._tokens = max(0.0, self._tokens - cost)
        return True
