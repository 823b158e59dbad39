"""Error budgets, burn rates, availability, and what to do when a system degrades.

Objectives such as 0.999 are exact decimals here: see `servemath_helpers.quantities`.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from servemath_helpers._validate import (
    finite_non_negative,
    non_negative,
    number,
    positive,
    same_length,
    sequence,
    whole,
)
from servemath_helpers.quantities import exact_at_least, exact_probability

if TYPE_CHECKING:
    from fractions import Fraction

    from servemath_helpers.quantities import Exact

__all__ = [
    "availability_parallel",
    "availability_series",
    "budget_spent",
    "burn_alert",
    "burn_rate",
    "choose_action",
    "downtime_minutes",
    "error_budget",
]


def error_budget(n: Exact, slo: Exact) -> int:
    """Return how many of n requests may fail under an objective.

    Parameters
    ----------
    n : int, str, Decimal, Fraction or float
        Number of requests, at least 0.
    slo : int, str, Decimal, Fraction or float
        Objective for the share of good requests, in [0, 1].

    Returns
    -------
    int
        floor((1 - slo) n), computed exactly.

    Notes
    -----
    In floating point (1 - 0.9999) * 1e6 is 99.99999999998899, and its floor is 99.

    References
    ----------
    B. Beyer et al. (eds.), *The Site Reliability Workbook*, 2018, chapter 2.

    Examples
    --------
    >>> error_budget(1_000_000, "0.9999"), error_budget(1500, "0.999")
    (100, 1)
    """
    requests = exact_at_least(n, 0, "n")
    return math.floor((1 - exact_probability(slo, "slo")) * requests)


def burn_rate(bad: Exact, n: Exact, slo: Exact) -> float:
    """Return how many times faster than allowed the error budget is being spent.

    Parameters
    ----------
    bad : int, str, Decimal, Fraction or float
        Number of failed requests, at least 0.
    n : int, str, Decimal, Fraction or float
        Number of requests, at least 0.
    slo : int, str, Decimal, Fraction or float
        Objective for the share of good requests, in [0, 1].

    Returns
    -------
    float
        (bad / n) / (1 - slo); 0.0 for n = 0. With slo = 1 there is no budget: inf if
        anything failed, else 0.0.

    References
    ----------
    B. Beyer et al. (eds.), *The Site Reliability Workbook*, 2018, chapter 5.

    Examples
    --------
    >>> burn_rate(1440, 100_000, "0.999")
    14.4
    """
    rate = _burn(exact_at_least(bad, 0, "bad"), exact_at_least(n, 0, "n"), _allowed(slo))
    return math.inf if rate is None else float(rate)


def _allowed(slo: Exact) -> Fraction:
    return 1 - exact_probability(slo, "slo")


def _burn(bad: Fraction | int, n: Fraction | int, allowed: Fraction) -> Fraction | None:
    """Return the exact burn rate, None where it is infinite."""
    if n == 0 or bad == 0:
        return 0 * allowed
    return None if allowed == 0 else bad / (n * allowed)


def budget_spent(burn: float, window_h: float, period_h: float) -> float:
    """Return the share of a period's error budget that a window at a burn rate spends.

    Parameters
    ----------
    burn : float
        Burn rate, at least 0.
    window_h : float
        Length of the window [h], at least 0.
    period_h : float
        Length of the objective's period [h], greater than 0; 720 for thirty days.

    Returns
    -------
    float
        burn window_h / period_h as a fraction; above 1 when the budget is overdrawn.

    Notes
    -----
    Traffic is taken as even over the period.

    References
    ----------
    B. Beyer et al. (eds.), *The Site Reliability Workbook*, 2018, chapter 5.

    Examples
    --------
    >>> round(budget_spent(14.4, 1, 720), 6), round(budget_spent(6, 6, 720), 6)
    (0.02, 0.05)
    """
    share = finite_non_negative("window_h", window_h) / positive("period_h", period_h)
    burn = non_negative("burn", burn)
    return burn * share if share > 0 else 0.0


def burn_alert(
    errors: Iterable[int],
    totals: Iterable[int],
    slo: Exact,
    period_h: Exact,
    rules: Iterable[Sequence[Any]],
) -> list[str]:
    """Return the names of the burn-rate rules that fire now.

    Parameters
    ----------
    errors : iterable of int
        Failed requests in each minute, newest last.
    totals : iterable of int
        Requests in each minute, newest last, as many minutes as `errors`.
    slo : int, str, Decimal, Fraction or float
        Objective for the share of good requests, in [0, 1].
    period_h : int, str, Decimal, Fraction or float
        Length of the objective's period [h], greater than 0. It says how much of the
        budget a burn rate costs, and does not change which rules fire.
    rules : iterable of (name, long_h, short_h, burn)
        Name, lengths of the long and the short window [h, greater than 0], and the
        burn rate from which the rule fires [at least 0].

    Returns
    -------
    list of str
        Names of the rules whose two windows both burn at their rate or faster, in the
        order of `rules`.

    Raises
    ------
    ValueError
        If a rule is not made of four parts.

    Notes
    -----
    The window of h hours is the last 60 h minutes (rounded to whole minutes, at least
    one), or as many as there are. A window without traffic burns 0. The long window
    says that the spending matters, the short one that it is still going on. All
    comparisons are exact.

    References
    ----------
    B. Beyer et al. (eds.), *The Site Reliability Workbook*, 2018, chapter 5.

    Examples
    --------
    >>> rules = [("page", 1, "1/12", 14.4), ("ticket", 72, 6, 1)]
    >>> burn_alert([144] * 60, [10_000] * 60, "0.999", 720, rules)
    ['page', 'ticket']
    >>> burn_alert([288] * 55 + [0] * 5, [10_000] * 60, "0.999", 720, rules)
    ['ticket']
    """
    bad = [
        whole(f"errors[{index}]", value) for index, value in enumerate(sequence("errors", errors))
    ]
    count = [
        whole(f"totals[{index}]", value) for index, value in enumerate(sequence("totals", totals))
    ]
    same_length(errors=bad, totals=count)
    allowed = _allowed(slo)
    exact_at_least(period_h, 0, "period_h", strict=True)

    def burns(window_h: Exact, factor: Fraction, name: str) -> bool:
        minutes = max(1, round(60 * exact_at_least(window_h, 0, name, strict=True)))
        rate = _burn(sum(bad[-minutes:]), sum(count[-minutes:]), allowed)
        return rate is None or rate >= factor

    firing = []
    for index, rule in enumerate(sequence("rules", rules)):
        expected = "(name, long_h, short_h, burn)"
        parts = sequence(f"rules[{index}]", rule, expected)
        if len(parts) != 4:
            raise ValueError(f"rules[{index}] must be {expected}, got {rule!r}")
        name, long_h, short_h, burn = parts
        factor = exact_at_least(burn, 0, f"rules[{index}] burn")
        long_burns = burns(long_h, factor, f"rules[{index}] long_h")
        if burns(short_h, factor, f"rules[{index}] short_h") and long_burns:
            firing.append(name)
    return firing


def availability_series(values: Iterable[Exact]) -> float:
    """Return the availability of a chain that needs every part.

    Parameters
    ----------
    values : iterable of int, str, Decimal, Fraction or float
        Availabilities of the parts, each in [0, 1], at least one.

    Returns
    -------
    float
        Their product.

    Raises
    ------
    ValueError
        If there is no part.

    Notes
    -----
    Parts fail independently. A shared cause (one region, one deployment) breaks that.

    Examples
    --------
    >>> round(availability_series(["0.999"] * 5), 5)
    0.99501
    """
    return float(math.prod(_availabilities(values)))


def availability_parallel(values: Iterable[Exact]) -> float:
    """Return the availability of redundant parts of which one suffices.

    Parameters
    ----------
    values : iterable of int, str, Decimal, Fraction or float
        Availabilities of the parts, each in [0, 1], at least one.

    Returns
    -------
    float
        1 - the product of the unavailabilities.

    Raises
    ------
    ValueError
        If there is no part.

    Notes
    -----
    Parts fail independently, and switching between them costs nothing.

    Examples
    --------
    >>> availability_parallel([0.99, 0.99])
    0.9999
    """
    return float(1 - math.prod(1 - value for value in _availabilities(values)))


def _availabilities(values: Iterable[Exact]) -> list[Fraction]:
    items = sequence("values", values)
    checked = [exact_probability(value, f"values[{i}]") for i, value in enumerate(items)]
    if not checked:
        raise ValueError("values must not be empty")
    return checked


def downtime_minutes(slo: Exact, period_days: Exact) -> float:
    """Return how long a service may be down in a period under an objective.

    Parameters
    ----------
    slo : int, str, Decimal, Fraction or float
        Objective for the availability, in [0, 1].
    period_days : int, str, Decimal, Fraction or float
        Length of the period [days], greater than 0.

    Returns
    -------
    float
        (1 - slo) period [minutes].

    Examples
    --------
    >>> downtime_minutes("0.999", 30)
    43.2
    """
    days = exact_at_least(period_days, 0, "period_days", strict=True)
    return float(_allowed(slo) * days * 24 * 60)


def choose_action(actions: Iterable[Mapping[str, Any]], slo_ms: float) -> str:
    """Return the best way to degrade that still meets the latency objective.

    Parameters
    ----------
    actions : iterable of mapping
        Each with ``name`` (str), ``p99_ms`` [ms, at least 0], ``quality`` (any number,
        higher is better) and ``cost`` (at least 0, any unit).
    slo_ms : float
        Bound on the 99th percentile of the latency [ms], at least 0.

    Returns
    -------
    str
        Name of the action of highest quality with p99_ms <= slo_ms; ties by lower
        cost, then by lower p99_ms, then by order. "shed" if none is eligible.

    Raises
    ------
    ValueError
        If a field is missing or out of range.

    Examples
    --------
    >>> full = {"name": "full", "p99_ms": 2600, "quality": 1.0, "cost": 3}
    >>> small = {"name": "small model", "p99_ms": 900, "quality": 0.9, "cost": 1}
    >>> choose_action([full, small], 1500), choose_action([full, small], 500)
    ('small model', 'shed')
    """
    slo_ms = non_negative("slo_ms", slo_ms)
    best_name, best_key = "shed", None
    for index, action in enumerate(sequence("actions", actions)):
        where = f"actions[{index}]"
        if not isinstance(action, Mapping):
            raise ValueError(f"{where} must be a dict, got {action!r}")
        missing = [key for key in ("name", "p99_ms", "quality", "cost") if key not in action]
        if missing:
            raise ValueError(f"{where} must have name, p99_ms, quality and cost, lacks {missing}")
        p99_ms = non_negative(f"{where} p99_ms", action["p99_ms"])
        quality = number(f"{where} quality", action["quality"])
        key = (-quality, non_negative(f"{where} cost", action["cost"]), p99_ms)
        if p99_ms <= slo_ms and (best_key is None or key < best_key):
            best_name, best_key = str(action["name"]), key
    return best_name
