"""Queueing formulas: Little's law, M/M/1, M/M/c, M/G/1, G/G/1, G/G/c, and closed loops.

Symbols, here and in the course: ``lam`` arrival rate, ``mu`` service rate of one
server, ``c`` number of servers, ``a = lam / mu`` offered load in servers,
``rho = a / c`` utilisation, ``W`` time in the system, ``Wq`` time in the queue,
``L`` and ``Lq`` the numbers there, ``ca2`` and ``cs2`` squared coefficients of
variation of the times between arrivals and of the service times. Rates are per
second and times in seconds; any other unit works if all arguments share it.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypedDict

from servemath_helpers._validate import (
    finite_non_negative,
    finite_numbers_in,
    finite_positive,
    non_negative,
    whole,
)
from servemath_helpers.quantities import exact_probability

if TYPE_CHECKING:
    from servemath_helpers.quantities import Exact

__all__ = [
    "ClosedNetwork",
    "FiniteQueue",
    "allen_cunneen_wait",
    "erlang_b",
    "erlang_c",
    "implied_cs",
    "kingman_wait",
    "littles_law",
    "max_utilization",
    "mm1",
    "mm1_sojourn_quantile_s",
    "mmc_sojourn_quantile_s",
    "mmc_sojourn_tail",
    "mmc_wait",
    "mmck",
    "mva",
    "pk_wait",
]

# Relative rounding error below which a difference counts as zero.
_ROUNDING = 1e-12


class FiniteQueue(TypedDict):
    """Share lost, rate let in, utilisation, and numbers and times of those who are let in."""

    loss: float
    lam_in: float
    rho: float
    L: float
    Lq: float
    W: float
    Wq: float


class ClosedNetwork(TypedDict):
    """Users who go round among stations: throughput, response time, number at each station."""

    X: float
    R: float
    queue: list[float]


def littles_law(lam: float | None = None, W: float | None = None, L: float | None = None) -> float:
    """Return the one of L = lam W that is not given.

    Parameters
    ----------
    lam : float, optional
        Arrival rate, equal to the departure rate over a long time [1/s], at least 0.
    W : float, optional
        Mean time in the system [s], at least 0.
    L : float, optional
        Mean number in the system, at least 0.

    Returns
    -------
    float
        The quantity left as None: L [requests], lam [1/s] or W [s].

    Raises
    ------
    ValueError
        Unless exactly one argument is None; if one is negative or infinite; if the
        answer would divide by zero.

    Notes
    -----
    The law needs a stable system and averages over the same boundary for all three
    quantities, and nothing else: no assumption on arrivals, service or order. Around
    the queue alone it reads Lq = lam Wq.

    References
    ----------
    J. D. C. Little, "A proof for the queuing formula L = lambda W", Operations
    Research 9 (1961).

    Examples
    --------
    >>> littles_law(lam=20, W=1.5)
    30.0
    >>> littles_law(L=30, W=1.5)
    20.0
    """
    if sum(value is None for value in (lam, W, L)) != 1:
        raise ValueError(
            f"exactly one of lam, W and L must be None, got lam={lam!r}, W={W!r}, L={L!r}"
        )
    if L is None:
        return finite_non_negative("lam", lam) * finite_non_negative("W", W)
    name, value = ("W", W) if lam is None else ("lam", lam)
    count, divisor = finite_non_negative("L", L), finite_non_negative(name, value)
    if divisor == 0:
        raise ValueError(f"{name} must be greater than 0 to divide L by it, got 0")
    return count / divisor


def mm1(lam: float, mu: float) -> dict[str, float]:
    """Return the steady state of one server with Poisson arrivals, exponential service.

    Parameters
    ----------
    lam : float
        Arrival rate [1/s], at least 0.
    mu : float
        Service rate [1/s], greater than 0.

    Returns
    -------
    dict
        ``rho`` utilisation lam / mu; ``W`` mean time in the system [s]; ``Wq`` mean
        wait in the queue [s]; ``L``, ``Lq`` mean numbers in system and queue; ``p99``
        99th percentile of the time in the system [s]. From rho = 1 on, all but
        ``rho`` are inf.

    Notes
    -----
    W = 1 / (mu - lam), Wq = rho W, L = rho / (1 - rho), Lq = rho L. First come, first
    served, the time in the system is exponential, so that p99 = W ln 100.

    References
    ----------
    L. Kleinrock, *Queueing Systems, Volume 1: Theory*, 1975, chapter 3.

    Examples
    --------
    >>> {key: round(value, 3) for key, value in mm1(30, 50).items()}
    {'rho': 0.6, 'W': 0.05, 'Wq': 0.03, 'L': 1.5, 'Lq': 0.9, 'p99': 0.23}
    """
    lam, mu = finite_non_negative("lam", lam), finite_positive("mu", mu)
    rho = lam / mu
    if lam >= mu:
        return {"rho": rho, **dict.fromkeys(("W", "Wq", "L", "Lq", "p99"), math.inf)}
    mean = 1 / (mu - lam)
    number = lam * mean
    return {
        "rho": rho,
        "W": mean,
        "Wq": rho * mean,
        "L": number,
        "Lq": rho * number,
        "p99": mean * math.log(100),
    }


def _service_times(q: Exact) -> tuple[float, float]:
    """Return 1 - q, and how many means an exponential time's quantile q lies at."""
    q_exact = exact_probability(q, "q", zero_allowed=False, one_allowed=False)
    tail = float(1 - q_exact)
    if tail < 1e-300:
        raise ValueError(f"q must be at most 1 - 1e-300, got {q!r}")
    # Each logarithm where it is accurate: log1p keeps the digits of a small q.
    means = -math.log1p(-float(q_exact)) if q_exact < 0.5 else math.log(1 / (1 - q_exact))
    return tail, means


