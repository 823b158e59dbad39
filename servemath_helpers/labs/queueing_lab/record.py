"""What a run of lab 4 shows at its foot, and what it leaves in the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from servemath_helpers.labs.frame.numbers import ms_text, number_text
from servemath_helpers.labs.frame.session import Session
from servemath_helpers.labs.queueing_lab.mission import gauge, judge
from servemath_helpers.labs.queueing_lab.model import CA2, SEED, measure
from servemath_helpers.labs.queueing_lab.story import HOLD, TRACKS, slo_ms

__all__ = ["FREE_ITERATIONS", "LAB", "RECORD_VERSION", "hud", "outcome"]

LAB: Final = "lab4"
#: Layout of what the ledger keeps of this lab.
RECORD_VERSION: Final = "1.14"
#: Settings that can be put to the test before the badge is lost; nothing else is.
FREE_ITERATIONS: Final = 10


def hud(session: Session) -> Iterator[tuple[str, str]]:
    """Return the footer's fields: nothing of them tells what is still to be predicted."""
    track = session.variant
    L = memory = p99 = rho = kept = "–"
    if session.is_locked("part1"):
        here = gauge(track, session.settings("part1"))
        L, memory = number_text(here.L), f"{here.used_bytes / here.room_bytes:.0%}"
    last = next((key for key in ("part3", "part2") if session.is_locked(key)), None)
    if last:
        settings = session.settings(last)
        run = measure(track, last, settings)
        p99, rho = ms_text(run.p99_ms), number_text(run.rho)
        kept = "BROKEN" if judge(track, last, settings).broken else "KEPT"
    done = sum([session.is_done(part.key) for part in session.parts])
    yield "TRACK", TRACKS[track].label
    yield "L", L
    yield "MEM", memory
    yield "P99", p99
    yield "ρ", rho
    yield "SLO", kept
    yield "ITER", f"{session.iterations}/{FREE_ITERATIONS}"
    yield "MISSIONS", session.missions
    yield "PARTS ✓", f"{done}/{len(session.parts)}"
    yield "LEDGER", "SAVED" if session.saved_at else "NOT SAVED"


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
    """Return what the ledger keeps of a run; infinite times become None when it is written.

    Settings and what follows from them are those that were put to the test, wherever the sliders
    stand since, and None where nothing was.
    """
    track, parts = session.variant, [part.key for part in session.parts]
    tested = session.as_attempted()
    settings = {
        part: dict(tested.settings(part)) if session.attempts(part) else None for part in parts
    }
    priority = session.reflection("part3", "priority")
    hit = {
        limit.key
        for part, tried in settings.items()
        if tried is not None
        for limit in judge(track, part, tried).broken
    }
    return {
        "track": track,
        **{part: _answers(session, part) for part in parts},
        **_law(track, settings["part1"]),
        **_batches(settings["part2"]),
        **_results(track, settings["part3"]),
        "utilization_target": HOLD,
        "slo_ms": slo_ms(track, "part3"),
        "iterations": session.iterations,
        "badge": session.iterations <= FREE_ITERATIONS and all(map(session.is_met, parts)),
        "priority": priority.chosen if priority else None,
        "defence_text": session.text,
        "constraint_hit": sorted(hit),
        "settings": settings,
        "sim_seed": SEED,
    }  # fmt: skip


_Settings = Mapping[str, Any] | None


def _law(track: str, settings: _Settings) -> dict[str, Any]:
    if settings is None:
        return dict.fromkeys(("lam_rps", "W_s", "L", "mem_fraction"))
    here = gauge(track, settings)
    return {
        "lam_rps": here.lam_rps,
        "W_s": here.W_s,
        "L": here.L,
        "mem_fraction": here.used_bytes / here.room_bytes,
    }


def _batches(settings: _Settings) -> dict[str, Any]:
    if settings is None:
        return dict.fromkeys(("batch_policy", "batch_size", "window_ms"))
    policy = settings.get("policy", "fixed")
    return {
        "batch_policy": policy,
        "batch_size": settings.get("B", 1),
        "window_ms": settings["window_ms"] if policy == "window" else None,
    }


def _results(track: str, settings: _Settings) -> dict[str, Any]:
    if settings is None:
        names = ("throughput_rps", "mean_ms", "p99_ms", "replicas", "rho", "ca2", "cs2", "slo_met")
        return dict.fromkeys(names)
    run, seen = measure(track, "part3", settings), judge(track, "part3", settings)
    servers = (settings[name] for name in ("replicas", "accelerators", "slots") if name in settings)
    return {
        "throughput_rps": run.throughput_rps,
        "mean_ms": run.mean_ms,
        "p99_ms": run.p99_ms,
        "replicas": next(servers, 1),
        "rho": run.rho,
        "ca2": CA2.get(settings.get("arrivals", "periodic")),
        "cs2": 1.0 if settings.get("policy") == "single" else run.extra.get("cs", 0.0) ** 2,
        "slo_met": all(limit.key != "slo" for limit in seen.broken),
    }
