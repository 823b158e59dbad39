"""What a run of lab 4 shows at its foot, and what it leaves in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from servemath_helpers.labs.frame.numbers import ms_text, number_text
from servemath_helpers.labs.frame.session import Session
from servemath_helpers.labs.queueing_lab.mission import gauge, judge
from servemath_helpers.labs.queueing_lab.model import CA2, SEED, measure
from servemath_helpers.labs.queueing_lab.story import HOLD, TRACKS, slo_ms

__all__ = ["FREE_ITERATIONS", "LAB", "RECORD_VERSION", "hud", "outcome"]

LAB: Final = "lab4"
#: Layout of what the ledger keeps of this lab.
RECORD_VERSION: Final = "1.13"
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
    """Return what the ledger keeps of a run; infinite times become None when it is written."""
    track, parts = session.variant, [part.key for part in session.parts]
    first, second, third = (dict(session.settings(part)) for part in parts)
    here, run = gauge(track, first), measure(track, "part3", third)
    seen = {part: judge(track, part, session.settings(part)) for part in parts}
    priority = session.reflection("part3", "priority")
    policy = second.get("policy", "fixed")
    passed = [any(tried.passed for tried in session.attempts(part)) for part in parts]
    return {
        "track": track,
        **{part: _answers(session, part) for part in parts},
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
        "ca2": CA2.get(third.get("arrivals", "periodic")),
        "cs2": 1.0 if third.get("policy") == "single" else run.extra.get("cs", 0.0) ** 2,
        "utilization_target": HOLD,
        "slo_ms": slo_ms(track, "part3"),
        "slo_met": all(limit.key != "slo" for limit in seen["part3"].broken),
        "iterations": session.iterations,
        "badge": session.iterations <= FREE_ITERATIONS and all(passed),
        "priority": priority.chosen if priority else None,
        "defence_text": session.text,
        "constraint_hit": sorted({limit.key for part in seen.values() for limit in part.broken}),
        "settings": {"part1": first, "part2": second, "part3": third},
        "sim_seed": SEED,
    }
