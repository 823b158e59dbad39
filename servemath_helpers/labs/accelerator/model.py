"""The engine of lab 5: what is measured, and what follows from it.

A `Record` is one machine's measurement: bandwidth and FLOP/s, the log of an engine's steps, and
what a client saw at several loads. Everything that is asked and shown is computed from one.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import queue
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, Final

import numpy as np

from servemath_helpers import queueing, roofline
from servemath_helpers.fitting import FittedStep, fit_step
from servemath_helpers.fleetplans import Judged, judge_plan
from servemath_helpers.latency import percentile
from servemath_helpers.loadtest import correct_omission, slope_interval
from servemath_helpers.measure.answers import Answer
from servemath_helpers.measure.driving import Work, drive, play
from servemath_helpers.measure.endpoint import Endpoint
from servemath_helpers.measure.summary import Summary
from servemath_helpers.sim import (
    ClosedLoop,
    LinearStep,
    LLMServer,
    Requests,
    RooflineStep,
    arrivals,
    simulate_fleet,
)
from servemath_helpers.tinyllm.engine import Engine, Iteration
from servemath_helpers.tinyllm.machine import REFERENCE, Machine, measure_machine
from servemath_helpers.tinyllm.transformer import SMALL, TINY, Cache, Transformer

__all__ = [
    "BATCHES",
    "CONTEXT",
    "KEPT",
    "LATE",
    "LOAD",
    "MAX_BATCH",
    "MOST_REPLICAS",
    "NOISY",
    "ROOM",
    "SHARES",
    "Fleet",
    "Played",
    "Record",
    "Run",
    "alone_s",
    "calibration_load",
    "fleet",
    "fluid_wait_s",
    "least_replicas",
    "measure_record",
    "mva_s",
    "played",
    "promises",
    "recorded",
    "roofline_step",
    "virtual_record",
]

#: Tokens of context in the questions of part 1.
CONTEXT: Final = 256
MAX_BATCH: Final = 8
#: Users of the closed loops; the batches of which the log tells most.
BATCHES: Final = (1, 2, 4, 8)
#: Rates of the open loops, as shares of what eight users reach.
SHARES: Final = (0.5, 0.8, 1.2)
#: Five runs that spread further are no measurement; a client that lags further measures itself.
NOISY: Final = 0.2
LATE: Final = 0.1
#: Part 3: what the trace asks for, in capacities of one machine, the share of promises to be
#: kept, and how many machines there are.
LOAD: Final = 2.5
KEPT: Final = "0.95"
MOST_REPLICAS: Final = 12
_OPEN_REQUESTS: Final = 30
_PROMPTS, _OUTPUTS = (32, 96), (16, 32)
_SEED: Final = 5
#: Rows of a log that are kept: every second one of a long log would do.
_MOST_ROWS: Final = 1200
_SIMULATED: Final = 240
#: Tokens of the largest request.
ROOM: Final = _PROMPTS[1] + _OUTPUTS[1]


def sizes(n: int, seed: int) -> tuple[Any, Any]:
    """Return prompt and output tokens of n requests."""
    rng = np.random.default_rng([_SEED, seed])
    return (
        rng.integers(*_PROMPTS, n, endpoint=True),
        rng.integers(*_OUTPUTS, n, endpoint=True),
    )


@dataclass(frozen=True)
class Run:
    """What a client saw: a closed loop of `level` users, or an open one at that share."""

    kind: str
    level: float
    answers: tuple[Answer, ...]

    @cached_property
    def summary(self) -> Summary:
        """What it means."""
        return Summary(self.answers, interval_s=self.interval_s)

    @property
    def interval_s(self) -> float | None:
        """Mean time between arrivals of an open loop."""
        last = max(one.scheduled_s for one in self.answers)
        return last / len(self.answers) if self.kind == "open" else None


class Record:
    """One machine's measurement; nothing in it changes.

    Parameters
    ----------
    machine : Machine
        Bandwidth and FLOP/s.
    cores : int
        Of its processor.
    clock : {"wall", "virtual"}
        Whether time passed or was computed.
    steps : sequence
        The log: decoding sequences, context tokens, prompt tokens, seconds of each iteration.
    runs : sequence of Run
        What a client saw.
    seed : int
        Of arrivals and lengths.
    """

    def __init__(
        self,
        machine: Machine,
        cores: int,
        clock: str,
        steps: Iterable[Sequence[float]],
        runs: Iterable[Run],
        seed: int,
    ) -> None:
        self.machine, self.cores, self.clock, self.seed = machine, cores, clock, seed
        self.steps = tuple((int(d), int(c), int(p), float(s)) for d, c, p, s in steps)
        self.runs = tuple(runs)

    # --- as a file --------------------------------------------------------------------------

    def to_json(self) -> str:
        """Return it as text, a row a line."""
        head = {
            "machine": self.machine.name,
            "bw_runs": self.machine.bw_runs,
            "flops_runs": self.machine.flops_runs,
            "cores": self.cores,
            "clock": self.clock,
            "seed": self.seed,
        }
        steps = ",\n".join([json.dumps([*row[:3], round(row[3], 6)]) for row in self.steps])
        runs = ",\n".join(
            [
                json.dumps({"kind": run.kind, "level": run.level})[:-1]
                + f', "answers": [\n{rows}\n]}}'
                for run in self.runs
                for rows in [",\n".join(map(_row, run.answers))]
            ]
        )
        return f'{json.dumps(head)[:-1]},\n"steps": [\n{steps}\n],\n"runs": [\n{runs}\n]}}\n'

    @classmethod
    def of_json(cls, text: str) -> Record:
        """Return what `to_json` wrote; ValueError if it is none."""
        try:
            found = json.loads(text)
            machine = Machine(
                name=found["machine"],
                bw_runs=tuple(found["bw_runs"]),
                flops_runs=tuple(found["flops_runs"]),
            )
            runs = [
                Run(run["kind"], run["level"], tuple(map(_answer, run["answers"])))
                for run in found["runs"]
            ]
            return cls(machine, found["cores"], found["clock"], found["steps"], runs, found["seed"])
        except (LookupError, TypeError) as error:
            raise ValueError(f"text must be a record of lab 5, got one without {error}") from None

    # --- what follows --------------------------------------------------------------------------

    @cached_property
    def roofline(self) -> RooflineStep:
        """The step time if nothing but bandwidth and arithmetic counted."""
        return SMALL.roofline(self.machine.bw_Bps, self.machine.flops)

    def decode_s(self, batch: int, context: int = CONTEXT) -> float:
        """Return the predicted step of a batch [s]."""
        return self.roofline.iteration_s(batch, batch * context, 0, 0)

    @property
    def batch_gain(self) -> float:
        """Predicted tokens per second of eight sequences over those of one."""
        return MAX_BATCH * self.decode_s(1) / self.decode_s(MAX_BATCH)

    @property
    def critical_batch(self) -> float:
        """From which batch on arithmetic takes longer than reading the weights."""
        return roofline.critical_batch(self.machine.flops, self.machine.bw_Bps, 4)

    @cached_property
    def ratios(self) -> dict[int, float]:
        """Measured over predicted step by batch: medians over the log."""
        found = {}
        for batch in BATCHES:
            rows = [row for row in self.steps if row[0] == batch and not row[2]]
            if rows:
                predicted = [self.roofline.iteration_s(batch, row[1], 0, 0) for row in rows]
                off = [row[3] / one for row, one in zip(rows, predicted, strict=True)]
                found[batch] = float(np.median(off))
        return found

    @cached_property
    def rows(self) -> list[dict[str, float]]:
        """The log as `fitting.fit_step` takes it."""
        names = ("decode", "context", "prefill", "step_s")
        return [dict(zip(names, row, strict=True)) for row in self.steps]

    @cached_property
    def fit(self) -> FittedStep:
        """Coefficients of a step, by exercise 10."""
        return fit_step(self.rows)

    @cached_property
    def step(self) -> LinearStep:
        """The fitted step."""
        fit = self.fit
        return LinearStep(
            base_s=fit["base_s"],
            per_decode_s=fit["per_decode_s"],
            per_prefill_token_s=fit["per_prefill_s"],
            per_context_token_s=fit["per_context_s"],
        )

    @cached_property
    def roofline_error(self) -> float:
        """Median relative error of the roofline on the rows that the fit has not seen."""
        off = [
            abs(self.roofline.iteration_s(d, c, p, p * p / 2) / s - 1)
            for d, c, p, s in self.steps[1::2]
        ]
        return float(np.median(off))

    @property
    def weights_s(self) -> float:
        """Time to read all weights once [s]."""
        return SMALL.weight_bytes / self.machine.bw_Bps

    def run(self, kind: str, level: float) -> Run:
        """Return what a client saw at a load."""
        return next(run for run in self.runs if (run.kind, run.level) == (kind, level))

    @cached_property
    def capacity_rps(self) -> float:
        """Requests per second that the simulated server gives eight users."""
        return played(self, loop="closed", users=MAX_BATCH).summary.throughput_rps


def _row(one: Answer) -> str:
    times = (one.scheduled_s, one.sent_s, *one.token_s)
    return json.dumps([one.prompt_tokens, *(round(t, 4) for t in times)])


def _answer(row: Sequence[float]) -> Answer:
    prompt, scheduled_s, sent_s, *token_s = row
    return Answer(
        request=0,
        scheduled_s=scheduled_s,
        sent_s=sent_s,
        prompt_tokens=int(prompt),
        output_tokens=len(token_s),
        token_s=tuple(token_s),
    )


# --- measuring --------------------------------------------------------------------------------


def calibration_load(kind: str, level: float, rate_rps: float, seed: int) -> Work:
    """Return a closed loop of so many users, or arrivals at a rate."""
    if kind == "closed":
        users = int(level)
        return ClosedLoop(users, *sizes(2 * users + 2, seed))
    rng = np.random.default_rng([_SEED, seed, round(10 * level)])
    return Requests(arrivals.poisson(_OPEN_REQUESTS, rate_rps, rng), *sizes(_OPEN_REQUESTS, seed))


def _all_runs(
    ask: Callable[[Work], list[Answer]], seed: int, say: Callable[[str], None]
) -> list[Run]:
    """Return what a client sees at every load; nothing of it is told."""
    runs = []
    for users in BATCHES:
        say(f"closed loop, users: {users}")
        answers = ask(calibration_load("closed", users, 0, seed))
        runs.append(Run("closed", users, tuple(answers)))
    capacity = runs[-1].summary.throughput_rps
    for share in SHARES:
        say(f"open loop, {share:g} of capacity")
        answers = ask(calibration_load("open", share, share * capacity, seed))
        runs.append(Run("open", share, tuple(answers)))
    return runs


def _rows(log: Iterable[Iteration]) -> list[tuple[int, int, int, float]]:
    """Return the rows that are kept, spread over the whole log."""
    rows = [(one.decode, one.context, one.prefill, one.step_s) for one in log]
    # An odd stride: the fit takes every second row, and must not meet one kind only.
    stride = max(1, math.ceil(len(rows) / _MOST_ROWS)) | 1
    return rows[::stride]


class _Timed(Transformer):
    """A model whose tokens nobody reads: none is computed."""

    def forward(self, batch: Sequence[tuple[Cache, Sequence[int]]]) -> list[int]:
        """Return any token for each sequence."""
        return [0] * len(batch)


@cache
def virtual_record(machine: Machine = REFERENCE, seed: int = 0, cores: int = 4) -> Record:
    """Return what would be measured on a machine that is its own roofline: exact, at once.

    No socket, no thread, no waiting; the times are those of lab 5's model, whatever its tokens.
    """
    step = SMALL.roofline(machine.bw_Bps, machine.flops)
    model, log = _Timed(TINY, seed), []

    def ask(work: Work) -> list[Answer]:
        engine = Engine(model, max_batch=MAX_BATCH, step_time=step)
        answers = play(work, engine, seed=seed)
        log.extend(engine.log)
        return answers

    runs = _all_runs(ask, seed, lambda text: None)
    return Record(machine, cores, "virtual", _rows(log), runs, seed)


@cache
def recorded() -> Record:
    """Return the run that comes with the course."""
    text = files(__package__).joinpath("lab.recorded.json").read_text(encoding="utf-8")
    return Record.of_json(text)


def measure_record(
    say: Callable[[str], None] = print,
    *,
    seed: int = 0,
    shape: Any = SMALL,
    machine: Machine | None = None,
    timeout_s: float = 120.0,
) -> Record:
    """Measure this computer: its roofline, then a server on it at seven loads.

    Takes a minute or two. `say` is told what is being done, and nothing of what comes of it.
    Where no port can be had, the rest is computed on a virtual clock, and `say` is told that.
    """
    from servemath_helpers.tinyllm.http import MODEL_NAME, Server

    say("a copy and a matrix product, five times each")
    machine = machine or measure_machine()
    cores = os.cpu_count() or 1
    say("drawing weights")
    engine = Engine(Transformer(shape, seed), max_batch=MAX_BATCH)
    try:
        server = Server(engine)
    except OSError as error:
        say(f"no port can be had ({error.strerror}): on a virtual clock instead")
        return virtual_record(machine, seed, cores)
    with server:
        endpoint = Endpoint(url=server.url, model=MODEL_NAME, timeout_s=timeout_s)

        def ask(work: Work) -> list[Answer]:
            return asyncio.run(drive(work, endpoint, seed=seed))

        told: queue.SimpleQueue[str] = queue.SimpleQueue()
        # In a thread: a notebook has an event loop of its own in the main one.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(ask, ClosedLoop(1, [8], 2)).result()  # the first pages memory in
            engine.log.clear()
            runs = thread.submit(_all_runs, ask, seed, told.put)
            runs.add_done_callback(lambda _: told.put(""))
            while text := told.get():
                say(text)
        return Record(machine, cores, "wall", _rows(engine.log), runs.result(), seed)


# --- simulating --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Played:
    """A simulated load test, and what could be wrong with it."""

    run: Run
    rate_rps: float | None
    kv_full: bool
    spread: float

    @property
    def summary(self) -> Summary:
        """What it means."""
        return self.run.summary

    @property
    def slope(self) -> tuple[float, float]:
        """How fast TTFT grows from request to request [s], a 95 % interval."""
        return slope_interval(self.summary.times("ttft"))

    @property
    def unstable(self) -> bool:
        """Whether an open loop's queue grew."""
        return self.rate_rps is not None and self.slope[0] > 0

    @property
    def late(self) -> bool:
        """Whether the client was slower than its schedule."""
        return self.summary.late

    @property
    def noisy(self) -> bool:
        """Whether five runs differ too much."""
        return self.spread > NOISY

    def corrected_p99_s(self) -> tuple[float, float]:
        """Return P99 of E2E, raw and corrected for what was not asked in the stalls."""
        summary = self.summary
        if self.rate_rps is not None:
            raw = summary.quantile("e2e", "0.99") or math.nan
            return raw, raw
        # A user would have asked again each time that an answer usually takes.
        typical = summary.quantile("e2e", "0.5") or math.nan
        found = correct_omission([round(e2e, 6) for e2e in summary.times("e2e")], round(typical, 6))
        return found["raw"], found["corrected"]


