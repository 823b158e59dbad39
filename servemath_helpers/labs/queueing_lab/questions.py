"""What the queueing lab asks, every option and every feedback computed.

Each option's value is what one idea gives for the frozen scenario; the right option is the
one whose value the model computes (`lock.question` refuses anything else).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from servemath_helpers import batching, deadlines, queueing
from servemath_helpers.labs.frame.lock import Option, Question, question
from servemath_helpers.labs.frame.session import Part
from servemath_helpers.labs.frame.svg import number_text
from servemath_helpers.labs.queueing_lab.mission import gauge, ms_text, setting_text
from servemath_helpers.labs.queueing_lab.model import (
    ALPHA_MS,
    BETA_MS,
    MAX_GREEDY,
    REFRESH_HZ,
    Measured,
    idle_sojourn_ms,
    measure,
    u_curve,
)
from servemath_helpers.labs.queueing_lab.story import (
    MAX_LOSS,
    PARTS,
    TRACKS,
    USD_H,
    Track,
    controls,
)
from servemath_helpers.quantities import format_bytes
from servemath_helpers.sim import simulate_batch
from servemath_helpers.sim.arrivals import poisson

__all__ = ["SCENARIOS", "cause", "curve_shape", "first_miss", "parts"]

#: The frozen scenarios that the questions are about, by track and part.
SCENARIOS: Final[Mapping[tuple[str, str], Mapping[str, Any]]] = MappingProxyType(
    {
        **{
            (key, "part1"): MappingProxyType({"lam_rps": 2 * track.lam_rps, "W_ms": track.W_ms})
            for key, track in TRACKS.items()
        },
        ("cloud", "part2"): MappingProxyType(
            {"lam_rps": 200.0, "B": 6, "policy": "fixed", "window_ms": 0.0}
        ),
        ("cloud", "part3"): MappingProxyType(
            {
                "rho": 0.8,
                "arrivals": "bursty",
                "replicas": 4,
                "policy": "single",
                "block": 16,
                "prefix_hit": 0.0,
            }
        ),
        ("edge", "part2"): MappingProxyType({"sensors": 6, "B": 1}),
        ("edge", "part3"): MappingProxyType(
            {
                "sensors": 6,
                "trigger": "together",
                "jitter_ms": 0.0,
                "accelerators": 1,
                "batched": False,
            }
        ),
        ("mobile", "part2"): MappingProxyType({"B": 2, "wait_ms": 5.0, "pipelined": True}),
        ("mobile", "part3"): MappingProxyType(
            {
                "compute_ms": 15.0,
                "scene": "busy",
                "arrivals": "periodic",
                "cap_ms": 40.0,
                "pipelined": True,
            }
        ),
        ("tiny", "part2"): MappingProxyType(
            {"lam_rps": 100.0, "S_ms": 8.0, "arrivals": "poisson", "jitter_ms": 0.0}
        ),
        ("tiny", "part3"): MappingProxyType(
            {
                "lam_rps": 100.0,
                "S_ms": 8.0,
                "arrivals": "poisson",
                "jitter_ms": 0.0,
                "buffer": 0,
                "slots": 2,
            }
        ),
    }
)


def _same(value: float) -> float:
    """Return a value without the last digits, in which equal formulas may differ."""
    return float(f"{value:.9g}")


# --- part 1 --------------------------------------------------------------------------------


def _doubled(track: Track) -> Question:
    now = gauge(track.key, {"lam_rps": track.lam_rps, "W_ms": track.W_ms})
    truth = gauge(track.key, SCENARIOS[track.key, "part1"])

    def option(key: str, L: float, idea: str) -> Option:
        room = "fits" if track.slots >= L else f"more than {track.room} can hold"
        label = f"{number_text(L)} in flight, holding {format_bytes(L * track.bytes_each)} ({room})"
        return Option(key, label, _same(L), idea)

    lost = (
        " More than one slot's worth is offered to one slot: frames are lost."
        if truth.L > 1 and track.slots == 1
        else ""
    )
    return question(
        "double",
        f"{number_text(now.lam_rps)} {track.thing} arrive each second, each stays "
        f"{ms_text(track.W_ms)}, so {number_text(now.L)} are in flight. The arrivals double, "
        "and the stay does not change. How many are in flight then?",
        [
            option("unchanged", now.L, "That is L as a property of the hardware; it is not."),
            option("twice", 2 * now.lam_rps * now.W_s, "L is proportional to λ."),
            option(
                "plus_rate",
                now.L + now.lam_rps,
                "That adds arrivals per second to a number of requests: the units differ.",
            ),
            option("four_times", 4 * now.L, "That would need W to double as well."),
        ],
        _same(truth.L),
        why=f"L = λW = {number_text(truth.lam_rps)} 1/s × {ms_text(track.W_ms)} = "
        f"{number_text(truth.L)}.{lost}",
    )


def _sizing(track: Track) -> Question:
    now = gauge(track.key, {"lam_rps": track.lam_rps, "W_ms": track.W_ms})
    each = track.bytes_each

    def option(key: str, count: float, words: str, idea: str) -> Option:
        label = f"{words}: {format_bytes(count * each)}"
        return Option(key, label, _same(count * each), idea)

    return question(
        "sizing",
        f"At {number_text(now.lam_rps)} {track.thing} a second and {ms_text(track.W_ms)} each, "
        "which number sizes the memory?",
        [
            option(
                "rate",
                now.lam_rps,
                "what arrives in a second",
                "A rate holds no memory; only a stay turns it into a number.",
            ),
            option(
                "in_flight",
                now.lam_rps * now.W_s,
                "what is in flight, L",
                "Whoever waits or is served holds its memory from arrival to departure.",
            ),
            option("one", 1.0, "the one being served", "Those who wait hold memory too."),
            option(
                "minute",
                60 * now.lam_rps,
                "everybody of the last minute",
                "Who has left holds nothing any more.",
            ),
        ],
        _same(now.used_bytes),
        why=f"L × {format_bytes(each)} = {format_bytes(now.used_bytes)}, against "
        f"{format_bytes(track.room_bytes)} ({track.room}). L is a mean, from any distribution: "
        "room for the peaks comes on top.",
    )


# --- part 2 --------------------------------------------------------------------------------


def curve_shape(values: tuple[float, ...]) -> str:
    """Return how a curve runs, from the signs of its differences.

    Parameters
    ----------
    values : tuple of float
        In order; infinite values (unstable) count as falling from infinity.

    Returns
    -------
    str
        "rises", "falls", "falls then rises", "flat" or "other".

    Examples
    --------
    >>> curve_shape((float("inf"), 5.0, 4.0, 9.0)), curve_shape((1.0, 2.0))
    ('falls then rises', 'rises')
    """
    signs: list[int] = []
    for before, after in itertools.pairwise(values):
        if before == after:
            continue
        sign = 1 if after > before else -1
        if not signs or signs[-1] != sign:
            signs.append(sign)
    shapes = {(): "flat", (1,): "rises", (-1,): "falls", (-1, 1): "falls then rises"}
    return shapes.get(tuple(signs), "other")


def first_miss(alpha_ms: float, beta_ms: float, limit_ms: float) -> int:
    """Return the smallest batch that ends after a deadline.

    Parameters
    ----------
    alpha_ms, beta_ms : float
        Time per batch and per input, beta greater than 0 [ms].
    limit_ms : float
        Deadline [ms].

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> first_miss(2, 1.5, 10)
    6
    """
    n = 1
    while deadlines.edge_batch_ok(n, alpha_ms, beta_ms, limit_ms):
        n += 1
    return n


def _u_curve() -> Question:
    lam = SCENARIOS["cloud", "part2"]["lam_rps"]
    sizes = tuple(range(1, 65))
    curve = u_curve(lam, "fixed", 0.0, sizes)
    best = batching.best_fixed_batch(lam / 1e3, ALPHA_MS["cloud"], BETA_MS["cloud"])
    least = batching.min_stable_batch(lam / 1e3, ALPHA_MS["cloud"], BETA_MS["cloud"])
    at = min(curve)
    told = (
        f"Below B = {least} more arrives than can be served; the best is B = {best} with a mean "
        f"of {ms_text(at)}; at B = {sizes[-1]} it is {ms_text(curve[-1])}, nearly all of it "
        "spent waiting for the batch to fill."
    )
    return question(
        "u_curve",
        f"{number_text(lam)} requests a second arrive at random at one replica, which needs "
        f"S(B) = {ALPHA_MS['cloud']:g} + {BETA_MS['cloud']:g}·B ms and waits until B are there. "
        f"As B goes from {sizes[0]} to {sizes[-1]}, the mean latency …",
        [
            Option("rises", "rises", "rises", "Small batches pay the fixed time again and again."),
            Option("falls", "falls", "falls", "Large batches take time to fill."),
            Option("u", "falls, then rises", "falls then rises", ""),
            Option("flat", "stays the same", "flat", "Formation and queue do not cancel."),
        ],
        curve_shape(curve),
        why=told,
    )


def _deadline() -> Question:
    alpha, beta, limit = ALPHA_MS["edge"], BETA_MS["edge"], TRACKS["edge"].limit_ms

    def option(key: str, n: int, idea: str) -> Option:
        return Option(key, f"B = {n}", n, idea)

    miss = first_miss(alpha, beta, limit)

    def took(n: int) -> str:
        return ms_text(batching.batch_service_time(n, alpha, beta))

    return question(
        "miss",
        f"All cameras fire at once, and a batch of B frames takes {alpha:g} + {beta:g}·B ms. "
        f"At which B is the {limit:g} ms window missed for the first time?",
        [
            option("right", 1 + math.floor((limit - alpha) / beta), ""),
            option(
                "no_alpha",
                1 + math.floor(limit / beta),
                f"That forgets the {alpha:g} ms that every batch costs.",
            ),
            option("last_ok", math.floor((limit - alpha) / beta), "That one still fits."),
            option(
                "one_by_one",
                1 + math.floor(limit / (alpha + beta)),
                "That is one launch per camera; a batch pays the fixed time once.",
            ),
        ],
        miss,
        why=f"{miss - 1} frames take {took(miss - 1)}, {miss} take {took(miss)}. "
        f"One by one, six cameras take "
        f"{ms_text(measure('edge', 'part2', SCENARIOS['edge', 'part2']).worst_ms)}.",
    )


def _pairs() -> Question:
    limit = TRACKS["mobile"].limit_ms
    wait = SCENARIOS["mobile", "part2"]["wait_ms"]

    def run(B: int, pipelined: bool) -> Measured:
        return measure("mobile", "part2", {"B": B, "wait_ms": wait, "pipelined": pipelined})

    def good(B: int, pipelined: bool) -> bool:
        seen = run(B, pipelined)
        return seen.worst_ms <= limit + 1e-9 and seen.extra["fps"] >= REFRESH_HZ - 1e-9

    truth = "yes" if good(2, False) else "pipelined" if good(2, True) else "no"
    single, pair = run(1, True), run(2, True)
    formation = ms_text(max(0.0, (2 - 1) * 1e3 / REFRESH_HZ))
    return question(
        "pairs",
        f"Computing one frame takes {ms_text(_mobile_ms(1))}, two in a batch "
        f"{ms_text(_mobile_ms(2))}, and there is a wait of {ms_text(wait)}. Does batching "
        f"two frames help to show {REFRESH_HZ:g} frames a second, each at most "
        f"{ms_text(limit)} old?",
        [
            Option("yes", "Yes: two frames share the launch", "yes", "It saves computing, and "
                   "what is missing is not computing."),
            Option("pipelined", "Only if waiting and computing overlap", "pipelined",
                   "Overlap saves the rate; the age of a frame it cannot save."),
            Option("no", "No, not even then", "no", ""),
            Option("age", "It makes frames older but raises the rate above the display's",
                   "faster", "The display shows no more frames than it has refreshes."),
        ],
        truth,
        why=f"The first frame waits {formation} for the second; then it is "
        f"{ms_text(pair.worst_ms)} old, instead of {ms_text(single.worst_ms)} alone. Alone and "
        f"pipelined the display runs at {number_text(single.extra['fps'])} frames a second.",
    )  # fmt: skip


def _mobile_ms(B: int) -> float:
    return batching.batch_service_time(B, ALPHA_MS["mobile"], BETA_MS["mobile"])


def _lost() -> Question:
    s = SCENARIOS["tiny", "part2"]
    a = s["lam_rps"] * s["S_ms"] / 1e3
    seen = measure("tiny", "part2", s).loss

    def option(key: str, share: float, idea: str) -> Option:
        return Option(key, f"{share:.1%} are lost", _same(share), idea)

    return question(
        "loss",
        f"A frame takes {ms_text(s['S_ms'])} and one comes every "
        f"{ms_text(1e3 / s['lam_rps'])}, by the clock: none is lost. Now frames come at random, "
        f"with the same mean rate. There is nowhere to wait. What share is lost?",
        [
            option("none", 0.0, "Only a clock keeps them apart."),
            option("idle", 1 - a, "That is the share of time in which the processor would idle."),
            option("erlang", a / (1 + a), ""),
            option("load", a, "That is the load; those who are lost take nothing of it."),
        ],
        _same(queueing.erlang_b(1, a)),
        why=f"Erlang B with one server: a/(1 + a) = {queueing.erlang_b(1, a):.1%} at "
        f"a = {number_text(a)}; simulated {seen:.1%}. The mean rate is the same, the "
        "variability is not.",
    )


def cause(run: Measured) -> str:
    """Return where the slowest hundredth loses its time, or "lost" if they never arrive.

    Parameters
    ----------
    run : Measured
        What was measured.

    Returns
    -------
    str
        "formation", "queue", "service" or "lost": the stage in which the slow ones exceed
        the average most.

    Examples
    --------
    >>> cause(measure("edge", "part2", {"sensors": 6, "B": 1}))
    'queue'
    """
    if run.loss > 0.01:
        return "lost"
    slow, mean = run.slow_stages_ms, run.stages_ms
    excess = {
        "formation": slow["formation"] - mean["formation"],
        "queue": slow["queue"] - mean["queue"],
        "service": sum(slow[k] - mean[k] for k in ("compute", "overhead")),
    }
    return max(excess, key=lambda name: excess[name])


def _slowest(track: Track) -> Question:
    s = SCENARIOS[track.key, "part2"]
    run = measure(track.key, "part2", s)
    if run.loss > 0:
        told = (
            f"All that are served take {ms_text(run.worst_ms)}, the P99 too: the tail looks "
            f"perfect. {run.loss:.1%} are in no latency statistic at all."
        )
    else:
        told = (
            f"The slowest hundredth finds {number_text(run.slow_depth)} in the system, the "
            f"average {number_text(run.depth)}. Of its time, "
            f"{ms_text(run.slow_stages_ms['formation'])} is formation (average "
            f"{ms_text(run.stages_ms['formation'])}), {ms_text(run.slow_stages_ms['queue'])} "
            f"queue (average {ms_text(run.stages_ms['queue'])})."
        )
    return question(
        "cause",
        f"In the frozen scenario ({setting_text(s)}) the mean is {ms_text(run.mean_ms)} and the "
        f"P99 {ms_text(run.p99_ms)}. What sets the unlucky ones apart?",
        [
            Option("formation", "they wait longer for their batch to fill", "formation", ""),
            Option("queue", "they meet a longer queue", "queue", ""),
            Option("service", "their own batch takes longer", "service", ""),
            Option("lost", "they are not in the sample: they were lost", "lost", ""),
        ],
        cause(run),
        why=told,
    )


# --- part 3 --------------------------------------------------------------------------------


def _full() -> Question:
    S = idle_sojourn_ms()
    truth = queueing.mm1(1.0, 1.0)["W"]
    high, low = 0.99, 0.8
    near = queueing.mm1(high, 1.0)["W"] * S

    def option(key: str, value: float, label: str, idea: str) -> Option:
        return Option(key, label, value, idea)

    return question(
        "full",
        f"One replica, one request at a time, {ms_text(S)} each on average, Poisson arrivals. "
        "The CFO wants it fully utilised: λ = μ. The mean latency is then …",
        [
            option("service", S, ms_text(S), "Arrivals at random do not take turns."),
            option("twice", 2 * S, ms_text(2 * S), "Half a service time of waiting is what a "
                   "clock with little noise gives, not this."),
            option("near", near, ms_text(near), f"That is the mean at {high:.0%}."),
            option("none", math.inf, "no number: the queue grows without bound", ""),
        ],
        truth,
        why=f"W = S/(1 − ρ): {ms_text(queueing.mm1(low, 1.0)['W'] * S)} at {low:.0%}, "
        f"{ms_text(near)} at {high:.0%}, and nothing finite at λ = μ. Time that goes idle at "
        "random can never be made up for.",
    )  # fmt: skip


def _busy() -> Question:
    """Ask about a greedy server that is always busy, from a run of its own."""
    lam, alpha_s, beta_s = 100.0, 0.05, 0.0005
    run = simulate_batch(
        poisson(20_000, lam, np.random.default_rng(1)), MAX_GREEDY, alpha_s, beta_s, "greedy"
    )
    busy, used = run.busy_fraction(), run.utilisation()
    truth = "fine" if busy > 0.95 and used < 0.5 else "overloaded"
    mean = 1e3 * float(run.sojourn_s.mean())
    return question(
        "busy",
        f"Another replica takes whoever waits, up to {MAX_GREEDY} at once, in "
        f"{1e3 * alpha_s:g} + {1e3 * beta_s:g}·B ms, at {lam:g} requests a second. Its "
        f"accelerator shows {busy:.1%} busy. Is it overloaded?",
        [
            Option(
                "overloaded",
                f"yes: only {1 - busy:.1%} is left",
                "overloaded",
                "A greedy server is busy whenever anybody is there, with small batches.",
            ),
            Option(
                "fine",
                f"no: full batches would use {used:.1%} of it",
                "fine",
                "",
            ),
            Option(
                "wrong",
                f"the gauge is broken: it must show {used:.1%}",
                "broken",
                "Busy time and capacity used are two measures for a batch server.",
            ),
        ],
        truth,
        why=f"Mean batch {number_text(run.mean_batch())} of {MAX_GREEDY}, mean latency "
        f"{ms_text(mean)}. Utilisation that counts is λ over the capacity of full batches.",
    )


def _worst() -> Question:
    s = SCENARIOS["edge", "part3"]
    run = measure("edge", "part3", s)
    S, n = ALPHA_MS["edge"] + BETA_MS["edge"], s["sensors"]
    rho = run.rho

    def option(key: str, ms: float, idea: str) -> Option:
        return Option(key, ms_text(ms), round(ms, 6), idea)

    return question(
        "worst",
        f"{n} cameras fire at once, one accelerator takes their frames one by one, "
        f"{ms_text(S)} each: utilisation {rho:.0%}. Worst case?",
        [
            option("idle", S, "That is the first camera's; the others wait for it."),
            option("mean", S * (n + 1) / 2, "That is the mean over the cameras."),
            option("all", S * n, ""),
            option(
                "poisson",
                S + queueing.pk_wait(rho / S, S, 0.0),
                "That is the mean for arrivals at random; these come together.",
            ),
        ],
        round(run.worst_ms, 6),
        why=f"The last frame waits for {n - 1} others: N·S = {ms_text(n * S)}. At "
        f"{rho:.0%} utilisation the average looks harmless; the burst does not.",
    )


def _implied() -> Question:
    s = SCENARIOS["mobile", "part3"]
    S, wait = s["compute_ms"], 5.0
    rho = S * REFRESH_HZ / 1e3
    square = 2 * wait * (1 - rho) / (rho * S)

    def option(key: str, cs: float, idea: str) -> Option:
        return Option(key, f"c_s = {number_text(cs)}", _same(cs), idea)

    truth = queueing.implied_cs(wait, rho, S, 0.0)
    run = measure("mobile", "part3", s)
    return question(
        "implied",
        f"Frames come by the clock, computing takes {ms_text(S)} of "
        f"{ms_text(1e3 / REFRESH_HZ)} on average, and the mean wait is {ms_text(wait)}. By "
        "Kingman's formula, how variable is the computing time?",
        [
            option("right", math.sqrt(square), ""),
            option("square", square, "That is c_s², not c_s."),
            option("half", math.sqrt(square / 2), "That forgets the 2 under c_a² + c_s²."),
            option("load", math.sqrt(2 * wait / (rho * S)), "That forgets the 1 − ρ."),
        ],
        _same(truth if truth is not None else math.nan),
        why=f"ρ = {number_text(rho)}, by the clock c_a vanishes: W_q = ρ/(1 − ρ) · c_s²/2 · S. A "
        f"standard deviation of {ms_text(S * math.sqrt(square))} is all it takes. Simulated with "
        f"c_s = {number_text(run.extra['cs'])} the wait is {ms_text(run.mean_ms - S)}: for "
        "arrivals by the clock Kingman's formula is a bound, and not a tight one.",
    )


def _slots() -> Question:
    s = SCENARIOS["tiny", "part3"]
    a = s["lam_rps"] * s["S_ms"] / 1e3
    one, seen = queueing.erlang_b(1, a), measure("tiny", "part3", s).loss

    def option(key: str, share: float, idea: str) -> Option:
        return Option(key, f"{share:.1%}", _same(share), idea)

    return question(
        "slots",
        f"At load a = {number_text(a)} and random arrivals one processor loses {one:.1%}. "
        "With a second one, still without a buffer, the loss is …",
        [
            option("half", one / 2, "Twice the servers is not half the loss."),
            option("square", one**2, "That would be two processors that each see all frames "
                   "on their own."),
            option("erlang", a**2 / 2 / (1 + a + a**2 / 2), ""),
            option("none", 0.0, "On average two are plenty, and yet three can come at once."),
        ],
        _same(queueing.erlang_b(2, a)),
        why=f"Erlang B: {queueing.erlang_b(2, a):.1%}, simulated {seen:.1%}; with a third "
        f"{queueing.erlang_b(3, a):.1%}. {MAX_LOSS:.0%} is allowed.",
    )  # fmt: skip


#: What the reflection on Little's law compares with the frozen scenario of part 3.
_BEFORE: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "cloud": {"arrivals": "poisson"},
        "edge": {"batched": True},
        "mobile": {"scene": "calm"},
        "tiny": {"slots": 1},
    }
)
_CHANGE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cloud": "Poisson traffic turns bursty, at the same rate",
        "edge": "frames are no longer batched but taken one by one",
        "mobile": "the scene turns from calm to busy, at the same frame rate",
        "tiny": "a second processor is added",
    }
)


def _plan(track: Track) -> Question:
    after = dict(SCENARIOS[track.key, "part3"])
    before = {**after, **_BEFORE[track.key]}
    old, new = (measure(track.key, "part3", s) for s in (before, after))
    L0, L1 = (run.throughput_rps * run.mean_ms / 1e3 for run in (old, new))
    servers = after.get("replicas", after.get("accelerators", after.get("slots", 1)))

    def option(key: str, count: float, words: str, idea: str) -> Option:
        return Option(key, f"{number_text(count)}: {words}", _same(count), idea)

    return question(
        "little",
        f"In this part's frozen scenario, {_CHANGE[track.key]}. For how many {track.thing} in the "
        "system, on average, must the plan have memory?",
        [
            option("before", L0, "as before", "λ may be as before; W is not, or λ changed."),
            option("law", new.throughput_rps * new.mean_ms / 1e3, "λW, with the new W", ""),
            option("servers", float(servers), "one for each server", "Those who wait need "
                   "memory too, and a server is not always busy."),
            option("rate", new.throughput_rps, "as many as arrive in a second", "That would be "
                   "a stay of one second."),
        ],
        _same(L1),
        why=f"{number_text(new.throughput_rps)} 1/s × {ms_text(new.mean_ms)} = "
        f"{number_text(L1)}; before the change {number_text(L0)}.",
    )  # fmt: skip


def _priority(track: Track) -> Question:
    """Ask for a stand: there is no wrong answer, but each has a price."""
    s = SCENARIOS[track.key, "part3"]
    run = measure(track.key, "part3", s)
    low = queueing.max_utilization(1.0, 10.0)
    pool = queueing.max_utilization(1.0, 10.0, c=4)
    prices = {
        "cloud": f"A single replica keeps P99 within ten service times up to {low:.0%} "
        f"utilisation, four that share a queue up to {pool:.0%}; each costs ${USD_H} an hour.",
        "edge": f"At {run.rho:.0%} utilisation the worst case is {ms_text(run.worst_ms)}: "
        "utilisation says nothing about a deadline.",
        "mobile": f"At {run.rho:.0%} utilisation P99 of a frame's age is {ms_text(run.p99_ms)}.",
        "tiny": f"At a load of {run.rho * s.get('slots', 1):.0%} of one processor, random "
        f"arrivals lose {queueing.erlang_b(1, run.rho * s.get('slots', 1)):.1%}, a clock none.",
    }
    return Question(
        "priority",
        f"The {track.stakeholder} wants zero lag and full use of the hardware. Which do you put "
        "first, and defend below?",
        (
            Option("throughput", "throughput: the hardware is paid for", "throughput",
                   "Noted: then say which latency you promise, and to whom it is broken."),
            Option("responsiveness", "responsiveness: users notice waiting, not idling",
                   "responsiveness", "Noted: then say how much idle capacity that takes."),
        ),
        answer=None,
        why=prices[track.key],
    )  # fmt: skip


def parts(track: str) -> tuple[Part, ...]:
    """Return the three parts of a track.

    Parameters
    ----------
    track : str
        Key of the track.

    Returns
    -------
    tuple of Part
        With questions, frozen scenarios, controls and reflections.

    Examples
    --------
    >>> [part.questions[0].right.label for part in parts("edge")][1:]
    ['B = 6', '21 ms']
    """
    story = TRACKS[track]
    second = {"cloud": _u_curve, "edge": _deadline, "mobile": _pairs, "tiny": _lost}[track]
    third = {"cloud": (_full, _busy), "edge": (_worst,), "mobile": (_implied,), "tiny": (_slots,)}
    asked = {
        "part1": (_doubled(story),),
        "part2": (second(),),
        "part3": tuple(ask() for ask in third[track]),
    }
    reflected = {
        "part1": (_sizing(story),),
        "part2": (_slowest(story),),
        "part3": (_plan(story), _priority(story)),
    }
    return tuple(
        Part(
            key,
            title,
            questions=asked[key],
            scenario=SCENARIOS[track, key],
            controls=controls(track, key),
            reflections=reflected[key],
        )
        for key, title in PARTS.items()
    )
