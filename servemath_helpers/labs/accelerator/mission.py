"""What a setting of lab 5 is held against, and what is said when it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from servemath_helpers.labs.accelerator.model import (
    LATE,
    LOAD,
    NOISY,
    ROOM,
    Fleet,
    Played,
    Record,
    fleet,
    least_replicas,
    played,
    promises,
)
from servemath_helpers.labs.accelerator.story import WORDS, controls, record_of
from servemath_helpers.labs.frame.chrome import banner
from servemath_helpers.labs.frame.numbers import duration, number_text, share
from servemath_helpers.labs.frame.session import Session
from servemath_helpers.roofline import critical_batch
from servemath_helpers.tinyllm.transformer import SMALL

__all__ = [
    "Step",
    "Want",
    "banners",
    "broken",
    "fleet_of",
    "goal",
    "measured",
    "played_of",
    "step_of",
    "verdict",
    "wants",
]

#: Part 1 asks for this many times what the machine as measured can give at this context, in steps
#: no longer than so many of its own for one sequence; its speeds may be raised so far.
RAISED = 1.5
LONG_CONTEXT = 1024
STRETCH = 4.0
UPGRADE = 2
#: Part 2 asks for this share of the capacity, from a client so slow, with so little cache.
CARRIED = 0.8
SLOW_CLIENT_MS = 100
LITTLE_CACHE = 7 * ROOM


@dataclass(frozen=True)
class Want:
    """One thing that a mission asks of the settings, in words, and what decides it."""

    text: str
    key: str
    bound: float
    least: bool

    def is_met(self, settings: Mapping[str, Any]) -> bool:
        """Return whether the settings have it."""
        value = settings[self.key]
        return bool(value >= self.bound if self.least else value <= self.bound)


def wants(record: Record, part: str) -> tuple[Want, ...]:
    """Return what the mission of a part asks of the settings, whatever comes of them.

    >>> from servemath_helpers.labs.accelerator.model import virtual_record
    >>> [want.text for want in wants(virtual_record(), "part3")]
    ['at least 2.5× the capacity of one machine']
    """
    rows: list[tuple[str, float, bool]]
    if part == "part1":
        now = measured(record)
        rows = [("context", LONG_CONTEXT, True)]
        rows += [(key, UPGRADE * now[key], False) for key in ("bw_gbs", "gflops")]
    elif part == "part2":
        rows = [("client_ms", SLOW_CLIENT_MS, True), ("kv_tokens", LITTLE_CACHE, False)]
    else:
        rows = [("load", LOAD, True)]
    return tuple(
        Want(WORDS.say(f"wants.{key}", **{key: bound, f"{key}_times": bound}), key, bound, least)
        for key, bound, least in rows
    )


@dataclass(frozen=True)
class Step:
    """The roofline of part 1's setting."""

    step_s: float
    alone_s: float
    batch: int
    critical: float
    spread: float

    @property
    def tok_s(self) -> float:
        """Tokens per second."""
        return self.batch / self.step_s

    @property
    def gain(self) -> float:
        """Tokens per second over those of one sequence."""
        return self.tok_s * self.alone_s


def step_of(settings: Mapping[str, Any]) -> Step:
    """Return what part 1's controls give."""
    bw, flops = 1e9 * settings["bw_gbs"], 1e9 * settings["gflops"]
    line, batch = SMALL.roofline(bw, flops), settings["batch"]
    context = settings["context"]
    return Step(
        line.iteration_s(batch, batch * context, 0, 0),
        line.iteration_s(1, context, 0, 0),
        batch,
        critical_batch(flops, bw, 4),
        settings["spread"] / 100,
    )


def played_of(record: Record, settings: Mapping[str, Any]) -> Played:
    """Return the load test that part 2's controls set up."""
    shares = {name: settings[name] / 100 for name in ("share", "noise")}
    return played(record, **{**settings, **shares})


def fleet_of(record: Record, settings: Mapping[str, Any]) -> Fleet:
    """Return the fleet that part 3's controls set up."""
    batch = settings["max_batch"]
    return fleet(record, settings["replicas"], settings["load"], max_batch=batch)


def measured(record: Record) -> dict[str, Any]:
    """Return part 1's settings as the machine was measured."""
    return {control.key: control.default for control in controls(record, "part1")}


@cache
def _asked(record: Record) -> tuple[float, float]:
    """Return the tokens per second that part 1 asks for, and the longest step."""
    now = measured(record)
    most_s = STRETCH * step_of(now).step_s
    tried = [step_of({**now, "batch": b, "context": LONG_CONTEXT}) for b in range(1, 65)]
    return RAISED * max(one.tok_s for one in tried if one.step_s <= most_s), most_s


