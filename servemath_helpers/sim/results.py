"""What a simulated queue says about itself: waits, lengths, load, and how sure one can be.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from servemath_helpers import latency
from servemath_helpers._validate import finite, probability, whole
from servemath_helpers.quantities import Exact, exact_probability
from servemath_helpers.sim._arrays import FloatArray, IntArray, frozen, times

__all__ = [
    "BatchResult",
    "LittleCheck",
    "LossResult",
    "QueueResult",
    "StepFunction",
    "batch_means_interval",
    "correlated_percentile_interval",
    "correlation_time",
    "trend_interval",
]

Metric = Literal["wait", "sojourn", "service"]

_BATCHES = 20
#: Student's t with 19 degrees of freedom, two-sided 95 %.
_T95_19 = 2.093024
#: A run that is worth fewer independent observations is too short: for a mean, and beyond a
#: percentile.
_LEAST_EFFECTIVE, _LEAST_BEYOND = 200, 5


def batch_means_interval(values: npt.ArrayLike) -> tuple[float, float]:
    """95 % confidence interval of a long-run mean from one correlated run.

    Parameters
    ----------
    values : array_like
        At least 40 numbers in the order of the run, the warm-up taken away.

    Returns
    -------
    low, high : float
        Ends of the interval, in the unit of `values`.

    Raises
    ------
    ValueError
        If there are fewer than 40 values or one of them is no finite number.

    Notes
    -----
    Neighbouring waits resemble one another, so the usual ``s / sqrt(n)`` is far too small.
    The run is cut into 20 batches; their means are nearly independent if a batch is much
    longer than the relaxation time, about ``1 / (1 - rho)**2`` services, and Student's t with
    19 degrees of freedom does the rest. A remainder of fewer than 20 values at the front is
    left out.

    References
    ----------
    Law and Kelton (2000), "Simulation Modeling and Analysis", 3rd edition, section 9.5.

    Examples
    --------
    >>> low, high = batch_means_interval([1.0, 3.0] * 50)
    >>> round(low, 2), round(high, 2)
    (1.9, 2.1)
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size < 2 * _BATCHES or not np.isfinite(array).all():
        raise ValueError(f"values must hold at least {2 * _BATCHES} finite numbers")
    means = array[array.size % _BATCHES :].reshape(_BATCHES, -1).mean(axis=1)
    centre = float(means.mean())
    half = _T95_19 * float(means.std(ddof=1)) / math.sqrt(_BATCHES)
    return centre - half, centre + half


def correlation_time(values: npt.ArrayLike) -> float:
    """Return how many neighbours of a run are worth one independent observation.

    Parameters
    ----------
    values : array_like
        Numbers in the order of the run.

    Returns
    -------
    float
        At least 1; the variance of their mean is this times ``s**2 / n``.

    Notes
    -----
    One plus twice the sum of the autocorrelations, cut by Geyer's initial monotone sequence:
    sums of neighbouring pairs, as long as they are positive, none larger than the one before.
    If twenty batch means vary more than that says, their variance counts.

    References
    ----------
    Geyer (1992), "Practical Markov Chain Monte Carlo", Statistical Science 7(4).

    Examples
    --------
    >>> correlation_time([0.0, 1.0] * 50)
    1.0
    >>> import numpy as np
    >>> noise = np.random.default_rng(1).standard_normal(10_000)
    >>> 10 < correlation_time(np.convolve(noise, np.ones(20))) < 40
    True
    """
    array = np.asarray(values, dtype=np.float64)
    array = array - array.mean()
    n, variance = int(array.size), float(array.var())
    if n < 2 * _BATCHES or not variance:
        return 1.0
    length = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(array, length)
    covariance = np.fft.irfft(spectrum * spectrum.conj(), length)[:n] / n
    pairs = covariance[0 : n - 1 : 2] + covariance[1:n:2]
    ended = np.flatnonzero(pairs <= 0)
    pairs = np.minimum.accumulate(pairs[: ended[0] if ended.size else pairs.size])
    batches = array[n % _BATCHES :].reshape(_BATCHES, -1)
    between = batches.shape[1] * float(batches.mean(axis=1).var(ddof=1))
    alike = 2 * float(pairs.sum()) / variance - 1
    return float(max(1.0, alike, between / variance))


