"""Splitting a model over GPUs: what each holds, what talking costs, what stands idle.

Tensor parallelism cuts every layer, pipeline parallelism cuts the stack of layers, context
parallelism cuts the prompt, and a split of the phases gives prefill and decode machines of
their own.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from servemath_helpers._validate import (
    finite_non_negative,
    finite_positive,
    probability,
    whole,
)
from servemath_helpers.memory import kv_bytes_per_token
from servemath_helpers.quantities import Exact, exact_at_least

__all__ = [
    "PhaseSplit",
    "TensorParallelShard",
    "all_reduce_s",
    "phase_split",
    "pipeline_bubble",
    "ring_attention_s",
    "ring_step_s",
    "tensor_parallel_comm_s",
    "tensor_parallel_shard",
]

#: A layer sums partial results twice: after attention and after the feed-forward part.
_ALL_REDUCES_PER_LAYER = 2

#: What NCCL reckons with for small messages in a ring over NVLink: a call, and one step of it.
_NCCL_CALL_S, _NCCL_STEP_S = 6.6e-6, 0.6e-6


@dataclass(frozen=True)
class TensorParallelShard:
    """What one GPU of a tensor-parallel group holds.

    Attributes
    ----------
    n_gpus : int
        GPUs in the group.
    weight_bytes : float
        Weights on one GPU.
    kv_heads : int
        Key/value heads of a layer on one GPU.
    kv_bytes_per_token : int or float
        Cache that one token takes on one GPU.
    kv_copies : int
        GPUs that hold the same key/value head; above 1 memory buys nothing.
    """

    n_gpus: int
    weight_bytes: float
    kv_heads: int
    kv_bytes_per_token: int | float
    kv_copies: int

    @property
    def total_kv_bytes_per_token(self) -> int | float:
        """Cache that one token takes on all GPUs together, copies included."""
        return self.n_gpus * self.kv_bytes_per_token


def tensor_parallel_shard(
    n_gpus: int,
    weight_bytes: float,
    n_layers: int,
    n_kv_heads: int,
    head_dim: int,
    bytes_per_elem: Exact = 2,
) -> TensorParallelShard:
    """Return what one GPU holds when every layer is cut over `n_gpus`.

    Parameters
    ----------
    n_gpus : int
        GPUs in the group, at least 1: a divisor or a multiple of `n_kv_heads`.
    weight_bytes : float
        Bytes of all weights, greater than 0.
    n_layers, n_kv_heads, head_dim : int
        Layers, key/value heads of a layer, elements of a head, at least 1.
    bytes_per_elem : int, float, str, Decimal or Fraction, optional
        Bytes of one cached element, greater than 0.

    Returns
    -------
    TensorParallelShard
        Weights and cache of one GPU.

    Raises
    ------
    ValueError
        If heads and GPUs do not divide each other.

    Notes
    -----
    Weights are taken as cut evenly. A key/value head is the smallest piece of the cache that
    attention can be cut into by heads: beyond `n_kv_heads` GPUs, each head is held
    by ``n_gpus / n_kv_heads`` of them, and the cache of one GPU shrinks no further.

    References
    ----------
    Shoeybi et al. (2019), "Megatron-LM: Training Multi-Billion Parameter Language Models
    Using Model Parallelism", arXiv:1909.08053, section 3.

    Examples
    --------
    Llama-3-70B has 8 key/value heads; 16 GPUs hold every one of them twice:

    >>> for n in (1, 8, 16):
    ...     shard = tensor_parallel_shard(n, 141_107_412_992, 80, 8, 128)
    ...     print(n, shard.kv_heads, shard.kv_bytes_per_token, shard.kv_copies)
    1 8 327680 1
    8 1 40960 1
    16 1 40960 2
    """
    n_gpus = whole("n_gpus", n_gpus, 1)
    n_kv_heads = whole("n_kv_heads", n_kv_heads, 1)
    if n_kv_heads % n_gpus and n_gpus % n_kv_heads:
        raise ValueError(
            f"n_gpus must be a divisor or a multiple of n_kv_heads = {n_kv_heads}, got {n_gpus}"
        )
    heads = max(1, n_kv_heads // n_gpus)
    return TensorParallelShard(
        n_gpus=n_gpus,
        weight_bytes=finite_positive("weight_bytes", weight_bytes) / n_gpus,
        kv_heads=heads,
        kv_bytes_per_token=kv_bytes_per_token(n_layers, heads, head_dim, bytes_per_elem),
        kv_copies=max(1, n_gpus // n_kv_heads),
    )


def all_reduce_s(n_bytes: float, n_gpus: int, link_Bps: float, latency_s: float) -> float:
    """Time of a ring all-reduce, in which every GPU ends with the sum of all parts.

    Parameters
    ----------
    n_bytes : float
        Bytes of the array that each GPU contributes, at least 0.
    n_gpus : int
        GPUs in the ring, at least 1.
    link_Bps : float
        Bandwidth of one GPU in one direction in bytes per second, greater than 0.
    latency_s : float
        Time of one step of the ring apart from its bytes, at least 0 seconds.

    Returns
    -------
    float
        Seconds; 0.0 for one GPU.

    Notes
    -----
    ``t = 2 (n - 1) * (latency_s + n_bytes / (n * link_Bps))``: n - 1 steps sum the parts, n - 1
    more pass the sums on, and each step moves one n-th of the array. For small arrays the
    first term is all of it, which no bandwidth helps. Engines do not take a ring for them:
    every GPU reads all parts at once, so that the measured time hardly depends on n
    (``achieved.spreads()["all_reduce_s"]``).

    References
    ----------
    Thakur, Rabenseifner and Gropp (2005), "Optimization of Collective Communication
    Operations in MPICH", International Journal of High Performance Computing Applications
    19(1).

    Examples
    --------
    >>> round(1e6 * all_reduce_s(16_384, n_gpus=8, link_Bps=450e9, latency_s=1e-6), 2)
    14.06
    """
    n_gpus = whole("n_gpus", n_gpus, 1)
    part_s = finite_non_negative("n_bytes", n_bytes) / (
        n_gpus * finite_positive("link_Bps", link_Bps)
    )
    return 2 * (n_gpus - 1) * (finite_non_negative("latency_s", latency_s) + part_s)


def ring_step_s(n_gpus: int) -> float:
    """Latency of one step of a ring all-reduce over NVLink, the call spread over the steps.

    Parameters
    ----------
    n_gpus : int
        GPUs in the ring, at least 2.

    Returns
    -------
    float
        Seconds, for `all_reduce_s`: 6.6 us a call and 0.6 us for each of 2 (n - 1) steps.

    References
    ----------
    NVIDIA, NCCL, ``src/graph/tuning.cc``: base and hardware latency of the ring with the LL
    protocol, by which it chooses an algorithm.

    Examples
    --------
    >>> round(1e6 * ring_step_s(8), 2)
    1.07
    """
    steps = 2 * (whole("n_gpus", n_gpus, 2) - 1)
    return _NCCL_CALL_S / steps + _NCCL_STEP_S


def tensor_parallel_comm_s(
    tokens: int,
    hidden: int,
    n_layers: int,
    n_gpus: int,
    link_Bps: float,
    latency_s: float,
    bytes_per_elem: float = 2,
) -> float:
    """Time that one forward pass spends in the all-reduces of tensor parallelism.

    Parameters
    ----------
    tokens : int
        Tokens in the pass, at least 0: the batch in decode, the prompt in prefill.
    hidden : int
        Width of the model, at least 1.
    n_layers : int
        Layers, at least 1.
    n_gpus : int
        GPUs in the group, at least 1.
    link_Bps : float
        Bandwidth of one GPU in one direction in bytes per second, greater than 0.
    latency_s : float
        Time of one step of the ring apart from its bytes, at least 0 seconds.
    bytes_per_elem : float, optional
        Bytes of one activation, greater than 0.

    Returns
    -------
    float
        Seconds, two all-reduces of ``tokens * hidden`` elements a layer, none overlapped
        with arithmetic.

    References
    ----------
    Shoeybi et al. (2019), "Megatron-LM: Training Multi-Billion Parameter Language Models
    Using Model Parallelism", arXiv:1909.08053, section 3.

    Examples
    --------
    One decode step of Llama-3-70B for one user, on eight GPUs: latency, nearly all of it.

    >>> round(1e3 * tensor_parallel_comm_s(1, 8192, 80, 8, link_Bps=450e9, latency_s=1e-6), 2)
    2.25
    """
    n_bytes = (
        whole("tokens", tokens)
        * whole("hidden", hidden, 1)
        * finite_positive("bytes_per_elem", bytes_per_elem)
    )
    rounds = _ALL_REDUCES_PER_LAYER * whole("n_layers", n_layers, 1)
    return rounds * all_reduce_s(n_bytes, n_gpus, link_Bps, latency_s)


def ring_attention_s(
    seq: int,
    n_gpus: int,
    layers: int,
    d_attn: int,
    k: float,
    peak_flops: float,
    link_Bps: float,
    mfu: float = 0.5,
) -> dict[str, float]:
    """Time that a prompt's attention takes if its tokens are cut over GPUs in a ring.

    Parameters
    ----------
    seq : int
        Tokens of the prompt, at least 0; each GPU keeps one n-th of them.
    n_gpus : int
        GPUs in the ring, at least 1.
    layers, d_attn : int
        Layers, and query heads times elements of a head, at least 1.
    k : float
        Cache of one token, all layers [bytes], at least 0.
    peak_flops, link_Bps : float
        Dense peak of a GPU [FLOP/s] and its bandwidth in one direction [B/s], above 0.
    mfu : float, optional
        Share of the peak that is reached, in (0, 1].

    Returns
    -------
    dict
        ``compute_s`` for the pairs of a GPU; ``comm_s`` for the keys and values of the other
        n - 1; ``exposed_s``, the part of it that does not hide behind arithmetic.

    Notes
    -----
    While a GPU works on one part of keys and values the next one arrives. With the tokens
    dealt out so that every GPU has as many pairs (half of all, causal), each computes
    2 layers d_attn seq^2 / n FLOP and receives (n - 1) seq k / n bytes: arithmetic grows with
    the square of the prompt, traffic in proportion, so long prompts hide it.

    References
    ----------
    Liu, Zaharia and Abbeel (2023), "Ring Attention with Blockwise Transformers for
    Near-Infinite Context", arXiv:2310.01889; Brandon et al. (2023), "Striped Attention",
    arXiv:2311.09431, for even parts under a causal mask.

    Examples
    --------
    >>> cut = ring_attention_s(131_072, 8, 80, 8192, 327_680, 989.4e12, 450e9)
    >>> {name: round(1000 * seconds, 1) for name, seconds in cut.items()}
    {'compute_s': 5689.8, 'comm_s': 83.5, 'exposed_s': 0.0}
    """
    seq, n_gpus = whole("seq", seq), whole("n_gpus", n_gpus, 1)
    pairs_flop = 2 * whole("layers", layers, 1) * whole("d_attn", d_attn, 1) * seq**2
    speed = (
        n_gpus
        * finite_positive("peak_flops", peak_flops)
        * probability("mfu", mfu, zero_allowed=False)
    )
    others = (n_gpus - 1) * seq * finite_non_negative("k", k) / n_gpus
    compute_s = pairs_flop / speed
    comm_s = others / finite_positive("link_Bps", link_Bps)
    return {
        "compute_s": compute_s,
        "comm_s": comm_s,
        "exposed_s": max(0.0, comm_s - compute_s),
    }


def pipeline_bubble(stages: int, microbatches: int) -> float:
    """Share of a pipeline's time in which a stage stands idle.

    Parameters
    ----------
    stages : int
        Stages of equal time, at least 1.
    microbatches : int
        Pieces of work that follow one another through them, at least 1.

    Returns
    -------
    float
        ``(stages - 1) / (microbatches + stages - 1)``, in [0, 1).

    Notes
    -----
    Each stage works `microbatches` of ``microbatches + stages - 1`` turns: the last piece
    enters after ``microbatches - 1`` turns and needs `stages` more. One request alone gains
    nothing from a pipeline: it keeps one stage busy at a time.

    References
    ----------
    Huang et al. (2019), "GPipe: Efficient Training of Giant Neural Networks using Pipeline
    Parallelism", arXiv:1811.06965, section 2.

    Examples
    --------
    >>> pipeline_bubble(stages=4, microbatches=1), pipeline_bubble(stages=4, microbatches=12)
    (0.75, 0.2)
    """
    stages = whole("stages", stages, 1)
    return (stages - 1) / (whole("microbatches", microbatches, 1) + stages - 1)


@dataclass(frozen=True)
class PhaseSplit:
    """How many machines do prefill and how many decode, and what that carries.

    Attributes
    ----------
    prefill, decode : int
        Machines of each kind.
    max_rps : float
        Requests per second at which the busier kind has no time left.
    """

    prefill: int
    decode: int
    max_rps: float


def phase_split(n_machines: int, prefill_s: Exact, decode_s: Exact) -> PhaseSplit:
    """Return the split of machines over the two phases that carries most requests.

    Parameters
    ----------
    n_machines : int
        Equal machines, at least 2: one for each phase.
    prefill_s : int, float, str, Decimal or Fraction
        Time that a request takes of a prefill machine, greater than 0 seconds.
    decode_s : int, float, str, Decimal or Fraction
        Time that a request takes of a decode machine, greater than 0 seconds: its decode
        steps, shared with the batch it is in, ``(n_out - 1) * step_s / batch``.

    Returns
    -------
    PhaseSplit
        The best split, with the fewest prefill machines on a tie.

    Notes
    -----
    p prefill and d decode machines carry ``min(p / prefill_s, d / decode_s)`` requests per
    second, a bound that waiting users never let you reach. Moving the caches from one
    kind to the other is not counted (`servemath_helpers.transfer`).

    References
    ----------
    Zhong et al. (2024), "DistServe: Disaggregating Prefill and Decoding for Goodput-optimized
    Large Language Model Serving", OSDI.

    Examples
    --------
    >>> phase_split(8, prefill_s="0.15", decode_s="0.05")
    PhaseSplit(prefill=6, decode=2, max_rps=40.0)
    """
    n_machines = whole("n_machines", n_machines, 2)
    prefill_each = exact_at_least(prefill_s, 0, "prefill_s", strict=True)
    decode_each = exact_at_least(decode_s, 0, "decode_s", strict=True)

    def carried(prefill: int) -> Fraction:
        return min(prefill / prefill_each, (n_machines - prefill) / decode_each)

    best = max(range(1, n_machines), key=carried)  # max keeps the first of equals
    return PhaseSplit(prefill=best, decode=n_machines - best, max_rps=float(carried(best)))
