"""What a setting of lab 3 is held against: the wall of act I, the goals of act II."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from servemath_helpers.labs.frame.chrome import banner
from servemath_helpers.labs.frame.numbers import duration, number_text
from servemath_helpers.labs.frame.session import Session
from servemath_helpers.labs.kv_wall.model import (
    FEW_USERS,
    MODEL,
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
from servemath_helpers.quantities import exact

__all__ = [
    "Want",
    "act1_banner",
    "act2_banners",
    "chosen_run",
    "configuration",
    "goals",
    "memory_plan",
    "promises",
    "side_banners",
    "verdict",
    "wants",
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


# --- what the mission asks ------------------------------------------------------------------------


@dataclass(frozen=True)
class Want:
    """One thing that a mission asks of the settings, in words, and whether they have it."""

    text: str
    met: bool


def wants(session: Session, part: str, which: str | None = None) -> tuple[Want, ...]:
    """Return what the mission of a part asks of the settings, whatever comes of them.

    In act II of design `which`, the one that the learner calls theirs if not given.
    """
    context, settings = context_of(session.variant), session.settings(part)
    if part == "act1":
        asked: Mapping[str, Any] = {**context.mission1, "model": MODEL}
        mine: Mapping[str, Any] = settings
    else:
        load = {name: getattr(context.workload, name) for name in ("prompt_tokens", "mean_output")}
        asked = {**context.mission2, **load, "alpha": Configuration().alpha}
        mine = {**settings, **vars(configuration(session, which or settings["design"]))}
    return tuple(_want(key, value, mine[key]) for key, value in asked.items() if key in mine)


def _want(key: str, asked: Any, has: Any) -> Want:
    if key == "model":
        met = has == asked
    elif key == "reserve":
        asked, has = exact(asked), exact(has)
        met = has >= asked
    else:
        met = has <= asked if key in ("n_gpus", "alpha") else has >= asked
    return Want(
        WORDS.say(f"mission.{key}", **{key: float(asked) if key == "reserve" else asked}), met
    )


def promises(session: Session, part: str) -> str:
    """Return what must come of the settings for the mission, in words."""
    context, aims = context_of(session.variant), goals(session)
    if part == "act1":
        users = context.mission1["users"]
        return WORDS.say("mission.users", users=users, users_word=context.users_word)
    if aims.target_tok_s is not None:
        return WORDS.say("mission.volume", least_tok_s=aims.target_tok_s)
    return WORDS.say("mission.bounds", ttft_slo_s=aims.ttft_slo_s, tpot_slo_s=aims.tpot_slo_s)


def _unmet(session: Session, part: str, which: str | None = None) -> list[str]:
    missing = [want.text for want in wants(session, part, which) if not want.met]
    least = context_of(session.variant).mission1["users"]
    if part == "act1" and memory_plan(session).users < least:
        missing.insert(0, promises(session, part))
    return missing


# --- banners and verdict ------------------------------------------------------------------------


def _banner(kind: str, path: str, values: Mapping[str, Any], title: str = "title") -> str:
    said = WORDS.say(f"{path}.{title}", **values), WORDS.say(f"{path}.text", **values)
    return banner(kind, *said)


def _standing(missing: Sequence[str]) -> str:
    """Return the banner of settings in which nothing fails: what the mission still lacks."""
    if not missing:
        return banner("ok", WORDS.say("mission.met"))
    lacks = WORDS.say("mission.also_text", wanted="; ".join(missing))
    return banner("info", WORDS.say("mission.also"), lacks)


def act1_banner(session: Session) -> str:
    """Return the banners of the first simulator."""
    found = memory_plan(session)
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
    kind = "info" if found.state == "viable" else "fail"
    said = _banner(kind, f"act1_banners.{found.state}", values, "one" if one else "title")
    return said + _standing(_unmet(session, "act1")) * (kind == "info")


def act2_banners(outcome: Run, aims: Goals, missing: Sequence[str] = ()) -> str:
    """Return a banner for each goal that a run missed, or two that say how the mission stands.

    >>> from servemath_helpers.labs.kv_wall.model import Configuration, Goals, Workload, run
    >>> busy = Workload(lam_rps=20, prompt_tokens=256, mean_output=256)
    >>> said = act2_banners(run(busy, Configuration(max_batch=8)), Goals(ttft_slo_s=0.2))
    >>> "Unstable queue." in said, "TTFT bound missed." in said, "Every bound kept." in said
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
    missed = goal_states(outcome, aims)
    if missed:
        return "".join([_banner("fail", f"act2_banners.{key}", values) for key in missed])
    return _banner("info", "act2_banners.met", values) + _standing(missing)


def side_banners(session: Session, which: str, outcome: Run) -> str:
    """Return the banners of design "a" or "b" of act II."""
    return act2_banners(outcome, goals(session), _unmet(session, "act2", which))


def verdict(session: Session, part: str) -> tuple[bool, dict[str, Any]]:
    """Return whether the mission is met, and what to remember of the setting."""
    missing = _unmet(session, part)
    lacks = {"missing": "; ".join(missing) or "–"}
    if part == "act1":
        found = memory_plan(session)
        setup = found.setup
        return found.state == "viable" and not missing, {
            "GPUs": setup.n_gpus,
            "context": setup.seq_tokens,
            "weight bits": setup.bits,
            "KV bits": setup.kv_bits,
            "users": found.users,
            **lacks,
        }
    tried = chosen_run(session)
    return not goal_states(tried, goals(session)) and not missing, {
        "design": session.settings(part)["design"].upper(),
        "batching": tried.configuration.mode,
        "largest batch": tried.configuration.max_batch,
        "λ [1/s]": number_text(tried.workload.lam_rps),
        "TTFT P99": duration(tried.ttft_p99_s),
        "TPOT P99": duration(tried.tpot_p99_s),
        "tok/s": number_text(tried.tok_s, 4),
        **lacks,
    }
