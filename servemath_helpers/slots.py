"""Decoding slots over time: batches that wait for their longest member, and refills.

A machine decodes one token for each of its slots in a step. Under static batching a
batch occupies all slots until its longest answer is done; under continuous batching
(iteration-level scheduling) the next request takes a slot as soon as it is free.
Lengths are tokens to decode, and all requests wait from the start.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass

from servemath_helpers._validate import non_negative, sequence, whole

__all__ = [
    "Span",
    "continuous_schedule",
    "continuous_steps",
    "harmonic",
    "padding_waste",
    "slot_efficiency",
    "static_schedule",
    "static_steps",
]


@dataclass(frozen=True)
class Span:
    """A request in its slot: decoding from step `start` (inclusive) to `end` (exclusive)."""

    request: int
    slot: int
    start: int
    end: int


def _lengths(lengths: Iterable[int]) -> list[int]:
    return [whole(f"lengths[{i}]", n) for i, n in enumerate(sequence("lengths", lengths))]


def static_schedule(lengths: Iterable[int], slots: int) -> tuple[Span, ...]:
    """Return when each request decodes if a batch waits for its longest member.

    Parameters
    ----------
    lengths : iterable of int
        Tokens to decode for each request in order of arrival, at least 0.
    slots : int
        Sequences that decode together, at least 1.

    Returns
    -------
    tuple of Span
        One for each request, in order of arrival.

    Examples
    --------
    >>> [(span.slot, span.start, span.end) for span in static_schedule([3, 1, 2], 2)]
    [(0, 0, 3), (1, 0, 1), (0, 3, 5)]
    """
    waiting, slots = _lengths(lengths), whole("slots", slots, minimum=1)
    spans, start = [], 0
    for first in range(0, len(waiting), slots):
        batch = waiting[first : first + slots]
        spans += [Span(first + slot, slot, start, start + n) for slot, n in enumerate(batch)]
        start += max(batch)
    return tuple(spans)


def static_steps(lengths: Iterable[int], slots: int) -> int:
    """Return the decode steps that static batches take.

    Parameters
    ----------
    lengths : iterable of int
        Tokens to decode for each request in order of arrival, at least 0.
    slots : int
        Sequences that decode together, at least 1.

    Returns
    -------
    int
        Sum over the batches of their longest length; 0 if there is nothing to decode.

    Notes
    -----
    Requests are cut into batches of `slots` in order of arrival. A request of length 0
    takes no step, and still has its place in its batch.

    Examples
    --------
    >>> static_steps([3, 1, 2, 6], slots=2)
    9
    """
    return max((span.end for span in static_schedule(lengths, slots)), default=0)


def continuous_schedule(lengths: Iterable[int], slots: int) -> tuple[Span, ...]:
    """Return when each request decodes if a free slot is refilled at once.

    Parameters
    ----------
    lengths : iterable of int
        Tokens to decode for each request in order of arrival, at least 0.
    slots : int
        Sequences that decode together, at least 1.

    Returns
    -------
    tuple of Span
        One for each request, in order of arrival.

    Examples
    --------
    >>> [(span.slot, span.start, span.end) for span in continuous_schedule([3, 1, 2], 2)]
    [(0, 0, 3), (1, 0, 1), (1, 1, 3)]
    """
    waiting, slots = _lengths(lengths), whole("slots", slots, minimum=1)
    # More slots than requests would only stand empty.
    free = [(0, slot) for slot in range(min(slots, len(waiting)))]
    spans = []
    for request, n in enumerate(waiting):
        start, slot = free[0]
        spans.append(Span(request, slot, start, start + n))
        heapq.heapreplace(free, (start + n, slot))
    return tuple(spans)


def continuous_steps(lengths: Iterable[int], slots: int) -> int:
    """Return the decode steps that continuous batching takes.

    Parameters
    ----------
    lengths : iterable of int
        Tokens to decode for each request in order of arrival, at least 0.
    slots : int
        Sequences that decode together, at least 1.

    Returns
    -------
    int
        Steps until the last request is done; 0 if there is nothing to decode.

    Notes
    -----
    The next request in order of arrival takes the slot that becomes free first. Never
    more than `static_steps`, never fewer than the longest length or than the total
    length over `slots`; with no more requests than slots nothing is gained.

    References
    ----------
    G.-I. Yu et al., "Orca: A Distributed Serving System for Transformer-Based Generative
    Models", OSDI 2022 (iteration-level scheduling).

    Examples
    --------
    >>> continuous_steps([3, 1, 2, 6], slots=2), continuous_steps([3, 1], slots=2)
    (9, 3)
    >>> continuous_steps([1, 6, 3, 2], slots=2), static_steps([1, 6, 3, 2], slots=2)
    (6, 9)
    """
    return max((span.end for span in continuous_schedule(lengths, slots)), default=0)


def harmonic(n: int) -> float:
    """Return the harmonic number H_n = 1 + 1/2 + ... + 1/n.

    Parameters
    ----------
    n : int
        At least 0.

    Returns
    -------
    float
        H_n; 0.0 for n = 0.

    Examples
    --------
    >>> harmonic(2), round(harmonic(64), 4)
    (1.5, 4.7439)
    """
    return math.fsum(1 / k for k in range(1, whole("n", n) + 1))


def slot_efficiency(slots: int) -> float:
    """Return the share of slot-steps that static batching uses for exponential lengths.

    Parameters
    ----------
    slots : int
        Sequences in a batch, at least 1.

    Returns
    -------
    float
        1 / H_B, in (0, 1].

    Notes
    -----
    A batch of B independent exponential lengths of mean m lasts m H_B on average: the
    shortest of B ends after m / B, the shortest of those left after m / (B - 1) more, and
    so on. Each slot is in use for m of it. Geometric lengths, the discrete kind, come
    close where the mean is many tokens.

    References
    ----------
    H. A. David and H. N. Nagaraja, *Order Statistics*, third edition, 2003, chapter 2
    (spacings of exponential order statistics).

    Examples
    --------
    >>> [round(slot_efficiency(B), 3) for B in (1, 8, 64)]
    [1.0, 0.368, 0.211]
    """
    return 1 / harmonic(whole("slots", slots, minimum=1))


def padding_waste(lengths: Iterable[float]) -> float:
    """Return the share of a padded batch that is padding.

    Parameters
    ----------
    lengths : iterable of float
        Lengths of the sequences in the batch, at least 0, at least one of them.

    Returns
    -------
    float
        1 - mean / max, in [0, 1); 0.0 if all are empty.

    Raises
    ------
    ValueError
        If there is no length or one is negative.

    Notes
    -----
    The same share of slot-steps stands idle in a static batch of these lengths.

    Examples
    --------
    >>> padding_waste([100, 200, 300, 400])
    0.375
    """
    values = [non_negative(f"lengths[{i}]", n) for i, n in enumerate(sequence("lengths", lengths))]
    if not values:
        raise ValueError("lengths must not be empty")
    longest = max(values)
    return 1 - sum(values) / (len(values) * longest) if longest > 0 else 0.0
