"""Fitting the iteration time to measured runs, and how far off it is.

A run is measured request by request: arrival, lengths, TTFT, E2E. From these follows who
decoded beside whom, which gives a regression for the coefficients of `LinearStep`; a search
that simulates the whole run and compares request by request then removes what the regression
glosses over. The error is that of requests which the fit has not seen: blocks of neighbours
are held out in turn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from servemath_helpers._validate import whole
from servemath_helpers.fitting import non_negative_least_squares
from servemath_helpers.sim._arrays import FloatArray, IntArray
from servemath_helpers.sim.fleet import simulate_fleet
from servemath_helpers.sim.llm import simulate_llm
from servemath_helpers.sim.measurement import Measurement
from servemath_helpers.sim.requests import Requests
from servemath_helpers.sim.results import StepFunction
from servemath_helpers.sim.served import Served
from servemath_helpers.sim.steptime import LinearStep
from servemath_helpers.sim.workloads import ClosedLoop

if TYPE_CHECKING:
    from servemath_helpers.sim.server import LLMServer

__all__ = ["Calibration", "FitError", "MetricError", "calibrate"]

BoolArray = npt.NDArray[np.bool_]

_LEAST_REQUESTS = 5
_MOST_GROUPS = 20
_MOST_ROUNDS = 15
_WIDTHS = (0.05, 0.02)
_RESAMPLES = 400
#: Residuals beyond this count linearly: a request that is off by far says that the batch was
#: another, not how to mend it.
_OUTLIER = 0.1
#: What an iteration time of four coefficients cannot say, as a share, even without noise.
_MODEL_ERROR = 0.01
#: Standard deviation of the wait for the next iteration, in iterations.
_SCATTER = 0.3
_NAMES = ("base_s", "per_decode_s", "per_prefill_token_s", "per_context_token_s")


@dataclass(frozen=True)
class MetricError:
    """How far one latency of a simulated run is from the measured one.

    Attributes
    ----------
    n : int
        Requests compared: those for which the latency is known.
    median, p90 : float
        Median and 90th percentile over requests of ``|simulated - measured| / measured``;
        NaN if there is none.
    bias : float
        Mean simulated over mean measured, less 1.
    median_interval, p90_interval, bias_interval : tuple of float
        95 % intervals of the three; NaN for fewer than two groups of requests.
    """

    n: int
    median: float
    p90: float
    bias: float
    median_interval: tuple[float, float]
    p90_interval: tuple[float, float]
    bias_interval: tuple[float, float]


@dataclass(frozen=True)
class FitError:
    """How far simulated latencies are from measured ones.

    Attributes
    ----------
    ttft, tpot, e2e : MetricError
        Of the time to first token, the mean time per token after it, and the whole.
    """

    ttft: MetricError
    tpot: MetricError
    e2e: MetricError


@dataclass(frozen=True)
class Calibration:
    """Fitted coefficients, and their error where they were fitted and where they were not.

    Attributes
    ----------
    step : LinearStep
        The iteration time fitted to all requests.
    in_sample : FitError
        Errors of `step` on the requests that it was fitted to.
    held_out : FitError
        Errors on each block of requests, of a fit to the others. Quote this one.
    remarks : tuple of str
        What the run cannot tell, and what is missing of it, a sentence each; empty if it
        tells everything.
    """

    step: LinearStep
    in_sample: FitError
    held_out: FitError
    remarks: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return coefficients, errors and remarks as a short text."""
        lines = [f"{name:<20} {getattr(self.step, name):.4g}" for name in _NAMES]
        lines.append(f"{'error':<20} {'median':>8} {'p90':>8} {'bias':>8}   95 % interval of bias")
        for title, error in (("in-sample", self.in_sample), ("held-out", self.held_out)):
            for name in ("ttft", "tpot", "e2e"):
                one: MetricError = getattr(error, name)
                low, high = one.bias_interval
                lines.append(
                    f"{title + ' ' + name.upper():<20} {one.median:>8.2%} {one.p90:>8.2%} "
                    f"{one.bias:>+8.2%}   {low:+.2%} to {high:+.2%}"
                )
        return "\n".join((*lines, *self.remarks))


