"""Capacity planning: servers from a latency promise, then memory and money from servers.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypedDict

from servemath_helpers._validate import finite_non_negative, finite_positive
from servemath_helpers.flow import littles_gauge
from servemath_helpers.quantities import exact_at_least
from servemath_helpers.queueing import mmc_sojourn_quantile_s, mmc_wait

if TYPE_CHECKING:
    from servemath_helpers.quantities import Exact

__all__ = ["CapacityPlan", "capacity_plan"]

# Relative rounding error below which a budget counts as equal to the idle P99.
_ROUNDING = 1e-12


class CapacityPlan(TypedDict):
    """Servers, utilisation, P99 [s], requests in flight, memory verdict, USD per hour."""

    c: int
    rho: float
    p99: float
    L: float
    mem_ok: bool
    cost: float


def capacity_plan(
    lam: float,
    S: float,
    p99_budget: float,
    bytes_per_req: float,
    ram_bytes: float,
    usd_h: Exact,
) -> CapacityPlan | None:
    """Return the smallest pool that keeps a P99 promise, with its memory and cost.

    Parameters
    ----------
    lam : float
        Arrival rate, Poisson [1/s], at least 0.
    S : float
        Mean service time, exponential [s], greater than 0.
    p99_budget : float
        Bound on the 99th percentile of the time in the system [s], at least 0.
    bytes_per_req : float
        Memory that a request holds while it is in the system [bytes], at least 0.
    ram_bytes : float
        Memory for requests of the whole pool [bytes], at least 0; it does not depend
        on the number of servers and never changes it.
    usd_h : int, str, Decimal, Fraction or float
        Price of one server [USD per hour], at least 0.

    Returns
    -------
    dict or None
        ``c`` the least number of servers whose exact M/M/c P99 is within the budget;
        ``rho`` utilisation lam S / c; ``p99`` of the time in the system [s]; ``L`` mean
        number in the system, lam (Wq + S); ``mem_ok`` whether L bytes_per_req is at most
        ram_bytes; ``cost`` c usd_h [USD per hour]. None if no number of servers is
        enough, which is so for every budget of at most S ln 100.

    Notes
    -----
    Even a request that never waits has a P99 of S ln 100 = 4.605 S, because service
    itself is random; servers remove waiting, not service. The P99 falls with c, so the
    least c is found by doubling and bisection.

    References
    ----------
    L. Kleinrock, *Queueing Systems, Volume 1: Theory*, 1975, section 3.5 (the queue);
    the tail is that of `servemath_helpers.queueing.mmc_sojourn_tail`.

    Examples
    --------
    >>> plan = capacity_plan(100, 0.05, 0.3, 4e8, 5e9, "2.50")
    >>> plan["c"], round(plan["rho"], 3), round(plan["p99"], 4), plan["mem_ok"], plan["cost"]
    (7, 0.714, 0.2442, True, 17.5)
    >>> print(capacity_plan(100, 0.05, 0.23, 4e8, 5e9, "2.50"))
    None
    """
    lam, S = finite_non_negative("lam", lam), finite_positive("S", S)
    budget = finite_non_negative("p99_budget", p99_budget)
    finite_non_negative("bytes_per_req", bytes_per_req)
    finite_non_negative("ram_bytes", ram_bytes)
    price = exact_at_least(usd_h, 0, "usd_h")
    if budget <= S * math.log(100) * (1 + _ROUNDING):
        return None

    def p99(c: int) -> float:
        return mmc_sojourn_quantile_s("0.99", lam, 1 / S, c)

    low = math.floor(lam * S)  # too few: not stable
    c, step = low + 1, 1
    while p99(c) > budget:
        low, c, step = c, c + step, 2 * step
    while c - low > 1:
        middle = (low + c) // 2
        if p99(middle) > budget:
            low = middle
        else:
            c = middle

    held = littles_gauge(lam, mmc_wait(lam, 1 / S, c) + S, bytes_per_req, ram_bytes)
    return {
        "c": c,
        "rho": lam * S / c,
        "p99": p99(c),
        "L": held["L"],
        "mem_ok": held["fits"],
        "cost": float(price * c),
    }
