"""The engine of the queueing lab: verdicts, banners and the record of a run.

What a setting gives is simulated in `queueing_models`, who asks for what is told in
`queueing_tracks`, and what is asked stands in `queueing_questions`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from servemath_helpers import flow
from servemath_helpers.labs.frame.session import Session
from servemath_helpers.labs.frame.svg import number_text
from servemath_helpers.labs.queueing_lab.model import (
    BURSTY_CA2,
    CAMERA_HZ,
    REFRESH_HZ,
    SEED,
    Measured,
    measure,
)
from servemath_helpers.labs.queueing_lab.story import (
    BUDGET_USD_H,
    FILL,
    HOLD,
    MAX_ENERGY_UJ,
    MAX_LOSS,
    TRACKS,
    USD_H,
    slo_ms,
)
from servemath_helpers.quantities import format_bytes

__all__ = [
    "FREE_ITERATIONS",
    "LAB",
    "RECORD_VERSION",
    "Gauge",
    "Goal",
    "Limit",
    "gauge",
    "goals",
    "held",
    "latency_ms",
    "limits",
    "ms_text",
    "outcome",
    "promise_name",
    "setting_text",
    "verdict",
]

LAB: Final = "lab4"
#: Layout of what the ledger keeps of this lab.
RECORD_VERSION: Final = "1.13"
#: Settings that can be put to the test before the badge is lost; nothing else is.
FREE_ITERATIONS: Final = 10
_PROMPT_TOKENS, _ANSWER_TOKENS = 1024, 256
_CA2: Final = {"periodic": 0.0, "clock": 0.0, "poisson": 1.0, "bursty": BURSTY_CA2}


def ms_text(ms: float) -> str:
    """Return a time as text, in seconds from one second on.

    Parameters
    ----------
    ms : float
        Milliseconds.

    Returns
    -------
    str
        Three significant digits and the unit.

    Examples
    --------
    >>> ms_text(9.5), ms_text(2000), ms_text(float("inf"))
    ('9.5 ms', '2 s', '∞')
    """
    if ms == float("inf"):
        return "∞"
    return f"{number_text(ms / 1e3)} s" if ms >= 1000 else f"{number_text(ms)} ms"


@dataclass(frozen=True)
class Gauge:
    """Little's law on a track's own room.

    Attributes
    ----------
    lam_rps, W_s, L : float
        The law's three quantities.
    used_bytes, room_bytes : float
        What those in flight hold, and what there is.
    slots : float
        How many would fit.
    fits : bool
        Whether they do.
    lam_max_rps : float
        Arrivals per second that fill the room at this W.
    """

    lam_rps: float
    W_s: float
    L: float
    used_bytes: float
    room_bytes: float
    slots: float
    fits: bool
    lam_max_rps: float


def gauge(track: str, settings: Mapping[str, Any]) -> Gauge:
    """Return requests in flight and the memory they hold.

    Parameters
    ----------
    track : str
        Key of the track.
    settings : mapping
        lam_rps and W_ms.

    Returns
    -------
    Gauge
        From `flow.littles_gauge`.

    Examples
    --------
    >>> here = gauge("cloud", {"lam_rps": 40, "W_ms": 2000})
    >>> here.L, round(here.used_bytes / 1e9, 2), here.fits
    (80.0, 33.55, True)
    """
    story = TRACKS[track]
    lam, W_s = settings["lam_rps"], settings["W_ms"] / 1e3
    law = flow.littles_gauge(lam, W_s, story.bytes_each, story.room_bytes)
    return Gauge(
        lam,
        W_s,
        law["L"],
        law["mem_bytes"],
        story.room_bytes,
        story.slots,
        law["fits"],
        law["lam_max"],
    )


def promise_name(track: str, part: str) -> str:
    """Return what a latency promise is about.

    Parameters
    ----------
    track, part : str
        Keys.

    Returns
    -------
    str
        "P99", or "worst case" where every single frame counts.

    Examples
    --------
    >>> promise_name("cloud", "part2"), promise_name("edge", "part2")
    ('P99', 'worst case')
    """
    every = TRACKS[track].promise == "worst" or (track, part) == ("mobile", "part2")
    return "worst case" if every else "P99"


def latency_ms(track: str, part: str, run: Measured) -> float:
    """Return the latency that the track's promise is about [ms].

    Parameters
    ----------
    track, part : str
        Keys.
    run : Measured
        What was measured.

    Returns
    -------
    float
        P99, or the worst case where the promise is about every frame.

    Examples
    --------
    >>> run = measure("edge", "part2", {"sensors": 6, "B": 6})
    >>> latency_ms("edge", "part2", run)
    11.0
    """
    return run.p99_ms if promise_name(track, part) == "P99" else run.worst_ms


def held(settings: Mapping[str, Any], run: Measured) -> Gauge:
    """Return the cache that a cloud replica holds while part 3's requests decode.

    Parameters
    ----------
    settings : mapping
        Of the cloud's part 3.
    run : Measured
        What was measured there.

    Returns
    -------
    Gauge
        Of one replica: W is the latency simulated and the two seconds of decoding; a hit
        in the prefix cache shares its part of the prompt's memory, and every request wastes
        half a block, less half a token.

    Examples
    --------
    >>> settings = dict(rho=0.8, arrivals="poisson", replicas=4, policy="single", block=16,
    ...                 prefix_hit=0.0)
    >>> held(settings, measure("cloud", "part3", settings)).fits
    True
    """
    story = TRACKS["cloud"]
    per_token = story.bytes_each / (_PROMPT_TOKENS + _ANSWER_TOKENS)
    tokens = _PROMPT_TOKENS * (1 - settings["prefix_hit"]) + _ANSWER_TOKENS
    each = per_token * (tokens + (settings["block"] - 1) / 2)
    lam, W_s = run.lam_rps / settings["replicas"], (story.W_ms + run.mean_ms) / 1e3
    law = flow.littles_gauge(lam, W_s, each, story.room_bytes)
    return Gauge(
        lam,
        W_s,
        law["L"],
        law["mem_bytes"],
        story.room_bytes,
        story.room_bytes / each,
        law["fits"],
        law["lam_max"],
    )


@dataclass(frozen=True)
class Limit:
    """A promise that a setting keeps or breaks; broken ones become banners.

    Attributes
    ----------
    key : str
        "ram", "unstable", "slo", "loss", "fps", "energy" or "budget".
    broken : bool
        Whether the present setting breaks it.
    title, text : str
        What the banner says.
    """

    key: str
    broken: bool
    title: str
    text: str


def _ram(here: Gauge, thing: str) -> Limit:
    return Limit(
        "ram",
        not here.fits,
        "Memory exceeded.",
        f"{number_text(here.L)} {thing} in flight hold {format_bytes(here.used_bytes)}; "
        f"there is room for {number_text(here.slots)} "
        f"({format_bytes(here.room_bytes)}). Fewer arrivals or a shorter stay bring it back.",
    )


def _unstable(run: Measured) -> Limit:
    return Limit(
        "unstable",
        not run.stable,
        "Unstable queue.",
        f"{number_text(run.lam_rps)} arrive each second, "
        f"{number_text(run.lam_rps / run.rho)} can be served: ρ = {number_text(run.rho)}. "
        "The queue grows for as long as this goes on.",
    )


def _slo(track: str, part: str, run: Measured) -> Limit:
    latency, limit = latency_ms(track, part, run), slo_ms(track, part)
    thing = TRACKS[track].thing
    if run.stable:
        late = float((run.times_ms > limit * (1 + 1e-9)).mean())
        share = f"{late:.1%} of the {thing} are late"
    else:
        share = f"sooner or later all {thing} are late"
    name = promise_name(track, part)
    return Limit(
        "slo",
        latency > limit * (1 + 1e-9),
        "Deadline missed." if TRACKS[track].promise == "worst" else "Latency promise broken.",
        f"{name} {ms_text(latency)}, promised {ms_text(limit)}: {share}.",
    )


def _fps(run: Measured) -> Limit:
    fps = run.extra["fps"]
    return Limit(
        "fps",
        fps < REFRESH_HZ * (1 - 1e-9),
        "Frame skip.",
        f"{number_text(fps)} frames a second instead of {number_text(REFRESH_HZ)}: work that "
        "ends after the display's refresh counts as late by a whole period.",
    )


def _loss(run: Measured) -> Limit:
    return Limit(
        "loss",
        run.loss > MAX_LOSS,
        "Frames lost.",
        f"{run.loss:.1%} of the frames find no room; {MAX_LOSS:.0%} is allowed.",
    )


def _energy(run: Measured) -> Limit:
    energy = run.extra["energy_uj"]
    return Limit(
        "energy",
        energy > MAX_ENERGY_UJ * (1 + 1e-9),
        "Energy budget exceeded.",
        f"{number_text(energy)} µJ a frame, {number_text(MAX_ENERGY_UJ)} µJ allowed: "
        "a faster clock costs more than it saves.",
    )


def _budget(settings: Mapping[str, Any]) -> Limit:
    cost = settings["replicas"] * USD_H
    return Limit(
        "budget",
        cost > BUDGET_USD_H,
        "Over budget.",
        f"{settings['replicas']} replicas cost ${cost} an hour; the CFO allows ${BUDGET_USD_H}.",
    )


def limits(
    track: str, part: str, settings: Mapping[str, Any], run: Measured | None = None
) -> tuple[Limit, ...]:
    """Return every promise that this part makes, kept or broken.

    Parameters
    ----------
    track, part : str
        Keys.
    settings : mapping
        Every control of the part.
    run : Measured, optional
        What was measured, if it is known already.

    Returns
    -------
    tuple of Limit
        The broken ones are the failure banners.

    Examples
    --------
    >>> [limit.key for limit in limits("edge", "part2", {"sensors": 6, "B": 6}) if limit.broken]
    ['slo']
    """
    if part == "part1":
        return (_ram(gauge(track, settings), TRACKS[track].thing),)
    run = run or measure(track, part, settings)
    if (track, part) == ("cloud", "part3"):
        here = held(settings, run)
        return _slo(track, part, run), _ram(here, "requests a replica"), _budget(settings)
    if track == "mobile":
        frames = (_fps(run), _slo(track, part, run))
        return frames if part == "part2" else (_unstable(run), *frames)
    if track == "tiny":
        return _loss(run), _slo(track, part, run), _energy(run)
    return _unstable(run), _slo(track, part, run)


@dataclass(frozen=True)
class Goal:
    """What the mission asks beyond the promises.

    Attributes
    ----------
    text : str
        In words, with its number.
    met : bool
        Whether the present setting does it.
    """

    text: str
    met: bool


def _hold(run: Measured) -> Goal:
    return Goal(f"utilisation of at least {HOLD:.0%}", run.rho >= HOLD - 1e-9)


def goals(
    track: str, part: str, settings: Mapping[str, Any], run: Measured | None = None
) -> tuple[Goal, ...]:
    """Return what the mission of a part asks for, met or not.

    Parameters
    ----------
    track, part : str
        Keys.
    settings : mapping
        Every control of the part.
    run : Measured, optional
        What was measured, if it is known already.

    Returns
    -------
    tuple of Goal
        Besides these, no promise may be broken.

    Examples
    --------
    >>> goals("edge", "part2", {"sensors": 5, "B": 5})
    (Goal(text='at least 150 frames a second (5 cameras)', met=True),)
    """
    if part == "part1":
        here = gauge(track, settings)
        share = here.used_bytes / here.room_bytes
        return (Goal(f"at least {FILL:.0%} of the room in use", share >= FILL - 1e-9),)
    run = run or measure(track, part, settings)
    cameras, jitter_ms, wait_ms, lam, clock_ms = 5, 2.0, 5.0, 100.0, 3.0
    asked: dict[tuple[str, str], Callable[[], tuple[Goal, ...]]] = {
        ("cloud", "part2"): lambda: (
            Goal(f"at least {2 * lam:g} requests a second", settings["lam_rps"] >= 2 * lam),
        ),
        ("cloud", "part3"): lambda: (
            _hold(run),
            Goal("bursty traffic", settings["arrivals"] == "bursty"),
        ),
        ("edge", "part2"): lambda: (
            Goal(
                f"at least {cameras * CAMERA_HZ:g} frames a second ({cameras} cameras)",
                settings["sensors"] >= cameras,
            ),
        ),
        ("edge", "part3"): lambda: (
            Goal(f"{cameras + 1} cameras", settings["sensors"] > cameras),
            Goal(f"at least {jitter_ms:g} ms of jitter", settings["jitter_ms"] >= jitter_ms),
        ),
        ("mobile", "part2"): lambda: (
            Goal(f"a wait of at least {wait_ms:g} ms", settings["wait_ms"] >= wait_ms),
        ),
        ("mobile", "part3"): lambda: (
            _hold(run),
            Goal("a scene that is not calm", settings["scene"] != "calm"),
        ),
        ("tiny", "part2"): lambda: (
            Goal(f"at least {lam:g} frames a second", settings["lam_rps"] >= lam),
            Goal(
                f"a clock with at least {clock_ms:g} ms of jitter, or Poisson",
                settings["arrivals"] == "poisson" or settings["jitter_ms"] >= clock_ms,
            ),
        ),
        ("tiny", "part3"): lambda: (
            _hold(run),
            Goal(
                f"a clock with at least {clock_ms:g} ms of jitter, or worse",
                settings["arrivals"] != "clock" or settings["jitter_ms"] >= clock_ms,
            ),
        ),
    }
    return asked[track, part]()


def verdict(
    track: str, part: str, settings: Mapping[str, Any]
) -> tuple[bool, dict[str, str | float]]:
    """Put a setting to the test.

    Parameters
    ----------
    track, part : str
        Keys.
    settings : mapping
        Every control of the part.

    Returns
    -------
    passed : bool
        Whether all goals are met and no promise is broken.
    figures : dict
        Texts for the log of attempts.

    Examples
    --------
    >>> verdict("edge", "part2", {"sensors": 5, "B": 5})
    (True, {'setting': 'sensors 5, B 5', 'worst case': '9.5 ms', 'missing': '–'})
    """
    run = None if part == "part1" else measure(track, part, settings)
    broken = [limit for limit in limits(track, part, settings, run) if limit.broken]
    unmet = [goal.text for goal in goals(track, part, settings, run) if not goal.met]
    figures: dict[str, str | float] = {"setting": setting_text(settings)}
    if run is None:
        figures["L"] = number_text(gauge(track, settings).L)
    else:
        figures[promise_name(track, part)] = ms_text(latency_ms(track, part, run))
    figures["missing"] = "; ".join([limit.title.rstrip(".") for limit in broken] + unmet) or "–"
    return not broken and not unmet, figures


_SIGNS: Final = {"lam": "λ", "rho": "ρ"}


def setting_text(settings: Mapping[str, Any]) -> str:
    """Return settings as one line.

    Parameters
    ----------
    settings : mapping
        Names as in code, which end in their unit.

    Returns
    -------
    str
        Names and values, separated by commas.

    Examples
    --------
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


