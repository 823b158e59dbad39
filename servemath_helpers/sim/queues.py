"""Queues, customer by customer: one server, many, none to spare, batches.

First come, first served. Instants closer than a nanosecond count as the same instant, and
at one instant a departure comes before an arrival, so that the rounding of a time never
decides whether a frame is lost. A trace without arrivals gives an empty result.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from heapq import heapify, heappop, heappush, heapreplace
from typing import Literal

import numpy as np
import numpy.typing as npt

from servemath_helpers._validate import finite_non_negative, whole
from servemath_helpers.sim._arrays import SAME_INSTANT_S, FloatArray, sorted_times
from servemath_helpers.sim.results import BatchResult, LossResult, QueueResult, checked_services

__all__ = ["simulate_batch", "simulate_gg1", "simulate_ggc", "simulate_loss"]

Times = Iterable[float] | npt.NDArray[np.float64]
BatchPolicy = Literal["fixed", "greedy", "window"]

#: Customers per vectorised pass: few enough to stay in cache, and rounding errors of the
#: cumulative sums start afresh with each block.
_BLOCK = 16_384


def _checked(arrivals_s: Times, services_s: Times) -> tuple[FloatArray, FloatArray]:
    arrivals = sorted_times("arrivals_s", arrivals_s, empty_allowed=True)
    return arrivals, checked_services(services_s, arrivals.size)


def _lindley(arrivals: FloatArray, services: FloatArray) -> FloatArray:
    """Return the waits of one server: W[k+1] = max(0, W[k] + S[k] - A[k]), vectorised."""
    n = arrivals.size
    wait = np.empty(n)
    carried = 0.0  # wait of the first customer of the block
    for first in range(0, n, _BLOCK):
        last = min(first + _BLOCK, n)
        block = wait[first:last]
        block[0] = carried
        # steps S[k] - (a[k+1] - a[k]); their running sum, less its minimum so far (no
        # more than 0), is the wait
        np.subtract(arrivals[first : last - 1], arrivals[first + 1 : last], out=block[1:])
        block[1:] += services[first : last - 1]
        np.cumsum(block, out=block)
        floor = np.minimum.accumulate(block)
        np.minimum(floor, 0.0, out=floor)
        block -= floor
        if last < n:
            gap = arrivals[last] - arrivals[last - 1]
            carried = max(0.0, float(block[-1] + services[last - 1] - gap))
    return wait


def simulate_gg1(arrivals_s: Times, services_s: Times) -> QueueResult:
    """One server, first come first served, any arrivals and any service times.

    Parameters
    ----------
    arrivals_s : array_like
        Instants of arrival [s], at least 0, ascending.
    services_s : array_like
        Service time of each [s], at least 0.

    Returns
    -------
    QueueResult
        Waits, sojourns and departures in the order of arrival.

    Raises
    ------
    ValueError
        If the arrivals are not sorted, the lengths differ, or a time is negative, infinite
        or not a number.

    Notes
    -----
    Lindley's recursion ``W[k+1] = max(0, W[k] + S[k] - A[k])`` is a cumulative sum less its
    running minimum, so NumPy does it without a loop over customers.

    References
    ----------
    Lindley (1952), "The theory of queues with a single server", Mathematical Proceedings
    of the Cambridge Philosophical Society 48(2).

    Examples
    --------
    >>> run = simulate_gg1([0, 1, 2, 10], [3, 3, 3, 1])
    >>> run.wait_s.tolist(), run.departure_s.tolist()
    ([0.0, 2.0, 4.0, 0.0], [3.0, 6.0, 9.0, 11.0])
    """
    arrivals, services = _checked(arrivals_s, services_s)
    return QueueResult(arrival_s=arrivals, wait_s=_lindley(arrivals, services), service_s=services)


def simulate_ggc(arrivals_s: Times, services_s: Times, c: int) -> QueueResult:
    """Many servers behind one queue, first come first served.

    Parameters
    ----------
    arrivals_s : array_like
        Instants of arrival [s], at least 0, ascending.
    services_s : array_like
        Service time of each [s], at least 0.
    c : int
        Servers, at least 1.

    Returns
    -------
    QueueResult
        Waits, sojourns and departures in the order of arrival.

    Raises
    ------
    ValueError
        If the arrivals are not sorted or the lengths differ.

    Notes
    -----
    A heap holds when each server becomes free; every customer takes the first of them. Two
    customers may leave in another order than they came.

    References
    ----------
    Kiefer and Wolfowitz (1955), "On the theory of queues with many servers",
    Transactions of the American Mathematical Society 78.

    Examples
    --------
    >>> simulate_ggc([0, 1, 2, 10], [3, 3, 3, 1], c=2).wait_s.tolist()
    [0.0, 0.0, 1.0, 0.0]
    """
    arrivals, services = _checked(arrivals_s, services_s)
    c = whole("c", c, 1)
    if c == 1:
        wait = _lindley(arrivals, services)
    else:
        free = [0.0] * min(c, max(arrivals.size, 1))
        starts: list[float] = []
        push = starts.append
        for start, service in zip(arrivals.tolist(), services.tolist(), strict=True):
            if free[0] > start:
                start = free[0]
            push(start)
            heapreplace(free, start + service)
        wait = np.array(starts, dtype=np.float64) - arrivals
    return QueueResult(arrival_s=arrivals, wait_s=wait, service_s=services, servers=c)


def simulate_loss(
    arrivals_s: Times, services_s: Times, c: int = 1, *, buffer: int = 0
) -> LossResult:
    """Servers with room for a few waiting customers or none; who finds no room is lost.

    Parameters
    ----------
    arrivals_s : array_like
        Instants of arrival [s], at least 0, ascending.
    services_s : array_like
        Service time of each arrival [s], at least 0, those that will be lost included.
    c : int, optional
        Servers, at least 1.
    buffer : int, optional
        Customers that can wait, at least 0.

    Returns
    -------
    LossResult
        Waits and sojourns of those who got in, and who that was.

    Raises
    ------
    ValueError
        If the arrivals are not sorted or the lengths differ.

    Notes
    -----
    Without a buffer this is G/G/c/c; for Poisson arrivals the share lost is Erlang's B,
    whatever the service distribution (`servemath_helpers.queueing.erlang_b`).

    Examples
    --------
    Audio frames every 10 ms that take 8 ms never collide; one that comes early is lost.

    >>> simulate_loss([0, 0.01, 0.02, 0.03], [0.008] * 4).loss_fraction()
    0.0
    >>> run = simulate_loss([0, 0.01, 0.015, 0.03], [0.008] * 4)
    >>> run.accepted.tolist()
    [True, True, False, True]
    """
    arrivals, services = _checked(arrivals_s, services_s)
    c, buffer = whole("c", c, 1), whole("buffer", buffer)
    accepted: list[bool] = []
    waits: list[float] = []
    free: list[float] = [0.0] * min(c, max(arrivals.size, 1))  # when each server is free
    heapify(free)
    starts: list[float] = []  # of those who wait, a heap
    for arrival, service in zip(arrivals.tolist(), services.tolist(), strict=True):
        now = arrival + SAME_INSTANT_S
        while starts and starts[0] <= now:
            heappop(starts)
        if free[0] <= now:
            heapreplace(free, arrival + service)
            waits.append(0.0)
        elif len(starts) < buffer:
            heappush(starts, free[0])
            waits.append(free[0] - arrival)
            heapreplace(free, free[0] + service)
        else:
            accepted.append(False)
            continue
        accepted.append(True)
    mask = np.array(accepted, dtype=bool)
    return LossResult(
        arrival_s=arrivals[mask],
        wait_s=np.array(waits, dtype=np.float64),
        service_s=services[mask],
        servers=c,
        accepted=mask,
    )


def simulate_batch(
    arrivals_s: Times,
    B: int,
    alpha_s: float,
    beta_s: float,
    policy: BatchPolicy = "fixed",
    window_s: float | None = None,
) -> BatchResult:
    """One server that takes up to B customers at once and needs alpha + beta B seconds.

    Parameters
    ----------
    arrivals_s : array_like
        Instants of arrival [s], at least 0, ascending.
    B : int
        Largest batch, at least 1.
    alpha_s, beta_s : float
        Time per batch and per customer in it [s], at least 0.
    policy : {"fixed", "greedy", "window"}, optional
        ``"fixed"`` waits until B customers are there. ``"greedy"`` serves whoever waits as
        soon as it is free. ``"window"`` starts when B are there or the oldest of them has
        waited for `window_s`.
    window_s : float, optional
        Seconds, at least 0; for ``"window"`` only.

    Returns
    -------
    BatchResult
        Waits, sojourns and departures in the order of arrival, and the batches.

    Raises
    ------
    ValueError
        If the arrivals are not sorted.

    Notes
    -----
    Under ``"fixed"`` the customers left over at the end of the arrivals are served as a
    last, smaller batch when the last of them has come. All of a batch leave together.

    Examples
    --------
    >>> arrivals_s = [0, 0.01, 0.02, 0.03, 0.30]
    >>> for policy in ("fixed", "greedy"):
    ...     run = simulate_batch(arrivals_s, B=2, alpha_s=0.05, beta_s=0.005, policy=policy)
    ...     print(policy, run.batch_size.tolist(), round(float(run.sojourn_s.mean()), 4))
    fixed [2, 2, 1] 0.079
    greedy [1, 2, 1, 1] 0.09
    """
    arrivals = sorted_times("arrivals_s", arrivals_s, empty_allowed=True)
    B = whole("B", B, 1)
    alpha_s = finite_non_negative("alpha_s", alpha_s)
    beta_s = finite_non_negative("beta_s", beta_s)
    if policy not in ("fixed", "greedy", "window"):
        raise ValueError(f"policy must be 'fixed', 'greedy' or 'window', got {policy!r}")
    patience = {"fixed": math.inf, "greedy": 0.0}.get(policy, math.nan)
    if policy == "window":
        patience = finite_non_negative("window_s", window_s)
    elif window_s is not None:
        raise ValueError(f"window_s must be None unless policy is 'window', got {window_s!r}")

    at = arrivals.tolist()
    n = len(at)
    starts: list[float] = []
    sizes: list[int] = []
    free, head = 0.0, 0  # when the server is free, and the oldest customer waiting
    while head < n:
        end = head + B
        complete = at[end - 1] if end <= n else (at[-1] if patience == math.inf else math.inf)
        start = max(free, min(complete, at[head] + patience))
        tail = bisect_right(at, start + SAME_INSTANT_S, head, min(end, n))
        start = max(start, at[tail - 1])
        starts.append(start)
        sizes.append(tail - head)
        free = start + alpha_s + beta_s * (tail - head)
        head = tail

    start_s, size = np.array(starts, dtype=np.float64), np.array(sizes, dtype=np.int64)
    service_s = np.asarray(alpha_s + beta_s * size, dtype=np.float64)
    return BatchResult(
        arrival_s=arrivals,
        wait_s=np.repeat(start_s, size) - arrivals,
        service_s=np.repeat(service_s, size),
        batch_start_s=start_s,
        batch_service_s=service_s,
        batch_size=size,
        max_batch=B,
        full_batch_s=alpha_s + beta_s * B,
    )
