"""Several servers: which of them a request goes to, how many prefill and how many decode.

Formulas without simulation; `sim.simulate_fleet` and `sim.simulate_disaggregated` play the same.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypedDict

from servemath_helpers._validate import (
    finite_non_negative,
    finite_numbers_in,
    probability,
    same_length,
    whole,
)

__all__ = ["PhaseNodes", "pd_split", "route", "two_choices_tail"]

# From this exponent on every power of a float below 1 is 0.0.
_VANISHED = 10**20


class PhaseNodes(TypedDict):
    """Nodes for each phase, and what they keep."""

    prefill: int
    decode: int
    ttft: float
    tpot: float | None
    batch: float


def two_choices_tail(rho: float, d: int, k: int) -> float:
    """Share of servers with at least k requests if each joins the shortest of d queues.

    Parameters
    ----------
    rho : float
        Load of a server, in [0, 1).
    d : int
        Queues that are looked at, drawn at random, at least 1.
    k : int
        Requests, at least 0.

    Returns
    -------
    float
        ``rho ** ((d**k - 1) / (d - 1))``, for d = 1 ``rho ** k``.

    Notes
    -----
    The limit of many servers, Poisson arrivals and exponential service.

    References
    ----------
    M. Mitzenmacher (2001), "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS
    12(10).

    Examples
    --------
    >>> [round(two_choices_tail(0.9, d, 4), 4) for d in (1, 2, 3)]
    [0.6561, 0.2059, 0.0148]
    """
    rho = probability("rho", rho, one_allowed=False)
    d, k = whole("d", d, 1), whole("k", k)
    # 1 + d + d^2 + ... to k terms, no further than it matters.
    exponent = k if d == 1 else (d ** min(k, _VANISHED.bit_length()) - 1) // (d - 1)
    return float(rho ** min(exponent, _VANISHED))


def route(loads: Sequence[float], hits: Sequence[float], weight: float) -> int:
    """Return the replica with the best balance of cached prefix and load.

    Parameters
    ----------
    loads : sequence of float
        Load of each replica, such as its requests, at least 0; at least one replica.
    hits : sequence of float
        Share of the prompt that each has in its prefix cache, in [0, 1].
    weight : float
        What a load of twice the mean costs, in shares of the prompt, at least 0.

    Returns
    -------
    int
        Index of the largest ``hit - weight (load - mean) / max(1, mean)``; of equals the one
        with the lower load, then the lower index.

    References
    ----------
    vLLM production stack, load-aware prefix routing.

    Examples
    --------
    The replica with the prefix has more than twice the mean load:

    >>> [route([20, 4, 6, 2], [0.9, 0, 0, 0], weight) for weight in (0.39, 0.41)]
    [0, 3]
    """
    busy = finite_numbers_in("loads", loads, minimum=0)
    cached = [
        probability(f"hits[{i}]", share)
        for i, share in enumerate(finite_numbers_in("hits", hits, empty_allowed=True))
    ]
    same_length(loads=busy, hits=cached)
    weight = finite_non_negative("weight", weight)
    mean = math.fsum(busy) / len(busy)

    def rank(replica: int) -> tuple[float, float]:
        excess = (busy[replica] - mean) / max(1.0, mean)
        return weight * excess - cached[replica], busy[replica]

    return min(range(len(busy)), key=rank)


def _least(start: float, good: Callable[[int], bool]) -> int:
    """Return the least count from 1 on that is good, looked for around `start`.

    The formula that gives `start` rounds as well: what the bound says of a count decides.
    """
    count = max(1, math.ceil(start))
    while count > 1 and good(count - 1):
        count -= 1
    while not good(count):
        count += 1
    return count


def pd_split(
    lam: float,
    prefill_s: float,
    n_out: int,
    base_s: float,
    per_seq_s: float,
    ttft_s: float,
    tpot_s: float,
    transfer_s: float = 0.0,
    b_max: int = 256,
) -> PhaseNodes | None:
    """Return the fewest nodes for prefill and for decode that keep both bounds.

    Parameters
    ----------
    lam : float
        Requests per second, at least 0, spread evenly.
    prefill_s : float
        Time of the prefill of a prompt, at least 0 s.
    n_out : int
        Tokens of each answer, at least 1.
    base_s, per_seq_s : float
        A decode step of B sequences takes ``base_s + per_seq_s B``, both at least 0 s.
    ttft_s, tpot_s : float
        Bounds on mean time to first token and per output token, at least 0 s.
    transfer_s : float, optional
        Time in which a cache moves to its decode node, at least 0 s; it delays token 2.
    b_max : int, optional
        Sequences that a decode node holds, at least 1.

    Returns
    -------
    dict or None
        ``prefill`` and ``decode`` nodes, the mean ``ttft`` and ``tpot`` [s] that they give and
        the ``batch`` of a decode node; None if no number of nodes keeps the bounds. For answers
        of one token there is nothing to decode: 0 nodes, ``tpot`` None, ``batch`` 0.

    Notes
    -----
    A prefill node is an M/D/1 queue: ``P + rho P / (2 (1 - rho))`` with rho = lam P / p. A
    decode node that gets x = lam (n - 1) / d tokens/s holds ``B = x a / (1 - x b)`` sequences,
    since B of them get B tokens in a + b B; a step has at least one.

    References
    ----------
    Zhong et al. (2024), "DistServe: Disaggregating Prefill and Decoding for Goodput-optimized
    Large Language Model Serving", arXiv:2401.09670.

    Examples
    --------
    Llama-3-70B on nodes of eight H100, 10 prompts/s of 4096 tokens, answers of 256:

    >>> nodes = pd_split(10, 0.151598, 256, 5.2652e-3, 51.646e-6, ttft_s=0.5, tpot_s=0.01,
    ...                  transfer_s=0.0268)
    >>> nodes["prefill"], nodes["decode"], round(nodes["ttft"], 3), round(nodes["batch"], 1)
    (2, 1, 0.389, 15.5)
    """
    lam = finite_non_negative("lam", lam)
    P = finite_non_negative("prefill_s", prefill_s)
    gaps = whole("n_out", n_out, 1) - 1
    a, b = finite_non_negative("base_s", base_s), finite_non_negative("per_seq_s", per_seq_s)
    ttft_bound = finite_non_negative("ttft_s", ttft_s)
    tpot_bound = finite_non_negative("tpot_s", tpot_s)
    transfer = finite_non_negative("transfer_s", transfer_s)
    b_max = whole("b_max", b_max, 1)
    work = lam * P
    spare = ttft_bound - P
    # While somebody comes, somebody waits: the bound must leave room for it.
    if spare < 0 or (spare == 0 and work > 0):
        return None

    def ttft(nodes: int) -> float:
        rho = work / nodes
        return P + rho * P / (2 * (1 - rho)) if rho < 1 else math.inf

    # The wait is at most `spare` up to the load 2 spare / (P + 2 spare).
    fewest = work * (P + 2 * spare) / (2 * spare) if work else 1.0
    prefill = _least(fewest, lambda nodes: ttft(nodes) <= ttft_bound)
    if gaps == 0:
        return {"prefill": prefill, "decode": 0, "ttft": ttft(prefill), "tpot": None, "batch": 0.0}

    delay = transfer / gaps
    if a + b + delay > tpot_bound:
        return None

    def batch(nodes: int) -> float:
        x = lam * gaps / nodes
        return x * a / (1 - x * b) if x * b < 1 else math.inf

    def tpot(nodes: int) -> float:
        return a + b * max(batch(nodes), 1.0) + delay

    most = min(b_max, (tpot_bound - delay - a) / b) if b else b_max
    fewest = lam * gaps * (a + b * most) / most
    decode = _least(fewest, lambda nodes: batch(nodes) <= b_max and tpot(nodes) <= tpot_bound)
    return {
        "prefill": prefill,
        "decode": decode,
        "ttft": ttft(prefill),
        "tpot": tpot(decode),
        "batch": batch(decode),
    }
