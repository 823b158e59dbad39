"""Flow through a system, seen on one sample path: Little's law and Lindley's recursion.

Nothing here is random. The functions take the times that a log holds and return
what follows from them by accounting alone, or size the memory for a given flow.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import TypedDict

from servemath_helpers._validate import (
    finite_non_negative,
    finite_numbers_in,
    same_length,
)

__all__ = [
    "FlowAverages",
    "LittlesGauge",
    "lindley_waits",
    "littles_from_trace",
    "littles_gauge",
]


class LittlesGauge(TypedDict):
    """Requests in flight, their memory in bytes, and the arrival rate that fills it."""

    L: float
    mem_bytes: float
    fits: bool
    lam_max: float


class FlowAverages(TypedDict):
    """Arrival rate [1/s], mean time in the system [s], mean number in the system."""

    lam: float
    W: float
    L: float


def littles_gauge(lam: float, W: float, bytes_per_req: float, ram_bytes: float) -> LittlesGauge:
    """Return how many requests are in flight and whether their memory fits.

    Parameters
    ----------
    lam : float
        Arrival rate [1/s], at least 0.
    W : float
        Mean time in the system [s], at least 0.
    bytes_per_req : float
        Memory that a request holds while it is in the system [bytes], at least 0.
    ram_bytes : float
        Memory for requests [bytes], at least 0.

    Returns
    -------
    dict
        ``L`` mean number in the system; ``mem_bytes`` the memory that they hold on
        average [bytes]; ``fits`` whether that is at most `ram_bytes`; ``lam_max`` the
        arrival rate at which it is exactly `ram_bytes` [1/s], not rounded, inf if
        requests hold nothing.

    Notes
    -----
    L = lam W, mem_bytes = L bytes_per_req, lam_max = ram_bytes / (bytes_per_req W). All
    are means: for much of the time more than the mean is in use, so a pool
    needs room above it.

    Examples
    --------
    >>> littles_gauge(lam=40, W=2, bytes_per_req=419_430_400, ram_bytes=499e9)["L"]
    80.0
    >>> littles_gauge(100, 0.25, 2e6, 80e6)
    {'L': 25.0, 'mem_bytes': 50000000.0, 'fits': True, 'lam_max': 160.0}
    """
    lam, W = finite_non_negative("lam", lam), finite_non_negative("W", W)
    each = finite_non_negative("bytes_per_req", bytes_per_req)
    ram = finite_non_negative("ram_bytes", ram_bytes)
    number = lam * W
    memory = number * each
    return {
        "L": number,
        "mem_bytes": memory,
        "fits": memory <= ram,
        "lam_max": ram / (each * W) if each * W > 0 else math.inf,
    }


def lindley_waits(arrivals: Iterable[float], services: Iterable[float]) -> list[float]:
    """Return each request's wait for one server, first come, first served.

    Parameters
    ----------
    arrivals : iterable of float
        Arrival times [s], at least 0, in order; several may be equal.
    services : iterable of float
        Service time of each request [s], at least 0, as many.

    Returns
    -------
    list of float
        Time from arrival to the start of service [s]; [] for an empty trace.

    Raises
    ------
    ValueError
        If the lengths differ, a time is negative or infinite, or the arrivals are not
        in order.

    Notes
    -----
    W[0] = 0 and W[k+1] = max(0, W[k] + S[k] - A[k]), with A[k] the time from arrival k
    to arrival k + 1. The whole workload that arrival k leaves behind is W[k] + S[k];
    the next one finds what the server has not worked off by then.

    References
    ----------
    D. V. Lindley, "The theory of queues with a single server", Mathematical
    Proceedings of the Cambridge Philosophical Society 48 (1952).

    Examples
    --------
    >>> lindley_waits([0, 1, 2, 10], [3, 3, 3, 1])
    [0.0, 2.0, 4.0, 0.0]
    """
    times = finite_numbers_in("arrivals", arrivals, minimum=0, empty_allowed=True)
    works = finite_numbers_in("services", services, minimum=0, empty_allowed=True)
    same_length(arrivals=times, services=works)
    waits = [0.0] * len(times)
    for k, (now, after) in enumerate(itertools.pairwise(times)):
        if after < now:
            raise ValueError(
                f"arrivals must be in order, got {after!r} after {now!r} at index {k + 1}"
            )
        waits[k + 1] = max(0.0, waits[k] + works[k] - (after - now))
    return waits


def littles_from_trace(arrivals: Iterable[float], departures: Iterable[float]) -> FlowAverages:
    """Return arrival rate, mean stay and mean number in the system of a trace.

    Parameters
    ----------
    arrivals : iterable of float
        Arrival times [s], at least 0, in any order.
    departures : iterable of float
        Departure time of the request of the same index [s].

    Returns
    -------
    dict
        Averages over the window from 0 to the last departure: ``lam`` arrivals per
        second; ``W`` mean time in the system [s]; ``L`` time average of the number in
        the system, from the area under it.

    Raises
    ------
    ValueError
        If the trace is empty, the lengths differ, a time is negative or infinite, a
        departure is before its arrival, or the window has no length.

    Notes
    -----
    The window begins and ends with an empty system, so L = lam W holds exactly: area
    by columns equals area by rows. Nothing is assumed of the arrival process, the
    service times, the order of service or the number of servers.

    References
    ----------
    J. D. C. Little, "A proof for the queuing formula L = lambda W", Operations
    Research 9 (1961).

    Examples
    --------
    >>> littles_from_trace([0, 1, 2], [4, 3, 8])
    {'lam': 0.375, 'W': 4.0, 'L': 1.5}
    """
    starts = finite_numbers_in("arrivals", arrivals, minimum=0)
    ends = finite_numbers_in("departures", departures, minimum=0)
    same_length(arrivals=starts, departures=ends)
    stays = [end - start for start, end in zip(starts, ends, strict=True)]
    if min(stays) < 0:
        k = next(index for index, stay in enumerate(stays) if stay < 0)
        raise ValueError(
            f"departures[{k}] must be at least arrivals[{k}] = {starts[k]!r}, got {ends[k]!r}"
        )
    window = max(ends)
    if window == 0:
        raise ValueError("departures must end after time 0, got 0.0 as the last one")

    changes = sorted([(time, 1) for time in starts] + [(time, -1) for time in ends])
    rectangles, present = [], 0
    for (time, change), (until, _) in itertools.pairwise(changes):
        present += change
        rectangles.append(present * (until - time))
    return {
        "lam": len(starts) / window,
        "W": math.fsum(stays) / len(stays),
        "L": math.fsum(rectangles) / window,
    }