def mm1_sojourn_quantile_s(q: Exact, lam: float, mu: float) -> float:
    """Return the quantile of the time in an M/M/1 system.

    Parameters
    ----------
    q : int, str, Decimal, Fraction or float
        Quantile in (0, 1), for instance "0.99".
    lam : float
        Arrival rate [1/s], at least 0.
    mu : float
        Service rate [1/s], greater than 0.

    Returns
    -------
    float
        The time that a share q of the requests stay within [s]; inf if lam >= mu.

    Notes
    -----
    The time in the system is exponential with rate mu - lam, so its quantile is
    ln(1 / (1 - q)) / (mu - lam).

    Examples
    --------
    >>> round(mm1_sojourn_quantile_s("0.99", 30, 50), 4)
    0.2303
    """
    _, means = _service_times(q)
    lam, mu = finite_non_negative("lam", lam), finite_positive("mu", mu)
    return math.inf if lam >= mu else means / (mu - lam)


def erlang_b(c: int, a: float) -> float:
    """Return the share of Poisson arrivals lost when c servers have no queue.

    Parameters
    ----------
    c : int
        Number of servers, at least 0.
    a : float
        Offered load lam / mu [servers], at least 0.

    Returns
    -------
    float
        Blocking probability in [0, 1]; 1.0 for c = 0.

    Notes
    -----
    B(0, a) = 1 and B(k, a) = a B(k-1, a) / (k + a B(k-1, a)). Every step adds positive
    numbers, so nothing overflows or cancels, whereas a**c / c! overflows beyond c of
    about 150. The result holds for any service time distribution with mean 1 / mu.

    References
    ----------
    L. Kleinrock, *Queueing Systems, Volume 1: Theory*, 1975, section 3.6.

    Examples
    --------
    >>> round(erlang_b(1, 0.8), 4), round(erlang_b(200, 180), 6)
    (0.4444, 0.010325)
    """
    c, a = whole("c", c), finite_non_negative("a", a)
    blocked = 1.0
    for k in range(1, c + 1):
        blocked = a * blocked / (k + a * blocked)
    return blocked


def erlang_c(c: int, a: float) -> float:
    """Return the probability that an arrival to an M/M/c queue has to wait.

    Parameters
    ----------
    c : int
        Number of servers, at least 0.
    a : float
        Offered load lam / mu [servers], at least 0.

    Returns
    -------
    float
        Probability in [0, 1]; 1.0 for a >= c, when the queue has no steady state.

    Notes
    -----
    C = c B / (c - a (1 - B)) with B from `erlang_b`. For one server C = a = rho.

    References
    ----------
    L. Kleinrock, *Queueing Systems, Volume 1: Theory*, 1975, section 3.5.

    Examples
    --------
    >>> round(erlang_c(4, 10 / 3), 5)
    0.65772
    >>> f"{erlang_c(1000, 900):.3e}"
    '5.927e-04'
    """
    c, a = whole("c", c), finite_non_negative("a", a)
    if a >= c:
        return 1.0
    blocked = erlang_b(c, a)
    # c - a (1 - B) as a sum of two positive terms: no cancellation near a = c.
    return c * blocked / ((c - a) + a * blocked)


