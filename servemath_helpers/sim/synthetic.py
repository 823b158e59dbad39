"""Requests like those of two real services, from published statistics instead of the data.

The statistics stand in ``data/azure2023_stats.json``: rate, variability of the intervals,
index of dispersion, and quantiles of the lengths, for a coding assistant and for
conversations. The generator is fitted to them when asked, in closed form or by bisection.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from servemath_helpers._validate import finite_positive, probability, whole
from servemath_helpers.sim import arrivals
from servemath_helpers.sim._arrays import FloatArray, generator
from servemath_helpers.sim.requests import Requests

__all__ = ["LengthFit", "ModulationFit", "azure_statistics", "fit_modulation", "synthetic_azure"]

#: Share of busy spells in conversations; their busiest minute then comes out as in the trace.
_BUSY_SHARE = 0.35

Service = Literal["conv", "code"]


@dataclass(frozen=True)
class ModulationFit:
    """A Poisson process with two phases that has given statistics.

    Attributes
    ----------
    rates_rps : tuple of float
        Arrivals per second in each phase.
    dwell_s : tuple of float
        Mean length of each phase.
    """

    rates_rps: tuple[float, float]
    dwell_s: tuple[float, float]


def _bisect(rising: Callable[[float], float], low: float, high: float) -> float:
    """Return where a rising function is 0, searching in ratios."""
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return math.sqrt(low * high)


def _settled(x: float) -> float:
    """Return 1 - (1 - exp(-x)) / x: how much of the final dispersion a window of x sees."""
    if x < 1e-4:  # the difference would lose its digits
        return x / 2 - x**2 / 6
    return 1 + math.expm1(-x) / x


def fit_modulation(
    rate_rps: float, ca2: float, dispersion: float, window_s: float, *, busy_share: float = 0.5
) -> ModulationFit:
    """Return the two-phase Poisson process with given variability and dispersion.

    Parameters
    ----------
    rate_rps : float
        Mean arrivals per second, greater than 0.
    ca2 : float
        Squared coefficient of variation of the intervals, above 1.
    dispersion : float
        Variance over mean of the number of arrivals in a window, above 1.
    window_s : float
        Length of that window, greater than 0.
    busy_share : float, optional
        Share of time of the busy phase, in (0, 1), where the second phase is not silent.

    Returns
    -------
    ModulationFit
        Phases for `arrivals.markov_modulated`.

    Raises
    ------
    ValueError
        If no such process has these statistics.

    Notes
    -----
    With rates r1, r2, shares of time p1, p2, mean rate r, variance v = p1 p2 (r1 - r2)**2 and
    switching rate s:

    ``ca2 = 1 + 2 v / (r1 r2 + s r)``,
    ``dispersion = 1 + 2 v / (r s) (1 - (1 - exp(-s T)) / (s T))``.

    Three numbers leave one choice free. If the intervals vary more than the counts, the
    second phase is silent (bursts and pauses); otherwise `busy_share` is the choice (busy and
    quiet spells; the rarer the busy ones, the higher their peaks).

    References
    ----------
    Fischer and Meier-Hellstern (1993), "The Markov-modulated Poisson process (MMPP)
    cookbook", Performance Evaluation 18.

    Examples
    --------
    >>> fit = fit_modulation(rate_rps=10, ca2=9, dispersion=6, window_s=60)
    >>> [round(rate, 1) for rate in fit.rates_rps]
    [10.2, 0.0]
    """
    rate, window = finite_positive("rate_rps", rate_rps), finite_positive("window_s", window_s)
    for name, value in (("ca2", ca2), ("dispersion", dispersion)):
        if finite_positive(name, value) <= 1:
            raise ValueError(f"{name} must be above 1, got {value!r}")
    if dispersion < ca2:
        share = (dispersion - 1) / (ca2 - 1)
        switching = _bisect(lambda x: _settled(x) - share, 1e-9, 1e9) / window
        silent_over_busy = (ca2 - 1) * switching / (2 * rate)
        busy = 1 / (1 + silent_over_busy)
        return ModulationFit(
            (rate / busy, 0.0), (1 / (switching * (1 - busy)), 1 / (switching * busy))
        )

    busy = probability("busy_share", busy_share, zero_allowed=False, one_allowed=False)
    both, skew, excess = busy * (1 - busy), 1 - 2 * busy, ca2 - 1

    def spread(switching: float) -> float:
        """Return the difference of the rates that gives the variability."""
        # the positive root of both (2 + excess) x^2 - excess rate skew x = excess rate (...)
        half = excess * rate * skew / 2
        square = both * (2 + excess)
        return (half + math.sqrt(half**2 + square * excess * rate * (rate + switching))) / square

    def missing(x: float) -> float:
        """Return the dispersion that is wanted less that which a switching rate gives."""
        variance = both * spread(x / window) ** 2
        return dispersion - 1 - 2 * variance * window / (rate * x) * _settled(x)

    most = 1 + both * spread(0.0) ** 2 * window / rate
    if dispersion >= most:
        raise ValueError(f"dispersion must be below {most:.6g} for this ca2, got {dispersion!r}")
    switching = _bisect(missing, 1e-9, 1e9) / window
    difference = spread(switching)
    # The quiet rate is above 0, because the dispersion is at least ca2.
    return ModulationFit(
        (rate + (1 - busy) * difference, rate - busy * difference),
        (1 / (switching * (1 - busy)), 1 / (switching * busy)),
    )


@dataclass(frozen=True)
class LengthFit:
    """Lengths with given quantiles and mean.

    Attributes
    ----------
    levels : tuple of float
        Levels of the quantiles, from 0 to 1.
    quantiles : tuple of float
        Tokens at these levels, the first at least 1.
    bend : float
        Between two levels the quantile rises as a power `bend` of the way between them.
    """

    levels: tuple[float, ...]
    quantiles: tuple[float, ...]
    bend: float

    @classmethod
    def of(cls, statistics: Mapping[str, float]) -> LengthFit:
        """Return the fit to ``mean``, ``p50``, ``p90``, ``p99`` and ``max``.

        Parameters
        ----------
        statistics : dict
            Tokens. The smallest length is taken as 1.

        Returns
        -------
        LengthFit
            With exactly these quantiles and this mean, before rounding to whole tokens.

        Raises
        ------
        ValueError
            If no such fit has the mean.

        Examples
        --------
        >>> LengthFit.of(dict(mean=50.5, p50=50.5, p90=90.1, p99=99.01, max=100)).bend
        1.0
        """
        levels = (0.0, 0.5, 0.9, 0.99, 1.0)
        knots = (1.0, *(float(statistics[name]) for name in ("p50", "p90", "p99", "max")))
        widths = np.diff(levels)
        floor = float(np.dot(widths, knots[:-1]))
        rise = float(np.dot(widths, np.diff(knots)))
        # The mean of u**bend is 1 / (1 + bend).
        share = (statistics["mean"] - floor) / rise
        if not 0 < share < 1:
            raise ValueError(
                f"statistics['mean'] must be between {floor:g} and {floor + rise:g} for these "
                f"quantiles, got {statistics['mean']!r}"
            )
        return cls(levels, knots, round(1 / share - 1, 12))

    def lengths(self, uniform: FloatArray) -> FloatArray:
        """Return the lengths at given levels.

        Parameters
        ----------
        uniform : numpy.ndarray
            Levels in [0, 1).

        Returns
        -------
        numpy.ndarray
            Tokens, not rounded.
        """
        levels, knots = np.array(self.levels), np.array(self.quantiles)
        segment = np.searchsorted(levels, uniform, side="right") - 1
        low, high = knots[segment], knots[segment + 1]
        way = (uniform - levels[segment]) / (levels[segment + 1] - levels[segment])
        lengths: FloatArray = low + (high - low) * way**self.bend
        return lengths


@cache
def azure_statistics() -> Mapping[str, Any]:
    """Return the published statistics that the generator is fitted to.

    Returns
    -------
    dict
        ``conv`` and ``code``, each with rate [1/s], dispersion and length quantiles [tokens];
        ``source`` and ``about``.

    Examples
    --------
    >>> azure_statistics()["conv"]["prompt"]["p50"]
    1020.0
    """
    import json
    from importlib.resources import files
    from types import MappingProxyType

    path = files("servemath_helpers").joinpath("data", "azure2023_stats.json")
    return MappingProxyType(json.loads(path.read_text(encoding="utf-8")))


def _opposed_correlation(prompt: LengthFit, output: LengthFit) -> float:
    """Return the correlation of lengths if the longest prompts have the shortest answers."""
    levels = (np.arange(20_000) + 0.5) / 20_000
    return float(np.corrcoef(prompt.lengths(levels), output.lengths(1 - levels))[0, 1])


def synthetic_azure(
    service: Service, n: int, rng: np.random.Generator, *, speedup: float = 1.0
) -> Requests:
    """Return requests with the statistics of a service of the Azure trace of 2023.

    Parameters
    ----------
    service : {"conv", "code"}
        Conversations, or a coding assistant with long prompts, short answers and bursts.
    n : int
        Requests, at least 1.
    rng : numpy.random.Generator
        Source of randomness.
    speedup : float, optional
        2 halves every interval and so doubles the rate; greater than 0.

    Returns
    -------
    Requests
        Arrivals of a Poisson process with two phases (`fit_modulation`), lengths by their
        quantiles (`LengthFit`), independent from request to request.

    Notes
    -----
    Rate, variability, dispersion over a minute, the mean and the quantiles of both lengths
    and their slight negative correlation are those of the trace. What it does not have:
    hours of the day, users who come back, shared prefixes.

    Examples
    --------
    >>> import numpy as np
    >>> requests = synthetic_azure("conv", 20_000, np.random.default_rng(1))
    >>> bool(abs(np.median(requests.prompt_tokens) / 1020 - 1) < 0.03)
    True
    """
    statistics = azure_statistics()
    if service not in ("conv", "code"):
        raise ValueError(f"service must be 'conv' or 'code', got {service!r}")
    facts, n, rng = statistics[service], whole("n", n, 1), generator(rng)
    speedup = finite_positive("speedup", speedup)
    modulation = fit_modulation(
        facts["mean_rate"],
        facts["interarrival_cv"] ** 2,
        facts["index_of_dispersion_60s"],
        statistics["window_s"],
        busy_share=_BUSY_SHARE,
    )
    arrival = arrivals.markov_modulated(n, modulation.rates_rps, modulation.dwell_s, rng)
    prompt, output = LengthFit.of(facts["prompt"]), LengthFit.of(facts["output"])
    # A few answers take the level opposite to their prompt's; the rest are independent.
    opposed = min(0.0, facts["corr_prompt_output"]) / _opposed_correlation(prompt, output)
    levels, others = rng.random(n), rng.random(n)
    others = np.where(rng.random(n) < opposed, 1 - levels, others)
    return Requests(
        arrival / speedup,
        np.rint(prompt.lengths(levels)),
        np.rint(output.lengths(np.minimum(others, np.nextafter(1, 0)))),
    )
