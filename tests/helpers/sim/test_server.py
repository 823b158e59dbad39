"""Servers and requests: what goes together and what is refused."""

from __future__ import annotations

import pytest

from servemath_helpers.sim import LinearStep, LLMServer, Requests, Speculation, simulate_llm

STEP = LinearStep(base_s=0.01, per_decode_s=0, per_prefill_token_s=1e-5, per_context_token_s=0)


def test_decode_tokens_count_the_drafts():
    assert LLMServer(step_time=STEP, max_batch=8).decode_tokens == 8
    drafts = Speculation(alpha=0.8, gamma=4, cost_ratio=0.1)
    assert LLMServer(step_time=STEP, max_batch=8, speculation=drafts).decode_tokens == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step_time": 0.01}, "step_time must be a StepTime, got 0.01"),
        ({"batching": "dynamic"}, "batching must be one of"),
        ({"kv_policy": "infinite"}, "kv_policy must be one of"),
        ({"order": "lifo"}, "order must be one of"),
        ({"oversize": "ignore"}, "oversize must be one of"),
        ({"max_batch": 0}, "max_batch must be"),
        ({"block_tokens": 0}, "block_tokens must be"),
        ({"watermark": -0.1}, "watermark must be"),
        ({"watermark": 1}, "watermark must be below 1"),
        ({"rereads_prompt": 1}, "rereads_prompt must be True or False, got 1"),
        ({"max_batched_tokens": 0}, "max_batched_tokens must be"),
        ({"kv_tokens": 0}, "kv_tokens must be"),
        ({"prefix_cache_tokens": -1}, "prefix_cache_tokens must be"),
        ({"speculation": 0.8}, "speculation must be a Speculation"),
        ({"batching": "chunked"}, "max_batched_tokens must be at least the tokens of max_batch"),
        (
            {"batching": "chunked", "max_batch": 8, "max_batched_tokens": 7},
            "decoding sequences = 8 for chunked batching, got 7",
        ),
        (
            {"batching": "static", "max_batched_tokens": 100},
            "max_batched_tokens must be None for static",
        ),
        ({"kv_policy": "paged"}, "kv_tokens must be given for paged"),
        ({"kv_policy": "paged", "kv_tokens": 15}, "kv_tokens must be at least block_tokens = 16"),
        (
            {"kv_policy": "paged", "kv_tokens": 99, "reserve_tokens": 9},
            "reserve_tokens must be None for paged",
        ),
        (
            {
                "kv_policy": "paged",
                "kv_tokens": 99,
                "speculation": Speculation(alpha=0.8, gamma=4, cost_ratio=0.1),
            },
            "speculation must be None for paged",
        ),
        (
            {"kv_policy": "paged", "kv_tokens": 99, "batching": "static"},
            "kv_policy must be 'reserve' for static",
        ),
        ({"reserve_tokens": 0}, "reserve_tokens must be a whole"),
        ({"reserve_tokens": 9}, "reserve_tokens must be at most kv_tokens = None"),
        ({"reserve_tokens": 9, "kv_tokens": 8}, "reserve_tokens must be at most kv_tokens = 8"),
    ],
)
def test_bad_servers_are_refused(arguments, message):
    with pytest.raises(ValueError) as error:
        LLMServer(**{"step_time": STEP, **arguments})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 1.1, "gamma": 2, "cost_ratio": 0.1}, "alpha must be"),
        ({"alpha": 0.5, "gamma": -1, "cost_ratio": 0.1}, "gamma must be"),
        ({"alpha": 0.5, "gamma": 2}, "cost_ratio must be given, or draft instead"),
        ({"alpha": 0.5, "gamma": 2, "cost_ratio": 0.1, "draft": STEP}, "cost_ratio must be given"),
        ({"alpha": 0.5, "gamma": 2, "cost_ratio": -0.1}, "cost_ratio must be a number"),
        ({"alpha": 0.5, "gamma": 2, "draft": 0.1}, "draft must be a StepTime"),
    ],
)
def test_bad_speculations_are_refused(arguments, message):
    with pytest.raises(ValueError) as error:
        Speculation(**arguments)
    assert message in str(error.value)