@cache
def played(
    record: Record,
    *,
    loop: str = "open",
    share: float = 0.8,
    users: int = MAX_BATCH,
    kv_tokens: int = MAX_BATCH * ROOM,
    client_ms: float = 0.0,
    noise: float = 0.0,
    n: int = _SIMULATED,
) -> Played:
    """Simulate a load test of the server whose steps were fitted to the record.

    `client_ms` is the client's own work for each request, `noise` how much other programs slow
    the slowest of five runs.
    """
    prompt, output = sizes(n, record.seed)
    step = record.step
    rate = None
    scheduled = sent = np.zeros(n)
    work: Work = ClosedLoop(users, prompt, output)
    if loop == "open":
        rate = share * record.capacity_rps
        rng = np.random.default_rng([_SEED, record.seed, n])
        scheduled = arrivals.poisson(n, rate, rng)
        # One after the other, each begun when it is due and the one before is out.
        own = client_ms / 1e3 * np.arange(1, n + 1)
        sent = np.maximum.accumulate(scheduled - own + client_ms / 1e3) + own - client_ms / 1e3
        work = Requests(sent, prompt, output)

    def served(slower: float) -> Any:
        slow = LinearStep(**{name: slower * value for name, value in vars(step).items()})
        server = LLMServer(step_time=slow, max_batch=MAX_BATCH, kv_tokens=kv_tokens)
        return simulate_fleet(work, server)

    found = served(1.0)
    times = [float(found.e2e_s.mean())]
    times += [float(served(1 + noise * k / 4).e2e_s.mean()) for k in range(1, 5) if noise]
    sent_s = found.arrival_s
    answers = tuple(
        Answer(
            request=i,
            scheduled_s=float(scheduled[i]) if loop == "open" else float(sent_s[i]),
            sent_s=float(sent_s[i]),
            prompt_tokens=int(found.requests.prompt_tokens[i]),
            output_tokens=int(found.requests.output_tokens[i]),
            # The gaps of one answer are not told apart here; its ends are exact.
            token_s=tuple(
                np.linspace(
                    found.first_token_s[i],
                    found.finish_s[i],
                    int(found.requests.output_tokens[i]),
                ).tolist()
            ),
        )
        for i in range(n)
    )
    waited = bool((found.queue_s > 1e-9).any())
    tight = kv_tokens < MAX_BATCH * ROOM and waited
    full = tight and int(found.replicas[0].timeline.kv_peak_tokens()) + ROOM > kv_tokens
    return Played(Run(loop, share, answers), rate, full, 1 - min(times) / max(times))