def _groups(n: int) -> IntArray:
    """Return for each request the group of neighbours that it belongs to."""
    return np.arange(n) * min(n, _MOST_GROUPS) // n


def _metric_error(simulated: FloatArray, measured: FloatArray, groups: IntArray) -> MetricError:
    # A measured TPOT of 0 (all tokens in one piece) says nothing about a share.
    known = measured > 0
    simulated, measured, groups = simulated[known], measured[known], groups[known]
    if not measured.size:
        nothing = (np.nan, np.nan)
        return MetricError(0, np.nan, np.nan, np.nan, nothing, nothing, nothing)
    off = np.abs(simulated - measured) / measured

    def three(chosen: IntArray | slice) -> tuple[float, float, float]:
        shares = off[chosen]
        ranks = (-(-shares.size // 2) - 1, -(-9 * shares.size // 10) - 1)  # nearest rank
        median, p90 = np.partition(shares, ranks)[list(ranks)].tolist()
        return median, p90, float(simulated[chosen].mean() / measured[chosen].mean()) - 1

    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    intervals = [(np.nan, np.nan)] * 3
    if len(members) > 1:
        # Neighbours share their batch: whole groups are drawn again, not requests.
        rng = np.random.default_rng(0)
        draws = rng.integers(0, len(members), (_RESAMPLES, len(members)))
        again = np.array([three(np.concatenate([members[i] for i in draw])) for draw in draws])
        low, high = np.quantile(again, (0.025, 0.975), axis=0).tolist()
        intervals = list(zip(low, high, strict=True))
    return MetricError(int(measured.size), *three(slice(None)), *intervals)


def _fit_error(
    measurement: Measurement, simulated: tuple[FloatArray, FloatArray], groups: IntArray
) -> FitError:
    ttft, e2e = simulated
    later = measurement.requests.output_tokens - 1
    tpot = (e2e - ttft) / np.where(later > 0, later, np.nan)
    return FitError(
        _metric_error(ttft, measurement.ttft_s, groups),
        _metric_error(tpot, measurement.tpot_s, groups),
        _metric_error(e2e, measurement.e2e_s, groups),
    )


def _part(measurement: Measurement, chosen: BoolArray) -> Measurement:
    """Return the chosen requests alone, as if nobody else had been there."""
    asked = measurement.requests
    return Measurement(
        Requests(asked.arrival_s[chosen], asked.prompt_tokens[chosen], asked.output_tokens[chosen]),
        measurement.ttft_s[chosen],
        measurement.e2e_s[chosen],
    )


def _equations(measurement: Measurement, server: LLMServer) -> tuple[FloatArray, FloatArray]:
    """Return rows and times: what of t0, a, p and b each measured time consists of."""
    requests = measurement.requests
    prompt = requests.prompt_tokens.astype(np.float64)
    later = requests.output_tokens.astype(np.float64) - 1
    first = requests.arrival_s + measurement.ttft_s
    end = requests.arrival_s + measurement.e2e_s
    decoding = StepFunction.counting(first, end)

    # Running integrals of the batch and of its context; each sequence counts with its mean
    # length, so that both are piecewise linear and interpolation is exact.
    instants = np.concatenate((first, end))
    order = np.argsort(instants, kind="stable")
    instants = instants[order]
    mean_context = prompt + 1 + later / 2

    def integral(weight: FloatArray) -> FloatArray:
        level = np.cumsum(np.concatenate((weight, -weight))[order])
        return np.concatenate(([0.0], np.cumsum(level[:-1] * np.diff(instants))))

    def mean_over_decoding(weight: FloatArray) -> FloatArray:
        total = integral(weight)
        span = np.maximum(end - first, 1e-12)
        between: FloatArray = np.interp(end, instants, total) - np.interp(first, instants, total)
        return between / span

    batch = mean_over_decoding(np.ones_like(prompt))
    context = mean_over_decoding(mean_context)

    # Prompts that were computed while a request was decoding.
    by_first = np.argsort(first, kind="stable")
    done = np.concatenate(([0.0], np.cumsum(prompt[by_first])))
    after = np.searchsorted(first[by_first], first, side="right")
    until = np.searchsorted(first[by_first], end, side="right")
    beside = done[until] - done[after]
    pauses = (until - after) * (server.batching != "chunked")

    long = (later >= 1) & (end > first)
    rows = [np.column_stack((later + pauses, later * batch, beside, later * context))[long]]
    seconds = [(end - first)[long]]

    # Requests that met nobody who waited: the rest of an iteration, and their own prompt.
    waiting = StepFunction.counting(requests.arrival_s, first)
    for i, arrival in enumerate(requests.arrival_s.tolist()):
        inside = decoding.at(arrival)
        if waiting.at(arrival) == 1 and inside < server.max_batch:
            tokens = mean_context[(first <= arrival) & (end > arrival)].sum()
            rest = shared = 0.5 if inside else 0.0
            own = 1.0
            if server.batching == "chunked":
                # Its pieces share their iterations with those who decode.
                own = np.ceil(prompt[i] / max(int(server.max_batched_tokens or 0) - inside, 1))
                shared += own
            rows.append(np.array([[rest + own, shared * inside, prompt[i], shared * tokens]]))
            seconds.append(measurement.ttft_s[i : i + 1])
    return np.concatenate(rows), np.concatenate(seconds)


def _step(coefficients: FloatArray) -> LinearStep:
    return LinearStep(
        base_s=float(coefficients[0]),
        per_decode_s=float(coefficients[1]),
        per_prefill_token_s=float(coefficients[2]),
        per_context_token_s=float(coefficients[3]),
    )


def _per_token_s(measurement: Measurement) -> FloatArray:
    """Return about how long an iteration took, as far as each request tells."""
    tpot, tokens = measurement.tpot_s, measurement.requests.output_tokens
    seconds = np.where(tpot > 0, tpot, measurement.e2e_s / tokens)
    return np.where(np.isnan(seconds), measurement.ttft_s, seconds)


def _starts(measurement: Measurement, server: LLMServer, used: BoolArray) -> list[FloatArray]:
    """Return coefficients to start the search from, of the requests that are used alone."""
    seconds = _per_token_s(measurement)[used]
    if np.isnan(seconds).all():
        raise ValueError("measurement must hold known times outside each block, got none in one")
    typical = float(np.nanmedian(seconds))
    guess = typical * np.array([0.5, 2e-3, 5e-3, 1e-6])
    both = used & ~np.isnan(measurement.ttft_s) & ~np.isnan(measurement.e2e_s)
    if not both.any():
        return [guess]
    rows, seconds = _equations(_part(measurement, both), server)
    if not seconds.size:
        return [guess]
    # Those who are left out were there: batch, context and prompts beside count for all.
    rows[:, 1:] *= both.size / both.sum()
    regressed = non_negative_least_squares(rows, seconds)
    return [np.maximum(regressed, guess * [1e-2, 1e-2, 1e-2, 1e-3]), guess]


def _simulated(
    run: Measurement, server: LLMServer, coefficients: FloatArray, users: int | None
) -> tuple[FloatArray, FloatArray]:
    """Return TTFT and E2E of each request of the run on the server with these coefficients."""
    asked, server = run.requests, replace(server, step_time=_step(coefficients))
    if users is None:
        result: Served = simulate_llm(asked, server)
        return result.ttft_s, result.e2e_s
    # The client's pause between an answer and the next request.
    ends = np.sort(asked.arrival_s + run.e2e_s)[: max(len(asked) - users, 0)]
    pauses = asked.arrival_s[users:] - ends
    pause = max(float(np.nanmedian(pauses)), 0.0) if np.isfinite(pauses).any() else 0.0
    think = np.concatenate((asked.arrival_s[:users], np.full(pauses.size, pause)))
    loop = ClosedLoop(users, asked.prompt_tokens, asked.output_tokens, think)
    fleet = simulate_fleet(loop, server)
    order = np.argsort(fleet.sent)
    return fleet.ttft_s[order], fleet.e2e_s[order]


class _Search:
    """Least squares over the logarithms of the coefficients, by simulating the run.

    Levenberg and Marquardt's method. A residual is the logarithm of simulated over measured,
    of TTFT, E2E, and the time between first and last token, wherever it is known. Who comes a
    moment before an iteration waits for one less than who comes a moment after: a time that
    is short beside an iteration says little, and counts little.
    """

    def __init__(
        self, measurement: Measurement, server: LLMServer, used: BoolArray, users: int | None
    ) -> None:
        self.simulated = partial(_simulated, measurement, server, users=users)
        ttft, e2e = measurement.ttft_s, measurement.e2e_s
        later = measurement.requests.output_tokens > 1
        with np.errstate(divide="ignore", invalid="ignore"):
            self.measured = [np.log(values) for values in (ttft, e2e, e2e - ttft)]
        self.known = [
            used & np.isfinite(values) & (later | (i < 2)) for i, values in enumerate(self.measured)
        ]
        iteration_s = np.nanmedian(_per_token_s(measurement)[used])
        by_chance = [
            _SCATTER * iteration_s / values[known]
            for values, known in zip((ttft, e2e), self.known[:2], strict=True)
        ]
        self.weights = np.concatenate(
            [_MODEL_ERROR / np.hypot(_MODEL_ERROR, share) for share in by_chance]
            + [np.ones(int(self.known[2].sum()))]
        )

    def residuals(self, logs: FloatArray) -> FloatArray:
        ttft, e2e = self.simulated(np.exp(logs))
        parts = []
        for values, measured, known in zip(
            (ttft, e2e, e2e - ttft), self.measured, self.known, strict=True
        ):
            parts.append(np.log(np.maximum(values[known], 1e-12)) - measured[known])
        weighted: FloatArray = np.concatenate(parts) * self.weights
        return weighted

    @staticmethod
    def loss(residuals: FloatArray) -> float:
        size = np.abs(residuals)
        inside = np.minimum(size, _OUTLIER)
        return float((inside * (size - inside / 2)).mean())

    def slopes(self, logs: FloatArray, now: FloatArray, width: float = 0.02) -> FloatArray:
        """Return the change of each residual with each logarithm."""
        moved = [self.residuals(logs + width * unit) for unit in np.eye(logs.size)]
        slopes: FloatArray = (np.array(moved).T - now[:, None]) / width
        return slopes

    def run(self, start: FloatArray) -> tuple[float, FloatArray]:
        """Return the loss and the logarithms that the search ends with."""
        logs = np.log(start)
        now = self.residuals(logs)
        loss, damping = self.loss(now), 1e-2
        # Who is let in when is decided in whole iterations, so that the loss is rough: where
        # slopes of one width lead nowhere, those of another may.
        widths = list(_WIDTHS)
        for _ in range(_MOST_ROUNDS):
            weights = np.sqrt(np.minimum(1, _OUTLIER / np.maximum(np.abs(now), 1e-12)))
            slopes = self.slopes(logs, now, widths[0]) * weights[:, None]
            normal, gradient = slopes.T @ slopes, slopes.T @ (now * weights)
            scale = np.diag(np.diag(normal) + 1e-9 * now.size)
            before = loss
            for _ in range(4):
                change = np.clip(np.linalg.solve(normal + damping * scale, -gradient), -1, 1)
                after = self.residuals(logs + change)
                if self.loss(after) < loss:
                    logs, now, loss = logs + change, after, self.loss(after)
                    break
                damping *= 5
            damping = max(damping / 10, 1e-6)
            if loss > before * (1 - 3e-3):
                widths.pop(0)
                damping = 1e-2
                if not widths:
                    break
        return loss, logs


def _fit(
    measurement: Measurement,
    server: LLMServer,
    used: BoolArray,
    users: int | None = None,
    *,
    quick: bool,
) -> tuple[FloatArray, _Search]:
    """Return the best coefficients for the requests that are used."""
    starts = _starts(measurement, server, used)
    search = _Search(measurement, server, used, users)
    best, logs = search.run(starts[0])
    for start in () if quick else starts[1:]:
        loss, other = search.run(start)
        # The regression is near the truth: a rival has to be clearly better.
        if loss < 0.95 * best:
            best, logs = loss, other
    return np.exp(logs), search


def _without_idle(search: _Search, coefficients: FloatArray) -> FloatArray:
    """Return the coefficients, those set to 0 without which the run comes out as well."""
    now = search.residuals(np.log(coefficients))
    most = search.loss(now) * 1.001 + 1e-12
    strength = np.linalg.norm(search.slopes(np.log(coefficients), now), axis=0)
    kept = coefficients.copy()
    for i in np.argsort(strength):
        fewer = kept.copy()
        fewer[i] = 0.0
        # Without prompts to compute a step has to take time too.
        if fewer[[0, 1, 3]].any():
            with np.errstate(divide="ignore"):
                if search.loss(search.residuals(np.log(fewer))) <= most:
                    kept = fewer
    return kept


def _remarks(search: _Search, coefficients: FloatArray, groups: int) -> tuple[str, ...]:
    """Say which coefficients the run leaves open, from the curvature of the loss."""
    active = np.flatnonzero(coefficients)
    remarks = [
        f"The run does not show {_NAMES[i]}: it comes out as well with 0."
        for i in np.flatnonzero(coefficients == 0)
    ]
    logs = np.log(np.where(coefficients > 0, coefficients, 1e-300))
    now = search.residuals(logs)
    slopes = search.slopes(logs, now)[:, active]
    # Neighbours share their batch, so that a group counts once.
    scatter = max(float(np.median(np.abs(now))) / 0.6745, _MODEL_ERROR) ** 2 / groups
    covariance = np.linalg.pinv(slopes.T @ slopes / now.size, hermitian=True) * scatter
    spread = np.sqrt(np.diag(covariance))
    for i, j in combinations(range(active.size), 2):
        alike = covariance[i, j] / max(spread[i] * spread[j], 1e-300)
        if abs(alike) > 0.9 and min(spread[i], spread[j]) > 0.1:
            remarks.append(
                f"The run cannot tell {_NAMES[active[i]]} and {_NAMES[active[j]]} apart: "
                "one may be larger and the other smaller, and it comes out the same. "
                "Predictions at this load do not depend on it; at another they do."
            )
    return tuple(remarks)


def calibrate(
    measurement: Measurement, server: LLMServer, *, blocks: int = 5, users: int | None = None
) -> Calibration:
    """Fit the coefficients of a linear iteration time to a measured run.

    Parameters
    ----------
    measurement : Measurement
        The run, at least 5 requests: an open loop, a closed one, or all at once.
    server : LLMServer
        The policies under which it was measured; its own step time is not used.
    blocks : int, optional
        Parts into which the requests are divided, at least 2; each is held out once.
    users : int, optional
        If the run was a closed loop, how many requests were always in flight
        (``--max-concurrency``), at least 1. The simulation then sends each request when an
        answer is complete there, not when it was sent.

    Returns
    -------
    Calibration
        Coefficients, errors with intervals, and what the run cannot tell.

    Raises
    ------
    ValueError
        If there are too few requests, the server batches statically, decodes speculatively
        or rejects a request of the run, or an argument is out of range.

    Notes
    -----
    A regression first: the decode time of a request is ``(n - 1) (t0 + a D + b ctx)`` with
    the batch and context that were measured beside it, plus the prompts that were computed
    meanwhile; a TTFT without a queue is a prompt plus the rest of an iteration. From there a
    least-squares search in the logarithms of the coefficients simulates the whole run and
    compares TTFT, E2E and decode time of each request, as shares.

    Requests are simulated in the order and, without `users`, at the instants at which they
    were sent, so that a burst is a run like any other. A closed loop without `users` is too,
    but there a request that comes a moment before its slot is free waits for an iteration
    that it did not meet, and TTFT says little. Held out are groups of neighbours, up
    to 20 groups in all, dealt in turn to the blocks: neighbours share a batch, and on both
    sides of a split they would flatter the fit. What is held out is still sent in the
    simulation, since others had to share with it, but none of its times is looked at.
    Intervals draw whole groups again (bootstrap, 400 times, always the same draws); with few
    groups they are too narrow.

    A time that is missing (NaN) is not compared. A coefficient that the run hardly depends
    on is poorly known, however small the error is: in a saturated run the batch and its
    context are always full, and `base_s`, `per_decode_s` and `per_context_token_s` trade
    places. `Calibration.remarks` says so.

    Examples
    --------
    A burst "measured" on a simulated server is predicted within a percent:

    >>> import numpy as np
    >>> from servemath_helpers.sim import LinearStep, LLMServer, Measurement, simulate_llm
    >>> from servemath_helpers.sim import synthetic_azure
    >>> truth = LinearStep(base_s=0.012, per_decode_s=1e-4, per_prefill_token_s=6e-5,
    ...                    per_context_token_s=4e-8)
    >>> server = LLMServer(step_time=truth, max_batch=64, max_batched_tokens=8192)
    >>> requests = synthetic_azure("conv", 200, np.random.default_rng(1), speedup=50)
    >>> run = simulate_llm(requests, server)
    >>> fit = calibrate(Measurement(requests, run.ttft_s, run.e2e_s), server)
    >>> fit.held_out.e2e.n, fit.held_out.e2e.median < 0.01, abs(fit.held_out.e2e.bias) < 0.01
    (200, True, True)
    """
    if not isinstance(measurement, Measurement):
        raise ValueError(f"measurement must be a Measurement, got {measurement!r}")
    n = len(measurement.requests)
    if n < _LEAST_REQUESTS:
        raise ValueError(f"measurement must hold at least {_LEAST_REQUESTS} requests, got {n}")
    if server.speculation is not None:
        raise ValueError("server must not decode speculatively, got a speculation")
    if server.batching == "static":
        raise ValueError("server must batch continuously or in chunks, got 'static'")
    server = replace(server, oversize="error")
    groups = _groups(n)
    count = min(whole("blocks", blocks, 2), int(groups[-1]) + 1)
    everybody = np.ones(n, dtype=np.bool_)
    loop = None if users is None else whole("users", users, 1)
    found, search = _fit(measurement, server, everybody, loop, quick=False)
    coefficients = _without_idle(search, found)
    ttft, e2e = np.full(n, np.nan), np.full(n, np.nan)
    for block in range(count):
        held_out = groups % count == block
        seen, _ = _fit(measurement, server, ~held_out, loop, quick=True)
        for values, all_simulated in zip((ttft, e2e), search.simulated(seen), strict=True):
            values[held_out] = all_simulated[held_out]
    return Calibration(
        step=_step(coefficients),
        in_sample=_fit_error(measurement, search.simulated(coefficients), groups),
        held_out=_fit_error(measurement, (ttft, e2e), groups),
        remarks=(
            *filter(None, [measurement.missing]),
            *_remarks(search, coefficients, int(groups[-1]) + 1),
        ),
    )