def _mmc(lam: float, mu: float, c: int) -> tuple[float, float, int]:
    """Check the arguments of an M/M/c queue; return the offered load, mu and c."""
    lam, mu = finite_non_negative("lam", lam), finite_positive("mu", mu)
    return lam / mu, mu, whole("c", c, minimum=1)


def mmc_wait(lam: float, mu: float, c: int) -> float:
    """Return the mean wait in the queue of an M/M/c system.

    Parameters
    ----------
    lam : float
        Arrival rate [1/s], at least 0.
    mu : float
        Service rate of one server [1/s], greater than 0.
    c : int
        Number of servers, at least 1.

    Returns
    -------
    float
        Mean wait in the queue [s], service not included; inf if lam >= c mu.

    Notes
    -----
    Wq = C(c, lam / mu) / (c mu - lam).

    References
    ----------
    L. Kleinrock, *Queueing Systems, Volume 1: Theory*, 1975, section 3.5.

    Examples
    --------
    >>> round(mmc_wait(10, 3, 4), 5)
    0.32886
    >>> round(1000 * mmc_wait(120, 30, 6), 3)
    4.746
    """
    a, mu, c = _mmc(lam, mu, c)
    return math.inf if a >= c else erlang_c(c, a) / ((c - a) * mu)


def mmck(lam: float, mu: float, c: int, K: int) -> FiniteQueue:
    """Return the steady state of c servers with room for K requests, those in service included.

    Parameters
    ----------
    lam : float
        Arrival rate, Poisson [1/s], at least 0; it may exceed what the servers carry.
    mu : float
        Service rate of one server, exponential [1/s], greater than 0.
    c : int
        Servers, at least 1.
    K : int
        Requests that may be inside, at least c; who finds K of them is lost.

    Returns
    -------
    FiniteQueue
        ``loss`` share of arrivals lost; ``lam_in`` rate of the others [1/s]; ``rho`` share of
        the time that a server works; ``L``, ``Lq`` numbers inside and waiting; ``W``, ``Wq``
        mean time inside and waiting of those let in [s].

    Notes
    -----
    M/M/c/K: p_n is in proportion to (lam/mu)^n / n! up to c and to p_c (lam/(c mu))^(n-c)
    beyond; ``loss`` = p_K. With K = c it is Erlang's loss system, for large K the M/M/c
    queue. A longer buffer turns loss into delay.

    References
    ----------
    L. Kleinrock, *Queueing Systems, Volume 1: Theory*, 1975, chapter 3.

    Examples
    --------
    Overload of two servers with four places to wait:

    >>> short = mmck(lam=30, mu=10, c=2, K=6)
    >>> round(short["loss"], 3), round(short["lam_in"], 1), round(short["Wq"], 3)
    (0.36, 19.2, 0.135)
    """
    lam, mu, c = finite_non_negative("lam", lam), finite_positive("mu", mu), whole("c", c, 1)
    K = whole("K", K, c)
    if lam == 0:
        return {"loss": 0.0, "lam_in": 0.0, "rho": 0.0, "L": 0.0, "Lq": 0.0, "W": 1 / mu, "Wq": 0.0}
    # Logarithms, because powers and factorials leave the range of a float.
    logs = [0.0]
    for n in range(1, K + 1):
        logs.append(logs[-1] + math.log(lam / mu / min(n, c)))
    largest = max(logs)
    shares = [math.exp(log - largest) for log in logs]
    total = math.fsum(shares)
    loss = shares[K] / total
    # Counted over the states that let one in, so that no digits are lost where loss is near 1.
    lam_in = lam * math.fsum(shares[:K]) / total
    inside = math.fsum(n * share for n, share in enumerate(shares)) / total
    waiting = math.fsum((n - c) * shares[n] for n in range(c + 1, K + 1)) / total
    return {
        "loss": loss,
        "lam_in": lam_in,
        "rho": lam_in / (c * mu),
        "L": inside,
        "Lq": waiting,
        "W": inside / lam_in,
        "Wq": waiting / lam_in,
    }


