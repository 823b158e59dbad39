"""What lab 3 asks: every option claims what one idea gives, and the model finds the right one.

Texts stand in ``lab.toml``; the numbers in them, and what is true, are computed here for the
frozen scenario.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import product
from types import MappingProxyType
from typing import Any, Final

from servemath_helpers import slots
from servemath_helpers.labs.frame.lock import Question
from servemath_helpers.labs.frame.session import Part, Session
from servemath_helpers.labs.kv_wall.model import (
    GPU,
    MODEL,
    Configuration,
    MemorySetup,
    Run,
    Workload,
    decode_step,
    gpu_of,
    model_of,
    plan,
    prefill_s,
    run,
    users_if,
)
from servemath_helpers.labs.kv_wall.story import CONTEXTS, WORDS, Context, context_of, controls
from servemath_helpers.sim import Requests

__all__ = [
    "IDEAS",
    "LARGE_BATCH",
    "SMALL_BATCH",
    "Act1Reality",
    "act1_reality",
    "act2_reality",
    "parts",
]

SMALL_BATCH: Final = 8
LARGE_BATCH: Final = 64
#: Arrivals per second that keep the queue full.
_FLOOD_RPS: Final = 50.0
_NEAR_BEST: Final = 0.9

#: Key of each idea about a token's bytes, and those bytes.
IDEAS: Final[Mapping[str, Callable[[MemorySetup], float]]] = MappingProxyType(
    {
        "query_heads": lambda setup: model_of(setup.model).as_mha().kv_bytes_per_token(),
        "fp32": lambda setup: 2 * setup.k,
        "right": lambda setup: setup.k,
        "keys_only": lambda setup: setup.k / 2,
    }
)


def _only(found: Iterable[str], what: str) -> str:
    """Return the one that was found; a question needs exactly one right answer."""
    found = list(found)
    if len(found) != 1:
        raise ValueError(f"{what} must hold of exactly one, got {found!r}")
    return found[0]


# --- act I -----------------------------------------------------------------------------------


def _users_question(context: Context, setup: MemorySetup) -> Question:
    """Ask how many users of a setup fit; each option makes one mistake."""
    found, model = plan(setup), model_of(setup.model)
    return WORDS.ask(
        "questions.users",
        found.users,
        {idea: users_if(setup, k(setup)) for idea, k in IDEAS.items()},
        **asdict(setup),
        users_word=context.users_word,
        card=found.in_units(setup.gpu_bytes),
        whole=found.in_units(setup.n_gpus * setup.gpu_bytes),
        weights=found.in_units(found.weight_bytes),
        users=found.users,
        each=found.in_units(found.user_bytes),
        n_heads=model.n_heads,
        n_kv_heads=model.n_kv_heads,
        once_bytes=setup.kv_bits // 8,
        twice_bytes=2 * (setup.kv_bits // 8),
        token_kib=setup.k / 2**10,
    )


def _lever_question() -> Question:
    """Ask which factor is the operator's.

    What belongs to a request is a field of the simulator's Requests; what belongs to the model
    is a field of the facts' Model. The key is looked up there.
    """
    fields = {
        "tokens_in_flight": "prompt_tokens",
        "compute": "n_params",
        "width": "head_dim",
        "heads": "n_kv_heads",
    }
    per_request = [field for field in fields.values() if field in Requests.__dataclass_fields__]
    return WORDS.ask("questions.lever", _only(per_request, "per request"), fields)


@dataclass(frozen=True)
class Act1Reality:
    """What was said and what fits, the mistaken idea if there was one, what to learn from it."""

    predicted: int
    users: int
    mistake: str | None
    text: str

    @property
    def ratio(self) -> float:
        """Predicted over real."""
        return self.predicted / self.users


def act1_reality(session: Session) -> Act1Reality:
    """Return act I's prediction against its frozen scenario, whatever the controls say.

    LabError before act I is locked.
    """
    locked = session.prediction("act1", "users")
    setup = MemorySetup.of(locked.scenario)
    assumed, real = IDEAS[locked.chosen](setup), IDEAS["right"](setup)
    text = WORDS.say("reality.assumed", assumed_kib=assumed / 2**10, real_kib=real / 2**10)
    mistake = None if locked.correct else locked.chosen
    return Act1Reality(users_if(setup, assumed), plan(setup).users, mistake, text)


# --- act II ----------------------------------------------------------------------------------


def _pair(asked: Workload) -> tuple[Run, Run]:
    """Return the runs with the small and with the large batch."""
    small, large = (run(asked, Configuration(max_batch=b)) for b in (SMALL_BATCH, LARGE_BATCH))
    return small, large


def _modes(asked: Workload) -> tuple[Run, Run]:
    """Return the runs with static and with continuous batching."""
    static, continuous = (
        run(asked, Configuration(mode=mode, max_batch=LARGE_BATCH))
        for mode in ("static", "continuous")
    )
    return static, continuous


def _small_batch_question(context: Context) -> Question:
    """Ask what cutting the batch does to the time to first token."""
    asked = context.workload
    small, large = _pair(asked)
    n = small.configuration.n_gpus
    alone_s = prefill_s(asked.prompt_tokens, n)
    step_s = decode_step(SMALL_BATCH, asked.context_tokens, n)["step_s"]
    return WORDS.ask(
        "questions.small_batch",
        small.ttft_p99_s,
        {
            "prefill": alone_s,
            "same": large.ttft_p99_s,
            "one_answer": alone_s + asked.mean_output * step_s,
            "queue": small.ttft_p99_s,
        },
        lambda claim: {"claim_s": claim},
        **asdict(asked),
        before_s=large.ttft_p99_s,
        small=SMALL_BATCH,
        large=LARGE_BATCH,
        growing=f" {WORDS.say('questions.small_batch.growing')}" if small.unstable else "",
        small_tok_s=small.tok_s,
        offered_tok_s=asked.offered_tok_s,
    )


def _static_question(context: Context) -> Question:
    """Ask what continuous batching gains where prompts are long."""
    asked = context.workload
    chat = replace(CONTEXTS["latency"].workload, lam_rps=_FLOOD_RPS)
    right, short = (
        continuous.tok_s / static.tok_s for static, continuous in map(_modes, (asked, chat))
    )
    slots_only = slots.harmonic(LARGE_BATCH)
    return WORDS.ask(
        "questions.continuous_gain",
        right,
        {"same": 1.0, "long_prompts": right, "short_prompts": short, "slots_only": slots_only},
        lambda claim: {"claim_times": claim},
        prompt_tokens=asked.prompt_tokens,
        mean_output=asked.mean_output,
        slots=LARGE_BATCH,
        slots_only_times=slots_only,
        short_tokens=chat.prompt_tokens,
    )


def _worse_question(context: Context) -> Question:
    """Ask which measure a larger batch makes worse."""
    asked = context.workload
    small, large = _pair(asked)
    pairs = {
        "ttft_s": (small.ttft_p99_s or 0.0, large.ttft_p99_s or 0.0),
        "tpot_s": (small.tpot_p99_s or 0.0, large.tpot_p99_s or 0.0),
        "queue_s": (small.queue_p99_s or 0.0, large.queue_p99_s or 0.0),
        "tok_s": (small.tok_s, large.tok_s),
    }
    claims = {"ttft": "ttft_s", "tpot": "tpot_s", "queue": "queue_s", "tok_s": "tok_s"}
    # More tokens are better, more seconds are worse.
    worse = [name for name, (x, y) in pairs.items() if (y < x) == (name == "tok_s")]
    return WORDS.ask(
        "questions.gets_worse",
        _only(worse, "getting worse"),
        claims,
        lam_rps=asked.lam_rps,
        small=SMALL_BATCH,
        large=LARGE_BATCH,
        **{f"before_{name}": before for name, (before, _) in pairs.items()},
        **{f"after_{name}": after for name, (_, after) in pairs.items()},
    )


@dataclass(frozen=True)
class _Search:
    """What a grid search over configurations found."""

    in_time: frozenset[Configuration]
    near_best: frozenset[Configuration]
    best_tok_s: float

    @property
    def verdict(self) -> str:
        if not self.in_time:
            return "only_throughput"
        return "one" if self.in_time & self.near_best else "two"


_GRID: Final = tuple(
    Configuration(mode=mode, max_batch=batch)
    for mode, batch in product(("static", "continuous", "chunked"), (8, 32, 128))
)


def _search(timed: Workload, slo_s: float) -> _Search:
    """Try every configuration of a grid on a timed and on a saturated workload."""
    flood = replace(timed, lam_rps=_FLOOD_RPS)
    first_s = {each: run(timed, each).ttft_p99_s for each in _GRID}
    rates = {each: run(flood, each).tok_s for each in _GRID}
    best = max(rates.values())
    return _Search(
        frozenset(each for each, ttft_s in first_s.items() if ttft_s and ttft_s <= slo_s),
        frozenset(each for each, rate in rates.items() if rate >= _NEAR_BEST * best),
        best,
    )


def _same_configuration_question(context: Context) -> Question:
    """Ask whether one configuration serves both goals; the key is what the grid search finds."""
    # Gentle where prompts are long, so that the first token's bound is not lost to the queue.
    lam = context.workload.lam_rps if context.key == "latency" else 0.5
    timed = replace(context.workload, lam_rps=lam, n_requests=600)
    slo_s = CONTEXTS["latency"].goals.ttft_slo_s or 0.0
    found = _search(timed, slo_s)
    return WORDS.ask(
        "questions.same_configuration",
        found.verdict,
        prompt_tokens=timed.prompt_tokens,
        slo_s=slo_s,
        lam_rps=lam,
        near_share=_NEAR_BEST,
        loss_share=1 - _NEAR_BEST,
        best_tok_s=found.best_tok_s,
        alone_s=prefill_s(timed.prompt_tokens, _GRID[0].n_gpus),
        tried=len(_GRID),
        in_time=len(found.in_time),
        both=len(found.in_time & found.near_best),
    )


def _reason_question(context: Context) -> Question:
    """Ask why continuous batching gave more: of what each option claims, one cost fell."""
    static, continuous = _modes(context.workload)
    before, after = (each.slot_efficiency or 0.0 for each in (static, continuous))
    costs = {
        "slots": (1 - before, 1 - after),
        "steps": (static.tpot_p99_s or 0.0, continuous.tpot_p99_s or 0.0),
        "arithmetic": (_flops_per_token(static), _flops_per_token(continuous)),
        "cache": (static.configuration.k, continuous.configuration.k),
    }
    better = [key for key, (first, then) in costs.items() if then < 0.99 * first]
    return WORDS.ask(
        "questions.reason",
        _only(better, "getting better"),
        before_tok_s=static.tok_s,
        after_tok_s=continuous.tok_s,
        before_share=before,
        after_share=after,
        before_s=static.tpot_p99_s,
        after_s=continuous.tpot_p99_s,
        token_kib=static.configuration.k / 2**10,
    )


def _flops_per_token(done: Run) -> float:
    """Return the arithmetic of a run per output token."""
    assert done.result is not None and done.mfu is not None
    span_s = done.result.window_end_s - done.result.window_start_s
    peak = done.configuration.n_gpus * gpu_of().bf16_dense_flops
    return done.mfu * span_s * peak / int(done.result.requests.output_tokens.sum())


def act2_reality(session: Session) -> tuple[tuple[str, Run], ...]:
    """Return what act II's frozen scenario gives: names and runs.

    LabError before act II is locked.
    """
    locked = session.prediction("act2", session.part("act2").questions[0].key)
    asked = Workload(**locked.scenario["workload"])
    small, large = locked.scenario["batches"]
    tried = (
        Configuration(mode="static", max_batch=large),
        Configuration(max_batch=small),
        Configuration(max_batch=large),
    )
    return tuple((f"{each.mode}, at most {each.max_batch}", run(asked, each)) for each in tried)


# --- parts -----------------------------------------------------------------------------------


@cache
def parts(context: str) -> tuple[Part, ...]:
    """Return the two acts of a context; ValueError if there is no such context.

    >>> [asked.key for part in parts("latency") for asked in part.questions]
    ['users', 'small_batch', 'gets_worse', 'same_configuration']
    """
    story = context_of(context)
    first = _small_batch_question if context == "latency" else _static_question
    act1 = Part(
        "act1",
        WORDS.say("parts.act1"),
        (_users_question(story, story.setup),),
        story.setup,
        controls(story, "act1"),
        (_lever_question(),),
    )
    scenario: dict[str, Any] = {
        "workload": story.workload,
        "goals": asdict(story.goals),
        "batches": (SMALL_BATCH, LARGE_BATCH),
        "model": MODEL,
        "gpu": GPU,
    }
    act2 = Part(
        "act2",
        WORDS.say("parts.act2"),
        (first(story), _worse_question(story), _same_configuration_question(story)),
        scenario,
        controls(story, "act2"),
        (_reason_question(story),),
    )
    return act1, act2
