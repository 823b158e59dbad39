"""The four systems of the queueing lab, each simulated from plain settings.

Cloud: requests in batches on replicas. Edge: cameras that fire together. Mobile: frames
against a display's clock. Tiny: audio frames with hardly anywhere to wait. `measure` runs
one of them and returns what the instruments show. The random numbers are the same in every
run, so that moving a slider changes the picture because of the slider.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from servemath_helpers import batching, deadlines
from servemath_helpers.sim import arrivals, services, simulate_batch, simulate_gg1, simulate_ggc
from servemath_helpers.sim.queues import simulate_loss
from servemath_helpers.sim.results import BatchResult, LossResult, QueueResult, StepFunction

__all__ = [
    "ALPHA_MS",
    "ANSWER_TOKENS",
    "BETA_MS",
    "CA2",
    "CAMERA_HZ",
    "MAX_GREEDY",
    "PROMPT_TOKENS",
    "REFRESH_HZ",
    "SEED",
    "Flow",
    "Measured",
    "cliff",
    "energy_uj",
    "flow_of",
    "idle_sojourn_ms",
    "loss_curve",
    "measure",
    "u_curve",
]

FloatArray = npt.NDArray[np.float64]

#: Of sixty tried, the seed whose 20 000 customers come closest to the closed forms: live
#: pictures cannot wait for longer runs, and should not teach a fluke.
SEED: Final = 5
#: Time of a batch, S(B) = alpha + beta B [ms], by track.
ALPHA_MS: Final[Mapping[str, float]] = MappingProxyType({"cloud": 20.0, "edge": 2.4, "mobile": 9.0})
BETA_MS: Final[Mapping[str, float]] = MappingProxyType({"cloud": 1.0, "edge": 1.0, "mobile": 6.0})
MAX_GREEDY: Final = 32
CAMERA_HZ: Final = 30.0
REFRESH_HZ: Final = 60.0
#: Squared coefficient of variation of the time between arrivals, by kind.
CA2: Final[Mapping[str, float]] = MappingProxyType(
    {"periodic": 0.0, "clock": 0.0, "poisson": 1.0, "bursty": 4.0}
)
#: Tokens of a cloud request.
PROMPT_TOKENS: Final = 1024
ANSWER_TOKENS: Final = 256
#: Variability of a frame's computing time, by kind of scene.
SCENE_CS: Final[Mapping[str, float]] = MappingProxyType({"calm": 0.1, "busy": 0.3, "hectic": 0.4})
#: An audio frame at the reference speed takes this long and costs this much (assumed).
_TINY_MS, _TINY_UJ = 8.0, 6.0
_N = 20_000
_STAGES: Final = ("formation", "queue", "compute", "overhead")


@dataclass(frozen=True, eq=False)
class Measured:
    """What the instruments show of one simulated setting.

    `rho` is the share of the capacity that the arrivals ask for (lost ones included), `busy` the
    share of time in which the servers work. Times [ms] are of those who were served, infinite if
    the queue grows without bound; stages are formation, queue, compute and overhead, and
    `depth` is what an arrival finds in the system: of all, and of the slowest hundredth.
    `extra` is what only one track has, such as frames per second or energy.
    """

    lam_rps: float
    rho: float
    busy: float
    throughput_rps: float
    times_ms: FloatArray
    mean_ms: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    stages_ms: Mapping[str, float]
    slow_stages_ms: Mapping[str, float]
    depth: float
    slow_depth: float
    loss: float = 0.0
    stable: bool = True
    extra: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, eq=False)
class Flow:
    """Requests in flight at evenly spaced instants, and lam, W and L of the whole run."""

    time_s: FloatArray
    in_flight: FloatArray
    lam_rps: float
    W_s: float
    L: float


@cache
def _unit(kind: str, n: int = _N) -> FloatArray:
    """Return n instants of rate 1, always the same: settings only stretch them."""
    rng = np.random.default_rng(SEED)
    if kind == "poisson":
        at = arrivals.poisson(n, 1.0, rng)
    else:
        at = arrivals.bursty(n, 1.0, CA2[kind], rng)
    # Exactly n arrivals in n units of time: the load is what the slider says.
    return np.asarray(at * (n / at[-1]), dtype=np.float64)


@cache
def _unit_services(kind: str, cs: float = 1.0, n: int = _N) -> FloatArray:
    """Return n service times with a mean of exactly 1."""
    rng = np.random.default_rng(SEED + 1)
    if kind == "exponential":
        work = services.exponential(n, 1.0, rng)
    else:
        work = services.lognormal(n, 1.0, cs * cs, rng)
    return np.asarray(work / work.mean(), dtype=np.float64)


@cache
def _unit_jitter(n: int) -> FloatArray:
    return np.random.default_rng(SEED + 2).random(n)


def flow_of(lam_rps: float, W_s: float) -> Flow:
    """Return a run in which each request stays between W/2 and 3W/2.

    From an empty system to an empty one, so that L = lam W holds exactly:

    >>> run = flow_of(40, 2)
    >>> abs(run.L - run.lam_rps * run.W_s) < 1e-9 * run.L
    True
    """
    # Filling and emptying the system must be a small part of the run.
    n = int(min(60_000, 400 + 50 * lam_rps * W_s))
    start = _unit("poisson", 60_000)[:n] / lam_rps
    end = start + (0.5 + _unit_jitter(60_000)[:n]) * W_s
    inside = StepFunction.counting(start, end)
    last = float(end.max())
    time = np.linspace(0, min(last, max(10 * W_s, 25 / lam_rps)), 240)
    where = np.searchsorted(inside.time_s, time, "right") - 1
    seen = np.where(where >= 0, inside.value[np.maximum(where, 0)], 0)
    W_seen = float((end - start).mean())
    return Flow(time, seen.astype(np.float64), n / last, W_seen, inside.mean(0.0, last))


def _stages(run: QueueResult, track: str, ready_s: FloatArray | None = None) -> FloatArray:
    """Return formation, queue, compute and overhead [ms] of each customer, as columns."""
    wait, service = 1e3 * run.wait_s, 1e3 * run.service_s
    formation = np.zeros_like(wait)
    if ready_s is not None:
        formation = np.clip(1e3 * (ready_s - run.arrival_s), 0, wait)
    overhead = np.full_like(wait, ALPHA_MS.get(track, 0.0))
    overhead = np.minimum(overhead, service)
    return np.column_stack([formation, wait - formation, service - overhead, overhead])


def _depths(run: QueueResult) -> FloatArray:
    """Return how many each customer finds in the system."""
    left = np.searchsorted(np.sort(run.departure_s), run.arrival_s, "right")
    found = np.arange(run.n) - left
    return np.asarray(np.maximum(found, 0), dtype=np.float64)


def _summary(
    stages: FloatArray,
    depths: FloatArray,
    *,
    lam_rps: float,
    capacity_rps: float,
    busy: float,
    loss: float = 0.0,
    blocking: bool = False,
    **extra: Any,
) -> Measured:
    """Return the instruments' numbers from each customer's stages."""
    times = stages.sum(axis=1)
    ordered = np.sort(times)
    n = ordered.size
    p99 = ordered[math.ceil(0.99 * n) - 1]
    slow = times >= p99 - 1e-9
    rho = lam_rps / capacity_rps
    # Lost frames never queue, so a system with losses cannot become unstable; nor can a
    # clock without variability at exactly its capacity, but there is no margin in that.
    stable = blocking or rho < 1

    def finite(value: np.floating[Any]) -> float:
        return float(value) if stable else math.inf

    def by_stage(rows: FloatArray) -> Mapping[str, float]:
        return MappingProxyType(dict(zip(_STAGES, rows.mean(axis=0).tolist(), strict=True)))

    return Measured(
        lam_rps=lam_rps,
        rho=rho,
        busy=min(busy, 1.0),
        throughput_rps=lam_rps * (1 - loss) if stable else capacity_rps,
        times_ms=times,
        mean_ms=finite(times.mean()),
        p50_ms=finite(ordered[math.ceil(0.5 * n) - 1]),
        p99_ms=finite(p99),
        worst_ms=finite(ordered[-1]),
        stages_ms=by_stage(stages),
        slow_stages_ms=by_stage(stages[slow]),
        depth=float(depths.mean()),
        slow_depth=float(depths[slow].mean()),
        loss=loss,
        stable=stable,
        extra=MappingProxyType(extra),
    )


# --- cloud ---------------------------------------------------------------------------------


def _batches(run: BatchResult) -> tuple[FloatArray, FloatArray]:
    """Return, for each customer, when the first and the last of its batch arrived."""
    ends = np.cumsum(run.batch_size)
    first = run.arrival_s[ends - run.batch_size]
    last = run.arrival_s[ends - 1]
    return np.repeat(first, run.batch_size), np.repeat(last, run.batch_size)


def _replica(at_s: FloatArray, B: int, policy: str, window_ms: float = 0.0) -> BatchResult:
    """Return a run of one cloud replica."""
    alpha_s, beta_s = ALPHA_MS["cloud"] / 1e3, BETA_MS["cloud"] / 1e3
    patience_s = window_ms / 1e3 if policy == "window" else None
    return simulate_batch(at_s, B, alpha_s, beta_s, policy, patience_s)  # type: ignore[arg-type]


def _cloud_batches(s: Mapping[str, Any]) -> Measured:
    lam, B, policy, window_ms = s["lam_rps"], s["B"], s["policy"], s["window_ms"]
    run = _replica(_unit("poisson") / lam, B, policy, window_ms)
    first, last = _batches(run)
    # What a batch waits for before it could start: its last member, or its oldest's patience.
    ready = {"fixed": last, "greedy": run.arrival_s}.get(
        policy, np.minimum(last, first + window_ms / 1e3)
    )
    return _summary(
        _stages(run, "cloud", ready),
        _depths(run),
        lam_rps=lam,
        capacity_rps=1e3 * B / batching.batch_service_time(B, ALPHA_MS["cloud"], BETA_MS["cloud"]),
        busy=run.busy_fraction(),
        mean_batch=run.mean_batch(),
    )


def idle_sojourn_ms() -> float:
    """Return the mean time of a request that a cloud replica serves alone, S(1) [ms]."""
    return batching.batch_service_time(1, ALPHA_MS["cloud"], BETA_MS["cloud"])


def _cloud_pool(s: Mapping[str, Any]) -> Measured:
    c, kind = s["replicas"], s["arrivals"]
    if s["policy"] == "greedy":
        full = batching.batch_service_time(MAX_GREEDY, ALPHA_MS["cloud"], BETA_MS["cloud"])
        each = s["rho"] * 1e3 * MAX_GREEDY / full
        # Requests are dealt to the replicas in turn: each sees every c-th of the arrivals.
        run = _replica(_unit(kind, 2 * _N)[::c] / (each * c), MAX_GREEDY, "greedy")
        return _summary(
            _stages(run, "cloud"),
            _depths(run),
            lam_rps=each * c,
            capacity_rps=c * 1e3 * MAX_GREEDY / full,
            busy=run.busy_fraction(),
            mean_batch=run.mean_batch(),
        )
    S_s = idle_sojourn_ms() / 1e3
    lam = s["rho"] * c / S_s
    single = simulate_ggc(_unit(kind) / lam, _unit_services("exponential") * S_s, c)
    return _summary(
        _stages(single, "pool"),
        _depths(single),
        lam_rps=lam,
        capacity_rps=c / S_s,
        busy=single.busy_fraction(),
        mean_batch=1.0,
    )


@lru_cache(maxsize=256)
def u_curve(
    lam_rps: float, policy: str, window_ms: float, sizes: tuple[int, ...]
) -> tuple[float, ...]:
    """Return the mean latency of a cloud replica at each batch size [ms].

    "fixed" is the formula (an approximation), the other policies are simulated; infinite where
    the queue is unstable.

    >>> [round(ms, 1) for ms in u_curve(100.0, "fixed", 0.0, (2, 3, 64))]
    [inf, 45.6, 399.1]
    """
    alpha, beta = ALPHA_MS["cloud"], BETA_MS["cloud"]
    if policy == "fixed":
        return tuple(batching.batch_latency(B, lam_rps / 1e3, alpha, beta) for B in sizes)
    means = []
    for B in sizes:
        if batching.batch_metrics(B, lam_rps / 1e3, alpha, beta)["stable"]:
            run = _replica(_unit("poisson")[:4000] / lam_rps, B, policy, window_ms)
            means.append(1e3 * float(run.sojourn_s.mean()))
        else:
            means.append(math.inf)
    return tuple(means)


@lru_cache(maxsize=64)
def cliff(c: int, kind: str) -> tuple[tuple[float, float, float], ...]:
    """Return utilisation, mean and P99 of a simulated pool, in service times."""
    points = []
    for rho in (0.1, 0.4, 0.6, 0.7, 0.8, 0.9):
        # The emptier the system, the sooner it forgets: a slider waits for these runs.
        n = _N if rho >= 0.7 else _N // 5
        run = simulate_ggc(_unit(kind)[:n] / (rho * c), _unit_services("exponential")[:n], c)
        rank = math.ceil(0.99 * n) - 1
        p99 = float(np.partition(run.sojourn_s, rank)[rank])
        points.append((rho, float(run.sojourn_s.mean()), p99))
    return tuple(points)


# --- edge ----------------------------------------------------------------------------------


def _edge_burst(s: Mapping[str, Any]) -> Measured:
    """All sensors at one instant, dealt to the accelerators, each taking at most B at a time."""
    alpha, beta = ALPHA_MS["edge"], BETA_MS["edge"]
    n, B, c = s["sensors"], s["B"], s.get("accelerators", 1)
    rows, ends, batches = [], [], 0
    for share in [n // c + (k < n % c) for k in range(min(c, n))]:
        done, start = 0, 0.0
        while done < share:
            size = min(B, share - done)
            took = batching.batch_service_time(size, alpha, beta)
            rows += [(0.0, start, took - alpha, alpha)] * size
            start, done, batches = start + took, done + size, batches + 1
        ends.append(start)
    return _summary(
        np.array(rows),
        np.arange(n, dtype=np.float64) // c,
        lam_rps=n * CAMERA_HZ,
        capacity_rps=n * 1e3 / max(ends),
        busy=sum(ends) / c * CAMERA_HZ / 1e3,
        mean_batch=n / batches,
    )


def _edge_loop(s: Mapping[str, Any]) -> Measured:
    """Sensors over many periods, with staggered triggers, jitter and several accelerators."""
    n, c, jitter_s = s["sensors"], s["accelerators"], s["jitter_ms"] / 1e3
    alpha_s, beta_s = ALPHA_MS["edge"] / 1e3, BETA_MS["edge"] / 1e3
    period_s, rounds = 1 / CAMERA_HZ, 400
    phase = np.arange(n) * (period_s / n if s["trigger"] == "staggered" else 0.0)
    ticks = (np.arange(rounds)[:, None] * period_s + phase).ravel()
    at = np.sort(ticks + jitter_s * _unit_jitter(ticks.size))
    if s["batched"]:
        # The sensors are dealt to the accelerators; each takes whatever waits for it.
        runs: list[QueueResult] = [
            simulate_batch(at[k::c], n, alpha_s, beta_s, "greedy") for k in range(min(c, n))
        ]
        share = math.ceil(n / c)
        capacity = c * share / (alpha_s + beta_s * share)
    else:
        runs = [simulate_ggc(at, np.full(at.size, alpha_s + beta_s), c)]
        capacity = c / (alpha_s + beta_s)
    stages = np.concatenate([_stages(run, "edge") for run in runs])
    return _summary(
        stages,
        np.concatenate([_depths(run) for run in runs]),
        lam_rps=n * CAMERA_HZ,
        capacity_rps=capacity,
        busy=float(np.mean([run.busy_fraction() for run in runs])),
    )


# --- mobile --------------------------------------------------------------------------------


def _mobile_frame(s: Mapping[str, Any]) -> Measured:
    """One frame's way to the display: batch formation, a wait, computing."""
    B, period = s["B"], 1e3 / REFRESH_HZ
    pixels = s.get("pixels", 100) / 100
    took = batching.batch_service_time(B, ALPHA_MS["mobile"], pixels * BETA_MS["mobile"])
    rows = [
        ((B - 1 - k) * period, s["wait_ms"], took - ALPHA_MS["mobile"], ALPHA_MS["mobile"])
        for k in range(B)
    ]
    # A batch of B frames must be ready once in B refreshes.
    fps = B * deadlines.achieved_fps(REFRESH_HZ / B, took, s["wait_ms"], s["pipelined"])
    busy_ms = took if s["pipelined"] else took + s["wait_ms"]
    return _summary(
        np.array(rows),
        np.arange(B, dtype=np.float64),
        lam_rps=REFRESH_HZ,
        capacity_rps=1e3 * B / busy_ms,
        busy=busy_ms * REFRESH_HZ / 1e3 / B,
        blocking=True,
        fps=fps,
    )