def _tail(x: float, a: float, c: int, waiting: float) -> float:
    """Return P(T > x service times) for offered load a < c and Erlang C `waiting`."""
    if math.isinf(x):
        return 0.0
    # The wait of those who wait decays at rate c - a, the service at rate 1 (per mean
    # service time). Their sum is the convolution (e^-x - e^-(c-a)x) / (c-a-1), written
    # from its slower exponential so that nothing overflows, and with expm1 so that
    # nothing cancels where the two rates meet.
    slow, gap = min(1.0, c - a), abs(c - 1 - a)
    convolution = x if gap == 0 else -math.expm1(-x * gap) / gap
    return min(1.0, math.exp(-x) + waiting * math.exp(-x * slow) * convolution)


def mmc_sojourn_tail(t_s: float, lam: float, mu: float, c: int) -> float:
    """Return the probability that a request stays longer than t in an M/M/c system.

    Parameters
    ----------
    t_s : float
        Time [s], at least 0.
    lam : float
        Arrival rate [1/s], at least 0.
    mu : float
        Service rate of one server [1/s], greater than 0.
    c : int
        Number of servers, at least 1.

    Returns
    -------
    float
        P(T > t) in [0, 1]; 1.0 at every t if lam >= c mu.

    Notes
    -----
    First come, first served. With a = lam / mu and C = C(c, a),

    P(T > t) = e^(-mu t) + C (e^(-mu t) - e^(-(c mu - lam) t)) / (c - 1 - a),

    which at a = c - 1 becomes e^(-mu t) (1 + C mu t). It is evaluated in a form that
    neither overflows nor loses digits near a = c - 1.

    References
    ----------
    M. Harchol-Balter, *Performance Modeling and Design of Computer Systems*, 2013,
    chapter 14 (the wait; the time in the system adds an independent service).

    Examples
    --------
    >>> round(mmc_sojourn_tail(0.5, 10, 3, 4), 4)
    0.5087
    """
    t_s = finite_non_negative("t_s", t_s)
    a, mu, c = _mmc(lam, mu, c)
    return 1.0 if a >= c else _tail(mu * t_s, a, c, erlang_c(c, a))


def mmc_sojourn_quantile_s(q: Exact, lam: float, mu: float, c: int) -> float:
    """Return the quantile of the time in an M/M/c system.

    Parameters
    ----------
    q : int, str, Decimal, Fraction or float
        Quantile in (0, 1), for instance "0.99".
    lam : float
        Arrival rate [1/s], at least 0.
    mu : float
        Service rate of one server [1/s], greater than 0.
    c : int
        Number of servers, at least 1.

    Returns
    -------
    float
        The time that a share q of the requests stay within [s]; inf if lam >= c mu.

    Notes
    -----
    The root of ``mmc_sojourn_tail(t) = 1 - q`` by bisection down to neighbouring
    floating-point numbers. For c = 1, and for lam = 0, the closed form.

    Examples
    --------
    At 80 % load the P99 is 23 service times with one server, 6.9 with four.

    >>> [round(mmc_sojourn_quantile_s("0.99", 0.8 * c, 1, c), 2) for c in (1, 2, 4, 8)]
    [23.03, 11.94, 6.89, 5.15]
    """
    tail, means = _service_times(q)
    a, mu, c = _mmc(lam, mu, c)
    if a >= c:
        return math.inf
    if c == 1 or lam == 0:
        return means / (mu - lam)
    waiting = erlang_c(c, a)
    low, high = means, 2 * means  # in service times; waiting only adds
    while _tail(high, a, c, waiting) > tail:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        if _tail(middle, a, c, waiting) > tail:
            low = middle
        else:
            high = middle
    return high / mu


def pk_wait(lam: float, ES: float, cs2: float) -> float:
    """Return the mean wait in the queue of an M/G/1 system.

    Parameters
    ----------
    lam : float
        Arrival rate [1/s], at least 0.
    ES : float
        Mean service time [s], at least 0.
    cs2 : float
        Squared coefficient of variation of the service time, variance / mean**2,
        at least 0: 0 constant, 1 exponential.

    Returns
    -------
    float
        Mean wait in the queue [s], service not included; inf if lam ES >= 1.

    Notes
    -----
    Wq = rho ES (1 + cs2) / (2 (1 - rho)), the Pollaczek-Khinchine formula.

    References
    ----------
    L. Kleinrock, *Queueing Systems, Volume 1: Theory*, 1975, chapter 5.

    Examples
    --------
    >>> [round(pk_wait(80, 0.01, cs2), 3) for cs2 in (0, 1, 4)]
    [0.02, 0.04, 0.1]
    """
    lam, ES = finite_non_negative("lam", lam), finite_non_negative("ES", ES)
    return kingman_wait(lam * ES, ES, 1.0, cs2)


