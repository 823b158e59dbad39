"""Random servers and requests, small enough for the reference, odd enough to find mistakes."""

from __future__ import annotations

import numpy as np

from servemath_helpers.sim import (
    CustomStep,
    LinearStep,
    LLMServer,
    Requests,
    RooflineStep,
    Speculation,
)

BATCHING = ("continuous", "chunked", "static")
MEMORY = ("none", "reserve", "reserve_max", "paged")


def random_step(rng, kind=None):
    kind = kind or rng.choice(["roofline", "linear", "flat", "custom"], p=[0.4, 0.4, 0.1, 0.1])
    if kind == "roofline":
        return RooflineStep(
            n_params=int(rng.integers(1, 80)) * 10**9,
            weight_bytes=float(rng.uniform(1e9, 2e11)),
            k=float(rng.uniform(1e4, 1e7)),
            layers=int(rng.integers(10, 100)),
            d_attn=int(rng.integers(1, 20)) * 512,
            n_gpus=int(rng.integers(1, 9)),
            bw_Bps=float(rng.uniform(3e11, 4e12)),
            peak_flops=float(rng.uniform(1e14, 1e15)),
            mfu=float(rng.uniform(0.2, 1)),
            overhead_s=float(rng.choice([0.0, 1e-3])),
        )
    linear = LinearStep(
        base_s=float(rng.uniform(1e-3, 2e-2)),
        per_decode_s=float(rng.uniform(0, 1e-3)),
        per_prefill_token_s=float(rng.uniform(0, 1e-3)),
        per_context_token_s=0.0 if kind == "flat" else float(10 ** rng.uniform(-8, -4)),
    )
    if kind != "custom":
        return linear
    return CustomStep(lambda d, ctx, p, pairs: linear.iteration_s(d, ctx, p, pairs) * (1 + d % 3))


def random_requests(rng, n=None, hashes=False):
    n = n or int(rng.integers(1, 50))
    rate = float(10 ** rng.uniform(-0.5, 2.5))
    arrival = np.cumsum(rng.exponential(1 / rate, n))
    if rng.random() < 0.2:
        arrival = np.repeat(arrival[: -(-n // 3)], 3)[:n]  # three at a time
    prompt = rng.integers(1, int(rng.choice([3, 40, 300])), n, endpoint=True)
    output = rng.geometric(1 / float(rng.choice([1, 3, 30])), n)
    block = int(rng.integers(1, 40))
    ids = None
    if hashes:
        ids = []
        for size in prompt.tolist():
            family, blocks = int(rng.integers(0, 4)), -(-size // block)
            shared = int(rng.integers(0, blocks, endpoint=True))
            ids.append(
                [1000 * family + b for b in range(shared)]
                + rng.integers(10**6, 10**9, blocks - shared).tolist()
            )
    return Requests(arrival, prompt, output, rng.integers(0, 3, n), ids, block)


def random_server(rng, requests, batching=None, memory=None, speculation=None, order=None):
    batching = batching or str(rng.choice(BATCHING))
    if memory is None:
        memory = str(rng.choice(MEMORY if batching != "static" else MEMORY[:3]))
    if speculation is None:
        speculation = memory != "paged" and rng.random() < 0.2
    drafts = None
    if speculation:
        gamma = int(rng.integers(0, 6))
        alpha = float(rng.choice([0, 0.3, 0.8, 1]))
        if rng.random() < 0.5:
            drafts = Speculation(alpha=alpha, gamma=gamma, cost_ratio=float(rng.uniform(0, 0.3)))
        else:
            drafts = Speculation(alpha=alpha, gamma=gamma, draft=random_step(rng))
    max_batch = int(rng.integers(1, 20))
    most = None
    if batching == "chunked":
        most = max_batch * (1 if drafts is None else drafts.gamma + 1) + int(rng.integers(0, 60))
    elif batching == "continuous" and rng.random() < 0.5:
        most = int(rng.integers(1, 600))
    largest = int((requests.prompt_tokens + requests.output_tokens).max())
    policy: dict = {}
    if memory != "none":
        policy["kv_tokens"] = int(largest * rng.uniform(1, 4)) + 40
    if memory == "reserve_max":
        policy["reserve_tokens"] = largest + int(rng.integers(0, 40))
    if memory == "paged":
        policy["kv_policy"] = "paged"
        policy["block_tokens"] = int(rng.integers(1, 20))
        policy["kv_tokens"] = int(largest * rng.uniform(1, 2)) + 20
        policy["watermark"] = float(rng.choice([0, 0.01, 0.3]))
    if requests.block_hashes is not None:
        sizes = [None, requests.hash_block_tokens * int(rng.integers(1, 30))]
        policy["prefix_cache_tokens"] = sizes[int(rng.integers(0, 2))]
    return LLMServer(
        step_time=random_step(rng),
        batching=batching,
        max_batch=max_batch,
        max_batched_tokens=most,
        order=order or str(rng.choice(["fcfs", "shortest", "priority"])),
        speculation=drafts,
        rereads_prompt=bool(rng.random() < 0.3),
        **policy,
    )
