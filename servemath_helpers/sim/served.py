"""What became of requests: latencies, shares within bounds, throughput."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from servemath_helpers import latency
from servemath_helpers._validate import finite_non_negative, probability, whole
from servemath_helpers.quantities import Exact
from servemath_helpers.sim._arrays import FloatArray, frozen
from servemath_helpers.sim.requests import Requests
from servemath_helpers.sim.results import StepFunction, correlated_percentile_interval

__all__ = ["LatencyMetric", "Served"]

LatencyMetric = Literal["queue", "ttft", "tpot", "e2e", "longest_gap"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Served:
    """Requests and when each was let in, got its first token and its last.

    Attributes
    ----------
    requests : Requests
        What was asked.
    start_s, first_token_s, finish_s : numpy.ndarray
        When each request was first let in, got its first and its last token; NaN if it was
        rejected. Read-only.
    first_counted : int
        The first request that statistics count, see `without_warmup`.
    """

    requests: Requests
    start_s: FloatArray
    first_token_s: FloatArray
    finish_s: FloatArray
    first_counted: int = 0

    _metrics: ClassVar[tuple[LatencyMetric, ...]] = ("queue", "ttft", "tpot", "e2e")

    @property
    def arrival_s(self) -> FloatArray:
        """When each request came."""
        return self.requests.arrival_s

    @cached_property
    def status(self) -> npt.NDArray[np.str_]:
        """``"ok"``, or ``"rejected"`` for a request that is larger than the cache."""
        return frozen(np.where(np.isnan(self.finish_s), "rejected", "ok"))

    @cached_property
    def queue_s(self) -> FloatArray:
        """Time from arrival until the request was first let in."""
        return frozen(self.start_s - self.arrival_s)

    @cached_property
    def ttft_s(self) -> FloatArray:
        """Time from arrival to the first token: queue and prefill."""
        return frozen(self.first_token_s - self.arrival_s)

    @cached_property
    def e2e_s(self) -> FloatArray:
        """Time from arrival to the last token."""
        return frozen(self.finish_s - self.arrival_s)

    @cached_property
    def tpot_s(self) -> FloatArray:
        """Mean time per token after the first; NaN for answers of one token."""
        later = self.requests.output_tokens - 1
        gaps = np.where(later > 0, later, np.nan)
        return frozen((self.finish_s - self.first_token_s) / gaps)

    @cached_property
    def in_system(self) -> StepFunction:
        """Number of served requests between arrival and last token against time."""
        served = ~np.isnan(self.finish_s)
        return StepFunction.counting(self.arrival_s[served], self.finish_s[served])

    # statistics over requests -------------------------------------------------------

    def _metric(self, metric: LatencyMetric) -> FloatArray:
        if metric not in self._metrics:
            known = ", ".join(map(repr, self._metrics[:-1]))
            raise ValueError(f"metric must be {known} or {self._metrics[-1]!r}, got {metric!r}")
        array: FloatArray = getattr(self, f"{metric}_s")
        counted = array[self.first_counted :]
        return counted[~np.isnan(counted)]

    def percentile(self, metric: LatencyMetric, q: Exact) -> float:
        """Return a nearest-rank percentile over the requests that have the number.

        Parameters
        ----------
        metric : {"queue", "ttft", "tpot", "e2e", "longest_gap"}
            Of what; the longest gap is known of one server's run only.
        q : int, float, str, Decimal or Fraction
            Quantile in (0, 1].

        Returns
        -------
        float
            Seconds.

        Raises
        ------
        ValueError
            If no request has the number.
        """
        return latency.percentile(self._metric(metric), q)

    def percentile_interval(
        self,
        metric: LatencyMetric,
        q: Exact,
        confidence: Exact = "0.95",
        *,
        every: int | None = None,
    ) -> tuple[float, float]:
        """Return a confidence interval of a percentile from order statistics.

        Parameters
        ----------
        metric : {"queue", "ttft", "tpot", "e2e", "longest_gap"}
            Of what; the longest gap is known of one server's run only.
        q : int, float, str, Decimal or Fraction
            Quantile in (0, 1).
        confidence : int, float, str, Decimal or Fraction, optional
            Least probability that the interval holds the true quantile.
        every : int, optional
            Take every so many-th request, at least 1, as if they were independent. Left out,
            all count, and how alike neighbours are is estimated from the run.

        Returns
        -------
        low, high : float
            Seconds.

        Raises
        ------
        ValueError
            If no request has the number.

        Notes
        -----
        Requests that share a batch or a queue resemble one another; see
        `results.correlated_percentile_interval`, which warns if the run is too short.
        """
        sample = self._metric(metric)
        if every is None:
            return correlated_percentile_interval(sample, q, confidence)
        return latency.percentile_interval(sample[:: whole("every", every, 1)], q, confidence)

    def _met(
        self, ttft_slo_s: float | None, tpot_slo_s: float | None, e2e_slo_s: float | None
    ) -> int:
        good = ~np.isnan(self.finish_s)
        for name, bound, values in (
            ("ttft_slo_s", ttft_slo_s, self.ttft_s),
            ("tpot_slo_s", tpot_slo_s, self.tpot_s),
            ("e2e_slo_s", e2e_slo_s, self.e2e_s),
        ):
            if bound is not None:
                # An answer of one token has no TPOT and keeps any bound on it.
                good &= ~(values > finite_non_negative(name, bound))
        return int(good[self.first_counted :].sum())

    def goodput_share(
        self,
        ttft_slo_s: float | None = None,
        tpot_slo_s: float | None = None,
        e2e_slo_s: float | None = None,
    ) -> float:
        """Return the share of the requests that were answered within all bounds.

        Parameters
        ----------
        ttft_slo_s, tpot_slo_s, e2e_slo_s : float, optional
            Bounds in seconds, at least 0; a bound met exactly is met, None is no bound.

        Returns
        -------
        float
            Between 0 and 1; rejected requests count as failures.
        """
        counted = len(self.requests) - self.first_counted
        return self._met(ttft_slo_s, tpot_slo_s, e2e_slo_s) / counted

    def goodput_rps(
        self,
        ttft_slo_s: float | None = None,
        tpot_slo_s: float | None = None,
        e2e_slo_s: float | None = None,
    ) -> float:
        """Return how many requests a second were answered within all bounds.

        Parameters
        ----------
        ttft_slo_s, tpot_slo_s, e2e_slo_s : float, optional
            As for `goodput_share`.

        Returns
        -------
        float
            Requests per second of the window.
        """
        return self._over_span(self._met(ttft_slo_s, tpot_slo_s, e2e_slo_s))

    def without_warmup(self, share: float = 0.1) -> Self:
        """Return the run with statistics that leave out the first requests.

        Parameters
        ----------
        share : float, optional
            Share of the requests, who met an empty server, to leave out, in [0, 1).

        Returns
        -------
        Served
            Of the same kind. Its arrays and timeline are the same; percentiles and goodput
            count later requests only, and what is averaged over time begins with the first.

        Notes
        -----
        Nothing is left out unless you ask.
        """
        first = int(probability("share", share, one_allowed=False) * len(self.requests))
        return replace(self, first_counted=first)

    # statistics over time -----------------------------------------------------------

    @property
    def window_start_s(self) -> float:
        """Where averages over time begin: 0, or the first arrival after the warm-up."""
        return float(self.arrival_s[self.first_counted]) if self.first_counted else 0.0

    @property
    def window_end_s(self) -> float:
        """Where averages over time end: when the last token is given."""
        ends = self.finish_s[~np.isnan(self.finish_s)]
        return float(ends.max()) if ends.size else self.window_start_s

    def _over_span(self, amount: float) -> float:
        span = self.window_end_s - self.window_start_s
        return amount / span if span > 0 else 0.0

    def throughput_rps(self) -> float:
        """Return the requests answered per second of the window.

        Returns
        -------
        float
            Whatever their latency was.
        """
        return self._over_span(self._met(None, None, None))

    def throughput_tok_s(self) -> float:
        """Return the output tokens per second of the window.

        Returns
        -------
        float
            Tokens of the requests that are counted.
        """
        served = ~np.isnan(self.finish_s[self.first_counted :])
        return self._over_span(int(self.requests.output_tokens[self.first_counted :][served].sum()))
