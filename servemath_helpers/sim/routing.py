"""Which replica serves a request: routers, and what they see of a fleet.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from servemath_helpers._validate import finite_non_negative, whole
from servemath_helpers.sim._arrays import generator

if TYPE_CHECKING:
    from servemath_helpers.sim._memory import PrefixCache

__all__ = [
    "FleetView",
    "least_loaded",
    "power_of_choices",
    "prefix_affinity",
    "random_replica",
    "round_robin",
]


@dataclass
class FleetView:
    """What a router sees when a request comes.

    Attributes
    ----------
    now_s : float
        The instant.
    candidates : sequence of int
        Replicas that are up; all of them if none is yet.
    in_system : list of int
        Requests in each replica, waiting or served.
    tokens : list of int
        Prompt and answer tokens of those requests.
    prompt_tokens : sequence of int
        Tokens of every request's prompt, by its index.
    """

    candidates: Sequence[int]
    in_system: list[int]
    tokens: list[int]
    prompt_tokens: Sequence[int]
    now_s: float = 0.0
    _caches: Sequence[PrefixCache | None] = field(default=(), repr=False)

    def hit_tokens(self, replica: int, request: int) -> int:
        """Return how many tokens of the request's prompt a replica has in its prefix cache.

        Parameters
        ----------
        replica, request : int
            Their indices.

        Returns
        -------
        int
            0 without a prefix cache.
        """
        cache = self._caches[replica]
        return 0 if cache is None else cache.hit(request, self.prompt_tokens[request])


#: Uniform numbers are drawn so many at a time: one by one, a call takes longer than a choice.
_AT_ONCE = 256

# Called with the view and the index of the request; returns the index of a replica.
Router = Callable[[FleetView, int], int]


def _uniform(rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from rng.random(_AT_ONCE).tolist()


def random_replica(rng: np.random.Generator) -> Router:
    """Send each request to a replica drawn at random.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness, from which is drawn ahead.

    Returns
    -------
    Router
        Looks at nothing but which replicas are up.

    Examples
    --------
    >>> import numpy as np
    >>> view = FleetView(range(3), [0] * 3, [0] * 3, [10])
    >>> random_replica(np.random.default_rng(1))(view, 0) in range(3)
    True
    """
    draw = _uniform(generator(rng)).__next__

    def route(view: FleetView, request: int) -> int:
        return view.candidates[int(draw() * len(view.candidates))]

    return route


def round_robin() -> Router:
    """Send requests to the replicas in turn.

    Returns
    -------
    Router
        Begins with the first.

    Examples
    --------
    >>> view, route = FleetView(range(2), [5, 0], [0, 0], [10]), round_robin()
    >>> [route(view, 0) for _ in range(3)]
    [0, 1, 0]
    """
    turn = -1

    def route(view: FleetView, request: int) -> int:
        nonlocal turn
        turn += 1
        return view.candidates[turn % len(view.candidates)]

    return route


@dataclass(frozen=True)
class FewestOf:
    """A router to the replica with the fewest requests, the first of equals.

    Attributes
    ----------
    draw : callable or None
        Draws those it looks at from the replicas that are up; None to look at all.
    """

    draw: Callable[[Sequence[int]], Sequence[int]] | None = None

    def __call__(self, view: FleetView, request: int) -> int:
        """Return the index of a replica."""
        load, up = view.in_system, view.candidates
        if self.draw is not None:
            up = self.draw(up)
        elif len(up) == len(load):
            return load.index(min(load))
        return min(up, key=load.__getitem__)


def least_loaded() -> Router:
    """Send each request to the replica with the fewest requests (join the shortest queue).

    Returns
    -------
    Router
        The first of equals.

    Examples
    --------
    >>> least_loaded()(FleetView(range(3), [2, 1, 1], [0] * 3, [10]), 0)
    1
    """
    return FewestOf()


def power_of_choices(d: int, rng: np.random.Generator) -> Router:
    """Send each request to the least loaded of `d` replicas drawn at random.

    Parameters
    ----------
    d : int
        Replicas looked at, at least 1; drawn with replacement.
    rng : numpy.random.Generator
        Source of randomness, from which is drawn ahead.

    Returns
    -------
    Router
        The first drawn of equals.

    Notes
    -----
    With many replicas, Poisson arrivals and exponential service at load rho, the share of
    replicas with at least i requests tends to ``rho ** ((d**i - 1) / (d - 1))``, against
    ``rho**i`` for d = 1.

    References
    ----------
    Vvedenskaya, Dobrushin and Karpelevich (1996), "Queueing System with Selection of the
    Shortest of Two Queues", Problems of Information Transmission 32(1). Mitzenmacher (2001),
    "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12(10).

    Examples
    --------
    >>> import numpy as np
    >>> view = FleetView(range(3), [0, 9, 9], [0] * 3, [10])
    >>> route = power_of_choices(2, np.random.default_rng(1))
    >>> sum(route(view, 0) == 0 for _ in range(900)) > 450
    True
    """
    times = range(whole("d", d, 1))
    uniform = _uniform(generator(rng)).__next__

    def draw(up: Sequence[int]) -> Sequence[int]:
        size = len(up)
        return [up[int(uniform() * size)] for _ in times]

    def draw_two(up: Sequence[int]) -> Sequence[int]:
        size = len(up)
        return up[int(uniform() * size)], up[int(uniform() * size)]

    return FewestOf(draw_two if len(times) == 2 else draw)


def prefix_affinity(load_weight: float = 1.0) -> Router:
    """Weigh what a replica need not compute again against what it has to do already.

    Parameters
    ----------
    load_weight : float, optional
        Cached tokens that one token of load outweighs, at least 0. With 0 only the cache
        counts, and load decides between equals.

    Returns
    -------
    Router
        To the replica with the most ``cached - load_weight * tokens``.

    Examples
    --------
    >>> prefix_affinity()(FleetView(range(2), [1, 2], [300, 100], [10], _caches=[None] * 2), 0)
    1
    """
    weight = finite_non_negative("load_weight", load_weight)

    def route(view: FleetView, request: int) -> int:
        def cost(replica: int) -> tuple[float, int]:
            tokens = view.tokens[replica]
            return weight * tokens - view.hit_tokens(replica, request), tokens

        return min(view.candidates, key=cost)

    return route