def _mobile_stream(s: Mapping[str, Any]) -> Measured:
    """Frames of a stream, with computing times that vary with the scene."""
    period_s = 1 / REFRESH_HZ
    work = _unit_services("lognormal", SCENE_CS[s["scene"]]) * s["compute_ms"] / 1e3
    work = np.minimum(work, s["cap_ms"] / 1e3)
    run = simulate_gg1(_unit(s["arrivals"]) * period_s, work)
    mean_ms = float(1e3 * work.mean())
    fps = deadlines.achieved_fps(
        REFRESH_HZ, mean_ms, 1e3 * float(run.wait_s.mean()), s["pipelined"]
    )
    return _summary(
        _stages(run, "stream"),
        _depths(run),
        lam_rps=REFRESH_HZ,
        capacity_rps=1e3 / mean_ms,
        busy=run.busy_fraction(),
        fps=fps if mean_ms * REFRESH_HZ < 1e3 else min(fps, 1e3 / mean_ms),
        cs=float(work.std() / work.mean()),
    )


# --- tiny ----------------------------------------------------------------------------------


def energy_uj(S_ms: float) -> float:
    """Return what an audio frame costs when it is computed in S milliseconds [uJ].

    6 at 8 ms, growing with the square of the clock (an assumption: voltage rises with
    frequency, so that half the time costs four times the energy).
    """
    return _TINY_UJ * (_TINY_MS / S_ms) ** 2


