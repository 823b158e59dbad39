"""What lab 3 asks: the key of every question is computed, again and by another way."""

from dataclasses import replace

import numpy as np
import pytest

from servemath_helpers import facts, memory, sim, slots
from servemath_helpers.labs.frame.numbers import duration
from servemath_helpers.labs.frame.session import Session
from servemath_helpers.labs.kv_wall import questions
from servemath_helpers.labs.kv_wall.model import Configuration, Workload
from servemath_helpers.labs.kv_wall.model import run as run_of
from servemath_helpers.labs.kv_wall.questions import parts
from servemath_helpers.labs.kv_wall.story import CONTEXTS, context_of

ALL = [
    (context, part.key, asked.key)
    for context in CONTEXTS
    for part in parts(context)
    for asked in (*part.questions, *part.reflections)
]


def find(context, part, key):
    act = {p.key: p for p in parts(context)}[part]
    return {q.key: q for q in (*act.questions, *act.reflections)}[key]


def independent(context, key):
    """What the library says, without the lab."""
    story = CONTEXTS[context]
    model, gpu = facts.get_model("Llama-3-70B"), facts.get_accelerator("H100-SXM")
    step = sim.RooflineStep.ideal(model, gpu, 8)

    def simulate(workload, mode, batch):
        rng = np.random.default_rng(0)
        arrived = sim.arrivals.poisson(workload.n_requests, workload.lam_rps, rng)
        out = rng.geometric(1 / workload.mean_output, workload.n_requests)
        requests = sim.Requests(arrived, workload.prompt_tokens, out)
        server = sim.LLMServer(step_time=step, batching=mode, max_batch=batch)
        return sim.simulate_llm(requests, server)

    asked = story.workload
    if key == "users":
        k = 2 * model.n_layers * model.n_kv_heads * model.head_dim * 2
        weights = 2 * model.n_params
        return memory.max_users(story.n_gpus, 80 * 10**9, weights, k, story.seq_tokens)
    if key == "small_batch":
        return simulate(asked, "continuous", 8).percentile("ttft", "0.99")
    if key == "continuous_gain":
        runs = [simulate(asked, mode, 64).throughput_tok_s() for mode in ("static", "continuous")]
        return runs[1] / runs[0]
    if key == "gets_worse":
        small, large = (simulate(asked, "continuous", batch) for batch in (8, 64))
        worse = [
            m
            for m in ("ttft", "tpot", "queue")
            if large.percentile(m, "0.99") > small.percentile(m, "0.99")
        ]
        worse += ["tok_s"] if large.throughput_tok_s() < small.throughput_tok_s() else []
        (only,) = worse
        return f"{only}_s"
    if key == "reason":
        static, continuous = (simulate(asked, mode, 64) for mode in ("static", "continuous"))
        assert continuous.slot_efficiency() > static.slot_efficiency()
        assert np.nanmax(continuous.tpot_s) > np.nanmax(static.tpot_s)
        return "slots"
    raise KeyError(key)


@pytest.mark.parametrize(
    ("context", "part", "key"),
    [row for row in ALL if row[2] not in ("lever", "same_configuration")],
)
def test_exactly_one_option_is_what_the_library_computes(context, part, key):
    truth, asked = independent(context, key), find(context, part, key)
    assert [o.key for o in asked.options if o.value == truth] == [asked.answer]


@pytest.mark.parametrize(
    ("context", "numbers"), [("latency", [13, 53, 106, 213]), ("throughput", [16, 67, 135, 270])]
)
def test_the_options_of_act_one_are_the_usual_slips(context, numbers):
    asked = find(context, "act1", "users")
    assert sorted(option.value for option in asked.options) == numbers
    assert all(str(option.value) in option.label for option in asked.options)


@pytest.mark.parametrize("seed", range(3))
def test_one_configuration_serves_both_goals_for_short_prompts_with_any_draw(seed):

    timed = replace(CONTEXTS["latency"].workload, n_requests=600, seed=seed)
    flood = replace(timed, lam_rps=50.0)
    grid = [Configuration(mode=m, max_batch=b) for m in ("continuous", "chunked") for b in (8, 128)]
    in_time = {c for c in grid if run_of(timed, c).ttft_p99_s <= 0.2}
    rates = {c: run_of(flood, c).tok_s for c in grid}
    near = {c for c in grid if rates[c] >= 0.9 * max(rates.values())}
    assert in_time & near
    assert find("latency", "act2", "same_configuration").answer == "one"


@pytest.mark.parametrize("seed", range(3))
def test_no_configuration_keeps_the_bound_for_long_prompts_with_any_draw(seed):
    timed = Workload(lam_rps=0.5, prompt_tokens=4096, mean_output=256, n_requests=600, seed=seed)
    for mode in ("static", "continuous", "chunked"):
        for batch in (8, 32, 128):
            run = run_of(timed, Configuration(mode=mode, max_batch=batch))
            assert run.ttft_p99_s > 0.2
    assert find("throughput", "act2", "same_configuration").answer == "only_throughput"


def test_a_small_batch_makes_the_queue_grow_and_the_label_says_so():
    asked = find("latency", "act2", "small_batch")
    assert "growing" in asked.right.label and duration(asked.right.value) in asked.right.label
    # A peak that lasts twice as long makes twice the wait.
    longer = replace(CONTEXTS["latency"].workload, n_requests=3000)
    assert run_of(longer, Configuration(max_batch=8)).ttft_p99_s > 1.8 * asked.right.value


def test_the_bound_from_slots_is_one_of_the_wrong_options():
    asked = find("throughput", "act2", "continuous_gain")
    assert asked.option("slots_only").value == slots.harmonic(64)
    assert 1 < asked.right.value < asked.option("short_prompts").value < slots.harmonic(64)


def test_what_changes_from_request_to_request_is_found_in_the_simulator():
    asked = find("latency", "act1", "lever")
    fields = {option.key: option.value for option in asked.options}
    assert fields.pop(asked.answer) in sim.Requests.__dataclass_fields__
    assert all(field in facts.Model.__dataclass_fields__ for field in fields.values())


def test_a_question_needs_exactly_one_right_answer():
    with pytest.raises(ValueError, match="getting worse must hold of exactly one, got"):
        questions._only(["ttft", "tpot"], "getting worse")


def test_the_verdict_of_a_search_follows_from_what_it_found():
    a, b = Configuration(max_batch=8), Configuration(max_batch=128)
    search = questions._Search
    assert search(frozenset([a]), frozenset([b]), 1.0).verdict == "two"
    assert search(frozenset([a, b]), frozenset([b]), 1.0).verdict == "one"
    assert search(frozenset(), frozenset([b]), 1.0).verdict == "only_throughput"


@pytest.mark.parametrize("idea", ["query_heads", "fp32", "keys_only", "right"])
def test_the_mistake_behind_a_number_is_named(idea):
    run = (
        Session.start("lab3", "ada", "latency", parts("latency"))
        .predict("act1", "users", idea)
        .lock("act1")
    )
    found = questions.act1_reality(run)
    assert found.mistake == (None if idea == "right" else idea)
    assert found.predicted == find("latency", "act1", "users").option(idea).value
    assert found.users == 106 and found.ratio == found.predicted / 106
    assert "320 KiB" in found.text


def test_an_unknown_context_is_refused():
    for call in (parts, context_of):
        with pytest.raises(ValueError, match="context must be one of"):
            call("cloud")