def kingman_wait(rho: float, ES: float, ca2: float, cs2: float) -> float:
    """Return Kingman's approximation of the mean wait in a G/G/1 queue.

    Parameters
    ----------
    rho : float
        Utilisation, at least 0.
    ES : float
        Mean service time [s], at least 0.
    ca2 : float
        Squared coefficient of variation of the times between arrivals, at least 0:
        1 for Poisson arrivals, above 1 for bursty ones.
    cs2 : float
        Squared coefficient of variation of the service times, at least 0.

    Returns
    -------
    float
        Mean wait in the queue [s], service not included; inf if rho >= 1.

    Notes
    -----
    Wq = rho / (1 - rho) * (ca2 + cs2) / 2 * ES. Exact for Poisson arrivals (ca2 = 1),
    asymptotically exact as rho approaches 1, and an approximation elsewhere. Two moments
    do not fix the sign of its error: at rho = 0.5 and ca2 = 9 it is tens of per cent too
    high for intervals of two kinds (hyperexponential), and 44 % too low for geometric
    clumps of five, whose mean wait is (5 - 1 + rho) / (1 - rho) services.

    References
    ----------
    J. F. C. Kingman, "The single server queue in heavy traffic", Mathematical
    Proceedings of the Cambridge Philosophical Society 57 (1961).

    Examples
    --------
    >>> round(kingman_wait(0.8, 0.01, 1, 1), 4), round(kingman_wait(0.8, 0.01, 4, 1), 4)
    (0.04, 0.1)
    """
    rho, ES = non_negative("rho", rho), finite_non_negative("ES", ES)
    ca2, cs2 = finite_non_negative("ca2", ca2), finite_non_negative("cs2", cs2)
    return math.inf if rho >= 1 else rho / (1 - rho) * (ca2 + cs2) / 2 * ES


def implied_cs(wait: float, rho: float, ES: float, ca2: float) -> float | None:
    """Return the variation of service that explains a measured mean wait.

    Parameters
    ----------
    wait : float
        Mean wait in the queue [s], at least 0.
    rho : float
        Utilisation in (0, 1).
    ES : float
        Mean service time [s], greater than 0.
    ca2 : float
        Squared coefficient of variation of the times between arrivals, at least 0.

    Returns
    -------
    float or None
        Coefficient of variation of the service times, standard deviation / mean (not
        its square); None if the wait is too short for `ca2` alone.

    Notes
    -----
    Kingman's formula solved for c_s: c_s**2 = 2 wait (1 - rho) / (rho ES) - ca2. A
    square below zero by no more than rounding counts as zero.

    Examples
    --------
    >>> round(implied_cs(5, 0.9, 15, 0), 5)
    0.27217
    >>> print(implied_cs(5, 0.9, 15, 1))
    None
    """
    wait, ES = finite_non_negative("wait", wait), finite_positive("ES", ES)
    rho = finite_positive("rho", rho)
    if rho >= 1:
        raise ValueError(f"rho must be in (0, 1), got {rho!r}")
    ca2 = finite_non_negative("ca2", ca2)
    square = 2 * wait * (1 - rho) / (rho * ES) - ca2
    if square < -_ROUNDING * ca2:
        return None
    return math.sqrt(max(square, 0.0))


def allen_cunneen_wait(lam: float, mu: float, c: int, ca2: float, cs2: float) -> float:
    """Return the Allen-Cunneen approximation of the mean wait in a G/G/c queue.

    Parameters
    ----------
    lam : float
        Arrival rate [1/s], at least 0.
    mu : float
        Service rate of one server [1/s], greater than 0.
    c : int
        Number of servers, at least 1.
    ca2 : float
        Squared coefficient of variation of the times between arrivals, at least 0.
    cs2 : float
        Squared coefficient of variation of the service times, at least 0.

    Returns
    -------
    float
        Mean wait in the queue [s], service not included; inf if lam >= c mu.

    Notes
    -----
    Wq = C(c, a) / (c mu - lam) * (ca2 + cs2) / 2: the M/M/c wait scaled as Kingman
    scales the M/M/1 wait. Exact for M/M/c; with c = 1 it is Kingman's formula.

    References
    ----------
    A. O. Allen, *Probability, Statistics, and Queueing Theory with Computer Science
    Applications*, second edition, 1990.

    Examples
    --------
    >>> round(allen_cunneen_wait(120, 30, 6, 1, 1) / mmc_wait(120, 30, 6), 6)
    1.0
    """
    ca2, cs2 = finite_non_negative("ca2", ca2), finite_non_negative("cs2", cs2)
    wait = mmc_wait(lam, mu, c)
    return wait if math.isinf(wait) else wait * (ca2 + cs2) / 2


