"""What a setting of lab 5 is held against, and what is said when it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from servemath_helpers.labs.accelerator.model import (
    LATE,
    LOAD,
    NOISY,
    Fleet,
    Played,
    Record,
    fleet,
    least_replicas,
    played,
    promises,
)
from servemath_helpers.labs.accelerator.story import WORDS, record_of
from servemath_helpers.labs.frame.chrome import banner
from servemath_helpers.labs.frame.numbers import duration, number_text, share
from servemath_helpers.labs.frame.session import Session
from servemath_helpers.roofline import critical_batch
from servemath_helpers.tinyllm.transformer import SMALL

__all__ = ["Step", "banners", "broken", "fleet_of", "played_of", "step_of", "verdict"]

#: Part 1 asks for this many times the tokens of one sequence, in a step no longer than that.
GAIN = 5.0
STRETCH = 1.5
#: Part 2 asks for this share of the capacity.
CARRIED = 0.8


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
    return fleet(record, settings["replicas"], settings["load"])


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


def _unmet(record: Record, part: str, settings: Mapping[str, Any]) -> str | None:
    """Return what the mission still asks for, None if it is met."""
    if part == "part1":
        step = step_of(settings)
        met = step.gain >= GAIN and step.step_s <= STRETCH * step.alone_s
    elif part == "part2":
        carried = played_of(record, settings).summary.throughput_rps
        met = carried >= CARRIED * record.capacity_rps
    else:
        met = settings["load"] == LOAD and settings["replicas"] == least_replicas(record)
    return None if met else goal(record, part)


def goal(record: Record, part: str) -> str:
    """Return what a part's mission asks for."""
    return WORDS.say(
        f"{part}.goal",
        gain_times=GAIN,
        stretch_times=STRETCH,
        carried_share=CARRIED,
        capacity=record.capacity_rps if part == "part2" else 0.0,
        load_times=LOAD,
    )


def banners(record: Record, part: str, settings: Mapping[str, Any]) -> str:
    """Return a banner for everything that is wrong, or one that says how the mission stands.

    >>> from servemath_helpers.labs.accelerator.model import virtual_record
    >>> settings = {"bw_gbs": 10, "gflops": 100, "batch": 8, "context": 256, "spread": 30}
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
    text = WORDS.say(f"banners.{key}.text", goal=unmet or goal(record, part))
    return banner(kind, WORDS.say(f"banners.{key}.title"), text)


def verdict(session: Session, part: str) -> tuple[bool, dict[str, Any]]:
    """Return whether the setting would do, and what to remember of it."""
    record, settings = record_of(session), session.settings(part)
    passed = not broken(record, part, settings) and _unmet(record, part, settings) is None
    if part == "part1":
        step = step_of(settings)
        return passed, {
            "B": step.batch,
            "context": settings["context"],
            "step": duration(step.step_s),
            "tok/s": number_text(step.tok_s),
        }
    if part == "part2":
        run = played_of(record, settings)
        level = settings["users"] if settings["loop"] == "closed" else settings["share"] / 100
        return passed, {
            "loop": f"{settings['loop']} {level:g}",
            "requests/s": number_text(run.summary.throughput_rps),
            "TTFT P99": duration(run.summary.quantile("ttft", "0.99")),
            "E2E P99": duration(run.summary.quantile("e2e", "0.99")),
        }
    plan = fleet_of(record, settings)
    return passed, {
        "replicas": settings["replicas"],
        "load": number_text(settings["load"]),
        "kept": share(plan.share),
        "TTFT P99": duration(plan.ttft_p99_s),
    }
