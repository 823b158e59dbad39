"""Moving a KV cache or computing it again: which is sooner, and from where on.

A conversation comes back, or prefill and decode run on different machines. Its keys and
values can be sent over a link, be fetched from the memory of the host, or be computed
again from the text.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from servemath_helpers._validate import finite_non_negative, finite_positive, whole

__all__ = ["break_even_link_Bps", "crossover_tokens", "kv_transfer_s", "resume_plan"]

Choice = Literal["transfer", "host", "recompute"]


def kv_transfer_s(tokens: int, k: float, link_Bps: float, latency_s: float = 0.0) -> float:
    """Time to move the KV cache of a sequence.

    Parameters
    ----------
    tokens : int
        Tokens in the cache, at least 0.
    k : float
        KV bytes per token, at least 0.
    link_Bps : float
        Bandwidth of the path in bytes per second, greater than 0.
    latency_s : float, optional
        Time in seconds before the first byte moves, at least 0.

    Returns
    -------
    float
        ``latency_s + tokens * k / link_Bps`` in seconds.

    Examples
    --------
    4096 tokens of Llama-3-70B over 400 Gbit/s, which are 50 GB/s:

    >>> round(1e3 * kv_transfer_s(4096, 327_680, 50e9), 2)
    26.84
    """
    moved = whole("tokens", tokens) * finite_non_negative("k", k)
    wait_s = finite_non_negative("latency_s", latency_s)
    return wait_s + moved / finite_positive("link_Bps", link_Bps)


def break_even_link_Bps(tokens: int, k: float, prefill_s: float, latency_s: float = 0.0) -> float:
    """Bandwidth at which moving the cache takes as long as computing it again.

    Parameters
    ----------
    tokens, k, latency_s
        As for `kv_transfer_s`.
    prefill_s : float
        Time to compute the cache again in seconds, at least 0.

    Returns
    -------
    float
        Bytes per second; a faster link makes moving the better choice. Infinite where the
        latency alone takes as long as computing.

    Examples
    --------
    Prefill of 4096 tokens of Llama-3-70B takes 151.6 ms on eight H100 at half of their peak:

    >>> round(break_even_link_Bps(4096, 327_680, prefill_s=0.1516) / 1e9, 2)
    8.85
    >>> break_even_link_Bps(4, 327_680, prefill_s=0.0002, latency_s=0.001)
    inf
    """
    moved = whole("tokens", tokens) * finite_non_negative("k", k)
    spare_s = finite_non_negative("prefill_s", prefill_s) - finite_non_negative(
        "latency_s", latency_s
    )
    return moved / spare_s if spare_s > 0 else math.inf


def resume_plan(
    tokens: int,
    k: float,
    link_Bps: float | None,
    host_Bps: float | None,
    prefill_s: float,
    latency_s: float,
) -> tuple[Choice, float]:
    """How to resume a conversation soonest: move its cache, reload it, or prefill again.

    Parameters
    ----------
    tokens : int
        Tokens of the conversation, at least 0.
    k : float
        KV bytes per token, at least 0.
    link_Bps : float or None
        Bandwidth in bytes per second of the link to the machine that holds the cache,
        greater than 0; None if no machine does.
    host_Bps : float or None
        Bandwidth in bytes per second from the memory of this host, greater than 0; None if
        the cache is not there.
    prefill_s : float
        Time to compute the cache again in seconds, at least 0.
    latency_s : float
        Time before the first byte moves in seconds, on either path, at least 0.

    Returns
    -------
    choice : {"transfer", "host", "recompute"}
        The soonest; on a tie the first in this order.
    seconds : float
        How long it takes.

    Notes
    -----
    Moving takes ``latency_s + tokens * k / bandwidth``, linear in the length; prefill has a
    quadratic part, so long conversations favour moving, and latency favours computing
    short ones again.

    Examples
    --------
    >>> choice, seconds = resume_plan(4096, 327_680, 50e9, 25e9, prefill_s=0.1516, latency_s=0)
    >>> choice, round(1e3 * seconds, 2)
    ('transfer', 26.84)
    >>> resume_plan(4096, 327_680, None, None, prefill_s=0.1516, latency_s=0)
    ('recompute', 0.1516)
    """
    options: list[tuple[Choice, float]] = []
    if link_Bps is not None:
        link = finite_positive("link_Bps", link_Bps)
        options.append(("transfer", kv_transfer_s(tokens, k, link, latency_s)))
    if host_Bps is not None:
        host = finite_positive("host_Bps", host_Bps)
        options.append(("host", kv_transfer_s(tokens, k, host, latency_s)))
    # Any bandwidth will do: the other arguments are refused even where there is no path.
    kv_transfer_s(tokens, k, 1.0, latency_s)
    options.append(("recompute", finite_non_negative("prefill_s", prefill_s)))
    return min(options, key=lambda option: option[1])  # min keeps the first of equals


def crossover_tokens(
    prefill_s: Callable[[int], float],
    k: float,
    link_Bps: float,
    latency_s: float,
    max_tokens: int,
) -> int | None:
    """Shortest conversation that is moved at least as soon as computed again.

    Parameters
    ----------
    prefill_s : callable
        Prefill time in seconds of so many tokens: 0 for 0 tokens, never growing more slowly
        than before (linear plus quadratic, as attention has it).
    k : float
        KV bytes per token, at least 0.
    link_Bps : float
        Bandwidth of the path in bytes per second, greater than 0.
    latency_s : float
        Time before the first byte moves in seconds, at least 0.
    max_tokens : int
        Longest conversation to consider, at least 1.

    Returns
    -------
    int or None
        Tokens, at least 1; None if computing again is sooner up to `max_tokens`.

    Notes
    -----
    Prefill less transfer is convex and at most 0 at no tokens at all, so it changes its sign
    once, and bisection finds where.

    Examples
    --------
    >>> crossover_tokens(lambda n: 2e-5 * n, k=327_680, link_Bps=50e9, latency_s=0.01,
    ...                  max_tokens=32_768)
    744
    """
    longest = whole("max_tokens", max_tokens, 1)

    def moving_wins(tokens: int) -> bool:
        again_s = finite_non_negative(f"prefill_s({tokens})", prefill_s(tokens))
        return kv_transfer_s(tokens, k, link_Bps, latency_s) <= again_s

    if not moving_wins(longest):
        return None
    low, high = 0, longest
    while high - low > 1:
        middle = (low + high) // 2
        if moving_wins(middle):
            high = middle
        else:
            low = middle
    return high
