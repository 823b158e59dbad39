"""Batches: what they cost, how long they take to form, and which size is best.

A batch of B takes S(B) = alpha + beta B: a fixed part (weights read once, launches)
and a part for each request. Any one unit of time serves for alpha, beta and 1 / lam;
the course uses milliseconds and requests per millisecond.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from servemath_helpers._validate import (
    finite_non_negative,
    finite_positive,
    non_negative,
    numbers_in,
    same_length,
    whole,
)
from servemath_helpers.quantities import exact, exact_at_least
from servemath_helpers.queueing import kingman_wait

if TYPE_CHECKING:
    from servemath_helpers.quantities import Exact

__all__ = [
    "batch_latency",
    "batch_metrics",
    "batch_service_time",
    "best_fixed_batch",
    "choose_batch",
    "formation_wait",
    "min_stable_batch",
]


def batch_service_time(B: int, alpha: float, beta: float) -> float:
    """Return the time that a batch of B requests takes.

    Parameters
    ----------
    B : int
        Batch size, at least 1.
    alpha : float
        Time per batch, at least 0.
    beta : float
        Time per request in the batch [same unit], at least 0.

    Returns
    -------
    float
        alpha + beta B [same unit].

    Examples
    --------
    >>> batch_service_time(32, 20, 1)
    52.0
    """
    B = whole("B", B, minimum=1)
    return finite_non_negative("alpha", alpha) + finite_non_negative("beta", beta) * B


def formation_wait(B: int, lam: float) -> float:
    """Return the mean time that a request waits for its batch to fill.

    Parameters
    ----------
    B : int
        Batch size, at least 1.
    lam : float
        Arrival rate [1 / time unit], at least 0.

    Returns
    -------
    float
        (B - 1) / (2 lam) [time unit]; at lam = 0 it is inf for B > 1 and 0 for B = 1.

    Notes
    -----
    The first of the batch waits for B - 1 arrivals, the last for none. A batch of one
    never waits to form, whatever a timeout window says.

    Examples
    --------
    >>> formation_wait(7, 0.1), formation_wait(1, 0.1)
    (30.0, 0.0)
    """
    B, lam = whole("B", B, minimum=1), finite_non_negative("lam", lam)
    if B == 1:
        return 0.0
    return math.inf if lam == 0 else (B - 1) / (2 * lam)


def _load(B: int, lam: float, S: float, alpha: Exact, beta: Exact) -> float:
    """Return lam S / B, on the right side of 1 even where rounding would decide."""
    rho = lam * S / B
    if abs(rho - 1) > 1e-9:
        return rho
    true = exact(lam) * (exact(alpha) + exact(beta) * B) / B
    return max(1.0, float(true)) if true >= 1 else min(float(true), math.nextafter(1, 0))


def batch_metrics(B: int, lam: float, alpha: float, beta: float) -> dict[str, float | bool]:
    """Return service time, throughput, load, stability and formation wait of a batch size.

    Parameters
    ----------
    B : int
        Batch size, at least 1.
    lam : float
        Arrival rate [1 / time unit], at least 0.
    alpha : float
        Time per batch, at least 0.
    beta : float
        Time per request in the batch, at least 0; not both may be 0.

    Returns
    -------
    dict
        ``S`` service time of a batch [time unit]; ``throughput`` B / S [1 / time
        unit]; ``rho`` lam S / B; ``stable`` whether rho < 1; ``formation`` mean wait
        for the batch to fill [time unit], see `formation_wait`.

    Notes
    -----
    Throughput rises towards 1 / beta and reaches half of it at B = alpha / beta. At
    rho = 1 stability is decided on the exact decimals.

    Examples
    --------
    >>> batch_metrics(25, 0.2, 20, 1)
    {'S': 45.0, 'throughput': 0.5555555555555556, 'rho': 0.36, 'stable': True, 'formation': 60.0}
    """
    S = batch_service_time(B, alpha, beta)
    if S == 0:
        raise ValueError("alpha and beta must not both be 0, got 0 and 0")
    B, formation = int(B), formation_wait(B, lam)
    rho = _load(B, float(lam), S, alpha, beta)
    return {
        "S": S,
        "throughput": B / S,
        "rho": rho,
        "stable": rho < 1,
        "formation": formation,
    }


def min_stable_batch(lam: Exact, alpha: Exact, beta: Exact) -> int | None:
    """Return the smallest batch size that keeps up with the arrivals.

    Parameters
    ----------
    lam : int, str, Decimal, Fraction or float
        Arrival rate [1 / time unit], at least 0.
    alpha : int, str, Decimal, Fraction or float
        Time per batch, at least 0.
    beta : int, str, Decimal, Fraction or float
        Time per request in the batch, at least 0.

    Returns
    -------
    int or None
        The least B with lam (alpha + beta B) < B; None if no batch is large enough.

    Notes
    -----
    floor(lam alpha / (1 - lam beta)) + 1 if lam beta < 1. The inequality is strict: a
    load of exactly 1 is not stable.

    Examples
    --------
    >>> min_stable_batch("0.1", 50, "0.5"), min_stable_batch("0.2", 20, 1)
    (6, 6)
    >>> print(min_stable_batch(1, 20, 1))
    None
    """
    rate = exact_at_least(lam, 0, "lam")
    fixed, each = exact_at_least(alpha, 0, "alpha"), exact_at_least(beta, 0, "beta")
    if rate * each >= 1:
        return None
    return math.floor(rate * fixed / (1 - rate * each)) + 1


def batch_latency(B: int, lam: float, alpha: float, beta: float) -> float:
    """Return the approximate mean time in a system that serves batches of exactly B.

    Parameters
    ----------
    B : int
        Batch size, at least 1.
    lam : float
        Arrival rate [1 / time unit], greater than 0.
    alpha : float
        Time per batch, at least 0.
    beta : float
        Time per request in the batch, at least 0.

    Returns
    -------
    float
        Formation wait + queueing of batches + service [time unit]; inf if unstable.

    Notes
    -----
    (B - 1) / (2 lam) + Kingman's wait with ca2 = 1 / B (a batch closes with every B-th
    arrival), cs2 = 0 + S(B). An approximation: within 6 % of simulation at B = 6 to 8
    and within 1 % from B = 16 in the course's example.

    Examples
    --------
    With S(B) = 50 + 0.5 B ms and 100 requests/s the latency falls, then rises.

    >>> [round(batch_latency(B, 0.1, 50, 0.5), 1) for B in (5, 6, 7, 8, 16, 32)]
    [inf, 111.4, 95.9, 96.0, 134.0, 221.3]
    """
    S = batch_service_time(B, alpha, beta)
    B, lam = int(B), finite_positive("lam", lam)
    wait = kingman_wait(_load(B, lam, S, alpha, beta), S, 1 / B, 0.0)
    return formation_wait(B, lam) + wait + S


def best_fixed_batch(lam: float, alpha: float, beta: float, b_max: int = 128) -> int | None:
    """Return the fixed batch size of lowest approximate mean latency.

    Parameters
    ----------
    lam : float
        Arrival rate [1 / time unit], greater than 0.
    alpha : float
        Time per batch, at least 0.
    beta : float
        Time per request in the batch, at least 0.
    b_max : int
        Largest size considered, at least 1.

    Returns
    -------
    int or None
        The size from 1 to b_max with the least `batch_latency`, the smallest on a tie;
        None if none of them is stable.

    Examples
    --------
    At 100 requests/s batching pays; at 10 requests/s it does not.

    >>> best_fixed_batch(0.1, 50, 0.5), best_fixed_batch(0.01, 50, 0.5)
    (7, 1)
    """
    sizes = range(1, whole("b_max", b_max, minimum=1) + 1)
    latency, size = min((batch_latency(B, lam, alpha, beta), B) for B in sizes)
    return None if math.isinf(latency) else size


def choose_batch(
    throughput: Iterable[float], latency_ms: Iterable[float], limit_ms: float
) -> int | None:
    """Return the measured option of highest throughput within a latency limit.

    Parameters
    ----------
    throughput : iterable of float
        Throughput of each option [any unit], at least 0.
    latency_ms : iterable of float
        Latency of each option [ms], at least 0, as many as `throughput`.
    limit_ms : float
        Largest accepted latency [ms], at least 0.

    Returns
    -------
    int or None
        Index into the given sequences; ties by lower latency, then by lower index;
        None if no option is within the limit.

    Raises
    ------
    ValueError
        If the lengths differ.

    Examples
    --------
    >>> choose_batch([100, 180, 240], [20, 35, 90], 50)
    1
    >>> print(choose_batch([100, 180, 240], [20, 35, 90], 10))
    None
    """
    rates = numbers_in("throughput", throughput, minimum=0, empty_allowed=True)
    times = numbers_in("latency_ms", latency_ms, minimum=0, empty_allowed=True)
    same_length(throughput=rates, latency_ms=times)
    limit_ms = non_negative("limit_ms", limit_ms)
    options = zip(rates, times, range(len(rates)), strict=True)
    eligible = [(-rate, ms, index) for rate, ms, index in options if ms <= limit_ms]
    return min(eligible)[2] if eligible else None