def test_requests_take_one_number_for_all_and_anything_that_can_be_iterated():
    requests = Requests(iter([0.0, 1.0]), 7, (n for n in (1, 2)))
    assert requests.prompt_tokens.tolist() == [7, 7]
    assert requests.output_tokens.tolist() == [1, 2]
    assert len(requests) == 2
    assert requests.rate_rps == 1.0
    assert Requests([3.0], 1, 1).rate_rps == 0.0


def test_requests_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        Requests([0.0], 1, 1).arrival_s[0] = 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 1, 1), "arrival_s must not be empty"),
        (([1.0, 0.5], 1, 1), "arrival_s must be sorted"),
        (([0.0, float("nan")], 1, 1), "arrival_s[1] must be a finite"),
        (([0.0], [], 1), "prompt_tokens must not be empty"),
        (([0.0], 0, 1), "prompt_tokens must be a whole number of at least 1"),
        (([0.0, 1.0], [5, 0], 1), "prompt_tokens[1] must be a whole number of at least 1, got 0"),
        (([0.0], 1.5, 1), "prompt_tokens must be a whole"),
        (([0.0], [1.5], 1), "prompt_tokens[0] must be a whole"),
        (([0.0], [float("nan")], 1), "prompt_tokens[0] must be a whole"),
        (([0.0], 1, [1, 2]), "arrival_s has 1, output_tokens has 2"),
        (([0.0], 1, [-3]), "output_tokens[0] must be"),
        (([0.0], 1, "ab"), "output_tokens must be a one-dimensional"),
        (([0.0], 1, 1, [1, 2]), "arrival_s has 1, priority has 2"),
        (([0.0], 1, 1, [float("nan")]), "priority[0] must be"),
        (([0.0], 1, 1, None, [[1], [2]]), "arrival_s has 1, block_hashes has 2"),
        (([0.0], 1, 1, None, 5), "block_hashes must be a sequence"),
        (([0.0], 1, 1, None, [5]), "block_hashes[0] must be a sequence"),
        (([0.0], 513, 1, None, [[1, 2, 3]]), "block_hashes[0] must have at most 2 blocks for 513"),
        (([0.0], 1, 1, None, None, 0), "hash_block_tokens must be"),
    ],
)
def test_bad_requests_are_refused(arguments, message):
    with pytest.raises(ValueError) as error:
        Requests(*arguments)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("requests", "server", "message"),
    [
        ([1, 2], LLMServer(step_time=STEP), "requests must be Requests, got [1, 2]"),
        (Requests([0.0], 1, 1), STEP, "server must be LLMServer"),
        (
            Requests([0.0, 1.0], [5, 90], 20),
            LLMServer(step_time=STEP, kv_tokens=100),
            "prompt_tokens[1] + output_tokens[1] must be at most the 100 tokens",
        ),
        (
            Requests([0.0], 90, 10),
            LLMServer(step_time=STEP, kv_tokens=100, kv_policy="paged", block_tokens=33),
            "at most the 99 tokens that the KV cache has for a request, got 100",
        ),
        (
            Requests([0.0], 90, 10),
            LLMServer(step_time=STEP, kv_tokens=100, reserve_tokens=50),
            "at most the 50 tokens",
        ),
        (
            Requests([0.0], 1, 1),
            LLMServer(step_time=STEP, order="priority"),
            "priority must be given for order 'priority'",
        ),
        (
            Requests([0.0], 1, 1),
            LLMServer(step_time=STEP, prefix_cache_tokens=None),
            "block_hashes must be given for a prefix cache",
        ),
        (
            Requests([0.0], 1, 1),
            LLMServer(step_time=STEP, speculation=Speculation(alpha=0.8, gamma=4, cost_ratio=0.1)),
            "rng must be a numpy.random.Generator, got None",
        ),
    ],
)
def test_what_a_policy_needs_must_be_there(requests, server, message):
    with pytest.raises(ValueError) as error:
        simulate_llm(requests, server)
    assert message in str(error.value)
