"""What a setting of lab 4 is held against: the promises of a part, and what its mission asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from servemath_helpers import flow
from servemath_helpers.labs.frame.numbers import ms_text, number_text
from servemath_helpers.labs.frame.session import Session
from servemath_helpers.labs.queueing_lab.model import (
    ANSWER_TOKENS,
    CAMERA_HZ,
    PROMPT_TOKENS,
    REFRESH_HZ,
    Measured,
    measure,
)
from servemath_helpers.labs.queueing_lab.story import (
    BUDGET_USD,
    FILL,
    HOLD,
    MAX_ENERGY_UJ,
    MAX_LOSS,
    REPLICA_USD,
    TRACKS,
    WORDS,
    slo_ms,
)

__all__ = [
    "TIGHT",
    "Gauge",
    "Goal",
    "Judged",
    "Limit",
    "gauge",
    "held",
    "judge",
    "latency_ms",
    "promise_name",
    "setting_text",
    "verdict",
    "wants",
]

#: What a comparison forgives: sums of floats that would be equal on paper.
TIGHT: Final = 1e-9


@dataclass(frozen=True)
class Gauge:
    """Little's law on a track's own room: the law, the bytes held and there, how many fit."""

    lam_rps: float
    W_s: float
    L: float
    used_bytes: float
    room_bytes: float
    slots: float
    fits: bool
    lam_max_rps: float


def _gauge(lam_rps: float, W_s: float, bytes_each: float, room_bytes: float) -> Gauge:
    law = flow.littles_gauge(lam_rps, W_s, bytes_each, room_bytes)
    return Gauge(
        lam_rps,
        W_s,
        law["L"],
        law["mem_bytes"],
        room_bytes,
        room_bytes / bytes_each,
        law["fits"],
        law["lam_max"],
    )


def gauge(track: str, settings: Mapping[str, Any]) -> Gauge:
    """Return requests in flight and the memory they hold.

    >>> here = gauge("cloud", {"lam_rps": 40, "W_ms": 1500, "size": 50})
    >>> here.L, round(here.used_bytes / 1e9, 2), here.fits
    (60.0, 12.58, True)
    """
    story = TRACKS[track]
    lam, W_s = settings["lam_rps"], settings["W_ms"] / 1e3
    each = story.bytes_each * settings.get("size", 100) / 100
    return _gauge(lam, W_s, each, story.room_bytes)


def held(settings: Mapping[str, Any], run: Measured) -> Gauge:
    """Return the cache that a cloud replica holds while part 3's requests decode.

    W is the latency simulated and the two seconds of decoding; a hit in the prefix cache shares
    its part of the prompt's memory, and every request wastes half a block, less half a token.
    """
    story = TRACKS["cloud"]
    per_token = story.bytes_each / (PROMPT_TOKENS + ANSWER_TOKENS)
    tokens = PROMPT_TOKENS * (1 - settings["prefix_hit"]) + ANSWER_TOKENS
    each = per_token * (tokens + (settings["block"] - 1) / 2)
    lam, W_s = run.lam_rps / settings["replicas"], (story.W_ms + run.mean_ms) / 1e3
    return _gauge(lam, W_s, each, story.room_bytes)


def promise_name(track: str, part: str) -> str:
    """Return "P99", or "worst case" where every single frame counts."""
    every = TRACKS[track].promise == "worst" or (track, part) == ("mobile", "part2")
    return "worst case" if every else "P99"


def latency_ms(track: str, part: str, run: Measured) -> float:
    """Return the latency that the track's promise is about [ms]."""
    return run.p99_ms if promise_name(track, part) == "P99" else run.worst_ms


@dataclass(frozen=True)
class Limit:
    """A promise that a setting keeps or breaks, and the numbers of its banner.

    `key` is "ram", "unstable", "slo", "loss", "fps", "energy" or "budget".
    """

    key: str
    broken: bool
    values: Mapping[str, Any]

    @property
    def title(self) -> str:
        """What the banner says first."""
        return WORDS.say(f"banners.{self.key}.title", **self.values)

    @property
    def text(self) -> str:
        """What it says then."""
        return WORDS.say(f"banners.{self.key}.text", **self.values)


