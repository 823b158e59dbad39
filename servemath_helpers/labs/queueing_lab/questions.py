"""What lab 4 asks: every option claims what one idea gives, and the model finds the right one.

Texts stand in ``lab.toml``; the numbers in them, and what is true, are computed here for the
frozen scenario.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from servemath_helpers import batching, deadlines, queueing
from servemath_helpers.labs.frame.lock import Question
from servemath_helpers.labs.frame.session import Part
from servemath_helpers.labs.queueing_lab.mission import TIGHT, gauge, setting_text
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
    REPLICA_USD,
    TRACKS,
    WORDS,
    Track,
    controls,
    scenario,
)
from servemath_helpers.sim import simulate_batch
from servemath_helpers.sim.arrivals import poisson

__all__ = ["cause", "first_miss", "parts"]


def _same(value: float) -> float:
    """Return a value without the last digits, in which equal formulas may differ."""
    return float(f"{value:.9g}")


# --- part 1 --------------------------------------------------------------------------------


def _doubled(track: Track) -> Question:
    now = gauge(track.key, {"lam_rps": track.lam_rps, "W_ms": track.W_ms})
    truth = gauge(track.key, scenario(track.key, "part1"))
    lam, L = now.lam_rps, now.L
    lost = truth.L > 1 and track.slots == 1

    def fits(count: float) -> dict[str, float | str]:
        fits = "fits" if track.slots >= count else "too_many"
        return {
            "held_bytes": count * track.bytes_each,
            "fits": WORDS.say(f"questions.double.{fits}", room=track.room),
        }

    return WORDS.ask(
        "questions.double",
        _same(truth.L),
        {
            "unchanged": _same(L),
            "twice": _same(2 * lam * now.W_s),
            "plus_rate": _same(L + lam),
            "four_times": _same(4 * L),
        },
        fits,
        lam_rps=lam,
        thing=track.thing,
        W_ms=track.W_ms,
        L=L,
        double_rps=truth.lam_rps,
        double=truth.L,
        lost=f" {WORDS.say('questions.double.lost')}" if lost else "",
    )


def _sizing(track: Track) -> Question:
    now = gauge(track.key, {"lam_rps": track.lam_rps, "W_ms": track.W_ms})
    counts = {
        "rate": now.lam_rps,
        "in_flight": now.lam_rps * now.W_s,
        "one": 1.0,
        "minute": 60 * now.lam_rps,
    }
    return WORDS.ask(
        "questions.sizing",
        _same(now.used_bytes),
        {key: _same(count * track.bytes_each) for key, count in counts.items()},
        lambda held: {"held_bytes": held},
        lam_rps=now.lam_rps,
        thing=track.thing,
        W_ms=track.W_ms,
        each_bytes=track.bytes_each,
        used_bytes=now.used_bytes,
        room_bytes=track.room_bytes,
        room=track.room,
    )


# --- part 2 --------------------------------------------------------------------------------


def first_miss(alpha_ms: float, beta_ms: float, limit_ms: float) -> int:
    """Return the smallest batch that ends after a deadline.

    >>> first_miss(1, 2, 8)
    4
    """
    n = 1
    while deadlines.edge_batch_ok(n, alpha_ms, beta_ms, limit_ms):
        n += 1
    return n


def _u_curve() -> Question:
    lam, alpha, beta = scenario("cloud", "part2")["lam_rps"], ALPHA_MS["cloud"], BETA_MS["cloud"]
    sizes = tuple(range(1, 65))
    curve = u_curve(lam, "fixed", 0.0, sizes)
    best = batching.best_fixed_batch(lam / 1e3, alpha, beta)
    least = batching.min_stable_batch(lam / 1e3, alpha, beta)
    return WORDS.ask(
        "questions.u_curve",
        sizes[int(np.argmin(curve))],
        {"rises": least, "falls": sizes[-1], "u": best, "flat": "any"},
        lam_rps=lam,
        alpha_ms=alpha,
        beta_ms=beta,
        first=sizes[0],
        last=sizes[-1],
        last_ms=curve[-1],
        best=best,
        best_ms=min(curve),
        least=least,
    )


def _deadline() -> Question:
    alpha, beta, limit = ALPHA_MS["edge"], BETA_MS["edge"], TRACKS["edge"].limit_ms
    miss = first_miss(alpha, beta, limit)
    return WORDS.ask(
        "questions.miss",
        miss,
        {
            "right": 1 + math.floor((limit - alpha) / beta),
            "no_alpha": 1 + math.floor(limit / beta),
            "last_ok": math.floor((limit - alpha) / beta),
            "one_by_one": 1 + math.floor(limit / (alpha + beta)),
        },
        alpha_ms=alpha,
        beta_ms=beta,
        limit_ms=limit,
        fit=miss - 1,
        fit_ms=batching.batch_service_time(miss - 1, alpha, beta),
        miss=miss,
        miss_ms=batching.batch_service_time(miss, alpha, beta),
        single_ms=measure("edge", "part2", scenario("edge", "part2")).worst_ms,
    )


def _pairs() -> Question:
    limit, wait = TRACKS["mobile"].limit_ms, scenario("mobile", "part2")["wait_ms"]

    def run(B: int, pipelined: bool) -> Measured:
        return measure("mobile", "part2", {"B": B, "wait_ms": wait, "pipelined": pipelined})

    def good(pipelined: bool) -> bool:
        seen = run(2, pipelined)
        return seen.worst_ms <= limit + TIGHT and seen.extra["fps"] >= REFRESH_HZ - TIGHT

    def took(B: int) -> float:
        return batching.batch_service_time(B, ALPHA_MS["mobile"], BETA_MS["mobile"])

    return WORDS.ask(
        "questions.pairs",
        "yes" if good(False) else "pipelined" if good(True) else "no",
        one_ms=took(1),
        two_ms=took(2),
        wait_ms=wait,
        refresh_hz=REFRESH_HZ,
        limit_ms=limit,
        formation_ms=1e3 / REFRESH_HZ,
        pair_ms=run(2, True).worst_ms,
        single_ms=run(1, True).worst_ms,
        fps=run(1, True).extra["fps"],
    )


def _lost() -> Question:
    s = scenario("tiny", "part2")
    a = s["lam_rps"] * s["S_ms"] / 1e3
    claims = {"none": 0.0, "idle": 1 - a, "erlang": a / (1 + a), "load": a}
    return WORDS.ask(
        "questions.loss",
        _same(queueing.erlang_b(1, a)),
        {key: _same(value) for key, value in claims.items()},
        S_ms=s["S_ms"],
        period_ms=1e3 / s["lam_rps"],
        erlang=queueing.erlang_b(1, a),
        load=a,
        seen=measure("tiny", "part2", s).loss,
    )


def cause(run: Measured) -> str:
    """Return in which stage the slowest hundredth exceeds the average most, "lost" for losses.

    >>> cause(measure("mobile", "part2", {"B": 3, "wait_ms": 1.0, "pipelined": True}))
    'formation'
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
    s = scenario(track.key, "part2")
    run = measure(track.key, "part2", s)
    told = WORDS.say(
        f"questions.cause.told_{'lost' if run.loss > 0 else 'slow'}",
        worst_ms=run.worst_ms,
        loss=run.loss,
        slow_depth=run.slow_depth,
        depth=run.depth,
        slow_formation_ms=run.slow_stages_ms["formation"],
        formation_ms=run.stages_ms["formation"],
        slow_queue_ms=run.slow_stages_ms["queue"],
        queue_ms=run.stages_ms["queue"],
    )
    return WORDS.ask(
        "questions.cause",
        cause(run),
        setting=setting_text(s),
        mean_ms=run.mean_ms,
        p99_ms=run.p99_ms,
        told=told,
    )


