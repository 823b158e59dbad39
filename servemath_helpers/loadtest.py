"""What a load test says: times of tokens, as each tool defines them, and what nobody asked.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TypedDict

from servemath_helpers._validate import finite_non_negative, finite_numbers_in, sequence
from servemath_helpers.quantities import Exact, exact_at_least, exact_probability

__all__ = ["CorrectedTail", "TokenTimes", "correct_omission", "slope_interval", "token_times"]

_BLOCKS = 10
#: Of Student's t with _BLOCKS - 2 degrees of freedom: 95 % lie within.
_T_975 = 2.306004135204166
_TOOLS = ("vllm", "inference-perf", "mlperf", "guidellm")


class TokenTimes(TypedDict):
    """Times of one answer, in the unit of its instants."""

    ttft: float
    tpot: float | None
    e2e: float


class CorrectedTail(TypedDict):
    """A quantile of what was sent, and of what should have been."""

    n: int
    raw: float
    corrected: float


def token_times(arrival_s: float, token_s: Sequence[float], tool: str) -> TokenTimes:
    """Return the times of one answer as a benchmark tool reports them.

    Parameters
    ----------
    arrival_s : float
        When the request was due, at least 0 s.
    token_s : sequence of float
        When each token came, in order, none before `arrival_s`; at least one.
    tool : {"vllm", "inference-perf", "mlperf", "guidellm"}
        Who reports.

    Returns
    -------
    dict
        ``ttft``, ``e2e`` and ``tpot`` [s], the time per output token; None for a single token
        in vLLM and inference-perf.

    Raises
    ------
    ValueError
        If a time is out of order, the tool is not known, or MLPerf is to divide by the gaps
        of a single token.

    Notes
    -----
    ``TTFT = t_1 - a`` and ``E2E = t_n - a``. The time per output token is
    ``(E2E - TTFT)/(n - 1)``, a mean gap, but for GuideLLM, which divides the whole answer:
    ``E2E / n``. What GuideLLM calls inter-token latency is the others' TPOT. How a reported
    value is converted stands in `sim.tpot_from`.

    References
    ----------
    vLLM, ``benchmarks/serve.py``; inference-perf, ``docs/metrics.md``; MLPerf LoadGen,
    ``logging.cc``; GuideLLM, ``schemas/request_stats.py``.

    Examples
    --------
    Three tokens 50 ms apart and a fourth gap of 350 ms, in ms per token:

    >>> tokens = [0.40, 0.45, 0.50, 0.55, 0.90]
    >>> [round(1e3 * token_times(0, tokens, tool)["tpot"]) for tool in ("vllm", "guidellm")]
    [125, 180]
    """
    arrival = finite_non_negative("arrival_s", arrival_s)
    times = finite_numbers_in("token_s", token_s)
    if times != sorted(times) or times[0] < arrival:
        raise ValueError(f"token_s must be in order from arrival_s = {arrival!r} on, got {times!r}")
    if tool not in _TOOLS:
        raise ValueError(f"tool must be one of {', '.join(map(repr, _TOOLS))}, got {tool!r}")
    n, ttft, e2e = len(times), times[0] - arrival, times[-1] - arrival
    if tool == "mlperf" and n == 1:
        raise ValueError("token_s must have two tokens or more for a TPOT of MLPerf, got one")
    tpot: float | None = (e2e - ttft) / (n - 1) if n > 1 else None
    return {"ttft": ttft, "tpot": e2e / n if tool == "guidellm" else tpot, "e2e": e2e}


def correct_omission(
    latencies: Sequence[Exact], interval: Exact, q: Exact = "0.99"
) -> CorrectedTail:
    """Add the requests that a waiting client did not send, and take a quantile again.

    Parameters
    ----------
    latencies : sequence of int, str, Decimal, Fraction or float
        Measured times, at least 0 s; at least one.
    interval : int, str, Decimal, Fraction or float
        How often a request was due, above 0 s.
    q : int, str, Decimal, Fraction or float, optional
        In (0, 1].

    Returns
    -------
    dict
        ``n``, the samples after correction; ``raw`` and ``corrected``, the quantile (nearest
        rank) before and after [s].

    Notes
    -----
    A client that sends the next request when the answer to the last has come sends none while
    the server stands still. For each latency L add L - I, L - 2I, ... as long as they are at
    least I: what the requests that were due in that time would have measured. A test that
    sends on schedule has them already and must not be corrected.

    References
    ----------
    G. Tene, HdrHistogram, ``recordValueWithExpectedInterval``.

    Examples
    --------
    A request is due each 0.1 s; 1000 take 20 ms, then one takes 100 s:

    >>> correct_omission(["0.02"] * 1000 + [100], "0.1")
    {'n': 2000, 'raw': 0.02, 'corrected': 98.0}
    """
    measured = [
        exact_at_least(value, 0, f"latencies[{i}]")
        for i, value in enumerate(sequence("latencies", latencies))
    ]
    if not measured:
        raise ValueError("latencies must not be empty")
    due = exact_at_least(interval, 0, "interval", strict=True)
    wanted = exact_probability(q, "q", zero_allowed=False)
    missing = (value - j * due for value in measured for j in range(1, value // due))
    full = sorted([*measured, *missing])

    def quantile(ordered: list[Fraction]) -> float:
        return float(ordered[-(-len(ordered) * wanted // 1) - 1])

    return {"n": len(full), "raw": quantile(sorted(measured)), "corrected": quantile(full)}


def slope_interval(latencies: Sequence[float]) -> tuple[float, float]:
    """Return how fast latencies grow from request to request: a 95 % interval of the slope.

    Parameters
    ----------
    latencies : sequence of float
        Of requests in the order of their arrival, at least 0; twenty or more.

    Returns
    -------
    tuple of float
        Low and high end, in the unit of the latencies per request. Above 0 altogether: the
        queue was growing, and its percentiles measure how long the test took.

    Raises
    ------
    ValueError
        If there are fewer than twenty.

    Notes
    -----
    A line through the means of ten blocks of neighbours; what does not fill the blocks is left
    out at the beginning. Single requests as points would be far too sure: neighbours wait in
    the same queue.

    References
    ----------
    GuideLLM, ``over_saturation_stopping.md``.

    Examples
    --------
    >>> low, high = slope_interval([0.5 + 0.01 * i for i in range(100)])
    >>> round(low, 6), round(high, 6)
    (0.01, 0.01)
    """
    measured = finite_numbers_in("latencies", latencies, minimum=0)
    size = len(measured) // _BLOCKS
    if size < 2:
        raise ValueError(f"latencies must hold at least {2 * _BLOCKS}, got {len(measured)}")
    kept = measured[len(measured) - _BLOCKS * size :]
    means = [math.fsum(kept[i * size : (i + 1) * size]) / size for i in range(_BLOCKS)]
    x = [size * (i - (_BLOCKS - 1) / 2) for i in range(_BLOCKS)]
    spread, mean = sum(a * a for a in x), math.fsum(means) / _BLOCKS
    slope = math.fsum(a * y for a, y in zip(x, means, strict=True)) / spread
    rest = math.fsum((y - mean - slope * a) ** 2 for a, y in zip(x, means, strict=True))
    half = _T_975 * math.sqrt(rest / (_BLOCKS - 2) / spread)
    return slope - half, slope + half