def max_utilization(S: float, budget: float, q: Exact = "0.99", c: int = 1) -> float:
    """Return the highest utilisation at which a latency objective still holds.

    Parameters
    ----------
    S : float
        Mean service time, exponential [s, or any unit shared with `budget`],
        greater than 0.
    budget : float
        Bound on the time in the system at quantile q [same unit], at least 0.
    q : int, str, Decimal, Fraction or float
        Quantile in (0, 1).
    c : int
        Number of pooled servers, at least 1.

    Returns
    -------
    float
        Largest rho = lam S / c in [0, 1) whose quantile q of the time in an M/M/c
        system is within the budget; 0.0 if even an idle system misses it.

    Notes
    -----
    One server: rho = 1 - S ln(1 / (1 - q)) / budget. More: bisection on the exact
    tail of `mmc_sojourn_tail`, which rises with rho.

    Examples
    --------
    >>> round(max_utilization(10, 200), 5), max_utilization(50, 200)
    (0.76974, 0.0)
    >>> [round(max_utilization(1, 10, c=c), 3) for c in (1, 2, 4, 8)]
    [0.539, 0.758, 0.875, 0.936]
    """
    S, budget = finite_positive("S", S), finite_non_negative("budget", budget)
    tail, means = _service_times(q)
    c = whole("c", c, minimum=1)
    if S * means >= budget:
        return 0.0
    if c == 1:
        return 1 - S * means / budget
    low, high = 0.0, 1.0
    for _ in range(50):  # to 1e-15
        middle = (low + high) / 2
        if _tail(budget / S, middle * c, c, erlang_c(c, middle * c)) <= tail:
            low = middle
        else:
            high = middle
    return low


def mva(N: int, think_s: float, demands: Iterable[float]) -> ClosedNetwork:
    """Throughput and response time of a closed loop of users, by exact mean value analysis.

    Parameters
    ----------
    N : int
        Users, at least 1; each sends a request, waits for the answer, thinks, sends the next.
    think_s : float
        Mean time that a user thinks [s], at least 0.
    demands : iterable of float
        Time for which a request occupies each single-server station [s], at least 0, not all 0.

    Returns
    -------
    dict
        ``X`` requests per second, ``R`` mean time from request to answer [s], and the mean
        number at each station, ``queue``.

    Notes
    -----
    For n = 1, 2, ... N: a request finds at station k what n - 1 users leave there on average, so
    ``R_k = D_k (1 + Q_k(n - 1))``, then ``X = n / (Z + sum(R_k))`` and ``Q_k = X R_k``. Exact for
    exponential service, first come, first served (and for other product forms). Limits are
    ``X <= min(N / (D + Z), 1 / max(D_k))``, and ``R = N / X - Z`` holds always.

    References
    ----------
    M. Reiser and S. S. Lavenberg (1980), "Mean-Value Analysis of Closed Multichain Queuing
    Networks", Journal of the ACM 27(2).

    Examples
    --------
    A server that takes half a second, users who think 4.5 s:

    >>> for users in (1, 10, 40):
    ...     loop = mva(users, think_s=4.5, demands=[0.5])
    ...     print(users, round(loop["X"], 3), round(loop["R"], 3))
    1 0.2 0.5
    10 1.664 1.509
    40 2.0 15.5
    """
    N, think = whole("N", N, 1), finite_non_negative("think_s", think_s)
    needed = finite_numbers_in("demands", demands, minimum=0)
    if not any(needed):
        raise ValueError(f"demands must have one above 0, got {needed!r}")
    queue = [0.0] * len(needed)
    for users in range(1, N + 1):
        stays = [demand * (1 + found) for demand, found in zip(needed, queue, strict=True)]
        X, R = users / (think + sum(stays)), sum(stays)
        queue = [X * stay for stay in stays]
    return {"X": X, "R": R, "queue": queue}
