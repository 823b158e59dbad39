"""Service times that take a few fixed values, and what a queue makes of them.

The smallest model of a heavy tail: most requests take one time, a few take a much
longer one. Mean, variability and quantiles are sums, and the queue behind a single
server (M/G/1) can be solved without simulation.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from servemath_helpers._validate import finite_non_negative, sequence, whole
from servemath_helpers.quantities import exact_at_least, exact_probability
from servemath_helpers.queueing import pk_wait

if TYPE_CHECKING:
    from servemath_helpers.quantities import Exact

__all__ = ["Mixture", "mg1_sojourn_quantile"]

# Beyond it the rounding of a long numerical solution would decide.
_HIGHEST: Final = 0.99999


@dataclass(frozen=True)
class Mixture:
    """A service time that takes finitely many values.

    Parameters
    ----------
    parts : iterable of (probability, time)
        Each an int, str, Decimal, Fraction or float; probabilities in [0, 1] that sum
        to exactly 1, times at least 0 in any one unit, not all 0.

    Raises
    ------
    ValueError
        If the probabilities do not sum to 1.

    Examples
    --------
    >>> tail = Mixture([("0.99", 5), ("0.01", 505)])
    >>> tail.mean, round(tail.cs2, 2), tail.quantile("0.99"), tail.quantile("0.995")
    (10.0, 24.75, 5.0, 505.0)
    """

    parts: Sequence[tuple[Exact, Exact]]

    def __post_init__(self) -> None:
        checked: list[tuple[Fraction, Fraction]] = []
        for index, part in enumerate(sequence("parts", self.parts)):
            pair = sequence(f"parts[{index}]", part, "(probability, time)")
            if len(pair) != 2:
                raise ValueError(f"parts[{index}] must be (probability, time), got {part!r}")
            share = exact_probability(pair[0], f"parts[{index}] probability")
            checked.append((share, exact_at_least(pair[1], 0, f"parts[{index}] time")))
        total = sum(share for share, _ in checked)
        if total != 1:
            raise ValueError(f"parts must have probabilities that sum to 1, got {float(total)!r}")
        if not any(share * time for share, time in checked):
            raise ValueError("parts must hold a time above 0 with a probability above 0")
        # Ascending times, so that a quantile is a walk; written once, here.
        object.__setattr__(self, "parts", tuple(sorted(checked, key=lambda pair: pair[1])))

    @property
    def _exact(self) -> Iterable[tuple[Fraction, Fraction]]:
        return self.parts  # type: ignore[return-value]

    @property
    def mean(self) -> float:
        """Mean [unit of the times]."""
        return float(self._moment(1))

    @property
    def cs2(self) -> float:
        """Squared coefficient of variation, Var / mean^2."""
        return float(self._moment(2) / self._moment(1) ** 2 - 1)

    def _moment(self, power: int) -> Fraction:
        return sum((share * time**power for share, time in self._exact), Fraction(0))

    def quantile(self, q: Exact) -> float:
        """Return the least time within which a share q of requests is served.

        Parameters
        ----------
        q : int, str, Decimal, Fraction or float
            In (0, 1].

        Returns
        -------
        float
            One of the times [their unit].
        """
        wanted = exact_probability(q, "q", zero_allowed=False)
        reached = accumulate(share for share, _ in self._exact)
        pairs = zip(reached, self._exact, strict=True)
        return float(next(time for total, (_, time) in pairs if total >= wanted))

    def sum_of_two(self) -> Mixture:
        """Return the distribution of the sum of two independent such times.

        Returns
        -------
        Mixture
            Equal sums are merged.

        Examples
        --------
        >>> Mixture([("0.99", 5), ("0.01", 505)]).sum_of_two().quantile("0.99")
        510.0
        """
        shares: dict[Fraction, Fraction] = {}
        for p, x in self._exact:
            for q, y in self._exact:
                shares[x + y] = shares.get(x + y, Fraction(0)) + p * q
        return Mixture([(share, time) for time, share in shares.items()])


def mg1_sojourn_quantile(
    q: Exact, lam: float, service: Mixture, steps_per_mean: int = 200
) -> tuple[float, float]:
    """Return a quantile and the mean of the time in an M/G/1 queue with mixed service.

    Parameters
    ----------
    q : int, str, Decimal, Fraction or float
        In (0, 0.99999].
    lam : float
        Arrival rate [1 / unit of the times], at least 0.
    service : Mixture
        Service times.
    steps_per_mean : int
        Steps of the numerical solution in one mean service time, at least 10. Times
        that are multiples of mean / steps_per_mean are met exactly.

    Returns
    -------
    tuple of float
        Quantile and mean of waiting plus service [unit of the times]; both inf if
        lam E[S] >= 1.

    Notes
    -----
    The distribution F of the wait solves F'(t) = lam (F(t) - sum_i p_i F(t - d_i)) with
    F(0) = 1 - rho and F = 0 before 0; the trapezoidal rule steps through it. The time in
    the system adds an independent service. The mean is that of Pollaczek and Khinchine.

    References
    ----------
    L. Kleinrock, *Queueing Systems, Volume 1: Theory*, 1975, chapter 5 (M/G/1).

    Examples
    --------
    A rare long request decides the tail of everybody behind it:

    >>> tail = Mixture([("0.99", 5), ("0.01", 505)])
    >>> p99, mean = mg1_sojourn_quantile("0.99", 0.03, tail)
    >>> round(mean, 2), round(p99 / mean, 2)
    (65.18, 10.68)
    """
    level = float(exact_probability(q, "q", zero_allowed=False))
    if level > _HIGHEST:
        raise ValueError(f"q must be in (0, {_HIGHEST}], got {q!r}")
    lam = finite_non_negative("lam", lam)
    if not isinstance(service, Mixture):
        raise ValueError(f"service must be a Mixture, got {service!r}")
    per_mean = whole("steps_per_mean", steps_per_mean, minimum=10)
    rho = lam * service.mean
    if rho >= 1:
        return math.inf, math.inf

    step = service.mean / per_mean
    parts = [(float(p), round(float(d) / step)) for p, d in service._exact]
    gain = lam * step / 2
    wait = [1 - rho]

    def ended(index: int, *, jump: bool) -> float:
        """Return P(wait + service <= t) at a step, with or without what jumps there."""
        # The wait is 0 with probability 1 - rho, so each service time makes a jump.
        latest = index if jump else index - 1
        return sum(p * wait[index - lag] for p, lag in parts if lag <= latest)

    # A service of no length waits for nothing but the step that is being computed:
    # its share stays on the left-hand side of the equation.
    instant = sum(p for p, lag in parts if lag == 0)
    now, left, served = 0, 0.0, ended(0, jump=True)
    before = 0.0
    while served < level:
        now, before = now + 1, served
        wait.append(0.0)
        delayed = ended(now, jump=False) + before
        wait[now] = (wait[now - 1] * (1 + gain) - gain * delayed) / (1 - gain * (1 - instant))
        left, served = ended(now, jump=False), ended(now, jump=True)
    # Between two steps the distribution is as good as straight; at a step it may jump.
    back = (left - level) / (left - before) if left > level else 0.0
    return step * (now - back), pk_wait(lam, service.mean, service.cs2) + service.mean