def mva_s(record: Record, users: Sequence[int]) -> list[float]:
    """Return what mean-value analysis gives for a server that serves one request at a time.

    Its demand is what a request takes when nobody else is there.
    """
    return [queueing.mva(n, 0.0, [alone_s(record)])["R"] for n in users]


def alone_s(record: Record) -> float:
    """Return what a request takes on average when nobody else is there, as measured."""
    return float(np.mean(record.run("closed", 1).summary.times("e2e")))


def fluid_wait_s(rho: float, test_s: float) -> float:
    """Return the mean wait in a test at rho times the capacity, by fluid (theory 5.4)."""
    return max(0.0, rho - 1) * test_s / 2


# --- a fleet -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fleet:
    """So many of one machine before a trace, and how many of their promises they keep."""

    judged: Judged

    @property
    def share(self) -> float:
        """Share of the requests whose promises were kept."""
        return self.judged.good / self.judged.kept.size

    @property
    def ttft_p99_s(self) -> float:
        """P99 of the time to first token."""
        return percentile(self.judged.ttft_s, "0.99")

    @property
    def tpot_p99_s(self) -> float:
        """P99 of the time per output token."""
        return percentile(self.judged.tpot_s, "0.99")

    @property
    def growing(self) -> bool:
        """Whether requests waited longer from first to last."""
        return slope_interval(self.judged.ttft_s.tolist())[0] > 0


