"""When a cache pays: hit rates, break-even, and the popularity of few items.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from servemath_helpers._validate import (
    finite_non_negative,
    finite_numbers_in,
    finite_positive,
    probability,
    sequence,
    whole,
)

__all__ = ["cache_break_even", "hit_rate_latency", "lru_hit_share", "prefix_hits", "zipf_hit_share"]


def hit_rate_latency(hit_rate: float, hit_ms: float, miss_ms: float) -> float:
    """Mean latency behind a cache.

    Parameters
    ----------
    hit_rate : float
        Share of requests that the cache answers, in [0, 1].
    hit_ms, miss_ms : float
        Latency of a hit and of a miss (its lookup included) in ms, at least 0.

    Returns
    -------
    float
        ``hit_rate * hit_ms + (1 - hit_rate) * miss_ms`` in ms.

    Notes
    -----
    It is a mean: unless nearly every request is a hit, the tail is that of the misses.

    Examples
    --------
    >>> hit_rate_latency(0.4, hit_ms=5, miss_ms=800)
    482.0
    """
    hits = probability("hit_rate", hit_rate)
    hit = finite_non_negative("hit_ms", hit_ms)
    return hits * hit + (1 - hits) * finite_non_negative("miss_ms", miss_ms)


def cache_break_even(lookup_ms: float, miss_ms: float) -> float:
    """Hit rate above which asking the cache first lowers the mean latency.

    Parameters
    ----------
    lookup_ms : float
        Time that every request spends in the lookup, at least 0 ms.
    miss_ms : float
        Time of the work that a hit saves, greater than 0 ms.

    Returns
    -------
    float
        The hit rate ``lookup_ms / miss_ms``; above 1 the cache never pays.

    Notes
    -----
    With hit rate h a request takes ``lookup + (1 - h) * miss`` on average, without the cache
    ``miss``. The two are equal at ``h = lookup / miss``.

    Examples
    --------
    >>> cache_break_even(lookup_ms=10, miss_ms=800)
    0.0125
    """
    return finite_non_negative("lookup_ms", lookup_ms) / finite_positive("miss_ms", miss_ms)


def prefix_hits(requests: Iterable[Sequence[Hashable]], capacity: int) -> list[int]:
    """Count the blocks of each prompt that a prefix cache has, evicting least recently used ones.

    Parameters
    ----------
    requests : iterable of sequence
        The blocks of each prompt, from its beginning, by any name; no block twice in one.
    capacity : int
        Blocks that the cache holds, at least 0.

    Returns
    -------
    list of int
        How many leading blocks of each prompt were there when it came.

    Raises
    ------
    ValueError
        If a block stands twice in a prompt, or `capacity` is no whole number of at least 0.

    Notes
    -----
    A block counts only if all before it are there: its keys and values depend on them. All
    blocks of a prompt then become the newest, its first one the newest of all, so that prompts
    lose their ends first; what is over capacity is evicted from the old end.

    References
    ----------
    vLLM, design document "Automatic Prefix Caching".

    Examples
    --------
    >>> prefix_hits([[1, 2, 3], [1, 2, 4], [9, 2, 3], [1, 2, 3]], capacity=100)
    [0, 2, 0, 3]
    """
    capacity = whole("capacity", capacity)
    cache: OrderedDict[Hashable, None] = OrderedDict()
    found = []
    for i, request in enumerate(sequence("requests", requests)):
        blocks = sequence(f"requests[{i}]", request)
        if len(set(blocks)) < len(blocks):
            raise ValueError(f"requests[{i}] must not have a block twice, got {blocks!r}")
        missing = (place for place, block in enumerate(blocks) if block not in cache)
        found.append(next(missing, len(blocks)))
        for block in reversed(blocks):
            cache[block] = None
            cache.move_to_end(block)
        while len(cache) > capacity:
            cache.popitem(last=False)
    return found


def zipf_hit_share(n_items: int, top: int, s: float = 1.0) -> float:
    """Share of requests that go to the most popular items under Zipf's law.

    Parameters
    ----------
    n_items : int
        Items, at least 1.
    top : int
        How many of the most popular are cached, between 0 and `n_items`.
    s : float, optional
        Exponent, at least 0: the item of rank i is asked for in proportion to ``i**-s``.

    Returns
    -------
    float
        Share in [0, 1]: the hit rate of a cache that always holds the top items.

    Notes
    -----
    ``sum(i**-s for i in 1..top) / sum(i**-s for i in 1..n_items)``.

    References
    ----------
    Breslau, Cao, Fan, Phillips and Shenker (1999), "Web Caching and Zipf-like
    Distributions: Evidence and Implications", IEEE INFOCOM.

    Examples
    --------
    A tenth of a thousand items gets more than two thirds of the requests:

    >>> round(zipf_hit_share(n_items=1000, top=100), 2)
    0.69
    """
    n_items = whole("n_items", n_items, 1)
    top = whole("top", top)
    if top > n_items:
        raise ValueError(f"top must be at most n_items = {n_items}, got {top!r}")
    popularity = np.arange(1, n_items + 1, dtype=np.float64) ** -finite_non_negative("s", s)
    return float(popularity[:top].sum() / popularity.sum())


def lru_hit_share(weights: Iterable[float], size: int) -> float:
    """Share of requests that a cache finds which throws out what was asked longest ago.

    Parameters
    ----------
    weights : iterable of float
        How often each item is asked for, in any unit, at least 0 and not all 0.
    size : int
        Items that the cache holds, at least 0.

    Returns
    -------
    float
        Share in [0, 1] (Che's approximation).

    Notes
    -----
    An item stays for as long as it takes until `size` others have been asked for. Che takes
    that time T as the same for all items: item i is there if it was asked for within T, with
    probability ``1 - exp(-p_i T)``. T solves ``sum(1 - exp(-p_i T)) = size``, and the share of
    hits is ``sum(p_i (1 - exp(-p_i T)))``. Requests are taken as independent; the error is
    below a percent for all but very small caches.

    References
    ----------
    Fricker, Robert and Roberts (2012), "A Versatile and Accurate Approximation for LRU Cache
    Performance", arXiv:1202.3974.

    Examples
    --------
    Zipf's law with a thousand items; the hundred most popular would get 0.69:

    >>> [round(lru_hit_share([1 / i for i in range(1, 1001)], size), 3) for size in (10, 100)]
    [0.209, 0.577]
    """
    popularity = np.array(finite_numbers_in("weights", weights))
    if (popularity < 0).any() or not popularity.any():
        raise ValueError("weights must be at least 0, and not all 0")
    popularity = popularity[popularity > 0] / popularity.sum()
    size = whole("size", size)
    if size >= popularity.size:
        return 1.0
    # The left-hand side rises with T: halve an interval that holds the solution.
    low, high = 0.0, 1.0
    while -np.expm1(-popularity * high).sum() < size:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        held = -np.expm1(-popularity * middle).sum()
        low, high = (middle, high) if held < size else (low, middle)
    return float(popularity @ -np.expm1(-popularity * low))
