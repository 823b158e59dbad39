"""The fast server against the slow one, iteration by iteration, and against its own laws."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servemath_helpers import facts, slots, speculative, traces
from servemath_helpers.sim import (
    LinearStep,
    LLMServer,
    Requests,
    RooflineStep,
    Speculation,
    _engine,
    arrivals,
    load_azure,
    simulate_llm,
)

from .configurations import BATCHING, MEMORY, random_requests, random_server
from .reference import Reference

SEEDS = st.integers(0, 2**32)
LLAMA_70B = RooflineStep.ideal(facts.get_model("Llama-3-70B"), facts.get_accelerator("H100-SXM"), 8)
UNIT = LinearStep(base_s=1.0, per_decode_s=0, per_prefill_token_s=0, per_context_token_s=0)

#: Every combination of policies that the simulator knows.
POLICIES = [
    (batching, memory, drafts, hashes)
    for batching, memory, drafts, hashes in itertools.product(
        BATCHING, MEMORY, (False, True), (False, True)
    )
    if not (memory == "paged" and (drafts or batching == "static"))
]


def configuration(seed, policy=None, **chosen):
    rng = np.random.default_rng(seed)
    if policy is None:
        policy = POLICIES[int(rng.integers(0, len(POLICIES)))]
    batching, memory, drafts, hashes = policy
    requests = random_requests(rng, hashes=hashes)
    server = random_server(rng, requests, batching, memory, drafts, **chosen)
    return requests, server


def compare(requests, server, seed):
    reference = Reference(requests, server, np.random.default_rng(seed))
    slow = reference.run()
    fast = simulate_llm(requests, server, np.random.default_rng(seed))
    np.testing.assert_allclose(fast.start_s, [s.start_s for s in slow], rtol=0, atol=1e-9)
    np.testing.assert_allclose(fast.finish_s, [s.finish_s for s in slow], rtol=0, atol=1e-9)
    assert fast.preemptions.tolist() == [s.preemptions for s in slow]
    for sequence in slow:
        times = fast.token_times_s(sequence.index)
        np.testing.assert_allclose(times, sequence.token_times_s, rtol=0, atol=1e-9)
        assert fast.first_token_s[sequence.index] == pytest.approx(times[0], abs=1e-9)
        if sequence.output > 1:
            longest = np.diff(sequence.token_times_s).max()
            assert fast.longest_gap_s[sequence.index] == pytest.approx(longest, abs=1e-9)
        else:
            assert math.isnan(fast.longest_gap_s[sequence.index])
    assert fast.timeline.iterations == reference.iterations
    return fast, reference


# --- the fast server against the slow one -------------------------------------------


@pytest.mark.no_cover
@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: "-".join(map(str, p)))
@settings(max_examples=25)
@given(seed=SEEDS)
def test_every_policy_agrees_with_the_reference_to_a_nanosecond(policy, seed):
    compare(*configuration(seed, policy), seed)


@pytest.mark.no_cover
@pytest.mark.parametrize("order", ["fcfs", "shortest", "priority"])
@pytest.mark.parametrize("batching", ["continuous", "chunked"])
def test_a_cache_that_is_far_too_small_agrees_in_every_order(batching, order):
    preemptions = 0
    for seed in range(60):
        requests, server = configuration(seed, (batching, "paged", False, False), order=order)
        fast, reference = compare(requests, server, seed)
        preemptions += int(fast.preemptions.sum())
        assert fast.timeline.kv_peak_tokens() <= server.kv_tokens
        assert reference.kv_peak <= server.kv_tokens
    assert preemptions > 20


@pytest.mark.soak
def test_thousands_of_configurations_agree_with_the_reference():
    for seed in range(5000):
        compare(*configuration(seed), seed)


@pytest.mark.parametrize("speculation", [None, Speculation(alpha=0, gamma=1, cost_ratio=0.0)])
@pytest.mark.parametrize(("late_s", "start_s"), [(5e-10, 3), (2e-9, 4)])
def test_who_comes_within_a_nanosecond_of_a_step_still_catches_it(late_s, start_s, speculation):
    """The rounding of a time must not cost a request a step."""
    requests = Requests(arrival_s=[0, 3 + late_s], prompt_tokens=[1, 1], output_tokens=[9, 1])
    server = LLMServer(step_time=UNIT, max_batch=2, speculation=speculation)
    run = simulate_llm(requests, server, np.random.default_rng(0))
    assert run.start_s[1] == pytest.approx(start_s, abs=1e-8)


def test_simultaneous_arrivals_at_whole_steps_agree():
    # Every arrival falls on the end of an iteration: only the tolerance decides.
    requests = Requests(np.repeat(np.arange(10.0), 3), 1, np.tile([1, 4, 9], 10))
    for batching in BATCHING:
        most = 8 if batching == "chunked" else None
        server = LLMServer(step_time=UNIT, max_batch=4, batching=batching, max_batched_tokens=most)
        compare(requests, server, 0)


# --- laws ---------------------------------------------------------------------------


@settings(max_examples=150)
@given(seed=SEEDS)
def test_nobody_is_lost_and_no_token_is_made_up(seed):
    requests, server = configuration(seed)
    run = simulate_llm(requests, server, np.random.default_rng(seed))
    line = run.timeline
    assert (run.status == "ok").all()
    assert (run.queue_s >= -1e-9).all()
    assert (run.first_token_s > run.start_s).all()
    assert (run.finish_s >= run.first_token_s).all()
    longest_s = np.nan_to_num(run.longest_gap_s).max()
    assert run.inter_token_gaps_s().max(initial=0) == pytest.approx(longest_s, abs=1e-9)
    # One token ends each prefill (the first, and one after each time it was thrown out
    # while decoding), the rest come from decoding.
    prefills = int((~np.isnan(line.stays.decoding_s)).sum())
    assert int(line.given_tokens.sum()) + prefills == int(requests.output_tokens.sum())
    assert line.sequences.max() <= server.max_batch
    if server.kv_tokens is not None:
        assert line.kv_peak_tokens() <= server.kv_tokens
    if server.batching == "chunked":
        width = server.tokens_per_sequence
        tokens = line.prefill_tokens + np.where(line.steps > 0, line.decodes * width, 0)
        assert tokens.max() <= server.max_batched_tokens
    # The server never idles while somebody waits: gaps end with an arrival.
    idle = line.start_s[1:][line.start_s[1:] > line.end_s[:-1] + 1e-9]
    assert np.isin(np.round(idle, 9), np.round(requests.arrival_s, 9)).all()


@settings(max_examples=100)
@given(seed=SEEDS)
def test_first_come_first_served_starts_in_the_order_of_arrival(seed):
    requests, server = configuration(seed, order="fcfs")
    run = simulate_llm(requests, server, np.random.default_rng(seed))
    assert (np.diff(run.start_s) >= -1e-9).all()


@settings(max_examples=100)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=40), width=st.integers(1, 8))
def test_slots_give_the_steps_of_chapter_2_and_continuous_never_more(lengths, width):
    # One token of prompt gives the first token of the answer: lengths + 1 in all.
    requests = Requests(np.zeros(len(lengths)), 1, np.array(lengths) + 1)
    steps = {}
    for batching, exact in (
        ("static", slots.static_steps(lengths, width)),
        ("continuous", slots.continuous_steps(lengths, width)),
    ):
        server = LLMServer(step_time=UNIT, max_batch=width, batching=batching)
        run = simulate_llm(requests, server)
        steps[batching] = int(run.timeline.steps.sum())
        assert steps[batching] == exact
        assert run.slot_efficiency() == pytest.approx(sum(lengths) / (exact * width))
    assert steps["continuous"] <= steps["static"]
    if len(lengths) <= width:
        assert steps["continuous"] == steps["static"]


@settings(max_examples=60)
@given(seed=SEEDS)
def test_one_seed_gives_one_run(seed):
    requests, server = configuration(seed)
    first = simulate_llm(requests, server, np.random.default_rng(seed))
    again = simulate_llm(requests, server, np.random.default_rng(seed))
    np.testing.assert_array_equal(first.finish_s, again.finish_s)
    np.testing.assert_array_equal(first.timeline.start_s, again.timeline.start_s)


def test_unlimited_memory_and_a_huge_paged_cache_are_the_same():
    requests = Requests(arrivals.poisson(300, 5, np.random.default_rng(1)), 300, 40)
    plain = simulate_llm(requests, LLMServer(step_time=LLAMA_70B))
    paged = simulate_llm(
        requests, LLMServer(step_time=LLAMA_70B, kv_policy="paged", kv_tokens=10**7)
    )
    np.testing.assert_array_equal(plain.finish_s, paged.finish_s)


def test_paging_lets_more_in_than_reserving_which_lets_in_more_than_the_maximum():
    requests = Requests(arrivals.poisson(400, 20, np.random.default_rng(1)), 200, 200)
    queue = [
        simulate_llm(
            requests, LLMServer(step_time=LLAMA_70B, kv_tokens=8000, **policy)
        ).queue_s.mean()
        for policy in ({"kv_policy": "paged"}, {}, {"reserve_tokens": 1000})
    ]
    assert queue[0] < queue[1] < queue[2]


def test_the_shortest_first_has_a_lower_mean_and_priority_serves_the_urgent():
    rng = np.random.default_rng(2)
    n = 400
    requests = Requests(
        arrivals.poisson(n, 40, rng), 100, rng.geometric(1 / 100, n), rng.integers(0, 2, n)
    )
    runs = {
        order: simulate_llm(requests, LLMServer(step_time=LLAMA_70B, max_batch=8, order=order))
        for order in ("fcfs", "shortest", "priority")
    }
    assert runs["shortest"].e2e_s.mean() < runs["fcfs"].e2e_s.mean()
    urgent = requests.priority == 0
    waits = runs["priority"].queue_s
    assert waits[urgent].mean() < 0.5 * waits[~urgent].mean()


def test_chunks_bound_the_gap_between_tokens():
    requests = Requests(arrivals.poisson(300, 0.5, np.random.default_rng(3)), 4096, 256)
    whole = simulate_llm(requests, LLMServer(step_time=LLAMA_70B, max_batched_tokens=1))
    chunked = simulate_llm(
        requests,
        LLMServer(step_time=LLAMA_70B, batching="chunked", max_batched_tokens=512, max_batch=64),
    )
    assert np.median(whole.longest_gap_s[whole.longest_gap_s > 0.01]) == pytest.approx(
        0.1516 + 0.0053, rel=0.01
    )
    assert chunked.percentile("longest_gap", "1") < 0.0205
    assert chunked.ttft_s.mean() > whole.ttft_s.mean()


def test_prefix_hits_shorten_the_prompt_that_is_computed():
    hashes = [[1, 2, 3, 4]] * 2
    requests = Requests([0.0, 10.0], 2048, 2, block_hashes=hashes)
    server = LLMServer(step_time=LLAMA_70B, prefix_cache_tokens=None)
    run = simulate_llm(requests, server)
    assert run.timeline.prefill_tokens[run.timeline.prefill_tokens > 0].tolist() == [2048, 1]
    # With room for two blocks only the beginning is kept.
    small = simulate_llm(requests, LLMServer(step_time=LLAMA_70B, prefix_cache_tokens=1024))
    assert small.timeline.prefill_tokens[small.timeline.prefill_tokens > 0].tolist() == [2048, 1024]
    assert small.ttft_s[1] < small.ttft_s[0]


@pytest.mark.parametrize(("alpha", "gamma"), [(0, 3), (0.6, 2), (0.8, 4), (0.8, 8), (1, 5)])
def test_drafts_give_the_expected_tokens_per_verification(alpha, gamma):
    requests = Requests(np.zeros(8), 1, 4001)
    server = LLMServer(
        step_time=UNIT, speculation=Speculation(alpha=alpha, gamma=gamma, cost_ratio=0.0)
    )
    run = simulate_llm(requests, server, np.random.default_rng(1))
    per_step = run.timeline.given_tokens.sum() / (run.timeline.steps * run.timeline.decodes).sum()
    assert per_step == pytest.approx(speculative.expected_tokens(alpha, gamma), rel=0.02)


def test_drafts_without_acceptance_or_length_only_cost():
    requests = Requests(np.zeros(4), 10, 50)
    plain = simulate_llm(requests, LLMServer(step_time=UNIT))
    none = Speculation(alpha=0.9, gamma=0, cost_ratio=0.5)
    run = simulate_llm(
        requests, LLMServer(step_time=UNIT, speculation=none), np.random.default_rng(1)
    )
    np.testing.assert_allclose(run.finish_s, plain.finish_s)


@pytest.mark.parametrize(("batch", "speedup"), [(1, 2.31), (64, 2.00), (128, 1.28), (256, 0.85)])
def test_a_large_batch_erodes_the_gain_of_drafts(batch, speedup):
    # Only while the batch is full, with a context around 1024 tokens.
    draft = RooflineStep.ideal(facts.get_model("Llama-3-8B"), facts.get_accelerator("H100-SXM"), 8)
    requests = Requests(np.zeros(batch), 824, 401)
    drafts = Speculation(alpha=0.8, gamma=4, draft=draft)
    rates = []
    for speculation in (drafts, None):
        server = LLMServer(step_time=LLAMA_70B, max_batch=batch, speculation=speculation)
        line = simulate_llm(requests, server, np.random.default_rng(1)).timeline
        full = line.decodes == batch
        rates.append(line.given_tokens[full].sum() / line.duration_s[full].sum())
    assert rates[0] / rates[1] == pytest.approx(speedup, rel=0.03)


# --- numbers of the course ----------------------------------------------------------


def replay(lam, max_batch, batching="continuous", seed=0):
    """Chapter 3: the 70B on eight H100, 512-token prompts, geometric answers of mean 256."""
    rng = np.random.default_rng(seed)
    requests = Requests(arrivals.poisson(1500, lam, rng), 512, rng.geometric(1 / 256, 1500))
    most = None if batching == "static" else 1  # one prompt at a time
    server = LLMServer(
        step_time=LLAMA_70B, max_batch=max_batch, batching=batching, max_batched_tokens=most
    )
    return simulate_llm(requests, server)


@pytest.mark.parametrize(
    ("lam", "max_batch", "ttft_p99_s", "tok_s"),
    [
        (16, 4, 437, 718),
        (16, 8, 186, 1356),
        (16, 16, 60.6, 2429),
        (16, 64, 0.056, 3931),
        (16, 128, 0.056, 3931),
        (4, 32, 0.038, 1000),
        (8, 32, 0.045, 1989),
    ],
)
def test_the_replay_of_chapter_3_comes_out(lam, max_batch, ttft_p99_s, tok_s):
    run = replay(lam, max_batch)
    assert run.percentile("ttft", "0.99") == pytest.approx(ttft_p99_s, rel=0.02)
    assert run.throughput_tok_s() == pytest.approx(tok_s, rel=0.01)


def test_a_saturated_server_gains_about_three_times_from_continuous_batching():
    static, continuous = replay(50, 64, "static"), replay(50, 64)
    ratio = continuous.throughput_tok_s() / static.throughput_tok_s()
    assert 2.7 < ratio < 3.3
    harmonic = sum(1 / k for k in range(1, 65))
    assert static.slot_efficiency() == pytest.approx(1 / harmonic, rel=0.15)
    assert continuous.slot_efficiency() > 0.8


# --- the result ---------------------------------------------------------------------

#: Prompts take 10 ms and 0.1 ms a token, decode steps 10 ms.
TEN_MS = LinearStep(base_s=0.01, per_decode_s=0, per_prefill_token_s=1e-4, per_context_token_s=0)
#: In at 0 and 0.04 (after the step that ends there), out at 0.09 and 0.08.
PAIR = simulate_llm(Requests([0, 0.035], [100, 200], [5, 2]), LLMServer(step_time=TEN_MS))


def test_latencies_are_those_counted_by_hand():
    np.testing.assert_allclose(PAIR.start_s, [0, 0.04])
    np.testing.assert_allclose(PAIR.queue_s, [0, 0.005])
    np.testing.assert_allclose(PAIR.first_token_s, [0.02, 0.07])
    np.testing.assert_allclose(PAIR.finish_s, [0.09, 0.08])
    np.testing.assert_allclose(PAIR.ttft_s, [0.02, 0.035])
    np.testing.assert_allclose(PAIR.e2e_s, [0.09, 0.045])
    np.testing.assert_allclose(PAIR.tpot_s, [0.07 / 4, 0.01])
    np.testing.assert_allclose(PAIR.longest_gap_s, [0.04, 0.01])
    np.testing.assert_allclose(PAIR.inter_token_gaps_s(), [0.01, 0.01, 0.04, 0.01, 0.01])
    assert PAIR.preemptions.tolist() == [0, 0]
    assert PAIR.status.tolist() == ["ok", "ok"]


def test_rates_and_shares_are_those_counted_by_hand():
    assert PAIR.throughput_tok_s() == pytest.approx(7 / 0.09)
    assert PAIR.throughput_rps() == pytest.approx(2 / 0.09)
    assert PAIR.busy_fraction() == pytest.approx(1)
    assert PAIR.goodput_share() == 1.0
    assert PAIR.goodput_share(ttft_slo_s=0.03) == 0.5
    assert PAIR.goodput_share(tpot_slo_s=0.0101) == 0.5
    assert PAIR.goodput_share(e2e_slo_s=0.01) == 0.0
    assert PAIR.goodput_rps(ttft_slo_s=0.03) == pytest.approx(1 / 0.09)
    assert PAIR.percentile("e2e", "0.5") == pytest.approx(0.045)
    assert PAIR.percentile("queue", "1") == pytest.approx(0.005)
    assert PAIR.percentile_interval("ttft", "0.5") == (-math.inf, math.inf)
    # Steps of one sequence out of 256 places, and one step of two.
    assert PAIR.slot_efficiency() == pytest.approx(5 / (4 * 256))
    assert PAIR.mfu() is None
    assert PAIR.mbu() is None


def test_an_answer_of_one_token_keeps_any_bound_on_tpot():
    run = simulate_llm(Requests([0.0], 10, 1), LLMServer(step_time=TEN_MS))
    assert np.isnan(run.tpot_s).all()
    assert run.goodput_share(tpot_slo_s=0.0) == 1.0
    assert run.slot_efficiency() == 0.0
    assert np.isnan(run.longest_gap_s).all()
    assert run.inter_token_gaps_s().size == 0
    with pytest.raises(ValueError, match="samples must not be empty"):
        run.percentile("tpot", "0.5")


def test_mfu_and_mbu_of_a_full_batch_are_those_of_the_roofline():
    # A long steady decode of 64 sequences around 4096 tokens of context.
    requests = Requests(np.zeros(64), 4046, 101)
    run = simulate_llm(requests, LLMServer(step_time=LLAMA_70B))
    line = run.timeline
    decoding = line.duration_s[line.steps > 0].sum()
    prefill = line.duration_s[line.steps == 0].sum()
    flops = 2 * LLAMA_70B.n_params * 64 * (4046 + 100) + 4 * 80 * 8192 * 64 * 4046**2 / 2
    assert run.mfu() == pytest.approx(flops / (8 * 989.4e12 * run.finish_s.max()), rel=1e-9)
    # Decoding is bound by memory all the time, prefill reads the weights once.
    expected = (decoding + 141_107_412_992 / (8 * 3.35e12)) / (decoding + prefill)
    assert run.mbu() == pytest.approx(expected, rel=1e-6)


def test_a_prompt_that_is_read_again_moves_its_bytes():
    # One prompt in four pieces of 1000: later ones read 1000 + 2000 + 3000 tokens again.
    server = LLMServer(
        step_time=LLAMA_70B, batching="chunked", max_batch=4, max_batched_tokens=1000
    )
    moved = []
    for rereads in (False, True):
        run = simulate_llm(
            Requests([0.0], 4000, 1), dataclasses.replace(server, rereads_prompt=rereads)
        )
        moved.append(run.mbu() * run.finish_s[0] * 8 * 3.35e12)
    assert moved[0] == pytest.approx(4 * LLAMA_70B.weight_bytes)
    assert moved[1] - moved[0] == pytest.approx(6000 * LLAMA_70B.k)


def test_warm_up_leaves_out_the_first_requests():
    later = PAIR.without_warmup(0.5)
    assert later.percentile("ttft", "1") == pytest.approx(0.035)
    assert later.goodput_share(ttft_slo_s=0.03) == 0.0
    assert later.window_start_s == pytest.approx(0.035)
    assert later.throughput_tok_s() == pytest.approx(2 / 0.055)
    assert later.busy_fraction() == pytest.approx(0.05 / 0.055)
    assert later.inter_token_gaps_s().tolist() == pytest.approx([0.01])
    assert PAIR.without_warmup(0).window_start_s == 0.0


def test_requests_larger_than_the_cache_are_rejected_if_asked():
    requests = Requests([0.0, 0.1, 0.2], [10, 100, 10], 5)
    for policy in ({}, {"kv_policy": "paged"}):
        server = LLMServer(step_time=TEN_MS, kv_tokens=64, oversize="reject", **policy)
        run = simulate_llm(requests, server)
        assert run.status.tolist() == ["ok", "rejected", "ok"]
        assert np.isnan(run.finish_s[1])
        assert run.goodput_share() == pytest.approx(2 / 3)
        assert run.token_times_s(1).size == 0
        assert run.token_times_s(2).size == 5
        assert np.isnan(run.longest_gap_s[1])
        assert run.throughput_tok_s() == pytest.approx(10 / run.finish_s[2])
        assert run.timeline.stays.request.tolist() == [0, 2]
        assert [record["status"] for record in run.records()] == ["ok", "rejected", "ok"]
        assert run.records()[1]["end_s"] is None


def test_a_run_in_which_everybody_is_rejected_is_empty():
    server = LLMServer(step_time=LLAMA_70B, kv_tokens=4, oversize="reject")
    run = simulate_llm(Requests([0.0, 1.0], 10, 5), server)
    assert run.throughput_rps() == 0.0
    assert run.throughput_tok_s() == 0.0
    assert run.mfu() == 0.0
    assert run.mbu() == 0.0
    assert run.busy_fraction() == 0.0
    assert run.timeline.kv_peak_tokens() == 0
    assert run.timeline.batch_size().max() == 0
    assert np.isnan(run.longest_gap_s).all()
    assert run.without_warmup(0.5).window_end_s == 1.0


def test_rejecting_a_request_does_not_change_the_luck_of_the_others():
    rng = np.random.default_rng(4)
    drafts = Speculation(alpha=0.7, gamma=3, cost_ratio=0.1)
    prompt, output = rng.integers(1, 50, 30), rng.integers(1, 50, 30)
    arrival = np.arange(30) * 1000.0  # nobody meets anybody
    big = prompt + output > 60
    server = LLMServer(step_time=UNIT, kv_tokens=60, oversize="reject", speculation=drafts)
    some = simulate_llm(Requests(arrival, prompt, output), server, np.random.default_rng(9))
    every = simulate_llm(
        Requests(arrival, prompt, output),
        LLMServer(step_time=UNIT, speculation=drafts),
        np.random.default_rng(9),
    )
    assert 0 < big.sum() < 30
    np.testing.assert_allclose(some.finish_s[~big], every.finish_s[~big])


def test_records_are_a_trace_that_can_be_summarised():
    summary = traces.summarize_traces(PAIR.records(), {"ttft_s": 0.03, "tpot_s": 1})
    assert summary["ttft_p99_s"] == pytest.approx(0.035)
    assert summary["e2e_p50_s"] == pytest.approx(0.045)
    assert summary["goodput_rps"] == pytest.approx(1 / 0.09)
    assert summary["missing_fields"] == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PAIR.percentile("speed", "0.5"), "metric must be 'queue', 'ttft'"),
        (lambda: PAIR.percentile("ttft", 2), "q must be"),
        (lambda: PAIR.percentile_interval("ttft", "0.5", every=0), "every must be"),
        (lambda: PAIR.goodput_share(ttft_slo_s=-1), "ttft_slo_s must be"),
        (lambda: PAIR.goodput_rps(tpot_slo_s=float("nan")), "tpot_slo_s must be"),
        (lambda: PAIR.without_warmup(1), "share must be"),
        (lambda: PAIR.token_times_s(2), "request must be below 2, got 2"),
        (lambda: PAIR.token_times_s(-1), "request must be a whole"),
    ],
)
def test_bad_questions_are_named(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)


def test_a_log_packed_in_parts_tells_the_same(monkeypatch):
    requests, server = configuration(3)
    whole = simulate_llm(requests, server, np.random.default_rng(3))
    monkeypatch.setattr(_engine, "MOST_ROWS", 4)
    parts = simulate_llm(requests, server, np.random.default_rng(3))
    assert whole.timeline.start_s.size > 10
    np.testing.assert_array_equal(parts.timeline.start_s, whole.timeline.start_s)
    np.testing.assert_array_equal(parts.timeline.kv_end_tokens, whole.timeline.kv_end_tokens)


class OwnStep:
    """A step time written by a user: affine in the context, with a chosen flaw."""

    context_s = 0.0

    def __init__(self, decode_s, prefill_s=1.0, context_s=0.0):
        self.decode_s, self.prefill_s, self.context_s = decode_s, prefill_s, context_s

    def iteration_s(self, decode_tokens, context_tokens, prefill_tokens, prefill_pairs):
        return self.prefill_s if prefill_tokens else self.decode_s


@pytest.mark.parametrize("flaw", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("context_s", [0.0, None])
def test_a_step_time_that_gives_no_time_is_named(flaw, context_s):
    for step in (OwnStep(flaw, context_s=context_s), OwnStep(1.0, flaw, context_s)):
        with pytest.raises(ValueError, match="step_time must give a finite time of at least 0"):
            simulate_llm(Requests([0.0], 5, 5), LLMServer(step_time=step))


def test_iterations_without_time_still_give_every_token():
    run = simulate_llm(Requests([0.0, 1.0], 5, 5), LLMServer(step_time=OwnStep(0.0, 0.0)))
    assert run.finish_s.tolist() == [0.0, 1.0]


@settings(max_examples=60)
@given(seed=SEEDS)
def test_littles_law_holds_for_requests_in_the_server(seed):
    requests, server = configuration(seed)
    run = simulate_llm(requests, server, np.random.default_rng(seed))
    area = run.in_system.area(0, run.window_end_s)
    assert area == pytest.approx(run.e2e_s.sum(), rel=1e-9)


def test_a_trace_can_be_served():
    lines = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    lines += [f"2023-11-16 18:15:{s:02d}.0000000,500,20" for s in range(20)]
    run = simulate_llm(load_azure(lines), LLMServer(step_time=LLAMA_70B))
    assert run.percentile("ttft", "0.5") == pytest.approx(0.0179, rel=0.02)


def test_long_answers_with_drafts_outgrow_the_first_schedule():
    requests = Requests([0.0], 1, 3000)
    server = LLMServer(step_time=UNIT, speculation=Speculation(alpha=0, gamma=1, cost_ratio=0))
    run = simulate_llm(requests, server, np.random.default_rng(1))
    assert run.finish_s[0] == pytest.approx(3000.0)
