"""Gates in front of users: may this version be promoted, may this answer be shown.

A gate is a decision rule fixed before the data are seen. Each of these returns the
decision together with the numbers it rests on.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypedDict

from servemath_helpers._validate import (
    finite_numbers_in,
    non_negative,
    number,
    numbers_in,
    probability,
    sequence,
    whole,
)
from servemath_helpers.experiments import paired_bootstrap_interval
from servemath_helpers.quantities import exact_probability

if TYPE_CHECKING:
    from servemath_helpers.quantities import Exact

__all__ = [
    "CanaryVerdict",
    "GateReport",
    "admit",
    "canary_sprt",
    "difference_interval",
    "release_gate",
    "wilson_interval",
]


class GateReport(TypedDict):
    """What a release gate decided, and why."""

    promote: bool
    mean_delta: float
    ci_low: float
    reasons: list[str]


def release_gate(
    baseline: Iterable[float],
    candidate: Iterable[float],
    p99_ms: float,
    slo_ms: float,
    cost: float,
    budget: float,
    *,
    margin: float = 0.0,
) -> GateReport:
    """Decide whether a candidate may replace the baseline.

    Parameters
    ----------
    baseline : iterable of float
        Quality scores of the version in service, at least two, higher is better.
    candidate : iterable of float
        Scores of the candidate on the same items in the same order.
    p99_ms : float
        The candidate's 99th percentile of latency [ms], at least 0.
    slo_ms : float
        Largest accepted P99 [ms], at least 0.
    cost : float
        The candidate's cost [any unit], at least 0.
    budget : float
        Largest accepted cost [same unit], at least 0.
    margin : float, optional
        Loss of quality that is accepted, at least 0: above 0 the gate asks whether the
        candidate is not inferior by more than this (for one that is cheaper), with 0 whether
        it is better.

    Returns
    -------
    dict
        ``promote``; ``mean_delta``, the mean of candidate - baseline; ``ci_low``, the low
        end of its 95 % interval; ``reasons``, one text for each gate that fails,
        beginning with ``quality``, ``latency`` or ``cost``, in this order.

    Raises
    ------
    ValueError
        If lengths differ or there are fewer than two pairs.

    Notes
    -----
    All three gates have to hold: ci_low > -margin, p99_ms <= slo_ms, cost <= budget. The
    interval is the paired percentile bootstrap of 10 000 resamples with a fixed
    generator, so the same scores always give the same decision. With few items it is too
    narrow: for normal differences it covers the truth in about 85 % of cases for 5 items
    and 91 % for 20, not in 95 %.

    References
    ----------
    B. Efron and R. J. Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13.

    Examples
    --------
    >>> report = release_gate([0.70, 0.72, 0.71], [0.72, 0.74, 0.73], 640, 600, 2, 3)
    >>> report["promote"], round(report["ci_low"], 6)
    (False, 0.02)
    >>> report["reasons"]
    ['latency: P99 of 640 ms exceeds 600 ms']
    """
    old = finite_numbers_in("baseline", baseline)
    new = finite_numbers_in("candidate", candidate)
    ci_low, _ = paired_bootstrap_interval(old, new)
    p99_ms, slo_ms = non_negative("p99_ms", p99_ms), non_negative("slo_ms", slo_ms)
    cost, budget = non_negative("cost", cost), non_negative("budget", budget)
    accepted = non_negative("margin", margin)
    reasons = []
    if ci_low <= -accepted:
        reasons.append(f"quality: the gain may be as low as {ci_low:.4g}")
    if p99_ms > slo_ms:
        reasons.append(f"latency: P99 of {p99_ms:g} ms exceeds {slo_ms:g} ms")
    if cost > budget:
        reasons.append(f"cost: {cost:g} exceeds {budget:g}")
    differences = [b - a for a, b in zip(old, new, strict=True)]
    return {
        "promote": not reasons,
        "mean_delta": math.fsum(differences) / len(differences),
        "ci_low": ci_low,
        "reasons": reasons,
    }


def admit(scores: Iterable[float], threshold: float) -> list[bool]:
    """Tell for each score whether it reaches a threshold.

    Parameters
    ----------
    scores : iterable of float
        Confidence or quality of each answer, any scale.
    threshold : float
        Least accepted score, on the same scale.

    Returns
    -------
    list of bool
        score >= threshold, in the order of the scores.

    Raises
    ------
    ValueError
        If a score or the threshold is not a number.

    Examples
    --------
    >>> admit([0.9, 0.7, 0.4], threshold=0.7)
    [True, True, False]
    """
    threshold = number("threshold", threshold)
    return [score >= threshold for score in numbers_in("scores", scores, empty_allowed=True)]


def wilson_interval(bad: int, n: int, confidence: Exact = "0.95") -> tuple[float, float]:
    """Return an interval for a failure rate that behaves even when few fail.

    Parameters
    ----------
    bad : int
        Failed requests, from 0 to n.
    n : int
        Requests, at least 1.
    confidence : int, str, Decimal, Fraction or float
        Coverage aimed at, in (0, 1).

    Returns
    -------
    tuple of float
        Low and high end, within [0, 1].

    Notes
    -----
    The rates p that a two-sided score test does not refuse: the solutions of
    (bad/n - p)^2 = z^2 p (1 - p) / n. With nothing failed it ends at z^2 / (n + z^2),
    not at 0.

    References
    ----------
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22 (1927).

    Examples
    --------
    >>> [round(end, 5) for end in wilson_interval(28, 2000)]
    [0.0097, 0.02016]
    """
    from statistics import NormalDist  # slow to import, and only needed here

    n = whole("n", n, minimum=1)
    bad = whole("bad", bad)
    if bad > n:
        raise ValueError(f"bad must be at most n = {n}, got {bad}")
    level = exact_probability(confidence, "confidence", zero_allowed=False, one_allowed=False)
    z = -NormalDist().inv_cdf(float((1 - level) / 2))
    share, spread = bad / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    # At either end one solution is exactly 0 or 1, which rounding would miss.
    low = 0.0 if bad == 0 else max(0.0, centre - half)
    high = 1.0 if bad == n else min(1.0, centre + half)
    return low, high


def difference_interval(
    bad_a: int, n_a: int, bad_b: int, n_b: int, confidence: Exact = "0.95"
) -> tuple[float, float]:
    """Return an interval for the difference of two failure rates, b less a.

    Parameters
    ----------
    bad_a, n_a, bad_b, n_b : int
        Failed requests and requests of the two versions, as for `wilson_interval`.
    confidence : int, str, Decimal, Fraction or float
        Coverage aimed at, in (0, 1).

    Returns
    -------
    tuple of float
        Low and high end, within [-1, 1]; the difference is established if 0 is outside.

    Notes
    -----
    From the two score intervals [l, u]: the low end is
    d - sqrt((p_b - l_b)^2 + (u_a - p_a)^2), the high end
    d + sqrt((u_b - p_b)^2 + (p_a - l_a)^2). Whether the two intervals overlap answers
    another question, and too seldom says that versions differ.

    References
    ----------
    R. G. Newcombe, "Interval estimation for the difference between independent
    proportions", Statistics in Medicine 17 (1998), method 10.

    Examples
    --------
    >>> [round(end, 5) for end in difference_interval(200, 20_000, 70, 5_000)]
    [0.00074, 0.00787]
    """
    (low_a, high_a), (low_b, high_b) = (
        wilson_interval(bad_a, n_a, confidence),
        wilson_interval(bad_b, n_b, confidence),
    )
    p_a, p_b = bad_a / n_a, bad_b / n_b
    low = p_b - p_a - math.hypot(p_b - low_b, high_a - p_a)
    return low, p_b - p_a + math.hypot(high_b - p_b, p_a - low_a)


@dataclass(frozen=True)
class CanaryVerdict:
    """What a sequential canary test decided, after how many requests, and its evidence."""

    decision: Literal["promote", "roll back", "continue"]
    requests_used: int
    log_ratio: tuple[float, ...]
    roll_back_at: float
    promote_at: float


def canary_sprt(
    failures: Iterable[int],
    p_good: float,
    p_bad: float,
    alpha: float = 0.05,
    beta: float = 0.05,
) -> CanaryVerdict:
    """Watch a canary request by request, and stop as soon as the evidence suffices.

    Parameters
    ----------
    failures : iterable of int
        1 for a request that failed, 0 for one that did not, in order of completion.
    p_good : float
        Failure rate of a version worth promoting, in (0, 1).
    p_bad : float
        Failure rate of a version to roll back, in (p_good, 1).
    alpha : float
        Accepted probability of rolling back a good version, in (0, 1).
    beta : float
        Accepted probability of promoting a bad one, in (0, 1); alpha + beta < 1.

    Returns
    -------
    CanaryVerdict
        ``decision``; ``requests_used``, all of them if it is "continue"; ``log_ratio``,
        the evidence after each request [nats], positive for "bad"; and the two bounds
        it was compared with.

    Notes
    -----
    Wald's sequential probability ratio test: add ln(p_bad / p_good) for a failure and
    ln((1 - p_bad) / (1 - p_good)) for a success; roll back at ln((1 - beta) / alpha),
    promote at ln(beta / (1 - alpha)). Unlike a z test it may be looked at after every
    request: that is what it is built for.

    References
    ----------
    A. Wald, "Sequential tests of statistical hypotheses", Annals of Mathematical
    Statistics 16 (1945).

    Examples
    --------
    >>> verdict = canary_sprt([0, 0, 1, 1, 0, 1], p_good=0.01, p_bad=0.10)
    >>> verdict.decision, verdict.requests_used
    ('roll back', 4)
    """
    p_good = probability("p_good", p_good, zero_allowed=False, one_allowed=False)
    p_bad = probability("p_bad", p_bad, zero_allowed=False, one_allowed=False)
    if p_bad <= p_good:
        raise ValueError(f"p_bad must be greater than p_good = {p_good:g}, got {p_bad!r}")
    alpha = probability("alpha", alpha, zero_allowed=False, one_allowed=False)
    beta = probability("beta", beta, zero_allowed=False, one_allowed=False)
    if alpha + beta >= 1:
        raise ValueError(f"beta must be less than 1 - alpha = {1 - alpha:g}, got {beta!r}")
    steps = (math.log((1 - p_bad) / (1 - p_good)), math.log(p_bad / p_good))
    promote_at, roll_back_at = math.log(beta / (1 - alpha)), math.log((1 - beta) / alpha)

    evidence, path = 0.0, []
    decision: Literal["promote", "roll back", "continue"] = "continue"
    for index, value in enumerate(sequence("failures", failures)):
        failed = whole(f"failures[{index}]", value)
        if failed > 1:
            raise ValueError(f"failures[{index}] must be 0 or 1, got {value!r}")
        evidence += steps[failed]
        path.append(evidence)
        if evidence >= roll_back_at:
            decision = "roll back"
        elif evidence <= promote_at:
            decision = "promote"
        if decision != "continue":
            break
    return CanaryVerdict(decision, len(path), tuple(path), roll_back_at, promote_at)