def correlated_percentile_interval(
    values: npt.ArrayLike, q: Exact, confidence: Exact = "0.95"
) -> tuple[float, float]:
    """Return a confidence interval of a percentile from one correlated run.

    Parameters
    ----------
    values : array_like
        Numbers in the order of the run, the warm-up taken away.
    q : int, float, str, Decimal or Fraction
        Quantile in (0, 1).
    confidence : int, float, str, Decimal or Fraction, optional
        Least probability that the interval holds the true quantile.

    Returns
    -------
    low, high : float
        In the unit of `values`; infinite where the run does not bound it.

    Raises
    ------
    ValueError
        If there is no value.

    Warns
    -----
    RuntimeWarning
        What lies beyond the percentile is worth fewer than five independent observations.

    Notes
    -----
    Whether a customer is beyond the percentile is a run of zeros and ones, and its
    correlation time says how much wider than for independent customers the interval of
    their share is. The ends of that interval are read off the sorted values. Fewer than 40
    values are taken as independent.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(1).standard_normal(10_000)
    >>> low, high = correlated_percentile_interval(noise, "0.5")
    >>> low < 0 < high
    True
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size < 2 * _BATCHES:
        return latency.percentile_interval(array, q, confidence)
    share = float(exact_probability(q, "q", zero_allowed=False, one_allowed=False))
    level = exact_probability(confidence, "confidence", zero_allowed=False, one_allowed=False)
    time = correlation_time(array > latency.percentile(array, q))
    worth = array.size / time * min(share, 1 - share)
    if worth < _LEAST_BEYOND:
        _warn_short(f"what lies beyond the percentile is worth {worth:.1f} independent")
    # How alike neighbours are is known from as many stays beyond the percentile.
    t = _student_t(float(level), max(worth, 3.0))
    half = t * math.sqrt(share * (1 - share) * time / array.size)
    ordered = np.sort(array)
    low, high = math.floor((share - half) * array.size), math.ceil((share + half) * array.size)
    return (
        float(ordered[low - 1]) if low >= 1 else -math.inf,
        float(ordered[high - 1]) if high <= array.size else math.inf,
    )


def _student_t(level: float, freedom: float) -> float:
    """Return the two-sided quantile of Student's t, by Cornish and Fisher's expansion."""
    from statistics import NormalDist

    z = -NormalDist().inv_cdf((1 - level) / 2)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def trend_interval(values: npt.ArrayLike, blocks: int = 10) -> tuple[float, float]:
    """95 % confidence interval of how much a run rises from its beginning to its end.

    Parameters
    ----------
    values : array_like
        Numbers in the order of the run, such as latencies by arrival; at least as many as
        `blocks`.
    blocks : int, optional
        Pieces of equal length whose means are taken as independent, at least 5.

    Returns
    -------
    low, high : float
        Ends of the interval, in the unit of `values`. Where `low` is above 0, the queue was
        still growing: no mean and no percentile of the run describes a server that could go
        on like that.

    Raises
    ------
    ValueError
        If there are too few values or blocks, or a value is no finite number.

    Notes
    -----
    A straight line through the means of the blocks, by least squares; its slope times the
    number of blocks is the rise, with Student's t of ``blocks - 2`` degrees of freedom. Blocks
    must be longer than the relaxation time, about ``1 / (1 - rho)**2`` services: single
    requests resemble their neighbours, and a line through them looks far too sure. A
    remainder at the front is left out.

    Examples
    --------
    >>> low, high = trend_interval(range(100))
    >>> round(low), round(high)
    (100, 100)
    >>> low, high = trend_interval([1.0, 3.0] * 50)
    >>> low <= 0 <= high
    True
    """
    array = np.asarray(values, dtype=np.float64)
    pieces = whole("blocks", blocks, 5)
    if array.ndim != 1 or array.size < pieces or not np.isfinite(array).all():
        raise ValueError(f"values must hold at least blocks = {pieces} finite numbers")
    means = array[array.size % pieces :].reshape(pieces, -1).mean(axis=1)
    at = np.arange(pieces) - (pieces - 1) / 2
    spread = float(at @ at)
    slope = float(at @ means) / spread
    rest = means - means.mean() - slope * at
    half = _student_t(0.95, pieces - 2) * math.sqrt(float(rest @ rest) / (pieces - 2) / spread)
    return pieces * (slope - half), pieces * (slope + half)


def _warn_short(what: str) -> None:
    import warnings

    warnings.warn(
        f"the run is too short for an interval: {what} observations", RuntimeWarning, stacklevel=3
    )


@dataclass(frozen=True, eq=False)
class StepFunction:
    """A number that jumps at instants and stays in between, such as a queue length.

    Parameters
    ----------
    time_s : numpy.ndarray
        Instants of the jumps, ascending, no two equal.
    value : numpy.ndarray
        ``value[i]`` holds from ``time_s[i]`` until ``time_s[i + 1]``, the last for ever;
        before the first instant the value is 0.
    """

    time_s: FloatArray
    value: IntArray

    @classmethod
    def counting(cls, enter_s: FloatArray, leave_s: FloatArray) -> StepFunction:
        """Return how many of the customers are inside at each instant.

        Parameters
        ----------
        enter_s, leave_s : numpy.ndarray
            When each customer enters and leaves, in any order.

        Returns
        -------
        StepFunction
            A customer counts from the instant it enters until just before it leaves.

        Examples
        --------
        >>> import numpy as np
        >>> inside = StepFunction.counting(np.array([0.0, 1.0]), np.array([3.0, 2.0]))
        >>> inside.time_s.tolist(), inside.value.tolist()
        ([0.0, 1.0, 2.0, 3.0], [1, 2, 1, 0])
        """
        instants = np.concatenate((enter_s, leave_s))
        change = np.ones(instants.size, dtype=np.int64)
        change[enter_s.size :] = -1
        order = np.argsort(instants, kind="stable")
        instants = instants[order]
        value = np.cumsum(change[order])
        # Of several jumps at one instant only the value after the last can be seen.
        last = np.append(instants[1:] != instants[:-1], np.ones(min(1, instants.size), dtype=bool))
        return cls(frozen(instants[last]), frozen(value[last]))

    def at(self, t_s: float) -> int:
        """Return the value at one instant.

        Parameters
        ----------
        t_s : float
            Instant in seconds.

        Returns
        -------
        int
            The value that holds at `t_s`, jumps at `t_s` included.
        """
        index = int(np.searchsorted(self.time_s, finite("t_s", t_s), side="right")) - 1
        return int(self.value[index]) if index >= 0 else 0

    def area(self, start_s: float, end_s: float) -> float:
        """Return the integral over an interval.

        Parameters
        ----------
        start_s, end_s : float
            Ends of the interval in seconds.

        Returns
        -------
        float
            Value times seconds.

        Raises
        ------
        ValueError
            If the interval ends before it starts.
        """
        start_s = finite("start_s", start_s)
        if finite("end_s", end_s) < start_s:
            raise ValueError(f"end_s must be at least start_s = {start_s!r}, got {end_s!r}")
        edges = np.clip(np.append(self.time_s, np.inf), start_s, end_s)
        return float(np.dot(self.value, np.diff(edges)))

    def mean(self, start_s: float, end_s: float) -> float:
        """Return the time average over an interval that is not empty.

        Parameters
        ----------
        start_s, end_s : float
            Ends of the interval in seconds.

        Returns
        -------
        float
            The integral divided by the length of the interval.

        Raises
        ------
        ValueError
            If `end_s` is not after `start_s`.
        """
        area = self.area(start_s, end_s)
        if end_s == start_s:
            raise ValueError(f"end_s must be after start_s = {start_s!r}, got {end_s!r}")
        return area / (end_s - start_s)

    def max(self) -> int:
        """Return the largest value.

        Returns
        -------
        int
            0 if nothing ever happens.
        """
        return int(self.value.max(initial=0))


@dataclass(frozen=True)
class LittleCheck:
    """Little's law on one run: what was counted, and by how much it misses.

    Attributes
    ----------
    lam_rps : float
        Customers per second of the observed window.
    W_s : float
        Mean time in the system.
    L : float
        Mean number in the system, from the area under the step function.
    gap : float
        ``|L - lam W| / L``: rounding, if everything is right; 0 for an empty system.
    """

    lam_rps: float
    W_s: float
    L: float
    gap: float


@dataclass(frozen=True, eq=False, kw_only=True)
class QueueResult:
    """One run of a queue, customer by customer in the order of arrival.

    Attributes
    ----------
    arrival_s, wait_s, service_s : numpy.ndarray
        When each customer came, how long it waited, how long it was served (for a batch
        server: how long its batch was). Read-only.
    servers : int
        Servers that work side by side.
    window_start_s : float
        Where time averages begin; they end with the last departure.
    """

    arrival_s: FloatArray
    wait_s: FloatArray
    service_s: FloatArray
    servers: int = 1
    window_start_s: float = 0.0

    def __post_init__(self) -> None:
        for array in (self.arrival_s, self.wait_s, self.service_s):
            frozen(array)

    @cached_property
    def start_s(self) -> FloatArray:
        """When each customer's service began."""
        return frozen(self.arrival_s + self.wait_s)

    @cached_property
    def sojourn_s(self) -> FloatArray:
        """Time from arrival to departure of each customer."""
        return frozen(self.wait_s + self.service_s)

    @cached_property
    def departure_s(self) -> FloatArray:
        """When each customer left."""
        return frozen(self.start_s + self.service_s)

    @property
    def n(self) -> int:
        """Customers that were served."""
        return self.arrival_s.size

    @property
    def window_end_s(self) -> float:
        """The last departure, where time averages end."""
        return float(self.departure_s.max()) if self.n else self.window_start_s

    @property
    def span_s(self) -> float:
        """Length of the window over which time averages are taken."""
        return self.window_end_s - self.window_start_s

    def _over_span(self, amount: float) -> float:
        return amount / self.span_s if self.span_s > 0 else 0.0

    def throughput_rps(self) -> float:
        """Return customers served per second of the window.

        Returns
        -------
        float
            0.0 for a window without length.
        """
        return self._over_span(self.n)

    def busy_fraction(self) -> float:
        """Return the share of the servers' time in which they worked.

        Returns
        -------
        float
            Between 0 and 1.
        """
        return self._over_span(float(self.service_s.sum())) / self.servers

    def utilisation(self) -> float:
        """Return the share of the capacity that the served customers took.

        Returns
        -------
        float
            For servers that take one customer each, the busy fraction. For a batch server
            the two differ, see `BatchResult.utilisation`.
        """
        return self.busy_fraction()

    @cached_property
    def in_system(self) -> StepFunction:
        """Number of customers waiting or in service against time."""
        return StepFunction.counting(self.arrival_s, self.departure_s)

    @cached_property
    def in_queue(self) -> StepFunction:
        """Number of customers waiting against time."""
        return StepFunction.counting(self.arrival_s, self.start_s)

    def little(self) -> LittleCheck:
        """Check Little's law on this run's own output.

        Returns
        -------
        LittleCheck
            L comes from the area under `in_system`, W from the sojourns, lambda from the
            count; the law says that they agree exactly.

        Examples
        --------
        >>> from servemath_helpers.sim import simulate_gg1
        >>> simulate_gg1([0, 1, 2, 10], [3, 3, 3, 1]).little().L
        1.4545454545454546
        """
        lam = self.throughput_rps()
        W = float(self.sojourn_s.mean()) if self.n else 0.0
        L = self._over_span(self.in_system.area(self.window_start_s, self.window_end_s))
        return LittleCheck(lam, W, L, abs(L - lam * W) / L if L else 0.0)

    def _metric(self, metric: Metric) -> FloatArray:
        if metric not in ("wait", "sojourn", "service"):
            raise ValueError(f"metric must be 'wait', 'sojourn' or 'service', got {metric!r}")
        array: FloatArray = getattr(self, f"{metric}_s")
        return array

    def percentile(self, q: Exact, metric: Metric = "sojourn") -> float:
        """Return a nearest-rank percentile over the customers.

        Parameters
        ----------
        q : int, float, str, Decimal or Fraction
            Quantile in (0, 1].
        metric : {"sojourn", "wait", "service"}, optional
            Of what.

        Returns
        -------
        float
            Seconds.

        Raises
        ------
        ValueError
            If nobody was served.

        Examples
        --------
        >>> from servemath_helpers.sim import simulate_gg1
        >>> simulate_gg1([0, 1, 2, 10], [3, 3, 3, 1]).percentile("0.75")
        5.0
        """
        return latency.percentile(self._metric(metric), q)

    def percentile_interval(
        self,
        q: Exact,
        confidence: Exact = "0.95",
        metric: Metric = "sojourn",
        *,
        every: int | None = None,
    ) -> tuple[float, float]:
        """Return a confidence interval of a percentile from order statistics.

        Parameters
        ----------
        q : int, float, str, Decimal or Fraction
            Quantile in (0, 1).
        confidence : int, float, str, Decimal or Fraction, optional
            Least probability that the interval holds the true quantile.
        metric : {"sojourn", "wait", "service"}, optional
            Of what.
        every : int, optional
            Take every so many-th customer, at least 1, as if they were independent. Left
            out, all count, and how alike neighbours are is estimated from the run.

        Returns
        -------
        low, high : float
            Seconds.

        Raises
        ------
        ValueError
            If nobody was served.

        Warns
        -----
        RuntimeWarning
            The run is too short for its correlation; the interval is then too narrow.

        Notes
        -----
        Waits of neighbours in a queue resemble one another for about the relaxation time,
        ``1 / (1 - rho)**2`` services: thousands of customers at high load. See
        `correlated_percentile_interval`.
        """
        sample = self._metric(metric)
        if every is None:
            return correlated_percentile_interval(sample, q, confidence)
        return latency.percentile_interval(sample[:: whole("every", every, 1)], q, confidence)

    def mean_interval(self, metric: Metric = "sojourn") -> tuple[float, float]:
        """Return a 95 % confidence interval of the long-run mean from this one run.

        Parameters
        ----------
        metric : {"sojourn", "wait", "service"}, optional
            Of what.

        Returns
        -------
        low, high : float
            Seconds.

        Raises
        ------
        ValueError
            If fewer than 40 customers were served or `metric` is unknown.

        Warns
        -----
        RuntimeWarning
            The run is too short for its correlation; the interval is then too narrow.

        Notes
        -----
        The wider of batch means and of the variance from the run's correlation time.
        """
        values = self._metric(metric)
        low, high = batch_means_interval(values)
        time = correlation_time(values)
        if values.size / time < _LEAST_EFFECTIVE:
            _warn_short(f"{values.size} customers are worth {values.size / time:.0f} independent")
        half = max((high - low) / 2, _T95_19 * float(values.std()) * math.sqrt(time / values.size))
        centre = (high + low) / 2
        return centre - half, centre + half

    def without_warmup(self, share: float = 0.1) -> Self:
        """Return the run without its first customers, who met an empty system.

        Parameters
        ----------
        share : float, optional
            Share of the customers to leave out, in [0, 1).

        Returns
        -------
        QueueResult
            Of the same kind. Time averages begin with the first arrival that is kept and
            count only kept customers.

        Notes
        -----
        Nothing is left out unless you ask: results of a run are those of all its
        customers, from an empty start. Those who were there already when the window begins
        are not counted, so that averages over time begin from empty; over a long window that
        does not matter.
        """
        first = int(probability("share", share, one_allowed=False) * self.n)
        if not first:
            return self
        return self._from(first)

    def _from(self, first: int) -> Self:
        return replace(
            self,
            arrival_s=self.arrival_s[first:],
            wait_s=self.wait_s[first:],
            service_s=self.service_s[first:],
            window_start_s=float(self.arrival_s[first]),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class LossResult(QueueResult):
    """One run of a queue with little or no room: the arrays hold those who got in.

    Attributes
    ----------
    accepted : numpy.ndarray
        For every arrival, in order, whether it got in.
    """

    accepted: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        super().__post_init__()
        frozen(self.accepted)

    @property
    def n_offered(self) -> int:
        """Arrivals, lost ones included."""
        return self.accepted.size

    @property
    def n_lost(self) -> int:
        """Arrivals that found no room and went away."""
        return self.n_offered - self.n

    def loss_fraction(self) -> float:
        """Return the share of the arrivals that were lost.

        Returns
        -------
        float
            Between 0 and 1; 0.0 without arrivals.
        """
        return self.n_lost / self.n_offered if self.n_offered else 0.0

    def _from(self, first: int) -> Self:
        # The cut falls between arrivals, so that the loss is counted over the same window.
        offered = int(np.flatnonzero(self.accepted)[first])
        return replace(super()._from(first), accepted=self.accepted[offered:])


@dataclass(frozen=True, eq=False, kw_only=True)
class BatchResult(QueueResult):
    """One run of a server that takes several customers at once.

    Attributes
    ----------
    batch_start_s, batch_service_s : numpy.ndarray
        When each batch began and how long it took.
    batch_size : numpy.ndarray
        Customers in each batch.
    max_batch : int
        Largest batch that the server takes.
    full_batch_s : float
        Time that a batch of this size takes.
    """

    batch_start_s: FloatArray
    batch_service_s: FloatArray
    batch_size: IntArray
    max_batch: int
    full_batch_s: float

    def __post_init__(self) -> None:
        super().__post_init__()
        for array in (self.batch_start_s, self.batch_service_s, self.batch_size):
            frozen(array)

    def busy_fraction(self) -> float:
        """Return the share of time in which a batch was being served.

        Returns
        -------
        float
            Between 0 and 1. A greedy server is hardly ever idle, though far from its
            capacity: it runs many small batches.
        """
        return self._over_span(float(self.batch_service_s.sum()))

    def utilisation(self) -> float:
        """Return the throughput as a share of what full batches would give.

        Returns
        -------
        float
            ``lam S(B) / B`` with the largest batch B.

        Examples
        --------
        >>> from servemath_helpers.sim import simulate_batch
        >>> run = simulate_batch([0, 1, 2, 3], B=4, alpha_s=0.9, beta_s=0.1, policy="greedy")
        >>> run.busy_fraction(), run.utilisation()
        (1.0, 0.325)
        """
        return self.throughput_rps() * self.full_batch_s / self.max_batch

    def mean_batch(self) -> float:
        """Return the mean number of customers in a batch.

        Returns
        -------
        float
            At least 1; 0.0 if there was no batch.
        """
        return float(self.batch_size.mean()) if self.batch_size.size else 0.0

    def _from(self, first: int) -> Self:
        # Keep whole batches: from the one that serves the first kept customer.
        batch = int(np.searchsorted(np.cumsum(self.batch_size), first, side="right"))
        head = int(self.batch_size[:batch].sum())
        return replace(
            super()._from(head),
            batch_start_s=self.batch_start_s[batch:],
            batch_service_s=self.batch_service_s[batch:],
            batch_size=self.batch_size[batch:],
        )


def checked_services(services_s: object, n: int) -> FloatArray:
    """Return the service times of n arrivals as a fresh array."""
    array = times("services_s", services_s, empty_allowed=True)
    if array.size != n:
        raise ValueError(
            "arrivals_s and services_s must have the same length: "
            f"arrivals_s has {n}, services_s has {array.size}"
        )
    return array
