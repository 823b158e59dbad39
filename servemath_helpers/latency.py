"""Latency of one request, and the tail of many.

Percentiles are nearest rank: the element number ``ceil(q n)`` of the sorted sample, with
``q n`` computed exactly, because the double product can land on the wrong side of a whole
number.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from servemath_helpers._validate import (
    finite_non_negative,
    finite_positive,
    numbers_in,
    plain_array,
    probability,
    whole,
)
from servemath_helpers.quantities import Exact, exact_probability

__all__ = [
    "RequestLatency",
    "TailReport",
    "fanout_quantile",
    "fanout_tail",
    "hedged_extra_load",
    "lognormal_quantile",
    "nearest_rank",
    "percentile",
    "percentile_interval",
    "request_latency_ms",
    "tail_report",
    "tpot_ms",
]

Samples = Sequence[float] | npt.NDArray[Any]


class RequestLatency(TypedDict):
    """Time to first token (None without a token) and end to end, in ms."""

    ttft: float | None
    e2e: float


class TailReport(TypedDict):
    """A quantile and what it means behind a fan-out and for hedging."""

    quantile: float
    fanout_p: float
    hedged_extra_load: float


def request_latency_ms(
    queue: float, prefill: float, n_out: int, tpot: float, post: float
) -> RequestLatency:
    """Time to first token and end-to-end time of one request.

    Parameters
    ----------
    queue, prefill : float
        Waiting time and prefill time in ms, at least 0.
    n_out : int
        Tokens generated, at least 0.
    tpot : float
        Time per output token after the first in ms, at least 0.
    post : float
        Time after the last token in ms, at least 0.

    Returns
    -------
    dict
        ``ttft`` in ms, None if no token is generated, and ``e2e`` in ms.

    Notes
    -----
    ``ttft = queue + prefill`` and ``e2e = ttft + (n_out - 1) * tpot + post``: prefill emits
    the first token, so ``n_out - 1`` decode steps remain.

    Examples
    --------
    >>> request_latency_ms(queue=30, prefill=250, n_out=80, tpot=25, post=15)
    {'ttft': 280.0, 'e2e': 2270.0}
    >>> request_latency_ms(queue=30, prefill=250, n_out=0, tpot=25, post=15)
    {'ttft': None, 'e2e': 295.0}
    """
    first = finite_non_negative("queue", queue) + finite_non_negative("prefill", prefill)
    n_out = whole("n_out", n_out)
    decode = max(n_out - 1, 0) * finite_non_negative("tpot", tpot)
    e2e = first + decode + finite_non_negative("post", post)
    return {"ttft": first if n_out else None, "e2e": e2e}


def tpot_ms(e2e: float, ttft: float, n_out: int, post: float = 0.0) -> float:
    """Mean time per output token after the first.

    Parameters
    ----------
    e2e, ttft : float
        End-to-end time and time to first token in ms, at least 0.
    n_out : int
        Tokens generated, at least 2.
    post : float, optional
        Time after the last token in ms, at least 0.

    Returns
    -------
    float
        ms per token.

    Raises
    ------
    ValueError
        If a time is negative, `n_out` is below 2, or `e2e` is less than ``ttft + post``.

    Notes
    -----
    ``(e2e - ttft - post) / (n_out - 1)``. It is the mean of the gaps between tokens (the
    inter-token latency), so it hides a single long gap.

    Examples
    --------
    >>> tpot_ms(e2e=2270, ttft=280, n_out=80, post=15)
    25.0
    """
    decode = finite_non_negative("e2e", e2e) - finite_non_negative("ttft", ttft)
    decode -= finite_non_negative("post", post)
    n_out = whole("n_out", n_out, 2)
    if decode < 0:
        raise ValueError(f"e2e must be at least ttft + post = {ttft + post!r}, got {e2e!r}")
    return decode / (n_out - 1)


def nearest_rank(q: Exact, n: int) -> int:
    """Rank of the nearest-rank quantile in a sorted sample, counted from 1.

    Parameters
    ----------
    q : int, float, str, Decimal or Fraction
        Quantile in (0, 1]; a float is read through ``str``, so 0.07 is seven hundredths.
    n : int
        Size of the sample, at least 1.

    Returns
    -------
    int
        ``ceil(q n)``, between 1 and n.

    Examples
    --------
    >>> nearest_rank("0.99", 100), nearest_rank(0.07, 100)
    (99, 7)
    >>> import math
    >>> math.ceil(0.07 * 100)
    8
    """
    share = exact_probability(q, "q", zero_allowed=False)
    return math.ceil(share * whole("n", n, 1))


def _as_array(samples: Samples) -> npt.NDArray[np.float64]:
    plain = plain_array(samples)
    return plain if plain is not None and plain.size else np.array(numbers_in("samples", samples))


def _quantile(values: npt.NDArray[np.float64], q: Exact) -> float:
    index = nearest_rank(q, values.size) - 1
    return float(np.partition(values, index)[index])


def percentile(samples: Samples, q: Exact) -> float:
    """Nearest-rank quantile of a sample.

    Parameters
    ----------
    samples : sequence of float
        At least one number, in any order.
    q : int, float, str, Decimal or Fraction
        Quantile in (0, 1]; a float is read through ``str``.

    Returns
    -------
    float
        An element of the sample: the smallest with at least a share `q` of the sample at
        or below it.

    Raises
    ------
    ValueError
        If the sample is empty or holds something that is no number, or `q` is outside
        (0, 1].

    Notes
    -----
    The element number ``ceil(q n)`` of the sorted sample. Interpolating definitions give
    other numbers, so say which one you use.

    References
    ----------
    Hyndman and Fan (1996), "Sample Quantiles in Statistical Packages", The American
    Statistician 50(4), definition 1.

    Examples
    --------
    >>> percentile(range(1, 101), "0.99")
    99.0
    >>> percentile([120, 95, 2400, 110], 0.5)
    110.0
    """
    return _quantile(_as_array(samples), q)


def _binomial_window(n: int, p: float) -> tuple[int, npt.NDArray[np.float64]]:
    """Return the first count of a window around the mean, and the probabilities in it.

    Less than 1e-80 lies outside 40 standard deviations and 100 counts. Inside, the ratios of
    neighbours are summed in logarithms, which neither overflows nor loses digits, and the
    probabilities are normalised to 1.
    """
    centre = min(int(n * p), n - 1)
    reach = 100 + math.ceil(40 * math.sqrt(n * p * (1 - p)))
    first, last = max(0, centre - reach), min(n, centre + reach)
    counts = np.arange(first, last)
    # log P(k + 1) - log P(k) for every k of the window but the last
    steps = np.log(n - counts) - np.log(counts + 1) + (math.log(p) - math.log1p(-p))
    log_p = np.concatenate(([0.0], np.cumsum(steps)))
    weights = np.exp(log_p - log_p.max())
    return first, weights / weights.sum()


def percentile_interval(
    samples: Samples, q: Exact, confidence: Exact = "0.95"
) -> tuple[float, float]:
    """Confidence interval of a quantile from order statistics, whatever the distribution.

    Parameters
    ----------
    samples : sequence of float
        At least one independent observation, in any order.
    q : int, float, str, Decimal or Fraction
        Quantile in (0, 1).
    confidence : int, float, str, Decimal or Fraction, optional
        Least probability with which the interval holds the true quantile, in (0, 1).

    Returns
    -------
    low, high : float
        Two elements of the sample. Where the sample is too small to bound the quantile
        from one side, that end is ``-inf`` or ``inf``.

    Raises
    ------
    ValueError
        If the sample is empty or holds something that is no number, or `q` or
        `confidence` is outside (0, 1).

    Notes
    -----
    How many of n observations fall at or below the true quantile is binomial with
    parameters n and q. The ends are the order statistics whose ranks leave at most half of
    ``1 - confidence`` on either side. It assumes independent observations: latencies
    that share a queue are correlated, and their interval is wider than this.

    References
    ----------
    David and Nagaraja (2003), "Order Statistics", 3rd edition, chapter 7
    (distribution-free confidence intervals for quantiles).

    Examples
    --------
    The P99 of 1000 measured values is known to within some ranks only:

    >>> percentile_interval(range(1, 1001), "0.99")
    (983.0, 997.0)

    A hundred values do not bound it from above:

    >>> percentile_interval(range(1, 101), "0.99")
    (97.0, inf)
    """
    values = _as_array(samples)
    p = exact_probability(q, "q", zero_allowed=False, one_allowed=False)
    level = exact_probability(confidence, "confidence", zero_allowed=False, one_allowed=False)
    half = float((1 - level) / 2)
    n = values.size
    first, probabilities = _binomial_window(n, float(p))
    at_most = np.cumsum(probabilities)  # P(K <= first + i)
    at_least = np.cumsum(probabilities[::-1])[::-1]  # P(K >= first + i)
    # low is the element of the largest rank r with P(K <= r - 1) <= half, and high that
    # of the smallest rank s with P(K >= s) <= half.
    low_rank = first + int(np.searchsorted(at_most, half, side="right"))
    high_rank = first + int(np.count_nonzero(at_least > half))
    ordered = np.sort(values)
    low = float(ordered[low_rank - 1]) if low_rank >= 1 else -math.inf
    high = float(ordered[high_rank - 1]) if high_rank <= n else math.inf
    return low, high


def fanout_tail(p: float, n: int) -> float:
    """Probability that at least one of n parallel calls is slow.

    Parameters
    ----------
    p : float
        Probability that one call is slow, in [0, 1].
    n : int
        Independent calls that must all return, at least 1.

    Returns
    -------
    float
        ``1 - (1 - p)**n``, without loss of digits for small `p`.

    References
    ----------
    Dean and Barroso (2013), "The Tail at Scale", Communications of the ACM 56(2).

    Examples
    --------
    >>> round(fanout_tail(0.01, n=100), 3)
    0.634
    """
    slow = probability("p", p)
    n = whole("n", n, 1)
    return 1.0 if slow == 1 else -math.expm1(n * math.log1p(-slow))


def fanout_quantile(q: float, n: int) -> float:
    """Quantile that each of n parallel calls must keep for the slowest to keep `q`.

    Parameters
    ----------
    q : float
        Quantile asked of the slowest call, in (0, 1].
    n : int
        Independent calls that must all return, at least 1.

    Returns
    -------
    float
        ``q**(1 / n)``.

    Examples
    --------
    For a P99 behind a fan-out of 100, each call must keep its own P99.99:

    >>> round(fanout_quantile(0.99, n=100), 4)
    0.9999
    """
    return float(probability("q", q, zero_allowed=False) ** (1 / whole("n", n, 1)))


def hedged_extra_load(samples: Samples, q: Exact) -> float:
    """Share of requests that are sent twice when a hedge goes out at quantile `q`.

    Parameters
    ----------
    samples : sequence of float
        Latencies, at least one, in any order.
    q : int, float, str, Decimal or Fraction
        Quantile after which the second request is sent, in (0, 1].

    Returns
    -------
    float
        Share of the sample that is strictly above its nearest-rank quantile.

    Raises
    ------
    ValueError
        If the sample is empty or `q` is outside (0, 1].

    References
    ----------
    Dean and Barroso (2013), "The Tail at Scale", Communications of the ACM 56(2).

    Examples
    --------
    >>> hedged_extra_load(range(1, 101), "0.95")
    0.05
    """
    values = _as_array(samples)
    return _share_above(values, _quantile(values, q))


def _share_above(values: npt.NDArray[np.float64], bound: float) -> float:
    return int(np.count_nonzero(values > bound)) / values.size


def tail_report(samples: Samples, fanout: int, q: Exact) -> TailReport:
    """Quantile of a sample, its meaning behind a fan-out, and the load of hedging at it.

    Parameters
    ----------
    samples : sequence of float
        Latencies, at least one, in any order.
    fanout : int
        Independent calls that one user request waits for, at least 1.
    q : int, float, str, Decimal or Fraction
        Quantile in (0, 1].

    Returns
    -------
    dict
        ``quantile``, the nearest-rank quantile t; ``fanout_p``, the probability that a
        request with `fanout` calls takes longer than t; ``hedged_extra_load``, the share of
        calls that a hedge sent at t repeats.

    Raises
    ------
    ValueError
        If the sample is empty, `fanout` is below 1 or `q` is outside (0, 1].

    Notes
    -----
    With F the share of the sample at or below t, ``fanout_p = 1 - F**fanout`` and
    ``hedged_extra_load = 1 - F``. F exceeds `q` where several elements equal t.

    Examples
    --------
    >>> report = tail_report(range(1, 101), fanout=100, q="0.99")
    >>> report["quantile"], round(report["fanout_p"], 3), report["hedged_extra_load"]
    (99.0, 0.634, 0.01)
    """
    values = _as_array(samples)
    fanout = whole("fanout", fanout, 1)
    bound = _quantile(values, q)
    above = _share_above(values, bound)
    return {
        "quantile": bound,
        "fanout_p": fanout_tail(above, fanout),
        "hedged_extra_load": above,
    }


def lognormal_quantile(q: float, median: float, sigma: float) -> float:
    """Quantile of a lognormal distribution.

    Parameters
    ----------
    q : float
        Quantile in (0, 1).
    median : float
        Median in any one unit, greater than 0.
    sigma : float
        Standard deviation of the logarithm, at least 0.

    Returns
    -------
    float
        ``median * exp(sigma * z_q)`` in the unit of `median`, z_q the standard normal
        quantile.

    Examples
    --------
    >>> round(lognormal_quantile(0.99, median=800, sigma=0.45), 1)
    2278.9
    """
    from statistics import NormalDist

    q = probability("q", q, zero_allowed=False, one_allowed=False)
    scale = finite_positive("median", median)
    return scale * math.exp(finite_non_negative("sigma", sigma) * NormalDist().inv_cdf(q))