def _answers(session: Session, part: str) -> dict[str, Any]:
    """Return what the ledger keeps of a part's predictions: the first, and all."""
    locked = session.predictions(part)
    if not locked:
        return {"prediction": None, "correct": None, "confidence": None, "reflections": {}}
    first = locked[0]
    return {
        "prediction": first.chosen,
        "correct": first.correct,
        "confidence": first.confidence,
        "questions": [prediction.to_dict() for prediction in locked],
        "reflections": {
            asked.key: {"answer": answer.chosen, "correct": answer.correct}
            for asked in session.part(part).reflections
            if (answer := session.reflection(part, asked.key)) is not None
        },
    }


def outcome(session: Session) -> dict[str, Any]:
    """Return what the ledger keeps of a run.

    Parameters
    ----------
    session : Session
        A run of this lab.

    Returns
    -------
    dict
        Plain data; times that are infinite become None when it is written.

    Examples
    --------
    >>> from servemath_helpers.labs.queueing_lab.questions import parts
    >>> kept = outcome(Session.start(LAB, "ada", "cloud", parts("cloud")))
    >>> kept["track"], kept["L"], kept["slo_met"], kept["constraint_hit"]
    ('cloud', 80.0, True, [])
    """
    track = session.variant
    first, second, third = (session.settings(part.key) for part in session.parts)
    here, run = gauge(track, first), measure(track, "part3", third)
    promises = {
        part.key: limits(track, part.key, session.settings(part.key)) for part in session.parts
    }
    priority = session.reflection("part3", "priority")
    cs2 = 1.0 if third.get("policy") == "single" else run.extra.get("cs", 0.0) ** 2
    policy = second.get("policy", "fixed")
    return {
        "track": track,
        **{part.key: _answers(session, part.key) for part in session.parts},
        "lam_rps": here.lam_rps,
        "W_s": here.W_s,
        "L": here.L,
        "mem_fraction": here.used_bytes / here.room_bytes,
        "batch_policy": policy,
        "batch_size": second.get("B", 1),
        "window_ms": second["window_ms"] if policy == "window" else None,
        "throughput_rps": run.throughput_rps,
        "mean_ms": run.mean_ms,
        "p99_ms": run.p99_ms,
        "replicas": third.get("replicas", third.get("accelerators", third.get("slots", 1))),
        "rho": run.rho,
        "ca2": _CA2.get(third.get("arrivals", "periodic")),
        "cs2": cs2,
        "utilization_target": HOLD,
        "slo_ms": slo_ms(track, "part3"),
        "slo_met": not any(limit.broken for limit in promises["part3"] if limit.key == "slo"),
        "iterations": session.iterations,
        "badge": session.iterations <= FREE_ITERATIONS
        and all(any(tried.passed for tried in session.attempts(p.key)) for p in session.parts),
        "priority": priority.chosen if priority else None,
        "defence_text": session.text,
        "constraint_hit": sorted(
            {limit.key for part in promises.values() for limit in part if limit.broken}
        ),
        "settings": {part.key: dict(session.settings(part.key)) for part in session.parts},
        "sim_seed": SEED,
    }
