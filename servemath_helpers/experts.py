"""Mixtures of experts: which weights a step reads, what travels, how uneven it gets.

A router sends each token to a few of many experts. The formulas here take it as choosing
uniformly and independently; real routers favour some experts, so fewer distinct ones are
read and the busiest is busier.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from typing import Literal, TypedDict

import numpy as np

from servemath_helpers._validate import finite_non_negative, finite_positive, whole

__all__ = [
    "MoeStep",
    "all_to_all_bytes",
    "expert_imbalance",
    "experts_read",
    "moe_step_s",
    "other_gpus_reached",
]


class MoeStep(TypedDict):
    """One decode step of a mixture of experts: its time, bytes, and what bounds it."""

    step_s: float
    bytes: float
    bound: Literal["memory", "compute"]


def _router(n_experts: int, experts_per_token: int) -> tuple[int, int]:
    n_experts = whole("n_experts", n_experts, 1)
    chosen = whole("experts_per_token", experts_per_token, 1)
    if chosen > n_experts:
        raise ValueError(
            f"experts_per_token must be at most n_experts = {n_experts}, got {experts_per_token!r}"
        )
    return n_experts, chosen


def experts_read(n_experts: int, experts_per_token: int, tokens: int) -> float:
    """Return the expected number of distinct experts of a layer that a step reads.

    Parameters
    ----------
    n_experts : int
        Routed experts of a layer, at least 1.
    experts_per_token : int
        Of them, how many each token visits, 1..`n_experts`.
    tokens : int
        Tokens in the step, at least 0.

    Returns
    -------
    float
        Experts, in [0, `n_experts`].

    Notes
    -----
    ``E (1 - (1 - k/E)^B)``: an expert is left alone by one token with probability 1 - k/E,
    and by all of B independent ones with the B-th power of it.

    Examples
    --------
    DeepSeek-V3 has 256 experts and uses 8 a token; a batch of 32 reads most of them.

    >>> [round(experts_read(256, 8, batch), 1) for batch in (1, 8, 32, 128)]
    [8.0, 57.4, 163.3, 251.6]
    """
    n_experts, chosen = _router(n_experts, experts_per_token)
    tokens = whole("tokens", tokens)
    if chosen == n_experts:
        return float(n_experts if tokens else 0)
    # 1 - (1 - k/E)^B without losing the digits of a small k/E.
    return n_experts * -math.expm1(tokens * math.log1p(-chosen / n_experts))


def moe_step_s(
    batch: int,
    n_experts: int,
    experts_per_token: int,
    moe_layers: int,
    expert_bytes: float,
    dense_bytes: float,
    n_active_params: int,
    kv_bytes: float,
    n_gpus: int,
    bw_Bps: float,
    peak_flops: float,
) -> MoeStep:
    """Time of one decode step of a mixture of experts, at full bandwidth and peak.

    Parameters
    ----------
    batch : int
        Sequences, at least 1.
    n_experts, experts_per_token : int
        As for `experts_read`.
    moe_layers : int
        Layers with experts, at least 1.
    expert_bytes : float
        Bytes of one expert of one layer, at least 0.
    dense_bytes : float
        Bytes of what every token passes: attention, shared experts, embeddings; at least 0.
    n_active_params : int
        Parameters that a token passes through, at least 1.
    kv_bytes : float
        Bytes of cache that the batch reads, at least 0.
    n_gpus : int
        GPUs over which all is spread evenly, at least 1.
    bw_Bps, peak_flops : float
        Bandwidth [B/s] and dense peak [FLOP/s] of one GPU, greater than 0.

    Returns
    -------
    dict
        ``step_s`` [s]; ``bytes`` of weights that are read; ``bound``, ``"compute"`` where the
        arithmetic takes longer than reading them, else ``"memory"``.

    Notes
    -----
    As `roofline.decode_step_s`, with ``dense_bytes + moe_layers expert_bytes E(B)`` in place
    of all weights, E(B) being `experts_read`.

    Examples
    --------
    DeepSeek-V3 in 8 bits on eight H200, 32 users of 4096 tokens:

    >>> step = moe_step_s(32, 256, 8, 58, 44_040_192, 17_117_648_384, 37_552_297_472,
    ...                   32 * 4096 * 35_136, n_gpus=8, bw_Bps=4.8e12, peak_flops=1978.9e12)
    >>> round(step["step_s"] * 1e3, 2), round(step["bytes"] / 1e9, 1), step["bound"]
    (11.43, 434.3, 'memory')
    """
    batch = whole("batch", batch, 1)
    read = experts_read(n_experts, experts_per_token, batch)
    weights = finite_non_negative("dense_bytes", dense_bytes) + read * whole(
        "moe_layers", moe_layers, 1
    ) * finite_non_negative("expert_bytes", expert_bytes)
    n_gpus = whole("n_gpus", n_gpus, 1)
    bandwidth = n_gpus * finite_positive("bw_Bps", bw_Bps)
    flops = 2 * whole("n_active_params", n_active_params, 1) * batch
    compute_s = flops / (n_gpus * finite_positive("peak_flops", peak_flops))
    read_s = weights / bandwidth
    cache_s = finite_non_negative("kv_bytes", kv_bytes) / bandwidth
    return {
        "step_s": cache_s + max(read_s, compute_s),
        "bytes": weights,
        "bound": "compute" if compute_s > read_s else "memory",
    }


def other_gpus_reached(n_experts: int, experts_per_token: int, n_gpus: int) -> float:
    """Return the expected number of other GPUs to which expert parallelism sends a token.

    Parameters
    ----------
    n_experts, experts_per_token : int
        As for `experts_read`.
    n_gpus : int
        GPUs that hold equal shares of the experts, at least 1: a divisor of `n_experts`.

    Returns
    -------
    float
        GPUs, in [0, `n_gpus` - 1].

    Raises
    ------
    ValueError
        If the experts cannot be shared evenly.

    Notes
    -----
    A GPU with m = E/n experts is left out with probability C(E - m, k)/C(E, k), and a token
    stays where it is for the experts of its own GPU.

    Examples
    --------
    >>> round(other_gpus_reached(256, 8, n_gpus=8), 2)
    4.63
    """
    n_experts, chosen = _router(n_experts, experts_per_token)
    n_gpus = whole("n_gpus", n_gpus, 1)
    if n_experts % n_gpus:
        raise ValueError(f"n_gpus must be a divisor of n_experts = {n_experts}, got {n_gpus}")
    elsewhere = math.comb(n_experts - n_experts // n_gpus, chosen)
    return (n_gpus - 1) * (1 - elsewhere / math.comb(n_experts, chosen))


def all_to_all_bytes(
    hidden: int,
    n_experts: int,
    experts_per_token: int,
    n_gpus: int,
    out_bytes: float = 1,
    back_bytes: float = 2,
) -> float:
    """Bytes that one token sends and gets back in one layer of expert parallelism.

    Parameters
    ----------
    hidden : int
        Width of the model, at least 1.
    n_experts, experts_per_token, n_gpus : int
        As for `other_gpus_reached`.
    out_bytes, back_bytes : float, optional
        Bytes of an activation on its way to an expert (8 bits) and back (16 bits), at
        least 0.

    Returns
    -------
    float
        Bytes: the token goes once to each GPU that has one of its experts, and a sum comes
        back from each.

    Examples
    --------
    A token of DeepSeek-V3 on eight GPUs, in kB a layer:

    >>> round(all_to_all_bytes(7168, 256, 8, n_gpus=8) / 1e3, 1)
    99.6
    """
    reached = other_gpus_reached(n_experts, experts_per_token, n_gpus)
    both = finite_non_negative("out_bytes", out_bytes) + finite_non_negative(
        "back_bytes", back_bytes
    )
    return reached * whole("hidden", hidden, 1) * both


def expert_imbalance(
    n_experts: int,
    experts_per_token: int,
    tokens: int,
    n_gpus: int | None = None,
    draws: int = 200,
    seed: int = 0,
) -> float:
    """Load of the busiest expert, or GPU, over the mean load, averaged over random routings.

    Parameters
    ----------
    n_experts, experts_per_token : int
        As for `experts_read`.
    tokens : int
        Tokens in the step, at least 1.
    n_gpus : int, optional
        GPUs that hold equal shares of the experts, a divisor of `n_experts`; None asks for
        single experts.
    draws : int, optional
        Routings that are drawn, at least 1.
    seed : int, optional
        Of the random generator.

    Returns
    -------
    float
        At least 1. All wait for the busiest, so the arithmetic of a layer takes that many
        times as long as a perfect balance would.

    Examples
    --------
    >>> [round(expert_imbalance(256, 8, tokens), 1) for tokens in (64, 256, 1024)]
    [3.5, 2.1, 1.5]
    >>> [round(expert_imbalance(256, 8, tokens, n_gpus=8), 2) for tokens in (64, 256, 1024)]
    [1.18, 1.09, 1.05]
    """
    n_experts, chosen = _router(n_experts, experts_per_token)
    tokens = whole("tokens", tokens, 1)
    groups = n_experts if n_gpus is None else whole("n_gpus", n_gpus, 1)
    if n_experts % groups:
        raise ValueError(f"n_gpus must be a divisor of n_experts = {n_experts}, got {groups}")
    rng = np.random.default_rng(whole("seed", seed))
    total = 0.0
    draws = whole("draws", draws, 1)
    for _ in range(draws):
        # The k smallest of E random numbers are a uniform choice without repetition.
        picked = rng.random((tokens, n_experts)).argpartition(chosen - 1, axis=1)[:, :chosen]
        load = np.bincount(picked.ravel() // (n_experts // groups), minlength=groups)
        total += load.max() * groups / (tokens * chosen)
    return float(total / draws)