# --- part 3 --------------------------------------------------------------------------------


def _full() -> Question:
    S, low, high = idle_sojourn_ms(), 0.8, 0.99
    near = queueing.mm1(high, 1.0)["W"] * S
    return WORDS.ask(
        "questions.full",
        queueing.mm1(1.0, 1.0)["W"],
        {"service": S, "twice": 2 * S, "near": near, "none": math.inf},
        lambda claim: {"claim_ms": claim},
        S_ms=S,
        low=low,
        W_low_ms=queueing.mm1(low, 1.0)["W"] * S,
        high=high,
        W_high_ms=near,
    )


def _busy() -> Question:
    """Ask about a greedy server that is always busy, from a run of its own."""
    lam, alpha_s, beta_s = 150.0, 0.03, 0.0008
    run = simulate_batch(
        poisson(20_000, lam, np.random.default_rng(1)), MAX_GREEDY, alpha_s, beta_s, "greedy"
    )
    busy, used = run.busy_fraction(), run.utilisation()
    return WORDS.ask(
        "questions.busy",
        "fine" if busy > 0.95 and used < 0.5 else "overloaded",
        most=MAX_GREEDY,
        alpha_ms=1e3 * alpha_s,
        beta_ms=1e3 * beta_s,
        lam_rps=lam,
        busy=busy,
        idle=1 - busy,
        used=used,
        mean_batch=run.mean_batch(),
        mean_ms=1e3 * float(run.sojourn_s.mean()),
    )