def _tiny_run(s: Mapping[str, Any], n: int) -> LossResult:
    rate, S_s = s["lam_rps"], s["S_ms"] / 1e3
    if s["arrivals"] == "clock":
        late = s["jitter_ms"] / 1e3 * _unit_jitter(n)
        at = np.sort(np.arange(n) / rate + late)
    else:
        at = _unit(s["arrivals"])[:n] / rate
    return simulate_loss(at, np.full(n, S_s), s.get("slots", 1), buffer=s.get("buffer", 0))


def _tiny(s: Mapping[str, Any]) -> Measured:
    """Audio frames; who finds neither the processor nor a place free is lost."""
    run = _tiny_run(s, 8000)
    return _summary(
        _stages(run, "tiny"),
        _depths(run),
        lam_rps=s["lam_rps"],
        capacity_rps=s.get("slots", 1) * 1e3 / s["S_ms"],
        busy=run.busy_fraction(),
        loss=run.loss_fraction(),
        blocking=True,
        energy_uj=energy_uj(s["S_ms"]),
    )


def loss_curve(settings: Mapping[str, Any], loads: tuple[float, ...]) -> tuple[float, ...]:
    """Return the simulated share of audio frames lost at each load (arrivals times S)."""
    rates = [load * 1e3 / settings["S_ms"] for load in loads]
    return tuple(_tiny_run({**settings, "lam_rps": rate}, 2000).loss_fraction() for rate in rates)


_SYSTEMS: Final[Mapping[tuple[str, str], Callable[[Mapping[str, Any]], Measured]]] = (
    MappingProxyType(
        {
            ("cloud", "part2"): _cloud_batches,
            ("cloud", "part3"): _cloud_pool,
            ("edge", "part2"): _edge_burst,
            ("edge", "part3"): _edge_loop,
            ("mobile", "part2"): _mobile_frame,
            ("mobile", "part3"): _mobile_stream,
            ("tiny", "part2"): _tiny,
            ("tiny", "part3"): _tiny,
        }
    )
)


@lru_cache(maxsize=128)
def _measured(track: str, part: str, settings: tuple[tuple[str, Any], ...]) -> Measured:
    return _SYSTEMS[track, part](dict(settings))


def measure(track: str, part: str, settings: Mapping[str, Any]) -> Measured:
    """Simulate one setting of part 2 or 3 of a track; the same for the same settings.

    >>> burst = {"sensors": 10, "B": 5, "accelerators": 2}
    >>> measure("edge", "part2", burst).worst_ms
    7.4
    """
    return _measured(track, part, tuple(sorted(settings.items())))