def broken(
    record: Record, part: str, settings: Mapping[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    """Return key and numbers of every banner of failure that a setting earns."""
    if part == "part1":
        spread = settings["spread"] / 100
        noisy = {"spread_share": spread, "limit_share": NOISY}
        return [("noisy", noisy)] if spread > NOISY else []
    found: list[tuple[str, dict[str, Any]]] = []
    if part == "part2":
        run = played_of(record, settings)
        if run.unstable:
            found.append(("unstable", {"slope_ms": 1e3 * run.slope[0]}))
        if run.kv_full:
            found.append(("kv_full", {"kv_tokens": settings["kv_tokens"]}))
        if run.late:
            lag = {"lag_s": run.summary.lag_s, "interval_s": run.summary.interval_s}
            found.append(("late", {**lag, "late_share": LATE}))
        if run.noisy:
            found.append(("noisy", {"spread_share": run.spread, "limit_share": NOISY}))
        return found
    plan, promised = fleet_of(record, settings), promises(record)
    if not plan.judged.feasible:
        kept = {"kept_share": plan.share, "wanted_share": float(promised["share"])}
        found.append(("promise", {**kept, "ttft_s": promised["ttft_s"]}))
    if plan.growing:
        found.append(("growing", {"replicas": settings["replicas"]}))
    return found


def _unmet(record: Record, part: str, settings: Mapping[str, Any]) -> list[str]:
    """Return what the mission still asks for."""
    if part == "part1":
        step, (want_tok_s, most_s) = step_of(settings), _asked(record)
        met = step.tok_s >= want_tok_s and step.step_s <= most_s
    elif part == "part2":
        carried = played_of(record, settings).summary.throughput_rps
        met = carried >= CARRIED * record.capacity_rps
    else:
        met = settings["replicas"] == least_replicas(record)
    missing = [want.text for want in wants(record, part) if not want.is_met(settings)]
    return missing if met else [goal(record, part), *missing]


def goal(record: Record, part: str) -> str:
    """Return what must come of the settings for a part's mission."""
    want_tok_s, most_s = _asked(record) if part == "part1" else (0.0, 0.0)
    return WORDS.say(
        f"{part}.goal",
        want_tok_s=want_tok_s,
        most_s=most_s,
        carried_share=CARRIED,
        capacity=record.capacity_rps if part == "part2" else 0.0,
    )


def banners(record: Record, part: str, settings: Mapping[str, Any]) -> str:
    """Return a banner for everything that is wrong, or one that says how the mission stands.

    >>> from servemath_helpers.labs.accelerator.model import virtual_record
    >>> settings = {"bw_gbs": 10, "gflops": 100, "batch": 2, "context": 256, "spread": 30}
    >>> "Noisy." in banners(virtual_record(), "part1", settings)
    True
    """
    wrong = broken(record, part, settings)
    if wrong:
        return "".join(
            [
                banner("fail", WORDS.say(f"banners.{key}.title"),
                       WORDS.say(f"banners.{key}.text", **values))
                for key, values in wrong
            ]
        )  # fmt: skip
    unmet = _unmet(record, part, settings)
    kind, key = ("info", "open") if unmet else ("ok", "met")
    text = WORDS.say(f"banners.{key}.text", goal="; ".join(unmet) or goal(record, part))
    return banner(kind, WORDS.say(f"banners.{key}.title"), text)


def verdict(session: Session, part: str) -> tuple[bool, dict[str, Any]]:
    """Return whether the setting would do, and what to remember of it."""
    record, settings = record_of(session), session.settings(part)
    missing = _unmet(record, part, settings)
    passed = not broken(record, part, settings) and not missing
    lacks = {"missing": "; ".join(missing) or "–"}
    if part == "part1":
        step = step_of(settings)
        return passed, {
            "B": step.batch,
            "context": settings["context"],
            "step": duration(step.step_s),
            "tok/s": number_text(step.tok_s),
            **lacks,
        }
    if part == "part2":
        run = played_of(record, settings)
        level = settings["users"] if settings["loop"] == "closed" else settings["share"] / 100
        return passed, {
            "loop": f"{settings['loop']} {level:g}",
            "requests/s": number_text(run.summary.throughput_rps),
            "TTFT P99": duration(run.summary.quantile("ttft", "0.99")),
            "E2E P99": duration(run.summary.quantile("e2e", "0.99")),
            **lacks,
        }
    plan = fleet_of(record, settings)
    return passed, {
        "replicas": settings["replicas"],
        "load": number_text(settings["load"]),
        "kept": share(plan.share),
        "TTFT P99": duration(plan.ttft_p99_s),
        **lacks,
    }