def promises(record: Record) -> dict[str, Any]:
    """Return what is promised, in the form of the capstone.

    The first token after no more than eight prompts' time, the others not much slower than a
    full batch whose steps are interrupted by prompts.
    """
    prompt, output = sizes(_SIMULATED, record.seed)
    context = int(prompt.mean() + output.mean() / 2)
    prefill_s = record.step.iteration_s(0, 0, int(prompt.mean()), 0)
    step_s = record.step.iteration_s(MAX_BATCH, MAX_BATCH * context, 0, 0)
    return {"ttft_s": MAX_BATCH * prefill_s, "tpot_s": 2.5 * step_s, "share": KEPT}


def roofline_step(record: Record) -> LinearStep:
    """Return the roofline as coefficients: what somebody takes who has not measured."""
    return LinearStep(
        base_s=record.weights_s,
        per_decode_s=0.0,
        per_prefill_token_s=2 * SMALL.n_weights / record.machine.flops,
        per_context_token_s=SMALL.kv_bytes_per_token / record.machine.bw_Bps,
    )


@cache
def fleet(
    record: Record,
    replicas: int,
    load: float = LOAD,
    fitted: bool = True,
    max_batch: int = MAX_BATCH,
) -> Fleet:
    """Replay a bursty trace, at `load` times one machine's capacity, through a fleet of it.

    `max_batch` is how many share a step of one machine.
    """
    rng = np.random.default_rng([_SEED, record.seed, 3])
    arrival_s = arrivals.bursty(_SIMULATED, load * record.capacity_rps, 3, rng)
    rows = zip(arrival_s.tolist(), *sizes(_SIMULATED, record.seed), strict=True)
    trace = [{"arrival_s": a, "prompt": int(p), "output": int(o)} for a, p, o in rows]
    step = record.step if fitted else roofline_step(record)
    option = {
        "name": "yours",
        "usd_h": 1,
        "max_replicas": MOST_REPLICAS,
        "max_batch": max_batch,
        "kv_tokens": MAX_BATCH * ROOM,
        **vars(step),
    }
    plan = {"name": "yours", "replicas": replicas}
    return Fleet(judge_plan(plan, trace, [option], promises(record)))


def least_replicas(record: Record, *, fitted: bool = True) -> int | None:
    """Return the fewest that keep the promise at the trace's own load, None if none does."""
    for replicas in range(1, MOST_REPLICAS + 1):
        if fleet(record, replicas, fitted=fitted).judged.feasible:
            return replicas
    return None
