"""Fleets, closed loops, conversations: against closed forms, against replicas run apart."""

from __future__ import annotations

from dataclasses import replace
from math import factorial

import numpy as np
import pytest

from servemath_helpers.sim import (
    ClosedLoop,
    CustomStep,
    LinearStep,
    LLMServer,
    Requests,
    Sessions,
    Speculation,
    routing,
    simulate_disaggregated,
    simulate_fleet,
    simulate_llm,
)

STEP = LinearStep(
    base_s=0.008, per_decode_s=2e-5, per_prefill_token_s=2e-5, per_context_token_s=1e-8
)
SERVER = LLMServer(step_time=STEP, max_batch=16, max_batched_tokens=2048)
#: A server that takes a microsecond a prompt token, one request at a time: a plain queue.
QUEUE = LLMServer(
    step_time=LinearStep(base_s=0, per_decode_s=0, per_prefill_token_s=1e-6, per_context_token_s=0),
    max_batch=1,
)
POLICIES = {
    "continuous": {},
    "chunked": {"batching": "chunked", "max_batched_tokens": 64},
    "static": {"batching": "static", "max_batched_tokens": None},
    "paged": {"kv_tokens": 2000, "kv_policy": "paged"},
    "chunked paged": {
        "batching": "chunked", "max_batched_tokens": 64, "kv_tokens": 2000, "kv_policy": "paged",
    },
    "shortest": {"order": "shortest", "kv_tokens": 4000},
    "priority": {"order": "priority", "kv_tokens": 4000},
    "prefix cache": {"prefix_cache_tokens": 4096},
    "own step": {"step_time": CustomStep(lambda d, c, p, pairs: 0.01 + 1e-7 * c + 2e-5 * p)},
}  # fmt: skip


