"""Which configurations are worth a discussion: dominance and the Pareto front.

A configuration has a latency and a cost, which should be low, and a throughput, which
should be high. One that another beats in something and trails in nothing is out; what
remains is the front, and choosing on it takes a constraint, not a formula.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from servemath_helpers._validate import number, sequence

__all__ = ["dominates", "pareto_front"]

_SHAPE = "(latency, throughput, cost)"


def _costs(name: str, point: Sequence[float]) -> tuple[float, float, float]:
    """Return a point as three numbers that should all be low."""
    parts = sequence(name, point, _SHAPE)
    if len(parts) != 3:
        raise ValueError(f"{name} must be {_SHAPE}, got {point!r}")
    latency, throughput, cost = (
        number(f"{name} {part}", value)
        for part, value in zip(("latency", "throughput", "cost"), parts, strict=True)
    )
    return latency, -throughput, cost


def _beats(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Tell whether configuration a is at least as good as b everywhere and better somewhere.

    Parameters
    ----------
    a, b : (latency, throughput, cost)
        Numbers, each coordinate in one unit for both; latency and cost low, throughput
        high.

    Returns
    -------
    bool
        True if a dominates b. Equal points do not dominate each other.

    Raises
    ------
    ValueError
        If a point is not made of three numbers.

    Examples
    --------
    >>> dominates((50, 100, 2), (60, 100, 2)), dominates((50, 100, 2), (50, 100, 2))
    (True, False)
    """
    return _beats(_costs("a", a), _costs("b", b))


def pareto_front(points: Iterable[Sequence[float]]) -> list[int]:
    """Return the indices of the configurations that no other one dominates.

    Parameters
    ----------
    points : iterable of (latency, throughput, cost)
        Numbers, each coordinate in one unit; latency and cost low, throughput high.
        An infinite latency (an unstable configuration) is a number, NaN is not.

    Returns
    -------
    list of int
        Indices in ascending order; equal points stand or fall together; empty if there
        are no points.

    Raises
    ------
    ValueError
        If a point is not made of three numbers.

    Notes
    -----
    The smallest weighted sum of the coordinates, each weight above 0, always lies on the
    front, but not every point of the front is the smallest for some weights: those in a
    dent are never found that way.

    References
    ----------
    M. Ehrgott, *Multicriteria Optimization*, second edition, 2005, chapters 2 and 3.

    Examples
    --------
    >>> pareto_front([(40, 90, 1.0), (60, 150, 1.0), (70, 140, 1.2), (40, 90, 1.0)])
    [0, 1, 3]
    """
    items = [_costs(f"points[{i}]", p) for i, p in enumerate(sequence("points", points))]
    # In lexical order a point can be dominated only by one that stands before it, and
    # then also by one of the front, so the front so far is all that has to be asked.
    front: list[tuple[float, float, float]] = []
    kept: set[tuple[float, float, float]] = set()
    lowest_cost = math.inf
    for item in sorted(set(items)):
        # Cheaper than all before: nothing can dominate it.
        if item[2] < lowest_cost or not any(_beats(other, item) for other in front):
            front.append(item)
            kept.add(item)
            lowest_cost = min(lowest_cost, item[2])
    return [index for index, item in enumerate(items) if item in kept]