@dataclass(frozen=True)
class Goal:
    """What the mission asks beyond the promises, in words, and whether it is met."""

    text: str
    met: bool


@dataclass(frozen=True)
class Judged:
    """A setting held against what its part promises and asks."""

    limits: tuple[Limit, ...]
    goals: tuple[Goal, ...]

    @property
    def broken(self) -> list[Limit]:
        """The promises that become failure banners."""
        return [limit for limit in self.limits if limit.broken]

    @property
    def unmet(self) -> list[str]:
        """What the mission still asks for."""
        return [goal.text for goal in self.goals if not goal.met]


def judge(track: str, part: str, settings: Mapping[str, Any]) -> Judged:
    """Return how a setting does; the same object for the same settings.

    >>> seen = judge("edge", "part2", {"sensors": 9, "B": 3, "accelerators": 1})
    >>> [limit.key for limit in seen.broken], seen.unmet
    (['slo'], [])
    """
    return _judge(track, part, tuple(settings.items()))


@lru_cache(maxsize=128)
def _judge(track: str, part: str, items: tuple[tuple[str, Any], ...]) -> Judged:
    settings = dict(items)
    if part == "part1":
        here = gauge(track, settings)
        used = here.used_bytes / here.room_bytes
        room = Goal(WORDS.say("goals.room", fill=FILL), used >= FILL - TIGHT)
        return Judged((_ram(here, TRACKS[track].thing),), (*wants(track, part, settings), room))
    run = measure(track, part, settings)
    limits, goals = _limits(track, part, settings, run), _goals(track, part, settings, run)
    return Judged(tuple(limits), tuple(goals))


def _ram(here: Gauge, thing: str) -> Limit:
    return Limit("ram", not here.fits, {**vars(here), "thing": thing})


def _limits(track: str, part: str, settings: Mapping[str, Any], run: Measured) -> Iterator[Limit]:
    if track == "edge" or (track, part) in (("cloud", "part2"), ("mobile", "part3")):
        capacity_rps = run.lam_rps / run.rho
        values = {"lam_rps": run.lam_rps, "capacity_rps": capacity_rps, "rho": run.rho}
        yield Limit("unstable", not run.stable, values)
    if track == "mobile":
        fps = run.extra["fps"]
        yield Limit("fps", fps < REFRESH_HZ * (1 - TIGHT), {"fps": fps, "refresh_hz": REFRESH_HZ})
    if track == "tiny":
        yield Limit("loss", run.loss > MAX_LOSS, {"loss": run.loss, "max_loss": MAX_LOSS})
    yield _slo(track, part, run)
    if (track, part) == ("cloud", "part3"):
        yield _ram(held(settings, run), WORDS.say("banners.ram.a_replica"))
        cost = settings["replicas"] * REPLICA_USD
        values = {"replicas": settings["replicas"], "cost_usd": cost, "budget_usd": BUDGET_USD}
        yield Limit("budget", cost > BUDGET_USD, values)
    if track == "tiny":
        energy = run.extra["energy_uj"]
        values = {"energy_uj": energy, "max_energy_uj": MAX_ENERGY_UJ}
        yield Limit("energy", energy > MAX_ENERGY_UJ * (1 + TIGHT), values)


def _slo(track: str, part: str, run: Measured) -> Limit:
    story, latency, limit = TRACKS[track], latency_ms(track, part, run), slo_ms(track, part)
    late = float((run.times_ms > limit * (1 + TIGHT)).mean())
    how_many = WORDS.say(
        f"banners.slo.{'some' if run.stable else 'all'}", late=late, thing=story.thing
    )
    return Limit(
        "slo",
        latency > limit * (1 + TIGHT),
        {
            "missed": story.missed,
            "promise": promise_name(track, part),
            "latency_ms": latency,
            "limit_ms": limit,
            "how_many": how_many,
        },
    )


