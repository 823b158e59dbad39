"""What a run of lab 3 shows at its foot, and what it leaves in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from servemath_helpers import __version__
from servemath_helpers.labs.frame.numbers import duration, number_text
from servemath_helpers.labs.frame.session import Session
from servemath_helpers.labs.kv_wall.mission import (
    chosen_run,
    configuration,
    goals,
    memory_plan,
    workload,
)
from servemath_helpers.labs.kv_wall.model import (
    SEED,
    Configuration,
    Workload,
    goal_states,
    model_of,
)
from servemath_helpers.labs.kv_wall.questions import act1_reality

__all__ = ["LAB", "RECORD_VERSION", "hud", "outcome"]

LAB: Final = "lab3"
#: Layout of what the ledger keeps of this lab.
RECORD_VERSION: Final = "3.11"


def hud(session: Session) -> Iterator[tuple[str, str]]:
    """Return the footer's fields: nothing of them tells what is still to be predicted."""
    kv_user = users = ttft = tok_s = slo = "–"
    if session.is_locked("act1"):
        found = memory_plan(session)
        kv_user = f"{number_text(found.in_units(found.user_bytes))} {found.setup.units}"
        users = str(found.users)
    if session.is_locked("act2"):
        run = chosen_run(session)
        ttft, tok_s = duration(run.ttft_p99_s), number_text(run.tok_s, 4)
        slo = "MISSED" if goal_states(run, goals(session)) else "MET"
    right = {
        part: "".join(["✓" if locked.correct else "✗" for locked in session.predictions(part)])
        for part in ("act1", "act2")
    }
    thoughts = [
        session.reflection(part.key, asked.key)
        for part in session.parts
        for asked in part.reflections
    ]
    yield "LAB", "3"
    yield "CONTEXT", session.variant.upper()
    yield "ACT I", right["act1"] or "–"
    yield "ACT II PRED", right["act2"] or "–"
    yield "TTFT P99 (LAT)", ttft
    yield "TPS (BATCH)", tok_s
    yield "KV/USER", kv_user
    yield "MAX USERS", users
    yield "SLO", slo
    yield "REFLECT", f"{len(thoughts) - thoughts.count(None)}/{len(thoughts)}"
    yield "MISSIONS", session.missions
    yield "ITERATIONS", str(session.iterations)
    yield "LEDGER", "SAVED" if session.saved_at else "NOT SAVED"


def outcome(session: Session) -> dict[str, Any]:
    """Return what the ledger keeps of a run; what the learner has not done yet is None.

    Settings and what follows from them are those that were put to the test, wherever the sliders
    stand since.
    """
    locked2 = {p.question: p for p in session.predictions("act2")}
    lever = session.reflection("act1", "lever")
    reason = session.reflection("act2", "reason")
    record: dict[str, Any] = {
        "context": session.variant,
        **dict.fromkeys(_SAID1 + _TRIED1 + _TRIED2),
        "act1_reflection": lever.chosen if lever else None,
        "act1_reflection_correct": lever.correct if lever else None,
        "act2_prediction": {key: p.chosen for key, p in locked2.items()} or None,
        "act2_prediction_correct": {key: p.correct for key, p in locked2.items()} or None,
        "act2_reflection": reason.chosen if reason else None,
        "act2_reflection_correct": reason.correct if reason else None,
        "iterations": session.iterations,
        "sim_seed": SEED,
        "library_version": __version__,
    }
    if session.is_locked("act1"):
        locked, reality = session.prediction("act1", "users"), act1_reality(session)
        said = (
            *(locked.to_dict()["scenario"], reality.predicted, reality.users, reality.ratio),
            *(locked.correct, reality.mistake, locked.confidence),
        )
        record.update(zip(_SAID1, said, strict=True))
    tested = session.as_attempted()
    if session.attempts("act1"):
        found = memory_plan(tested)
        setup = found.setup
        memory = (
            *(setup.model, setup.n_gpus, setup.units, model_of(setup.model).n_params / 1e9),
            *(setup.seq_tokens, found.user_bytes / 2**30, found.users),
        )
        record.update(zip(_TRIED1, memory, strict=True))
    if session.attempts("act2"):
        run, aims, asked = chosen_run(tested), goals(tested), workload(tested)
        hit, ttft_ms = goal_states(run, aims), _ms(run.ttft_p99_s)
        served = (
            *(_plain(configuration(tested, name), asked) for name in "ab"),
            *(run.configuration.max_batch, _ms(run.ttft_p50_s), ttft_ms, _ms(run.tpot_p99_s)),
            *(run.tok_s, run.goodput_rps(aims), list(hit), not hit),
            *(ttft_ms, run.configuration.mode),
        )
        record.update(zip(_TRIED2, served, strict=True))
    return record


#: What is None before act I's prediction is locked, and before each act's first test.
_SAID1: Final = (
    *("frozen_scenario", "act1_prediction", "act1_reality", "act1_ratio"),
    *("act1_correct", "act1_mistake", "act1_confidence"),
)
_TRIED1: Final = (
    *("model", "n_gpus", "units_convention", "model_params_b"),
    *("context_length", "kv_cache_gib", "max_users"),
)
_TRIED2: Final = (
    *("config_a", "config_b"),
    *("max_batch_size", "ttft_p50_ms", "ttft_p99_ms", "tpot_p99_ms"),
    *("throughput_tok_s", "goodput_rps", "constraint_hit", "slo_met"),
    *("act2_result", "act2_decision"),
)


def _plain(setup: Configuration, asked: Workload) -> dict[str, Any]:
    return {**asdict(setup), "prompt_tokens": asked.prompt_tokens, "lam_rps": asked.lam_rps}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds
