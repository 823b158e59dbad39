"""What a setting of lab 3 is held against: the wall of act I, the goals of act II."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from servemath_helpers.labs.frame.chrome import banner
from servemath_helpers.labs.frame.numbers import duration, number_text
from servemath_helpers.labs.frame.session import Session
from servemath_helpers.labs.kv_wall.model import (
    FEW_USERS,
    Configuration,
    Goals,
    MemoryPlan,
    MemorySetup,
    Run,
    Workload,
    goal_states,
    plan,
    run,
)
from servemath_helpers.labs.kv_wall.story import WORDS, context_of

__all__ = [
    "act1_banner",
    "act2_banners",
    "chosen_run",
    "configuration",
    "goals",
    "memory_plan",
    "verdict",
    "workload",
]


# --- what a session has set ---------------------------------------------------------------------


def memory_plan(session: Session) -> MemoryPlan:
    """Return what follows from the controls of act I."""
    return plan(MemorySetup.of(session.settings("act1")))


def workload(session: Session) -> Workload:
    """Return the workload that the controls of act II set."""
    settings = session.settings("act2")
    return Workload(
        lam_rps=settings["lam_rps"],
        prompt_tokens=settings["prompt_tokens"],
        mean_output=settings["mean_output"],
    )


def configuration(session: Session, which: str) -> Configuration:
    """Return configuration "a" or "b" of act II."""
    settings = session.settings("act2")
    names = Configuration.__dataclass_fields__
    return Configuration(**{name: settings[f"{which}_{name}"] for name in names})


def goals(session: Session) -> Goals:
    """Return what runs of this session are held against."""
    return context_of(session.variant).goals


def chosen_run(session: Session) -> Run:
    """Return the run of the configuration that the learner calls their design."""
    return run(workload(session), configuration(session, session.settings("act2")["design"]))


# --- banners and verdict ------------------------------------------------------------------------


def _banner(kind: str, path: str, values: Mapping[str, Any], title: str = "title") -> str:
    said = WORDS.say(f"{path}.{title}", **values), WORDS.say(f"{path}.text", **values)
    return banner(kind, *said)


def act1_banner(found: MemoryPlan) -> str:
    """Return the banner of the first simulator.

    >>> from servemath_helpers.labs.kv_wall.model import MemorySetup, plan
    >>> "Viable: 371 users." in act1_banner(plan(MemorySetup()))
    True
    """
    setup = found.setup
    values = {
        "users": found.users,
        "few": FEW_USERS,
        "n_gpus": setup.n_gpus,
        "min_gpus": found.min_gpus,
        "units": setup.units,
        "weights": found.in_units(found.weight_bytes),
        "pool": found.in_units(found.pool_bytes),
    }
    one = found.state == "few" and found.users == 1
    kind = "ok" if found.state == "viable" else "fail"
    return _banner(kind, f"act1_banners.{found.state}", values, "one" if one else "title")


def act2_banners(outcome: Run, aims: Goals) -> str:
    """Return a banner for each goal that a run missed, or one that says that all are met.

    >>> from servemath_helpers.labs.kv_wall.model import Configuration, Goals, Workload, run
    >>> peak = Workload(lam_rps=16, prompt_tokens=512, mean_output=256)
    >>> said = act2_banners(run(peak, Configuration(max_batch=8)), Goals(ttft_slo_s=0.2))
    >>> "Unstable queue." in said, "TTFT bound missed." in said, "All goals met." in said
    (True, True, False)
    """
    setup, rejected = outcome.configuration, outcome.rejected
    more = "act2_banners.kv_full.rejected"
    values = {
        "n_gpus": setup.n_gpus,
        "kv_tokens": float(setup.kv_tokens),
        "rejected": WORDS.say(more, rejected=rejected) if rejected else ".",
        "pile_up": number_text(100 * outcome.pile_up, 2),
        "ttft_p99_s": outcome.ttft_p99_s,
        "ttft_slo_s": aims.ttft_slo_s,
        "tpot_p99_s": outcome.tpot_p99_s,
        "tpot_slo_s": aims.tpot_slo_s,
        "reached_tok_s": outcome.tok_s,
        "least_tok_s": aims.least_tok_s(outcome.workload),
    }
    missed = [("fail", state) for state in goal_states(outcome, aims)] or [("ok", "met")]
    return "".join([_banner(kind, f"act2_banners.{key}", values) for kind, key in missed])


def verdict(session: Session, part: str) -> tuple[bool, dict[str, Any]]:
    """Return whether the setting would do, and what to remember of it."""
    if part == "act1":
        found = memory_plan(session)
        setup = found.setup
        return found.state == "viable", {
            "GPUs": setup.n_gpus,
            "context": setup.seq_tokens,
            "weight bits": setup.bits,
            "KV bits": setup.kv_bits,
            "users": found.users,
        }
    tried = chosen_run(session)
    return not goal_states(tried, goals(session)), {
        "design": session.settings(part)["design"].upper(),
        "batching": tried.configuration.mode,
        "largest batch": tried.configuration.max_batch,
        "λ [1/s]": number_text(tried.workload.lam_rps),
        "TTFT P99": duration(tried.ttft_p99_s),
        "TPOT P99": duration(tried.tpot_p99_s),
        "tok/s": number_text(tried.tok_s, 4),
    }
