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
from servemath_helpers.quantities import Exact
from servemath_helpers.sim._arrays import FloatArray, IntArray, frozen, times

__all__ = [
    "BatchResult",
    "LittleCheck",
    "LossResult",
    "QueueResult",
    "StepFunction",
    "batch_means_interval",
]

Metric = Literal["wait", "sojourn", "service"]

_BATCHES = 20
#: Student's t with 19 degrees of freedom, two-sided 95 %.
_T95_19 = 2.093024


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
    longer than a busy period, and Student's t with 19 degrees of freedom does the rest. A
    remainder of fewer than 20 values at the front is left out.

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
        every: int = 1,
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
            Take only every so many-th customer, at least 1.

        Returns
        -------
        low, high : float
            Seconds.

        Raises
        ------
        ValueError
            If nobody was served.

        Notes
        -----
        The interval supposes independent observations. Waits of neighbours in a queue are
        not, so with ``every=1`` it is too narrow at high load; thin the run with `every`
        until the customers taken are a few busy periods apart.
        """
        sample = self._metric(metric)[:: whole("every", every, 1)]
        return latency.percentile_interval(sample, q, confidence)

    def mean_interval(self, metric: Metric = "sojourn") -> tuple[float, float]:
        """Return a 95 % confidence interval of the long-run mean by batch means.

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
        """
        return batch_means_interval(self._metric(metric))

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
        customers, from an empty start.
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
