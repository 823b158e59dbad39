"""Comparing distributions: softmax, population stability index, Jensen-Shannon.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from servemath_helpers._validate import (
    finite_non_negative,
    finite_numbers_in,
    finite_positive,
    numbers_in,
    same_length,
    whole,
)
from servemath_helpers.quantities import exact_probability

if TYPE_CHECKING:
    from servemath_helpers.quantities import Exact

__all__ = ["js_divergence", "psi", "psi_threshold", "softmax"]


def softmax(logits: Iterable[float], temperature: float = 1.0) -> list[float]:
    """Return the probabilities that logits stand for.

    Parameters
    ----------
    logits : iterable of float
        At least one; -inf (a masked token) gets probability 0, but not all of them.
    temperature : float
        Greater than 0: below 1 the largest logit gains, above 1 all become more equal.

    Returns
    -------
    list of float
        exp(x_i / T) / sum_j exp(x_j / T).

    Raises
    ------
    ValueError
        If a logit is NaN or +inf, all are -inf, or the temperature is out of range.

    Notes
    -----
    The largest logit is subtracted first: it changes nothing and keeps exp from
    overflowing.

    Examples
    --------
    >>> [round(p, 4) for p in softmax([1, 2, 3])]
    [0.09, 0.2447, 0.6652]
    >>> softmax([1000, 1000])
    [0.5, 0.5]
    """
    values = numbers_in("logits", logits)
    temperature = finite_positive("temperature", temperature)
    for index, value in enumerate(values):
        if value == math.inf:
            raise ValueError(f"logits[{index}] must be below inf, got {value!r}")
    largest = max(values)
    if largest == -math.inf:
        raise ValueError("logits must not all be -inf")
    weights = [math.exp((value - largest) / temperature) for value in values]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def _shares(name: str, counts: Iterable[float]) -> list[float]:
    """Return counts or weights as shares of their sum."""
    values = finite_numbers_in(name, counts, minimum=0)
    largest = max(values)
    if largest == 0:
        raise ValueError(f"{name} must not all be 0")
    # Scaled first, so that neither huge nor tiny weights leave the range of a float.
    scaled = [value / largest for value in values]
    total = math.fsum(scaled)
    return [value / total for value in scaled]


def psi(expected: Iterable[float], actual: Iterable[float], smoothing: float = 0.0) -> float:
    """Return the population stability index of two histograms over the same bins.

    Parameters
    ----------
    expected : iterable of float
        Counts or shares of the bins in the reference data, at least 0, not all 0.
    actual : iterable of float
        Counts or shares of the same bins in the new data, at least 0, not all 0.
    smoothing : float
        Added to every bin of both histograms before they are normalised, at least 0,
        in the unit of the counts; 0.5 is usual for counts.

    Returns
    -------
    float
        sum_i (actual_i - expected_i) ln(actual_i / expected_i) [nats], at least 0.

    Raises
    ------
    ValueError
        If lengths differ, a value is out of range, or a bin is empty in one histogram
        only while smoothing is 0: the index would be infinite.

    Notes
    -----
    The sum of both Kullback-Leibler divergences, so symmetric in its arguments. A bin
    empty in both adds nothing. A bin empty in one is an error unless smoothing is asked
    for, because any silent small constant would decide the result. Rule of thumb: below
    0.1 stable, above 0.25 shifted.

    Examples
    --------
    >>> round(psi([25, 25, 25, 25], [10, 20, 30, 40]), 4)
    0.2282
    >>> round(psi([50, 50, 0], [40, 50, 10], smoothing=0.5), 4)
    0.3217
    """
    old = numbers_in("expected", expected, minimum=0)
    new = numbers_in("actual", actual, minimum=0)
    same_length(expected=old, actual=new)
    smoothing = finite_non_negative("smoothing", smoothing)
    before = _shares("expected", [value + smoothing for value in old])
    after = _shares("actual", [value + smoothing for value in new])
    terms = []
    for index, (e, a) in enumerate(zip(before, after, strict=True)):
        if e == a:
            continue
        if e == 0 or a == 0:
            raise ValueError(
                f"bin {index} must not be empty in only one of expected and actual, got shares "
                f"{e:g} and {a:g}: merge bins or give a smoothing greater than 0"
            )
        terms.append((a - e) * (math.log(a) - math.log(e)))
    return math.fsum(terms)


def psi_threshold(
    bins: int, n_actual: int, n_expected: int | None = None, level: Exact = "0.05"
) -> float:
    """Return the population stability index that chance alone exceeds rarely.

    Parameters
    ----------
    bins : int
        Bins of both histograms, at least 2, all with several counts.
    n_actual : int
        Counts in the new data, at least 1.
    n_expected : int, optional
        Counts in the reference data, at least 1; None for a reference without noise.
    level : int, str, Decimal, Fraction or float, optional
        Share of comparisons without any drift that exceed the result, in (0, 1).

    Returns
    -------
    float
        Critical value [nats].

    Notes
    -----
    Where nothing drifted, PSI / (1/n + 1/m) is about chi-squared with bins - 1 degrees of
    freedom: a small sample exceeds 0.1 by chance, and a large one drifts long before it.

    References
    ----------
    B. Yurdakul and J. Naranjo, "Statistical properties of the population stability index",
    Journal of Risk Model Validation 14(4), 2020.

    Examples
    --------
    Ten bins: a day of 200 requests, and one of 20 000, against a reference as large.

    >>> round(psi_threshold(10, 200, 200), 3), round(psi_threshold(10, 20_000, 20_000), 4)
    (0.169, 0.0017)
    """
    freedom = whole("bins", bins, 2) - 1
    noise = 1 / whole("n_actual", n_actual, 1)
    if n_expected is not None:
        noise += 1 / whole("n_expected", n_expected, 1)
    tail = float(exact_probability(level, "level", zero_allowed=False, one_allowed=False))
    low, high = 0.0, float(freedom)
    while _chi_squared_tail(high, freedom) > tail:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _chi_squared_tail(middle, freedom) > tail else (low, middle)
    return noise * high


def _chi_squared_tail(x: float, freedom: int) -> float:
    """Return P(chi-squared > x), the finite sum for whole degrees of freedom."""
    half = x / 2
    if freedom % 2:
        total, term, first = math.erfc(math.sqrt(half)), 2 * math.sqrt(half / math.pi), 1
    else:
        total, term, first = 0.0, 1.0, 0
    for step in range(freedom // 2):
        total += math.exp(-half) * term
        term *= half / (step + (1.5 if first else 1))
    return total


def js_divergence(p: Iterable[float], q: Iterable[float]) -> float:
    """Return the Jensen-Shannon divergence of two histograms over the same bins.

    Parameters
    ----------
    p : iterable of float
        Counts or shares, at least 0, not all 0.
    q : iterable of float
        Counts or shares of the same bins, at least 0, not all 0.

    Returns
    -------
    float
        Divergence [nats], between 0 (equal) and ln 2 (no bin in common).

    Raises
    ------
    ValueError
        If lengths differ.

    Notes
    -----
    (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2 and the natural logarithm.
    Since 0 ln 0 = 0 and m is positive wherever p or q is, empty bins need no small
    constant.

    References
    ----------
    J. Lin, "Divergence measures based on the Shannon entropy", IEEE Transactions on
    Information Theory 37 (1991).

    Examples
    --------
    >>> round(js_divergence([0.25] * 4, [0.1, 0.2, 0.3, 0.4]), 10)
    0.0278656135
    >>> js_divergence([1, 0], [0, 1]) == math.log(2)
    True
    """
    first, second = numbers_in("p", p, minimum=0), numbers_in("q", q, minimum=0)
    same_length(p=first, q=second)
    terms = []
    for x, y in zip(_shares("p", first), _shares("q", second), strict=True):
        if x != y:
            # x / m = 1 + d and y / m = 1 - d; no bin adds a negative amount.
            d = (x - y) / (x + y)
            terms.append((x + y) / 4 * _spread(d))
    return min(math.fsum(terms), math.log(2))


def _spread(d: float) -> float:
    """Return (1 + d) ln(1 + d) + (1 - d) ln(1 - d) without cancellation for small d."""
    if abs(d) == 1:
        return 2 * math.log(2)
    return 2 * d * math.atanh(d) + math.log1p(-d * d)
