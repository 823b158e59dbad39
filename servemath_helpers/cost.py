"""What a token, a request and a good answer cost.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

from servemath_helpers._validate import (
    finite_non_negative,
    finite_positive,
    probability,
    whole,
)
from servemath_helpers.quantities import Exact, exact_at_least

__all__ = [
    "cascade_break_even",
    "cascade_cost",
    "cost_per_million",
    "quality_adjusted_cost",
    "request_cost_usd",
    "utilisation",
]

_SECONDS_PER_HOUR = 3600


def _money(name: str, value: Exact) -> float:
    """Read an amount of money, which may be decimal text such as "2.99"."""
    return float(exact_at_least(value, 0, name))


def cost_per_million(hour_usd: Exact, tok_s: float, n_gpus: int = 1, util: float = 1.0) -> float:
    """Cost of a million tokens of machines that are paid by the hour.

    Parameters
    ----------
    hour_usd : int, float, str, Decimal or Fraction
        Price of one GPU in USD per hour, at least 0.
    tok_s : float
        Tokens per second of all GPUs together at full use, greater than 0.
    n_gpus : int, optional
        GPUs, at least 0.
    util : float, optional
        Tokens served divided by tokens that could have been served, in (0, 1].

    Returns
    -------
    float
        USD per million tokens.

    Notes
    -----
    ``1e6 * hour_usd * n_gpus / (3600 * tok_s * util)``. Idle hours are paid too, so low
    utilisation makes tokens dearer.

    Examples
    --------
    >>> round(cost_per_million(hour_usd=3, tok_s=1000), 4)
    0.8333
    >>> round(cost_per_million(hour_usd="2", tok_s=600, util=0.3), 4)
    3.0864
    """
    spent = 1e6 * _money("hour_usd", hour_usd) * whole("n_gpus", n_gpus)
    served = finite_positive("tok_s", tok_s) * probability("util", util, zero_allowed=False)
    return spent / (_SECONDS_PER_HOUR * served)


def utilisation(served_tok: float, capacity_tok: float) -> float:
    """Share of the tokens that the machines could have served.

    Parameters
    ----------
    served_tok : float
        Tokens served in a period, between 0 and `capacity_tok`.
    capacity_tok : float
        Tokens that the machines can serve in that period, greater than 0.

    Returns
    -------
    float
        Utilisation in [0, 1].

    Examples
    --------
    >>> utilisation(served_tok=3_000_000, capacity_tok=10_000_000)
    0.3
    """
    capacity = finite_positive("capacity_tok", capacity_tok)
    served = finite_non_negative("served_tok", served_tok)
    if served > capacity:
        raise ValueError(
            f"served_tok must be at most capacity_tok = {capacity_tok!r}, got {served_tok!r}"
        )
    return served / capacity


def quality_adjusted_cost(cost_usd: Exact, p_success: float) -> float:
    """Cost of one success when only some attempts succeed.

    Parameters
    ----------
    cost_usd : int, float, str, Decimal or Fraction
        Cost of one attempt (an answer, a million tokens) in USD, at least 0.
    p_success : float
        Probability that an attempt succeeds, in (0, 1].

    Returns
    -------
    float
        USD per success.

    Notes
    -----
    With independent attempts the number of attempts until the first success is geometric
    with mean ``1 / p_success``, so a success costs ``cost_usd / p_success``.

    Examples
    --------
    The cheaper model is the dearer one where it fails more often:

    >>> quality_adjusted_cost(0.5, p_success=0.5), quality_adjusted_cost(0.9, p_success=1)
    (1.0, 0.9)
    """
    return _money("cost_usd", cost_usd) / probability("p_success", p_success, zero_allowed=False)


def cascade_cost(easy_share: float, cost_small: Exact, cost_large: Exact) -> float:
    """Mean cost of a request when a small model goes first and a large one steps in.

    Parameters
    ----------
    easy_share : float
        Share of requests that the small model settles, in [0, 1].
    cost_small, cost_large : int, float, str, Decimal or Fraction
        Cost of one request on each model in any one unit of money, at least 0.

    Returns
    -------
    float
        Cost per request in that unit.

    Notes
    -----
    ``f c_s + (1 - f) (c_s + c_l)``: hard requests pay both models, because the small one
    has already run when the large one is asked.

    References
    ----------
    Chen, Zaharia and Zou (2023), "FrugalGPT: How to Use Large Language Models While
    Reducing Cost and Improving Performance", arXiv:2305.05176.

    Examples
    --------
    >>> round(cascade_cost(0.8, cost_small="0.10", cost_large="0.67"), 3)
    0.234
    """
    easy = probability("easy_share", easy_share)
    small = _money("cost_small", cost_small)
    return small + (1 - easy) * _money("cost_large", cost_large)


def cascade_break_even(cost_small: Exact, cost_large: Exact) -> float:
    """Share of easy requests above which a cascade beats the large model alone.

    Parameters
    ----------
    cost_small : int, float, str, Decimal or Fraction
        Cost of one request on the small model, at least 0.
    cost_large : int, float, str, Decimal or Fraction
        Cost of one request on the large model in the same unit, greater than 0.

    Returns
    -------
    float
        The share ``cost_small / cost_large``; above 1 the cascade never pays.

    Notes
    -----
    A cascade costs ``c_s + (1 - f) c_l`` a request. That equals ``c_l`` at
    ``f = c_s / c_l``.

    Examples
    --------
    >>> round(cascade_break_even(cost_small="0.10", cost_large="0.67"), 3)
    0.149
    """
    small = _money("cost_small", cost_small)
    return small / float(exact_at_least(cost_large, 0, "cost_large", strict=True))


def request_cost_usd(
    n_in: int, n_out: int, in_usd_per_mtok: Exact, out_usd_per_mtok: Exact
) -> float:
    """Cost of one request whose input and output tokens have different prices.

    Parameters
    ----------
    n_in, n_out : int
        Tokens of the prompt and of the answer, at least 0.
    in_usd_per_mtok, out_usd_per_mtok : int, float, str, Decimal or Fraction
        USD per million tokens of input and of output, at least 0.

    Returns
    -------
    float
        USD.

    Examples
    --------
    >>> request_cost_usd(1000, 500, in_usd_per_mtok="0.25", out_usd_per_mtok="0.90")
    0.0007
    """
    n_in, n_out = whole("n_in", n_in), whole("n_out", n_out)
    in_usd = n_in * exact_at_least(in_usd_per_mtok, 0, "in_usd_per_mtok")
    out_usd = n_out * exact_at_least(out_usd_per_mtok, 0, "out_usd_per_mtok")
    return float((in_usd + out_usd) / 10**6)