def _worst() -> Question:
    s = scenario("edge", "part3")
    run = measure("edge", "part3", s)
    S, n = ALPHA_MS["edge"] + BETA_MS["edge"], s["sensors"]
    claims = {
        "idle": S,
        "mean": S * (n + 1) / 2,
        "all": S * n,
        "poisson": S + queueing.pk_wait(run.rho / S, S, 0.0),
    }
    return WORDS.ask(
        "questions.worst",
        round(run.worst_ms, 6),
        {key: round(ms, 6) for key, ms in claims.items()},
        lambda claim: {"claim_ms": claim},
        n=n,
        S_ms=S,
        rho=run.rho,
        others=n - 1,
        all_ms=n * S,
    )


def _implied() -> Question:
    s = scenario("mobile", "part3")
    S, wait = s["compute_ms"], 4.4
    rho = S * REFRESH_HZ / 1e3
    square = 2 * wait * (1 - rho) / (rho * S)
    claims = {
        "right": math.sqrt(square),
        "square": square,
        "half": math.sqrt(square / 2),
        "load": math.sqrt(2 * wait / (rho * S)),
    }
    truth = queueing.implied_cs(wait, rho, S, 0.0)
    run = measure("mobile", "part3", s)
    return WORDS.ask(
        "questions.implied",
        _same(math.nan if truth is None else truth),
        {key: _same(cs) for key, cs in claims.items()},
        S_ms=S,
        period_ms=1e3 / REFRESH_HZ,
        wait_ms=wait,
        rho=rho,
        deviation_ms=S * math.sqrt(square),
        seen_cs=run.extra["cs"],
        seen_ms=run.mean_ms - S,
    )


def _slots() -> Question:
    s = scenario("tiny", "part3")
    a = s["lam_rps"] * s["S_ms"] / 1e3
    one, two, three = (queueing.erlang_b(c, a) for c in (1, 2, 3))
    claims = {"half": one / 2, "square": one**2, "erlang": a**2 / 2 / (1 + a + a**2 / 2), "none": 0}
    return WORDS.ask(
        "questions.slots",
        _same(two),
        {key: _same(value) for key, value in claims.items()},
        load=a,
        one=one,
        two=two,
        three=three,
        seen=measure("tiny", "part3", s).loss,
        max_loss=MAX_LOSS,
    )


def _plan(track: Track) -> Question:
    after = scenario(track.key, "part3")
    before = {**after, **WORDS.get(f"{track.key}.part3.before")}
    old, new = (measure(track.key, "part3", s) for s in (before, after))
    L0, L1 = (run.throughput_rps * run.mean_ms / 1e3 for run in (old, new))
    servers = after.get("replicas", after.get("accelerators", after.get("slots", 1)))
    claims = {"before": L0, "law": L1, "servers": servers, "rate": new.throughput_rps}
    return WORDS.ask(
        "questions.little",
        _same(new.throughput_rps * new.mean_ms / 1e3),
        {key: _same(count) for key, count in claims.items()},
        change=WORDS.say(f"{track.key}.part3.change"),
        thing=track.thing,
        throughput_rps=new.throughput_rps,
        mean_ms=new.mean_ms,
        after=L1,
        before=L0,
    )


def _priority(track: Track) -> Question:
    """Ask for a stand: there is no wrong answer, but each has a price."""
    s = scenario(track.key, "part3")
    run = measure(track.key, "part3", s)
    load = run.rho * s.get("slots", 1)
    price = WORDS.say(
        f"{track.key}.part3.price",
        alone=queueing.max_utilization(1.0, 10.0),
        shared=queueing.max_utilization(1.0, 10.0, c=4),
        replica_usd=REPLICA_USD,
        rho=run.rho,
        worst_ms=run.worst_ms,
        p99_ms=run.p99_ms,
        load=load,
        lost=queueing.erlang_b(1, load),
    )
    return WORDS.ask("questions.priority", None, stakeholder=track.stakeholder, price=price)


@cache
def parts(track: str) -> tuple[Part, ...]:
    """Return the three parts of a track.

    >>> [part.questions[0].key for part in parts("edge")]
    ['double', 'miss', 'worst']
    """
    story = TRACKS[track]
    second = {"cloud": _u_curve, "edge": _deadline, "mobile": _pairs, "tiny": _lost}[track]
    third = {"cloud": (_full, _busy), "edge": (_worst,), "mobile": (_implied,), "tiny": (_slots,)}
    asked = ((_doubled(story),), (second(),), tuple(ask() for ask in third[track]))
    reflected = ((_sizing(story),), (_slowest(story),), (_plan(story), _priority(story)))
    return tuple(
        Part(
            part,
            WORDS.say(f"parts.{part}.title"),
            questions=questions,
            scenario=scenario(track, part),
            controls=controls(track, part),
            reflections=reflections,
        )
        for part, questions, reflections in zip(PARTS, asked, reflected, strict=True)
    )
