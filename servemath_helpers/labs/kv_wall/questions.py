"""The questions of lab 3: every option computed, every key found by the model.

An option holds the number that one idea gives; `lock.question` finds the right one by
comparing with what the simulator or the memory model gives for the frozen scenario.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from servemath_helpers import memory, roofline, slots
from servemath_helpers.labs.frame.lock import Option, Question, question
from servemath_helpers.labs.frame.svg import number_text
from servemath_helpers.labs.kv_wall import memory as room
from servemath_helpers.labs.kv_wall import serving
from servemath_helpers.labs.kv_wall.memory import MemorySetup, model_of
from servemath_helpers.labs.kv_wall.serving import Configuration, Run, Workload
from servemath_helpers.labs.kv_wall.story import CONTEXTS, Context, duration, rate, share, times
from servemath_helpers.sim import Requests

__all__ = [
    "IDEAS",
    "LARGE_BATCH",
    "SMALL_BATCH",
    "act1_questions",
    "act1_reflections",
    "act2_questions",
    "act2_reflections",
    "users_if",
]

SMALL_BATCH: Final = 8
LARGE_BATCH: Final = 64
_GRID_REQUESTS: Final = 600
_NEAR_BEST: Final = 0.9

# --- act I: questions --------------------------------------------------------------------------


def users_if(setup: MemorySetup, k: float) -> int:
    """Return how many users would fit if a token took k bytes.

    Parameters
    ----------
    setup : MemorySetup
        Model, cards and context.
    k : float
        Bytes of a token's keys and values, right or mistaken.

    Returns
    -------
    int
        Whole users.

    Examples
    --------
    >>> users_if(MemorySetup(), 327_680), users_if(MemorySetup(), 2 * 327_680)
    (371, 185)
    """
    return memory.max_users(
        setup.n_gpus, setup.gpu_bytes, setup.weight_bytes, k, setup.seq_tokens, setup.reserve
    )


#: Key of each idea about a token's bytes, and those bytes.
IDEAS: Final[Mapping[str, Callable[[MemorySetup], float]]] = MappingProxyType(
    {
        "query_heads": lambda setup: model_of(setup.model).as_mha().kv_bytes_per_token(),
        "fp32": lambda setup: 2 * setup.k,
        "right": lambda setup: setup.k,
        "keys_only": lambda setup: setup.k / 2,
    }
)


def idea_text(idea: str, setup: MemorySetup) -> str:
    model = model_of(setup.model)
    bytes_each = setup.kv_bits // 8
    k = IDEAS[idea](setup)
    return {
        "query_heads": f"This counts all {model.n_heads} query heads. The cache keeps one key and "
        f"one value for each of the {model.n_kv_heads} KV heads: queries are never stored.",
        "fp32": f"This takes {2 * bytes_each} bytes for a cached number. The cache is kept in the "
        f"precision of the model, {bytes_each} bytes.",
        "right": f"A token takes {number_text(k / 2**10)} KiB, and the pool divided by that and by "
        f"{setup.seq_tokens} tokens, rounded down, is what fits.",
        "keys_only": "This stores keys or values. Attention needs both of every past token, which "
        "is the factor two in the formula.",
    }[idea]


def act1_questions(context: Context, setup: MemorySetup) -> tuple[Question, ...]:
    """Return act I's question: how many users of this setup fit.

    Parameters
    ----------
    context : Context
        The story.
    setup : MemorySetup
        The frozen scenario.

    Returns
    -------
    tuple of Question
        One, its options computed by one mistake each.

    Examples
    --------
    >>> from servemath_helpers.labs.kv_wall.story import context_of
    >>> (asked,) = act1_questions(context_of("latency"), MemorySetup())
    >>> asked.right.label
    '371 users'
    """
    options = []
    for idea, k in IDEAS.items():
        users = users_if(setup, k(setup))
        text = idea_text(idea, setup)
        options.append(Option(idea, f"{users} {context.users_word}", users, text))
    found = room.plan(setup)
    why = (
        f"{setup.n_gpus} cards hold {number_text(found.in_units(setup.n_gpus * setup.gpu_bytes))} "
        f"{setup.units}, the weights take {number_text(found.in_units(found.weight_bytes))}, and "
        f"each of {found.users} {context.users_word} takes "
        f"{number_text(found.in_units(found.user_bytes))}."
    )
    card = f"{number_text(found.in_units(setup.gpu_bytes))} {setup.units}"
    prompt = (
        f"Llama-3-70B in {setup.bits} bits on {setup.n_gpus} H100 of {card}, nothing reserved, "
        f"{setup.seq_tokens} tokens each with a cache of {setup.kv_bits} bits. How many "
        f"{context.users_word} fit?"
    )
    return (question("users", prompt, options, found.users, why),)


def act1_reflections() -> tuple[Question, ...]:
    """Return act I's reflection: which factor is the operator's.

    Returns
    -------
    tuple of Question
        One.

    Examples
    --------
    >>> [asked.key for asked in act1_reflections()]
    ['lever']
    """
    # What belongs to a request is a field of the simulator's Requests; what belongs to the
    # model is a field of the facts' Model. The key is looked up there.
    ideas = (
        (
            "tokens_in_flight",
            "The tokens in flight: context length times users, S·B",
            "prompt_tokens",
            "Admission, truncation and the batch limit act on it, request by request.",
        ),
        (
            "compute",
            "The arithmetic per token, 2N FLOP",
            "n_params",
            "That follows from the parameters, which are fixed once the model is deployed.",
        ),
        (
            "width",
            "The width of a head, so that the cache is compressed",
            "head_dim",
            "A narrower head is another model. Compression by precision is set at start-up too.",
        ),
        (
            "heads",
            "The number of heads that are cached",
            "n_kv_heads",
            "Grouped queries were decided when the model was trained.",
        ),
    )
    options = [Option(key, label, field, feedback) for key, label, field, feedback in ideas]
    per_request = [o.value for o in options if o.value in Requests.__dataclass_fields__]
    prompt = "KV bytes are a product. Which factor can the operator change from request to request?"
    why = "Everything else in 2·L·H_kv·D·b is a constant of the deployed model."
    return (question("lever", prompt, options, _only(per_request, "per request"), why),)


# --- act II: questions -------------------------------------------------------------------------


def _only(found: list[str], what: str) -> str:
    """Return the one that was found; a question needs exactly one right answer."""
    if len(found) != 1:
        raise ValueError(f"{what} must hold of exactly one, got {found!r}")
    return found[0]


def _small_batch_question(context: Context) -> Question:
    """Ask what cutting the batch does to the time to first token."""
    asked, model, gpu = context.workload, model_of(serving.MODEL), room.gpu_of()
    small = serving.run(asked, Configuration(max_batch=SMALL_BATCH))
    large = serving.run(asked, Configuration(max_batch=LARGE_BATCH))
    n = small.configuration.n_gpus
    prefill_s = serving.prefill_s(asked.prompt_tokens, n)
    step = roofline.decode_step_s(
        SMALL_BATCH,
        asked.prompt_tokens + asked.mean_output // 2,
        model.n_params,
        model.weight_bytes(),
        model.kv_bytes_per_token(),
        n,
        gpu.bandwidth_Bps,
        gpu.bf16_dense_flops,
    )
    one_answer_s = prefill_s + asked.mean_output * step["step_s"]
    before, after = large.ttft_p99_s, small.ttft_p99_s
    growing = " and growing for as long as the peak lasts" if small.unstable else ""
    options = (
        Option(
            "prefill",
            f"about {duration(prefill_s)}: hardly anybody shares the node any more",
            prefill_s,
            "That is the prefill alone. It forgets where the others went: into the queue.",
        ),
        Option(
            "same",
            f"unchanged, {duration(before)}: the limit on the batch is about decoding only",
            before,
            "A request gets its first token only after it has got a slot, and slots became scarce.",
        ),
        Option(
            "one_answer",
            f"about {duration(one_answer_s)}: one waits until somebody's answer is done",
            one_answer_s,
            "True for the first in the queue. But more come than leave, so that the queue before "
            "each newcomer is longer than before the last.",
        ),
        Option(
            "queue",
            f"{duration(after)}{growing}",
            after,
            f"At most {SMALL_BATCH} sequences give {rate(small.tok_s)} tok/s, and "
            f"{rate(asked.offered_tok_s)} are asked for: the queue finds no balance.",
        ),
    )
    prompt = (
        f"λ = {asked.lam_rps:g}/s, prompts of {asked.prompt_tokens} tokens, {asked.mean_output} "
        f"tokens out on average, P99 TTFT {duration(before)} with continuous batching and at most "
        f"{LARGE_BATCH} sequences. To protect latency a colleague cuts the limit to "
        f"{SMALL_BATCH}. Over the next {asked.n_requests} requests P99 TTFT becomes …"
    )
    why = "With arrivals, throughput is what keeps the queue short."
    return question("small_batch", prompt, options, after, why)


def _speedup(workload: Workload) -> float:
    runs = [
        serving.run(workload, Configuration(mode=mode, max_batch=LARGE_BATCH))
        for mode in ("static", "continuous")
    ]
    return runs[1].tok_s / runs[0].tok_s


def _static_question(context: Context) -> Question:
    """Ask what continuous batching gains where prompts are long."""
    asked = context.workload
    chat = replace(CONTEXTS["latency"].workload, lam_rps=50.0)
    right, short = _speedup(asked), _speedup(chat)
    slots_only = slots.harmonic(LARGE_BATCH)
    options = (
        Option(
            "same",
            f"{times(1.0)}: the work is the same, only its order changes",
            1.0,
            "A static batch waits for its longest answer with most of its slots empty; each of its "
            "steps reads all weights for the few that are left.",
        ),
        Option(
            "long_prompts",
            f"{times(right)}: decoding gains, prefill does not",
            right,
            "Prefill is bound by arithmetic and costs the same in any order.",
        ),
        Option(
            "short_prompts",
            f"{times(short)}: decoding takes nearly all of the time",
            short,
            f"That is the gain with prompts of {chat.prompt_tokens} tokens. With "
            f"{asked.prompt_tokens} tokens prefill has a larger share of the time, and prefill "
            "gains nothing.",
        ),
        Option(
            "slots_only",
            f"{times(slots_only)}: the slots that were empty are full",
            slots_only,
            f"H_{LARGE_BATCH} counts decode steps only. Full steps take longer than empty ones, "
            "and prefill takes its time in both.",
        ),
    )
    prompt = (
        f"A full job queue, prompts of {asked.prompt_tokens} tokens, {asked.mean_output} tokens "
        f"out on average, {LARGE_BATCH} slots. You replace static by continuous batching. Tokens "
        "per second grow by the factor …"
    )
    why = (
        f"The bound from slots, {times(slots_only)}, holds for decode steps; the run has prefill "
        "beside them."
    )
    return question("continuous_gain", prompt, options, right, why)


#: Name of each measure, how to read it, and whether more of it is better.
_MEASURES: Final[tuple[tuple[str, str, Callable[[Run], float], bool], ...]] = (
    ("ttft", "time to first token, P99", lambda run: run.ttft_p99_s or 0.0, False),
    ("tpot", "time per output token, P99", lambda run: run.tpot_p99_s or 0.0, False),
    ("tok_s", "number of output tokens per second", lambda run: run.tok_s, True),
    ("queue", "wait in the queue, P99", lambda run: run.queue_p99_s or 0.0, False),
)


def _worse_question(context: Context) -> Question:
    """Ask which measure a larger batch makes worse."""
    asked = context.workload
    small, large = (
        serving.run(asked, Configuration(max_batch=b)) for b in (SMALL_BATCH, LARGE_BATCH)
    )
    options, worse = [], []
    for key, label, read, more_is_better in _MEASURES:
        before, after = read(small), read(large)
        if (after < before) == more_is_better:
            worse.append(key)
        written = rate if key == "tok_s" else duration
        feedback = f"The {label} goes from {written(before)} to {written(after)}."
        options.append(Option(key, label[0].upper() + label[1:], key, feedback))
    prompt = (
        f"Same load, λ = {asked.lam_rps:g}/s. The limit goes up again, from {SMALL_BATCH} to "
        f"{LARGE_BATCH}. Which of these numbers gets worse?"
    )
    why = "Whoever shares a step with more others waits longer for each token."
    return question("gets_worse", prompt, options, _only(worse, "getting worse"), why)


def _grid() -> tuple[Configuration, ...]:
    return tuple(
        Configuration(mode=mode, max_batch=batch)
        for mode in ("static", "continuous", "chunked")
        for batch in (8, 32, 128)
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


def _search(context: Context) -> _Search:
    """Try every configuration of a grid on a timed and on a saturated workload."""
    slo = CONTEXTS["latency"].goals
    timed = _timed(context)
    flood = replace(timed, lam_rps=50.0)
    in_time, rates = [], {}
    for each in _grid():
        reached = serving.run(timed, each).ttft_p99_s
        if reached is not None and slo.ttft_slo_s is not None and reached <= slo.ttft_slo_s:
            in_time.append(each)
        rates[each] = serving.run(flood, each).tok_s
    best = max(rates.values())
    near = [each for each, rate in rates.items() if rate >= _NEAR_BEST * best]
    return _Search(frozenset(in_time), frozenset(near), best)


def _timed(context: Context) -> Workload:
    """Return the workload whose first token is timed, gentle where prompts are long."""
    lam = context.workload.lam_rps if context.key == "latency" else 0.5
    return replace(context.workload, lam_rps=lam, n_requests=_GRID_REQUESTS)


def _same_configuration_question(context: Context) -> Question:
    """Ask whether one configuration serves both goals; the key is what the grid search finds."""
    found, timed = _search(context), _timed(context)
    slo = duration(CONTEXTS["latency"].goals.ttft_slo_s)
    tried = len(_grid())
    both = len(found.in_time & found.near_best)
    options = (
        Option(
            "two",
            "The bound needs a small batch, the volume a large one: no configuration does both",
            "two",
            "The usual textbook answer, for a server at which nobody queues.",
        ),
        Option(
            "one",
            "One and the same configuration does both",
            "one",
            f"{both} of the {tried} configurations keep the bound and come within "
            f"{share(1 - _NEAR_BEST)} of the best volume.",
        ),
        Option(
            "only_throughput",
            "The volume can be had, the bound cannot be kept by any configuration",
            "only_throughput",
            f"{len(found.in_time)} of the {tried} configurations keep the bound.",
        ),
        Option(
            "only_latency",
            "The bound can be kept, but only by giving up most of the volume",
            "only_latency",
            f"{both} of the {tried} configurations do both.",
        ),
    )
    prompt = (
        f"Prompts of {timed.prompt_tokens} tokens. Two goals: P99 TTFT within {slo} at "
        f"λ = {timed.lam_rps:g}/s; and, when the queue is always full, at least "
        f"{share(_NEAR_BEST)} of the best tokens per second. A search tries static, continuous "
        "and chunked batching with small and large limits. What does it find?"
    )
    alone_s = serving.prefill_s(timed.prompt_tokens, _grid()[0].n_gpus)
    why = (
        f"The best volume is {rate(found.best_tok_s)} tok/s. A prompt takes {duration(alone_s)} "
        "even alone, and no batch limit shortens that."
    )
    return question("same_configuration", prompt, options, found.verdict, why)


def act2_questions(context: Context) -> tuple[Question, ...]:
    """Return act II's three questions.

    Parameters
    ----------
    context : Context
        The story.

    Returns
    -------
    tuple of Question
        Their keys are computed from simulated runs.

    Examples
    --------
    >>> from servemath_helpers.labs.kv_wall.story import context_of
    >>> [asked.key for asked in act2_questions(context_of("latency"))]
    ['small_batch', 'gets_worse', 'same_configuration']
    """
    first = _small_batch_question if context.key == "latency" else _static_question
    return (first(context), _worse_question(context), _same_configuration_question(context))


def act2_reflections(context: Context) -> tuple[Question, ...]:
    """Return act II's reflection: why continuous batching gave more.

    Parameters
    ----------
    context : Context
        The story.

    Returns
    -------
    tuple of Question
        One.

    Examples
    --------
    >>> from servemath_helpers.labs.kv_wall.story import context_of
    >>> [asked.key for asked in act2_reflections(context_of("latency"))]
    ['reason']
    """
    asked = context.workload
    static, continuous = (
        serving.run(asked, Configuration(mode=mode, max_batch=LARGE_BATCH))
        for mode in ("static", "continuous")
    )
    slots_used = [run.slot_efficiency or 0.0 for run in (static, continuous)]
    # What each option claims, as a cost before and after: the true one fell.
    costs = {
        "slots": [1 - used for used in slots_used],
        "steps": [run.tpot_p99_s or 0.0 for run in (static, continuous)],
        "arithmetic": [_flops_per_token(run) for run in (static, continuous)],
        "cache": [run.configuration.k for run in (static, continuous)],
    }
    better = [key for key, (before, after) in costs.items() if after < 0.99 * before]
    slots_before, slots_after = (share(used) for used in slots_used)
    options = (
        Option(
            "slots",
            "A finished answer's slot is given away at once, so fewer slots stand empty",
            "slots",
            f"Slots in use: {slots_before} static, {slots_after} continuous.",
        ),
        Option(
            "steps",
            "Each decode step is faster",
            "steps",
            f"The time per token goes from {duration(static.tpot_p99_s)} to "
            f"{duration(continuous.tpot_p99_s)} at P99: fuller steps read more cache, and "
            "prompts come in between.",
        ),
        Option(
            "arithmetic",
            "Less arithmetic is done per request",
            "arithmetic",
            "The same prompts and the same answers take the same arithmetic.",
        ),
        Option(
            "cache",
            "Each token takes less cache",
            "cache",
            f"A token takes {number_text(static.configuration.k / 2**10)} KiB in both.",
        ),
    )
    prompt = (
        f"At this load continuous batching gives {rate(continuous.tok_s)} tok/s, static "
        f"batching {rate(static.tok_s)}. Why?"
    )
    why = "Static batching holds every slot until the longest answer of the batch is done."
    return (question("reason", prompt, options, _only(better, "getting better"), why),)


def _flops_per_token(run: Run) -> float:
    """Return the arithmetic of a run per output token."""
    assert run.result is not None and run.mfu is not None
    span_s = run.result.window_end_s - run.result.window_start_s
    peak = run.configuration.n_gpus * room.gpu_of().bf16_dense_flops
    return run.mfu * span_s * peak / int(run.result.requests.output_tokens.sum())