def asked(n, rate, seed=0, blocks=False):
    rng = np.random.default_rng(seed)
    prompts = rng.integers(10, 900, n)
    hashes = [[int(rng.integers(3)), *range(100 * i, 100 * i + size // 64 - 1)]
              if size >= 128 else [] for i, size in enumerate(prompts)]  # fmt: skip
    return Requests(
        np.cumsum(rng.exponential(1 / rate, n)),
        prompts,
        rng.geometric(1 / 40, n),
        rng.integers(0, 3, n),
        hashes if blocks else None,
        64,
    )


def replace_outputs(requests, output_tokens):
    return Requests(
        requests.arrival_s,
        requests.prompt_tokens,
        output_tokens,
        requests.priority,
        requests.block_hashes,
        requests.hash_block_tokens,
    )


def exponential(rng, n, rate=1.0):
    return np.maximum(1, np.round(rng.exponential(1 / rate, n) * 1e6)).astype(int)


def assert_same(left, right):
    for name in ("start_s", "first_token_s", "finish_s"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


@pytest.mark.parametrize("policy", POLICIES)
def test_one_replica_is_the_one_server_bit_for_bit(policy):
    server = replace(SERVER, **POLICIES[policy])
    requests = asked(400, 20, blocks=policy == "prefix cache")
    alone = simulate_llm(requests, server)
    for router in ("round_robin", "least_loaded"):
        fleet = simulate_fleet(requests, server, router=router)
        assert_same(fleet, alone)
        (only,) = fleet.replicas
        np.testing.assert_array_equal(only.preemptions, alone.preemptions)
        np.testing.assert_array_equal(only.timeline.duration_s, alone.timeline.duration_s)
        np.testing.assert_array_equal(only.token_times_s(7), alone.token_times_s(7))
    assert (policy not in ("paged", "chunked paged")) == (alone.preemptions.sum() == 0)


@pytest.mark.parametrize("output", [20, 1])
def test_arrivals_closer_than_an_instant_are_those_of_the_one_server(output):
    apart_s = np.tile([0.4e-9, 1.5e-9, 3e-9, 0.3], 6)
    requests = Requests(1.0 + np.cumsum(apart_s), 200, output)
    for router in ("round_robin", "least_loaded"):
        assert_same(simulate_fleet(requests, SERVER, router=router), simulate_llm(requests, SERVER))


@pytest.mark.parametrize("policy", POLICIES)
def test_replicas_taken_together_are_those_run_apart(policy):
    server = replace(SERVER, **POLICIES[policy])
    requests = asked(400, 50, blocks=policy == "prefix cache")
    # The same turns, decided by a function, which the fleet has to ask at every arrival.
    together = simulate_fleet(requests, server, 3, router=routing.round_robin())
    apart = simulate_fleet(requests, server, 3)
    assert_same(together, apart)
    np.testing.assert_array_equal(together.replica, np.arange(400) % 3)
    np.testing.assert_array_equal(together.sent, np.arange(400))
    for one, other in zip(together.replicas, apart.replicas, strict=True):
        np.testing.assert_array_equal(one.timeline.start_s, other.timeline.start_s)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("rate", [20, 60])
def test_a_router_knows_who_is_there(policy, rate):
    server = replace(SERVER, **POLICIES[policy])
    requests = asked(400, rate, blocks=policy == "prefix cache")
    # Answers of a token or two leave sooner than whoever was next to leave.
    few = np.random.default_rng(5).integers(1, 4, 400)
    short = np.arange(400) % 2 == 0
    requests = replace_outputs(requests, np.where(short, few, requests.output_tokens))
    seen, shortest = [], routing.least_loaded()

    def route(view, request):
        seen.append(list(view.in_system))
        return shortest(view, request)

    run = simulate_fleet(requests, server, 3, router=route)
    came, left, where = run.requests.arrival_s, run.finish_s, run.replica
    for i, now_s in enumerate(came):
        there = left[:i] > now_s
        assert np.bincount(where[:i][there], minlength=3).tolist() == seen[i], i


@pytest.mark.no_cover
def test_a_closed_loop_is_the_machine_repair_queue():
    users, rate, think_rate, n = 5, 1.0, 0.3, 40_000
    rng = np.random.default_rng(1)
    loop = ClosedLoop(users, exponential(rng, n, rate), 1, rng.exponential(1 / think_rate, n))
    run = simulate_fleet(loop, QUEUE)
    ways = [factorial(users) / factorial(users - k) * think_rate**k for k in range(users + 1)]
    throughput = rate * (1 - 1 / sum(ways))
    assert run.throughput_rps() == pytest.approx(throughput, rel=0.01)
    # Little's law over the whole loop: N = X (R + Z).
    assert run.e2e_s.mean() == pytest.approx(users / throughput - 1 / think_rate, rel=0.02)
    # Mean value analysis gives the same, one user after another.
    queue = 0.0
    for n_users in range(1, users + 1):
        response = (1 + queue) / rate
        queue = n_users * response / (response + 1 / think_rate)
    assert run.e2e_s.mean() == pytest.approx(response, rel=0.02)


def test_users_of_a_closed_loop_never_overlap_themselves():
    rng = np.random.default_rng(3)
    loop = ClosedLoop(4, rng.integers(10, 500, 200), rng.integers(1, 50, 200), think_s=0.05)
    run = simulate_fleet(loop, SERVER, 2, router="least_loaded")
    assert sorted(run.sent.tolist()) == list(range(200))
    assert (np.diff(run.arrival_s) >= 0).all()
    assert run.in_system.max() <= 4
    np.testing.assert_array_equal(run.requests.prompt_tokens, loop.prompt_tokens[run.sent])
    # Who comes after the first four comes 50 ms after somebody left.
    np.testing.assert_allclose(run.arrival_s[4:], np.sort(run.finish_s)[:196] + 0.05)
    # A loop with more users than requests is an open burst.
    few = simulate_fleet(ClosedLoop(9, [100, 200], 5), SERVER)
    assert_same(few, simulate_llm(Requests([0, 0], [100, 200], 5), SERVER))


@pytest.mark.no_cover
@pytest.mark.parametrize(("router", "d"), [("random", 1), ("power_of_two", 2)])
def test_many_replicas_have_the_tails_of_the_supermarket_model(router, d):
    load, size, n = 0.8, 100, 60_000
    rng = np.random.default_rng(2)
    requests = Requests(np.cumsum(rng.exponential(1 / (load * size), n)), exponential(rng, n), 1)
    run = simulate_fleet(requests, QUEUE, size, router=router, rng=rng)
    tails = [load ** ((d**i - 1) // (d - 1) if d > 1 else i) for i in range(1, 40)]
    settled = run.without_warmup(0.1)
    assert settled.e2e_s[n // 10 :].mean() == pytest.approx(sum(tails) / load, rel=0.05)
    # The share of replicas with two requests or more, over time.
    busy = [one.in_system for one in run.replicas[:20]]
    instants = np.linspace(run.arrival_s[n // 10], run.arrival_s[-1], 400)
    share = np.mean([[each.at(t) >= 2 for t in instants] for each in busy])
    assert share == pytest.approx(tails[1], abs=0.04)


def test_more_knowledge_means_less_waiting():
    requests = asked(3000, 110, seed=4)
    waits = {}
    for router in ("random", "round_robin", "power_of_two", "least_loaded"):
        run = simulate_fleet(requests, SERVER, 4, router=router, rng=np.random.default_rng(1))
        waits[router] = run.queue_s.mean()
        # Nobody is lost, and every token is given somewhere.
        assert not np.isnan(run.finish_s).any()
        tokens = sum(int(one.requests.output_tokens.sum()) for one in run.replicas)
        assert tokens == requests.output_tokens.sum()
        for r, one in enumerate(run.replicas):
            np.testing.assert_array_equal(one.finish_s, run.finish_s[run.replica == r])
    assert waits["least_loaded"] < waits["power_of_two"] < waits["random"]
    assert waits["least_loaded"] < waits["round_robin"]


def test_the_router_sees_the_counts_of_the_instant():
    requests = asked(300, 60, seed=5)
    seen = []

    def watching(view, request):
        seen.append((view.now_s, list(view.in_system), list(view.tokens)))
        return request % 3

    run = simulate_fleet(requests, SERVER, 3, router=watching)
    size = requests.prompt_tokens + requests.output_tokens
    for i, (now_s, in_system, tokens) in enumerate(seen):
        assert now_s == requests.arrival_s[i]
        inside = (np.arange(300) < i) & (run.finish_s > now_s)
        for r in range(3):
            here = inside & (run.replica == r)
            assert (in_system[r], tokens[r]) == (here.sum(), size[here].sum())


def chats(n=40, turns=4, seed=6):
    rng = np.random.default_rng(seed)
    return Sessions(
        np.cumsum(rng.exponential(0.2, n)),
        rng.integers(20, 60, (n, turns)).tolist(),
        rng.integers(5, 40, (n, turns)).tolist(),
        rng.exponential(1.0, (n, turns)).tolist(),
        system_tokens=200,
    )


def test_turns_follow_answers_and_send_the_past_again():
    work = chats()
    run = simulate_fleet(work, SERVER, 2, router="least_loaded")
    place = np.empty(len(work), dtype=int)
    place[run.sent] = np.arange(len(work))
    arrival, finish = run.arrival_s[place], run.finish_s[place]
    follows = np.flatnonzero(np.diff(work.session) == 0) + 1
    np.testing.assert_allclose(arrival[follows], finish[follows - 1] + work.think_s[follows])
    np.testing.assert_array_equal(arrival[work.first], work.start_s)
    assert work.prompt_tokens[0] > 220
    assert (np.diff(work.prompt_tokens)[follows - 1] > work.output_tokens[follows - 1]).all()


def test_a_prefix_cache_spares_what_the_conversation_has_computed():
    step = LinearStep(base_s=0, per_decode_s=1e-3, per_prefill_token_s=1e-3, per_context_token_s=0)
    server = LLMServer(step_time=step, prefix_cache_tokens=None)
    # Prompts 96, then 96 + 16 + 32 = 144: of those 112 are known, prompt and answer alike.
    run = simulate_fleet(Sessions([0.0], [[32, 32]], [[16, 1]], 9.0, system_tokens=64), server)
    np.testing.assert_allclose(run.ttft_s, [0.096, 0.032])
    # Another conversation shares the system prompt's blocks alone.
    both = Sessions([0.0, 50.0], [[32], [32]], [[16], [16]], system_tokens=64)
    np.testing.assert_allclose(simulate_fleet(both, server).ttft_s, [0.096, 0.032])
    # The least recently used go first: with room for one conversation the first is forgotten.
    turns = Sessions([0.0, 5.0], [[160, 16], [160, 16]], [[16, 1], [16, 1]], 20.0)
    small = simulate_fleet(turns, replace(server, prefix_cache_tokens=192))
    np.testing.assert_allclose(small.ttft_s, [0.160, 0.160, 0.176, 0.192])
    large = simulate_fleet(turns, server)
    np.testing.assert_allclose(large.ttft_s, [0.160, 0.160, 0.016, 0.016])


def test_affinity_finds_the_cache_unless_its_replica_is_too_busy():
    slow = replace(STEP, per_prefill_token_s=1e-3)
    server = replace(SERVER, step_time=slow, prefix_cache_tokens=None)
    work = chats(n=60, turns=5)
    ttft = {}
    for name, router in (
        ("affinity", routing.prefix_affinity(0.1)),
        ("turns", routing.round_robin()),
    ):
        run = simulate_fleet(work, server, 4, router=router)
        ttft[name] = run.ttft_s.mean()
        if name == "affinity":
            order = np.argsort(run.sent)
            sticky = run.replica[order].reshape(60, 5)
            assert (sticky == sticky[:, :1]).mean() > 0.6
    assert ttft["affinity"] < 0.8 * ttft["turns"]
    view = routing.FleetView(range(2), [9, 0], [1000, 0], [640], _caches=[None, None])
    assert routing.prefix_affinity(0)(view, 0) == 1  # equal caches: the less loaded


def test_a_cold_replica_gets_nothing_before_it_is_up():
    requests = Requests(np.arange(10) * 0.1, 100, 2)
    turns = routing.round_robin()
    run = simulate_fleet(requests, SERVER, 2, router=turns, ready_s=[0.0, 0.55])
    assert (run.replica[:6] == 0).all()
    assert (run.replica[6:] == 1).any()
    idlest = simulate_fleet(requests, SERVER, 2, router="least_loaded", ready_s=[0.55, 0.0])
    assert idlest.replica[:6].tolist() == [1] * 6
    late = simulate_fleet(requests, SERVER, 2, ready_s=2.0)
    assert late.start_s.min() == 2.0
    assert late.replicas[0].start_s.min() == 2.0


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("router", ["round_robin", "least_loaded", "power_of_two"])
def test_whoever_waits_for_a_cold_replica_is_there_when_it_is_up(policy, router):
    server = replace(SERVER, **POLICIES[policy])
    requests = asked(30, 20, blocks=policy == "prefix cache")
    up_s = requests.arrival_s[20]
    rng = np.random.default_rng(1)
    cold = simulate_fleet(requests, server, router=router, ready_s=up_s, rng=rng)
    late = replace(requests, arrival_s=np.maximum(requests.arrival_s, up_s))
    warm = simulate_llm(late, server)
    for name in ("start_s", "first_token_s", "finish_s"):
        np.testing.assert_array_equal(getattr(cold, name), getattr(warm, name))


def test_users_of_a_loop_go_to_who_is_up():
    loop = ClosedLoop(4, [100] * 80, 20, 0.05)
    run = simulate_fleet(loop, SERVER, 2, router="least_loaded", ready_s=[0.0, 1.0])
    early = run.arrival_s < 1.0
    assert 4 < early.sum() < 80
    assert (run.replica[early] == 0).all()
    assert set(run.replica[~early].tolist()) == {0, 1}


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("ready_s", [0.0, (0.0, 0.4, 0.8, 5.0)])
@pytest.mark.parametrize("policy", POLICIES)
def test_routers_that_look_at_few_decide_as_if_they_saw_all(policy, ready_s, d):
    """The fleet brings up to date only those that they look at; asked openly, all."""
    server = replace(SERVER, **POLICIES[policy])
    requests = asked(300, 60, blocks=policy == "prefix cache")
    lazy = routing.power_of_choices(d, np.random.default_rng(3))
    open_eyed = routing.power_of_choices(d, np.random.default_rng(3))
    shortest = routing.least_loaded()
    pairs = [(lazy, lambda view, i: open_eyed(view, i)), (shortest, lambda v, i: shortest(v, i))]
    for quick, slow in pairs:
        found = simulate_fleet(requests, server, 4, router=quick, ready_s=ready_s)
        expected = simulate_fleet(requests, server, 4, router=slow, ready_s=ready_s)
        np.testing.assert_array_equal(found.replica, expected.replica)
        for name in ("start_s", "first_token_s", "finish_s"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_replicas_may_differ():
    slow = replace(SERVER, step_time=replace(STEP, base_s=0.08))
    run = simulate_fleet(asked(300, 40), [SERVER, slow], 2, router="least_loaded")
    assert (run.replica == 0).sum() > 1.5 * (run.replica == 1).sum()
    for router in ("round_robin", "least_loaded"):
        assert simulate_fleet(asked(1, 1), SERVER, 2, router=router).replicas[1] is None


def test_prefill_and_decode_apart():
    requests = asked(300, 15, seed=7)
    apart = simulate_disaggregated(
        requests, SERVER, SERVER, 2, 2, transfer_s=0.01, transfer_per_token_s=1e-5
    )
    prompts = simulate_fleet(Requests(requests.arrival_s, requests.prompt_tokens, 1), SERVER, 2)
    np.testing.assert_array_equal(apart.first_token_s, prompts.finish_s)
    long = requests.output_tokens > 1
    came = apart.first_token_s + 0.01 + 1e-5 * requests.prompt_tokens
    np.testing.assert_allclose(apart.decode.arrival_s, np.sort(came[long]))
    assert not np.isnan(apart.finish_s).any()
    np.testing.assert_array_equal(apart.finish_s[~long], apart.first_token_s[~long])
    # Nothing but decode steps runs where answers are decoded, at most a batch at a time.
    for one in apart.decode.replicas:
        assert one.timeline.prefill_tokens.sum() == 0
        assert one.timeline.decodes.max() <= 16
        assert one.timeline.steps.sum() > 0
    # A request alone: its prompt, the transfer, then one step a token.
    one = simulate_disaggregated(Requests([0.0], 500, 4), SERVER, SERVER, transfer_s=0.5)
    steps = sum(STEP.iteration_s(1, 501 + k, 0, 0) for k in range(3))
    assert one.e2e_s[0] == pytest.approx(STEP.iteration_s(0, 0, 500, 0) + 0.5 + steps)
    short = simulate_disaggregated(Requests([0.0], 500, 1, [2.0]), SERVER, SERVER)
    assert short.decode is None


def test_what_a_full_decode_cache_throws_out_is_computed_there():
    tight = replace(SERVER, kv_tokens=1024, kv_policy="paged")
    requests = Requests(np.zeros(12), 150, 100)
    run = simulate_disaggregated(requests, SERVER, tight)
    (only,) = run.decode.replicas
    assert only.preemptions.sum() > 0
    assert only.timeline.prefill_tokens.sum() > 0
    assert not np.isnan(run.finish_s).any()


LOOP = ClosedLoop(1, [1], 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: simulate_fleet([1], SERVER), "work must be Requests, a ClosedLoop or Sessions"),
        (lambda: simulate_fleet(LOOP, None), "server must be an LLMServer or a sequence"),
        (lambda: simulate_fleet(LOOP, [SERVER, 1], 2), "server[1] must be an LLMServer, got 1"),
        (lambda: simulate_fleet(LOOP, [SERVER], 2), "replicas must be the number of servers = 1"),
        (lambda: simulate_fleet(LOOP, [], 1), "replicas must be the number of servers = 0"),
        (lambda: simulate_fleet(LOOP, SERVER, 0), "replicas must be a whole number"),
        (lambda: simulate_fleet(LOOP, SERVER, router="fastest"), "router must be one of 'round_r"),
        (lambda: simulate_fleet(LOOP, SERVER, router=lambda v, i: 1), "a replica from 0 to 0"),
        (lambda: simulate_fleet(LOOP, SERVER, router="random"), "rng must be a numpy.random"),
        (lambda: simulate_fleet(LOOP, SERVER, 2, ready_s=[0]), "ready_s must have one entry for"),
        (lambda: simulate_fleet(LOOP, SERVER, ready_s=-1), "ready_s[0] must be a number of at"),
        (
            lambda: simulate_fleet(
                LOOP, replace(SERVER, speculation=Speculation(alpha=1, gamma=1, cost_ratio=0))
            ),
            "server must not decode speculatively",
        ),
        (
            lambda: simulate_fleet(Requests([0], 50, 9), replace(SERVER, kv_tokens=20)),
            "must be at most the 20 tokens",
        ),
        (lambda: simulate_disaggregated(LOOP, SERVER, SERVER), "requests must be Requests"),
        (
            lambda: simulate_disaggregated(Requests([0], 1, 2), SERVER, SERVER, transfer_s=-1),
            "transfer_s must be",
        ),
        (lambda: ClosedLoop(0, [1], 1), "users must be a whole number of at least 1"),
        (lambda: ClosedLoop(1, [1], [1, 2]), "output_tokens must have one entry for each of 1"),
        (lambda: ClosedLoop(1, [1], 1, [1, 2]), "think_s must have one entry for each of 1"),
        (lambda: ClosedLoop(1, [1], 1, -1), "think_s[0] must be a finite number of at least 0"),
        (lambda: Sessions([0], [[1]], []), "output_tokens must have one entry for each of 1 start"),
        (lambda: Sessions([0], [[1, 2]], [[1]]), "output_tokens[0] must have one entry for each"),
        (lambda: Sessions([0], [[0]], [[1]]), "user_tokens[0][0] must be a whole number of at"),
        (lambda: Sessions([0], [[1]], [[1]], [[1, 2]]), "think_s[0] must have one entry for each"),
        (lambda: Sessions([0], [[1]], [[1]], block_tokens=0), "block_tokens must be"),
        (lambda: routing.power_of_choices(0, np.random.default_rng(1)), "d must be a whole"),
        (lambda: routing.prefix_affinity(-1), "load_weight must be"),
        *(
            (
                lambda work=work: simulate_fleet(work, SERVER, 2, router=lambda view, i: 2),
                "router must return a replica from 0 to 1, got 2",
            )
            for work in (Requests([0], 1, 2), ClosedLoop(1, [1], 1))
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)
