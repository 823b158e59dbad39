"""Fitting the iteration time to measured runs, and how far off it is.

A run is measured request by request: arrival, lengths, TTFT, E2E. From these follows who
decoded beside whom, which gives a regression for the coefficients of `LinearStep`; a few
rounds of simulating and correcting then remove what the regression glosses over. Only the
first part of the run is used; the error is reported on the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from dataclasses import dataclass, replace
from itertools import combinations
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from servemath_helpers import latency
from servemath_helpers._validate import probability, same_length, sequence
from servemath_helpers.sim._arrays import FloatArray, IntArray, frozen, times
from servemath_helpers.sim.llm import simulate_llm
from servemath_helpers.sim.requests import Requests
from servemath_helpers.sim.results import StepFunction
from servemath_helpers.sim.steptime import LinearStep

if TYPE_CHECKING:
    from servemath_helpers.sim.server import LLMServer

__all__ = [
    "Calibration",
    "FitError",
    "Measurement",
    "calibrate",
    "load_measurement_csv",
    "load_vllm_bench",
]

_CSV_COLUMNS = ("arrival_s", "prompt_tokens", "output_tokens", "ttft_s")
_LEAST_REQUESTS = 20
_MOST_ROUNDS = 10


@dataclass(frozen=True, eq=False)
class Measurement:
    """A measured run.

    Parameters
    ----------
    requests : Requests
        When requests came and how long they were.
    ttft_s, e2e_s : array_like
        Measured time to the first and to the last token [s], greater than 0.

    Raises
    ------
    ValueError
        If lengths differ, a time is not positive, or an E2E is less than its TTFT.
    """

    requests: Requests
    ttft_s: FloatArray
    e2e_s: FloatArray

    def __post_init__(self) -> None:
        if not isinstance(self.requests, Requests):
            raise ValueError(f"requests must be Requests, got {self.requests!r}")
        for name in ("ttft_s", "e2e_s"):
            array = times(name, getattr(self, name), positive=True)
            lengths: dict[str, Sized] = {"requests": self.requests, name: array}
            same_length(**lengths)
            object.__setattr__(self, name, frozen(array))
        early = self.e2e_s < self.ttft_s
        if early.any():
            i = int(np.argmax(early))
            raise ValueError(
                f"e2e_s[{i}] must be at least ttft_s[{i}] = {float(self.ttft_s[i])!r}, "
                f"got {float(self.e2e_s[i])!r}"
            )

    @property
    def tpot_s(self) -> FloatArray:
        """Mean time per token after the first; NaN for answers of one token."""
        later = self.requests.output_tokens - 1
        tpot: FloatArray = (self.e2e_s - self.ttft_s) / np.where(later > 0, later, np.nan)
        return tpot


def load_measurement_csv(source: str | PathLike[str] | Iterable[str]) -> Measurement:
    """Load a measured run from a CSV with one request a row.

    Parameters
    ----------
    source : path or iterable of str
        A file, or its lines, with the columns ``arrival_s, prompt_tokens, output_tokens,
        ttft_s`` and ``e2e_s`` or ``tpot_s``, in any order; other columns are ignored.

    Returns
    -------
    Measurement
        Sorted by arrival, the first at 0.

    Raises
    ------
    ValueError
        If a column is missing or a cell is no number; the message names the row.

    Examples
    --------
    >>> run = load_measurement_csv(["arrival_s,prompt_tokens,output_tokens,ttft_s,tpot_s",
    ...                             "12.0,512,101,0.08,0.02"])
    >>> run.e2e_s.tolist()
    [2.08]
    """
    import csv

    if isinstance(source, (str, PathLike)):
        lines: list[str] = Path(source).read_text(encoding="utf-8-sig").splitlines()
    else:
        lines = list(source)
    rows = csv.DictReader(lines)
    columns = rows.fieldnames or []
    missing = [name for name in _CSV_COLUMNS if name not in columns]
    last = "e2e_s" if "e2e_s" in columns else "tpot_s"
    if last not in columns:
        missing.append("e2e_s or tpot_s")
    if missing:
        raise ValueError(f"source must have the columns {', '.join(missing)}, got {columns!r}")
    names = (*_CSV_COLUMNS, last)
    table: list[list[float]] = []
    for row in rows:
        cells = []
        for name in names:
            try:
                cells.append(float(row[name]))
            except (TypeError, ValueError):
                raise ValueError(
                    f"row {rows.line_num}: {name} must be a number, got {row[name]!r}"
                ) from None
        table.append(cells)
    if not table:
        raise ValueError("source must hold at least one row, got none")
    arrival, prompt, output, ttft, end = np.array(table).T
    return _sorted(
        arrival, prompt, output, ttft, end if last == "e2e_s" else ttft + (output - 1) * end
    )


def load_vllm_bench(source: str | PathLike[str]) -> Measurement:
    """Load a measured run from the JSON of ``vllm bench serve --save-result --save-detailed``.

    Parameters
    ----------
    source : path
        The file, with ``start_times`` [s], ``input_lens``, ``output_lens``, ``ttfts`` [s]
        and ``itls`` (lists of gaps [s]).

    Returns
    -------
    Measurement
        Sorted by arrival, the first at 0. Requests that failed (an entry in ``errors``, or
        no output) are left out.

    Raises
    ------
    ValueError
        If the file is no such JSON, a field is missing, lengths differ, or no request is
        left.

    Examples
    --------
    >>> import json, tempfile
    >>> from pathlib import Path
    >>> detailed = dict(start_times=[7.5], input_lens=[512], output_lens=[3], ttfts=[0.25],
    ...                 itls=[[0.5, 0.25]], errors=[""])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "result.json")
    ...     _ = path.write_text(json.dumps(detailed))
    ...     load_vllm_bench(path).e2e_s.tolist()
    [1.0]
    """
    import json

    try:
        result: Any = json.loads(Path(source).read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(f"source must be a JSON file, got {str(source)!r}") from None
    fields = ("start_times", "input_lens", "output_lens", "ttfts", "itls")
    missing = [name for name in fields if not isinstance(result, dict) or name not in result]
    if missing:
        raise ValueError(
            f"source must have the fields {', '.join(missing)} (--save-detailed), "
            f"got {str(source)!r}"
        )
    columns = {name: sequence(name, result[name]) for name in fields}
    same_length(**columns)
    errors = result.get("errors") or [""] * len(columns["ttfts"])
    same_length(ttfts=columns["ttfts"], errors=errors)
    gaps = [sum(sequence(f"itls[{i}]", row)) for i, row in enumerate(columns["itls"])]
    good = [
        not error and size >= 1 for error, size in zip(errors, columns["output_lens"], strict=True)
    ]
    if not any(good):
        raise ValueError("source must hold at least one request that succeeded, got none")
    arrival, prompt, output, ttft = (
        np.array(columns[name], dtype=np.float64)[good]
        for name in ("start_times", "input_lens", "output_lens", "ttfts")
    )
    return _sorted(arrival, prompt, output, ttft, ttft + np.array(gaps, dtype=np.float64)[good])


def _sorted(
    arrival: FloatArray, prompt: FloatArray, output: FloatArray, ttft: FloatArray, e2e: FloatArray
) -> Measurement:
    order = np.argsort(arrival, kind="stable")
    return Measurement(
        Requests((arrival - arrival.min())[order], prompt[order], output[order]),
        ttft[order],
        e2e[order],
    )


@dataclass(frozen=True)
class FitError:
    """How far simulated latencies are from measured ones, request by request.

    Attributes
    ----------
    n : int
        Requests compared.
    ttft_median, ttft_p90 : float
        Median and 90th percentile of ``|simulated - measured| / measured`` of TTFT.
    tpot_median, tpot_p90 : float
        The same for TPOT, over answers of two tokens and more; NaN if there are none.
    e2e_median, e2e_p90 : float
        The same for E2E.
    e2e_bias : float
        Mean simulated E2E over mean measured E2E, less 1.
    """

    n: int
    ttft_median: float
    ttft_p90: float
    tpot_median: float
    tpot_p90: float
    e2e_median: float
    e2e_p90: float
    e2e_bias: float


@dataclass(frozen=True)
class Calibration:
    """Fitted coefficients, and their error where they were fitted and where they were not.

    Attributes
    ----------
    step : LinearStep
        The fitted iteration time.
    train, held_out : FitError
        Errors on the requests that were used and on the later ones that were not. Quote the
        second.
    """

    step: LinearStep
    train: FitError
    held_out: FitError


def _fit_error(
    measurement: Measurement, simulated: tuple[FloatArray, FloatArray], part: IntArray
) -> FitError:
    ttft, e2e = simulated[0][part], simulated[1][part]
    later = measurement.requests.output_tokens[part] - 1
    tpot = (e2e - ttft) / np.where(later > 0, later, np.nan)
    numbers: dict[str, float] = {}
    for name, values, truth in (
        ("ttft", ttft, measurement.ttft_s[part]),
        ("tpot", tpot, measurement.tpot_s[part]),
        ("e2e", e2e, measurement.e2e_s[part]),
    ):
        # A measured TPOT of 0 (all tokens in one piece) says nothing about a share.
        known = truth > 0
        error = np.abs(values[known] - truth[known]) / truth[known]
        for key, q in (("median", "0.5"), ("p90", "0.9")):
            numbers[f"{name}_{key}"] = latency.percentile(error, q) if error.size else np.nan
    bias = float(e2e.mean() / measurement.e2e_s[part].mean()) - 1
    return FitError(n=int(ttft.size), e2e_bias=bias, **numbers)


def _first_part(measurement: Measurement, n: int) -> Measurement:
    requests = measurement.requests
    return Measurement(
        Requests(
            requests.arrival_s[:n],
            requests.prompt_tokens[:n],
            requests.output_tokens[:n],
            None if requests.priority is None else requests.priority[:n],
            None if requests.block_hashes is None else requests.block_hashes[:n],
            requests.hash_block_tokens,
        ),
        measurement.ttft_s[:n],
        measurement.e2e_s[:n],
    )


def _equations(
    measurement: Measurement, server: LLMServer, usable: npt.NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
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

    long = usable & (later >= 1) & (end > first)
    rows = [np.column_stack((later + pauses, later * batch, beside, later * context))[long]]
    seconds = [(end - first)[long]]

    # Requests that met nobody who waited: the rest of an iteration, and their own prompt.
    waiting = StepFunction.counting(requests.arrival_s, first)
    for i in np.flatnonzero(usable):
        arrival = float(requests.arrival_s[i])
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


def _non_negative_least_squares(rows: FloatArray, seconds: FloatArray) -> FloatArray:
    """Return the best coefficients of at least 0, by trying which of them are 0."""
    # Relative errors count: a row is divided by what it should give.
    rows = rows / seconds[:, None]
    best, least = np.zeros(rows.shape[1]), float(seconds.size)
    for count in range(1, rows.shape[1] + 1):
        for chosen in combinations(range(rows.shape[1]), count):
            some = rows[:, chosen]
            scale = np.maximum(np.abs(some).max(axis=0), 1e-300)
            answer = np.linalg.lstsq(some / scale, np.ones(seconds.size), rcond=None)[0] / scale
            loss = float(((some @ answer - 1) ** 2).sum())
            if (answer >= 0).all() and loss < least:
                best, least = np.zeros(rows.shape[1]), loss
                best[list(chosen)] = answer
    return best


def _step(coefficients: FloatArray) -> LinearStep:
    return LinearStep(
        base_s=float(coefficients[0]),
        per_decode_s=float(coefficients[1]),
        per_prefill_token_s=float(coefficients[2]),
        per_context_token_s=float(coefficients[3]),
    )


def _simulated(
    measurement: Measurement, server: LLMServer, coefficients: FloatArray
) -> tuple[FloatArray, FloatArray]:
    run = simulate_llm(measurement.requests, replace(server, step_time=_step(coefficients)))
    return run.ttft_s, run.e2e_s


def _residuals(
    measurement: Measurement,
    simulated: tuple[FloatArray, FloatArray],
    usable: npt.NDArray[np.bool_],
) -> FloatArray:
    both = [
        np.log(values[usable] / truth[usable])
        for values, truth in zip(simulated, (measurement.ttft_s, measurement.e2e_s), strict=True)
    ]
    # A request that is off by far says that the batch was another, not how to mend it.
    clipped: FloatArray = np.clip(np.concatenate(both), -0.5, 0.5)
    return clipped


def _polished(
    measurement: Measurement,
    server: LLMServer,
    coefficients: FloatArray,
    usable: npt.NDArray[np.bool_],
) -> FloatArray:
    """Correct the coefficients by simulating: damped Gauss-Newton on their logarithms."""

    def residuals(values: FloatArray) -> FloatArray:
        return _residuals(measurement, _simulated(measurement, server, values), usable)

    active = np.flatnonzero(coefficients)
    now = residuals(coefficients)
    loss = float(np.abs(now).mean())
    for _ in range(_MOST_ROUNDS):
        columns = []
        for i in active:
            moved = coefficients.copy()
            moved[i] *= 1.03
            columns.append((residuals(moved) - now) / np.log(1.03))
        change = np.linalg.lstsq(np.column_stack(columns), -now, rcond=1e-6)[0]
        for damping in (1.0, 0.5, 0.25, 0.1):
            tried = coefficients.copy()
            tried[active] *= np.exp(np.clip(damping * change, -1, 1))
            after = residuals(tried)
            if np.abs(after).mean() < loss:
                coefficients, now = tried, after
                break
        gained = loss - float(np.abs(now).mean())
        loss -= gained
        if gained < 1e-4 * (loss + 1e-12):
            break
    return coefficients


def calibrate(
    measurement: Measurement, server: LLMServer, *, train_share: float = 0.7
) -> Calibration:
    """Fit the coefficients of a linear iteration time to a measured run.

    Parameters
    ----------
    measurement : Measurement
        The run, at least 20 requests.
    server : LLMServer
        The policies under which it was measured; its own step time is not used.
    train_share : float, optional
        Share of the requests, the first to arrive, that the fit may see, in (0, 1).

    Returns
    -------
    Calibration
        Coefficients and errors on both parts of the run.

    Raises
    ------
    ValueError
        If there are too few requests, or too few of them end before the held-out part
        begins, the server batches statically or decodes
        speculatively, or an argument is out of range.

    Notes
    -----
    A regression first: the decode time of a request is ``(n - 1) (t0 + a D + b ctx)`` with
    the batch and context that were measured beside it, plus the prompts that were computed
    meanwhile; a TTFT without a queue is a prompt plus the rest of an iteration. Then at most
    ten rounds of simulating the run and correcting the coefficients, on relative errors of
    TTFT and E2E.

    The split is by time, not at random: requests that share a batch would otherwise be on
    both sides, and the error on the held-out part would flatter the fit. Requests of the
    first part that are still there when the second begins are not fitted. A coefficient
    that the run hardly depends on is poorly known, however small the error is; the batch and
    its context grow together, so `per_decode_s` and `per_context_token_s` trade places. Near
    saturation a queue magnifies every error: expect 1 to 3 % of E2E on exact measurements at
    moderate load, and up to 8 % there.

    Examples
    --------
    A run "measured" on a simulated server is predicted within a few percent:

    >>> import numpy as np
    >>> from servemath_helpers.sim import LinearStep, LLMServer, simulate_llm, synthetic_azure
    >>> truth = LinearStep(base_s=0.012, per_decode_s=1e-4, per_prefill_token_s=6e-5,
    ...                    per_context_token_s=4e-8)
    >>> server = LLMServer(step_time=truth, max_batch=64, max_batched_tokens=8192)
    >>> requests = synthetic_azure("conv", 800, np.random.default_rng(1))
    >>> run = simulate_llm(requests, server)
    >>> fit = calibrate(Measurement(requests, run.ttft_s, run.e2e_s), server)
    >>> fit.held_out.n, fit.held_out.e2e_median < 0.03
    (240, True)
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
    share = probability("train_share", train_share, zero_allowed=False, one_allowed=False)
    n_train = min(max(int(share * n), 1), n - 1)
    seen = _first_part(measurement, n_train)
    # Who is still being served when the held-out part begins has met some of it.
    usable = seen.requests.arrival_s + seen.e2e_s <= measurement.requests.arrival_s[n_train]
    if usable.sum() < _LEAST_REQUESTS // 2:
        raise ValueError(
            f"measurement must hold at least {_LEAST_REQUESTS // 2} requests that end before "
            f"the held-out part begins, got {int(usable.sum())}"
        )
    rows, seconds = _equations(seen, server, usable)
    coefficients = _non_negative_least_squares(rows, seconds)
    coefficients = _polished(seen, server, coefficients, usable)
    simulated = _simulated(measurement, server, coefficients)
    return Calibration(
        step=_step(coefficients),
        train=_fit_error(measurement, simulated, np.flatnonzero(usable)),
        held_out=_fit_error(measurement, simulated, np.arange(n_train, n)),
    )