def _goals(track: str, part: str, s: Mapping[str, Any], run: Measured) -> Iterator[Goal]:
    if part == "part3" and track != "edge":
        yield Goal(WORDS.say("goals.hold", hold=HOLD), run.rho >= HOLD - TIGHT)
    yield from wants(track, part, s)


def wants(track: str, part: str, s: Mapping[str, Any]) -> Iterator[Goal]:
    """Yield what the mission asks of the settings themselves, whatever comes of them."""

    def goal(key: str, met: bool, **values: Any) -> Goal:
        return Goal(WORDS.say(f"goals.{key}", **values), met)

    cameras, accelerators, jitter_ms, clock_ms = 8, 2, 2.0, 3.0
    wait_ms, pixels, requests_rps, frames_rps = 7.0, 60, 350.0, 100.0
    match track, part:
        case _, "part1":
            story = TRACKS[track]
            rate, stay = story.peak["lam_rps"], story.peak["W_ms"]
            yield goal("rate", s["lam_rps"] >= rate, least_rps=rate, thing=story.thing)
            yield goal("stay", s["W_ms"] >= stay, stay_ms=stay)
        case "cloud", "part2":
            yield goal("requests", s["lam_rps"] >= requests_rps, least_rps=requests_rps)
        case "cloud", _:
            yield goal("bursty", s["arrivals"] == "bursty")
        case "edge", "part2":
            least_rps = cameras * CAMERA_HZ
            yield goal("cameras", s["sensors"] >= cameras, cameras=cameras, least_rps=least_rps)
            few = s["accelerators"] <= accelerators
            yield goal("accelerators", few, accelerators=accelerators)
        case "edge", _:
            yield goal("more_cameras", s["sensors"] >= cameras - 2, cameras=cameras - 2)
            yield goal("jitter", s["jitter_ms"] >= jitter_ms, jitter_ms=jitter_ms)
        case "mobile", "part2":
            yield goal("wait", s["wait_ms"] >= wait_ms, wait_ms=wait_ms)
            yield goal("pixels", s["pixels"] >= pixels, pixels_share=pixels / 100)
        case "mobile", _:
            yield goal("scene", s["scene"] != "calm")
        case _, "part2":
            poisson = s["arrivals"] == "poisson" or s["jitter_ms"] >= clock_ms
            yield goal("frames", s["lam_rps"] >= frames_rps, least_rps=frames_rps)
            yield goal("clock_or_poisson", poisson, jitter_ms=clock_ms)
        case _:
            worse = s["arrivals"] != "clock" or s["jitter_ms"] >= clock_ms
            yield goal("clock_or_worse", worse, jitter_ms=clock_ms)


def verdict(session: Session, part: str) -> tuple[bool, dict[str, str]]:
    """Return whether all goals are met and no promise is broken, and texts for the log."""
    track, settings = session.variant, session.settings(part)
    seen = judge(track, part, settings)
    missing = [limit.title.rstrip(".") for limit in seen.broken] + seen.unmet
    figures = {"setting": setting_text(settings)}
    if part == "part1":
        figures["L"] = number_text(gauge(track, settings).L)
    else:
        latency = latency_ms(track, part, measure(track, part, settings))
        figures[promise_name(track, part)] = ms_text(latency)
    return not missing, {**figures, "missing": "; ".join(missing) or "–"}


_SIGNS: Final = {"lam": "λ", "rho": "ρ"}


def setting_text(settings: Mapping[str, Any]) -> str:
    """Return settings, whose names end in their unit, as one line.

    >>> setting_text({"lam_rps": 200.0, "policy": "fixed", "pipelined": True})
    'λ 200/s, policy fixed, pipelined yes'
    """
    shown = []
    for key, value in settings.items():
        if isinstance(value, bool):
            text = "yes" if value else "no"
        elif isinstance(value, str):
            text = value
        elif key.endswith("_ms"):
            text = ms_text(value)
        else:
            text = number_text(value) + ("/s" if key.endswith("_rps") else "")
        name = key.removesuffix("_ms").removesuffix("_rps").replace("_", " ")
        shown.append(f"{_SIGNS.get(name, name)} {text}")
    return ", ".join(shown)
