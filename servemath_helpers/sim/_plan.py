"""What the engine works on: plain lists, sizes in tokens, random numbers already drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from servemath_helpers.sim._arrays import IntArray, generator
from servemath_helpers.sim.requests import Requests

if TYPE_CHECKING:
    from servemath_helpers.sim.server import LLMServer, Speculation

__all__ = ["Draws", "Plan", "make_plan"]


@dataclass(frozen=True)
class Draws:
    """Tokens of every verification of every request, drawn before the run.

    Request i takes ``steps[i]`` verifications and ``tokens[first[i]:first[i] + steps[i]]``
    are the tokens that each of them gives.
    """

    tokens: IntArray
    first: IntArray
    steps: IntArray


@dataclass(frozen=True)
class Plan:
    """The requests that will be served, and the engine's view of them."""

    index: IntArray  # position of each among all requests
    arrival: list[float]
    prompt: list[int]
    steps: list[int]  # iterations of decoding after the prefill
    total: list[int]  # prompt and answer
    reserved: list[int]  # tokens of cache set aside on admission
    rank: list[int]  # place in the admission order
    by_rank: list[int]
    hashes: list[tuple[int, ...]] | None
    hash_block: int  # tokens in a block that is hashed
    draws: Draws | None
    capacity: int  # tokens of cache, 0 for no limit
    ready: list[bool] | None = None  # whose prompt was computed elsewhere


def draw_verifications(
    speculation: Speculation, output_tokens: IntArray, rng: np.random.Generator | None
) -> Draws:
    """Draw how many tokens each verification gives.

    One uniform number for each token after the first, in the order of the requests: that
    many verifications suffice, since each gives a token at least; what is left is unused.
    """
    wanted = output_tokens - 1
    bounds = np.concatenate(([0], np.cumsum(wanted)))
    uniform = generator(rng).random(int(bounds[-1]))
    # j drafts or more are accepted with probability alpha**j.
    reach = np.cumprod(np.full(int(speculation.gamma), float(speculation.alpha)))
    given = np.ones(uniform.size, dtype=np.int64)
    for chance in reach.tolist():
        given += uniform < chance
    so_far = np.concatenate(([0], np.cumsum(given)))
    first = bounds[:-1]
    goal = so_far[first] + wanted
    last = np.searchsorted(so_far, goal, side="left")  # so_far[last] >= goal
    steps = np.where(wanted > 0, last - first, 0)
    # The last verification gives no more than what is still wanted.
    some = steps > 0
    given[last[some] - 1] -= so_far[last[some]] - goal[some]
    return Draws(given, first, steps)


def _ranks(requests: Requests, order: str) -> IntArray:
    n = len(requests)
    if order == "fcfs":
        return np.arange(n)
    if order == "shortest":
        key = (requests.prompt_tokens + requests.output_tokens).astype(np.float64)
    elif requests.priority is None:
        raise ValueError("priority must be given for order 'priority', got None")
    else:
        key = requests.priority
    ranks = np.empty(n, dtype=np.int64)
    ranks[np.argsort(key, kind="stable")] = np.arange(n)
    return ranks


def make_plan(requests: Requests, server: LLMServer, rng: np.random.Generator | None) -> Plan:
    """Return what the engine needs, refusing or leaving out requests that can never fit."""
    total = requests.prompt_tokens + requests.output_tokens
    keep = np.arange(len(requests))
    reserved = np.zeros(len(requests), dtype=np.int64)
    capacity = 0
    if server.kv_tokens is not None:
        capacity = int(server.kv_tokens)
        room = capacity
        if server.kv_policy == "paged":
            room -= capacity % int(server.block_tokens)
        elif server.reserve_tokens is not None:
            room = int(server.reserve_tokens)
        fits = total <= room
        if server.oversize == "error" and not fits.all():
            i = int(np.argmin(fits))
            raise ValueError(
                f"prompt_tokens[{i}] + output_tokens[{i}] must be at most the {room} tokens "
                f"that the KV cache has for a request, got {int(total[i])}"
            )
        keep = np.flatnonzero(fits)
        if server.kv_policy == "reserve":
            reserved = total if server.reserve_tokens is None else np.full(len(requests), room)
    # Verifications are drawn for all requests: rejecting one does not change the others.
    draws = None
    steps = requests.output_tokens - 1
    if server.speculation is not None:
        every = draw_verifications(server.speculation, requests.output_tokens, rng)
        draws = Draws(every.tokens, every.first[keep], every.steps[keep])
        steps = every.steps
    ranks = _ranks(requests, server.order)[keep]
    by_rank = np.argsort(ranks)
    ranks[by_rank] = np.arange(keep.size)
    hashes = None
    if server.prefix_cache_tokens != 0:
        if requests.block_hashes is None:
            raise ValueError("block_hashes must be given for a prefix cache, got None")
        hashes = [tuple(requests.block_hashes[i]) for i in keep.tolist()]
    return Plan(
        index=keep,
        arrival=requests.arrival_s[keep].tolist(),
        prompt=requests.prompt_tokens[keep].tolist(),
        steps=steps[keep].tolist(),
        total=total[keep].tolist(),
        reserved=reserved[keep].tolist(),
        rank=ranks.tolist(),
        by_rank=by_rank.tolist(),
        hashes=hashes,
        hash_block=requests.hash_block_tokens,
        draws=draws,
        capacity=capacity,
    )
