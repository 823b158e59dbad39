"""How long prefill and decode take on given hardware: arithmetic against bandwidth.

The model is deliberately small: a phase takes the time of its arithmetic at a stated
share of peak, or of its memory traffic at full bandwidth. A multiply-add is 2 FLOP and
peaks are dense.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from servemath_helpers._validate import finite_non_negative, finite_positive, probability, whole

__all__ = [
    "DecodeStep",
    "ServiceTime",
    "best_decode_batch",
    "critical_batch",
    "decode_step_s",
    "prefill_flops",
    "prefill_time_s",
    "ridge_flop_per_byte",
    "service_time_s",
]


class DecodeStep(TypedDict):
    """One decode step: its time, what bounds it, and how well it uses the hardware."""

    step_s: float
    bound: Literal["memory", "compute"]
    mfu: float
    mbu: float


class ServiceTime(TypedDict):
    """The two phases of a request and their sum."""

    prefill_s: float
    step_s: float
    total_s: float
    bound: Literal["memory", "compute"]


def prefill_flops(n_params: int, seq: int, layers: int, d_attn: int) -> int:
    """Arithmetic of the prefill of one prompt.

    Parameters
    ----------
    n_params : int
        Parameters that a token passes through, at least 1.
    seq : int
        Tokens of the prompt, at least 0.
    layers : int
        Layers, at least 1.
    d_attn : int
        Query heads times head dimension, at least 1.

    Returns
    -------
    int
        FLOP, a multiply-add counted as 2.

    Notes
    -----
    ``F = 2 N S + 2 L d S^2``. The first term is a multiply-add for every parameter and
    token. The second is attention: scores and weighted values cost ``2 d`` FLOP each for
    every pair of tokens, and causality leaves half of the S^2 pairs.

    References
    ----------
    Kaplan et al. (2020), "Scaling Laws for Neural Language Models", arXiv:2001.08361,
    section 2.1 (2 FLOP per parameter and token).

    Examples
    --------
    4096 tokens of Llama-3-70B:

    >>> flop = prefill_flops(70_553_706_496, seq=4096, layers=80, d_attn=8192)
    >>> f"{flop:.3e}"
    '6.000e+14'
    """
    n_params = whole("n_params", n_params, 1)
    seq = whole("seq", seq, 0)
    return 2 * n_params * seq + 2 * whole("layers", layers, 1) * whole("d_attn", d_attn, 1) * seq**2


def prefill_time_s(
    n_params: int,
    seq: int,
    layers: int,
    d_attn: int,
    n_gpus: int,
    peak_flops: float,
    mfu: float = 0.5,
) -> float:
    """Time of the prefill of one prompt, bound by arithmetic.

    Parameters
    ----------
    n_params : int
        Parameters that a token passes through, at least 1.
    seq : int
        Tokens of the prompt, at least 0.
    layers : int
        Layers, at least 1.
    d_attn : int
        Query heads times head dimension, at least 1.
    n_gpus : int
        GPUs that share the work, at least 1.
    peak_flops : float
        Dense peak of one GPU in FLOP/s, greater than 0.
    mfu : float, optional
        Share of the peak that is reached, in (0, 1]. One half is an assumption.

    Returns
    -------
    float
        Seconds; 0.0 for an empty prompt.

    Notes
    -----
    ``t = F / (n_gpus * peak_flops * mfu)`` with F of `prefill_flops`. Communication
    between the GPUs is inside `mfu`. A prompt of a few hundred tokens or fewer takes longer:
    no pass is shorter than reading the weights, which is not counted here
    (`sim.RooflineStep` counts it).

    Examples
    --------
    4096 tokens of Llama-3-70B on eight H100 (989.4 dense TFLOP/s in bf16):

    >>> round(prefill_time_s(70_553_706_496, 4096, 80, 8192, n_gpus=8, peak_flops=989.4e12), 6)
    0.151598

    16 tokens, in ms, beside what reading the weights takes:

    >>> prompt_s = prefill_time_s(70_553_706_496, 16, 80, 8192, n_gpus=8, peak_flops=989.4e12)
    >>> round(prompt_s * 1e3, 2), round(141_107_412_992 / (8 * 3.35e12) * 1e3, 2)
    (0.57, 5.27)
    """
    flops = prefill_flops(n_params, seq, layers, d_attn)
    cluster = whole("n_gpus", n_gpus, 1) * finite_positive("peak_flops", peak_flops)
    return flops / (cluster * probability("mfu", mfu, zero_allowed=False))


def decode_step_s(
    batch: int,
    seq: int,
    n_params: int,
    weight_bytes: float,
    k: float,
    n_gpus: int,
    bw_Bps: float,
    peak_flops: float,
) -> DecodeStep:
    """Time of one decode step, which gives every sequence of the batch one token.

    Parameters
    ----------
    batch : int
        Sequences, at least 1.
    seq : int
        Tokens of context of each sequence, at least 0.
    n_params : int
        Parameters that a token passes through, at least 1.
    weight_bytes : float
        Bytes of all weights, greater than 0.
    k : float
        KV bytes per token, at least 0.
    n_gpus : int
        GPUs over which weights and cache are spread evenly, at least 1.
    bw_Bps : float
        Memory bandwidth of one GPU in B/s, greater than 0.
    peak_flops : float
        Dense peak of one GPU in FLOP/s, greater than 0.

    Returns
    -------
    dict
        ``step_s`` in seconds; ``bound``, ``"compute"`` where the arithmetic takes longer
        than reading the weights, else ``"memory"``; ``mfu`` and ``mbu``, the shares of peak
        arithmetic and of bandwidth that the step uses.

    Notes
    -----
    ``t = B S k / (n BW) + max(W / (n BW), 2 N B / (n F))``: reading the cache always takes
    its time, and the matrix products take the longer of reading the weights once and
    computing with them. The cache is taken as bound by memory. That holds for multi-head and
    grouped-query attention, of few FLOP a byte; under latent attention all heads use the
    bytes of one latent, which brings it near the ridge (examples). All weights are counted as
    read: a mixture of experts reads fewer at small batches (`experts.moe_step_s`).

    References
    ----------
    Austin et al. (2025), "How to Scale Your Model", chapter on inference.

    Examples
    --------
    Llama-3-70B on eight H100, 64 users of 4096 tokens:

    >>> step = decode_step_s(64, 4096, 70_553_706_496, 141_107_412_992, 327_680,
    ...                      n_gpus=8, bw_Bps=3.35e12, peak_flops=989.4e12)
    >>> round(step["step_s"] * 1e3, 2), step["bound"], round(step["mfu"], 3), step["mbu"]
    (8.47, 'memory', 0.135, 1.0)

    FLOP for a byte of 16-bit cache: eight query heads on one key and value of 128, and the
    128 heads of DeepSeek-V3 on a latent of 512 + 64 elements. The H100's ridge is 295.

    >>> 2 * 2 * 8 * 128 / (2 * 2 * 128), round(2 * 128 * (2 * 512 + 64) / (2 * (512 + 64)))
    (8.0, 242)
    """
    batch = whole("batch", batch, 1)
    seq = whole("seq", seq, 0)
    n_params = whole("n_params", n_params, 1)
    weights = finite_positive("weight_bytes", weight_bytes)
    cache = batch * seq * finite_non_negative("k", k)
    n_gpus = whole("n_gpus", n_gpus, 1)
    bandwidth = n_gpus * finite_positive("bw_Bps", bw_Bps)
    peak = n_gpus * finite_positive("peak_flops", peak_flops)
    read_s = weights / bandwidth
    compute_s = 2 * n_params * batch / peak
    step_s = cache / bandwidth + max(read_s, compute_s)
    return {
        "step_s": step_s,
        "bound": "compute" if compute_s > read_s else "memory",
        "mfu": compute_s / step_s,
        "mbu": (weights + cache) / (bandwidth * step_s),
    }


def best_decode_batch(
    tpot_slo_s: float,
    seq: int,
    mem_cap: int,
    n_params: int,
    weight_bytes: float,
    k: float,
    n_gpus: int,
    bw_Bps: float,
    peak_flops: float,
) -> int:
    """Largest batch whose decode step keeps the bound on time per output token.

    Parameters
    ----------
    tpot_slo_s : float
        Bound on the time per output token in seconds, at least 0.
    seq : int
        Tokens of context of each sequence, at least 0.
    mem_cap : int
        Sequences that fit into memory, at least 0.
    n_params, weight_bytes, k, n_gpus, bw_Bps, peak_flops
        As for `decode_step_s`.

    Returns
    -------
    int
        Batch in 0..`mem_cap`; 0 if even one sequence misses the bound or none fits.

    Notes
    -----
    The step time never falls when the batch grows, so a bisection finds the largest
    batch within the bound.

    Examples
    --------
    Llama-3-70B on eight H100 at 4096 tokens, where memory holds 371 users:

    >>> hardware = dict(n_gpus=8, bw_Bps=3.35e12, peak_flops=989.4e12)
    >>> model = dict(n_params=70_553_706_496, weight_bytes=141_107_412_992, k=327_680)
    >>> [best_decode_batch(slo, 4096, 371, **model, **hardware) for slo in (0.005, 0.01, 0.05)]
    [0, 94, 371]
    """
    bound_s = finite_non_negative("tpot_slo_s", tpot_slo_s)
    shape = (seq, n_params, weight_bytes, k, n_gpus, bw_Bps, peak_flops)
    high = whole("mem_cap", mem_cap, 0)
    decode_step_s(1, *shape)  # refuses bad arguments even where no batch is tried
    low = 0
    while low < high:
        middle = (low + high + 1) // 2
        if decode_step_s(middle, *shape)["step_s"] <= bound_s:
            low = middle
        else:
            high = middle - 1
    return low


def ridge_flop_per_byte(peak_flops: float, bw_Bps: float) -> float:
    """Arithmetic intensity at which a chip turns from memory-bound to compute-bound.

    Parameters
    ----------
    peak_flops : float
        Dense peak in FLOP/s, greater than 0.
    bw_Bps : float
        Memory bandwidth in B/s, greater than 0.

    Returns
    -------
    float
        FLOP per byte.

    References
    ----------
    Williams, Waterman and Patterson (2009), "Roofline: An Insightful Visual Performance
    Model for Multicore Architectures", Communications of the ACM 52(4).

    Examples
    --------
    >>> round(ridge_flop_per_byte(989.4e12, 3.35e12), 2)
    295.34
    """
    return finite_positive("peak_flops", peak_flops) / finite_positive("bw_Bps", bw_Bps)


def critical_batch(peak_flops: float, bw_Bps: float, bytes_per_param: float) -> float:
    """Batch at which multiplying takes as long as reading the weights.

    Parameters
    ----------
    peak_flops : float
        Dense peak in FLOP/s of the arithmetic that is used, greater than 0.
    bw_Bps : float
        Memory bandwidth in B/s, greater than 0.
    bytes_per_param : float
        Bytes of one stored parameter, greater than 0.

    Returns
    -------
    float
        Tokens in one step; above it the matrix products are compute-bound.

    Notes
    -----
    ``B = F b / (2 BW)``: a parameter costs b bytes to read once and 2 FLOP a token. Storing
    weights in fewer bytes while computing in bf16 lowers it.

    References
    ----------
    Austin et al. (2025), "How to Scale Your Model", chapter on inference.

    Examples
    --------
    The H100 with bf16 arithmetic and weights of 16, 8 and 4 bits:

    >>> [round(critical_batch(989.4e12, 3.35e12, b)) for b in (2, 1, 0.5)]
    [295, 148, 74]
    """
    ridge = ridge_flop_per_byte(peak_flops, bw_Bps)
    return ridge * finite_positive("bytes_per_param", bytes_per_param) / 2


def _fields(name: str, values: Mapping[str, Any], wanted: tuple[str, ...]) -> list[Any]:
    """Return the wanted fields of a mapping, refusing one that lacks some."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{name} must be a dict, got {values!r}")
    missing = [field for field in wanted if field not in values]
    if missing:
        raise ValueError(f"{name} must have the keys {', '.join(wanted)}; missing: {missing}")
    return [values[field] for field in wanted]


def service_time_s(
    prompt: int,
    n_out: int,
    batch: int,
    model: Mapping[str, float],
    hw: Mapping[str, float],
    mfu: float,
) -> ServiceTime:
    """Time that the machine works for one request: prefill, then one step a token.

    Parameters
    ----------
    prompt : int
        Tokens of the prompt, at least 0; also the context of the decode steps.
    n_out : int
        Tokens to generate, at least 0.
    batch : int
        Sequences that decode together, at least 1.
    model : dict
        ``n_params``, ``layers``, ``heads`` (query heads), ``kv_heads``, ``head_dim``,
        ``bytes_per_param``, ``bytes_per_kv``.
    hw : dict
        ``n_gpus``, and per GPU ``peak_flops`` (FLOP/s) and ``bw_Bps`` (B/s).
    mfu : float
        Share of the peak that prefill reaches, in (0, 1].

    Returns
    -------
    dict
        ``prefill_s``, ``step_s`` and ``total_s`` in seconds, and what bounds a step,
        ``bound``: ``"memory"`` or ``"compute"``.

    Raises
    ------
    ValueError
        If a dict lacks a key.

    Notes
    -----
    ``total = prefill + max(n_out - 1, 0) * step``: prefill gives the first token. The
    context stays at the length of the prompt, so long answers come out a little too fast.

    Examples
    --------
    >>> llama = dict(n_params=70_553_706_496, layers=80, heads=64, kv_heads=8, head_dim=128,
    ...              bytes_per_param=2, bytes_per_kv=2)
    >>> h100s = dict(n_gpus=8, peak_flops=989.4e12, bw_Bps=3.35e12)
    >>> times = service_time_s(4096, n_out=1, batch=64, model=llama, hw=h100s, mfu=0.5)
    >>> round(times["prefill_s"], 6), round(times["step_s"], 6), times["bound"]
    (0.151598, 0.00847, 'memory')
    """
    prompt = whole("prompt", prompt)
    n_out = whole("n_out", n_out)
    n_params, layers, heads, kv_heads, head_dim, bytes_per_param, bytes_per_kv = _fields(
        "model",
        model,
        ("n_params", "layers", "heads", "kv_heads", "head_dim", "bytes_per_param", "bytes_per_kv"),
    )
    n_gpus, peak_flops, bw_Bps = _fields("hw", hw, ("n_gpus", "peak_flops", "bw_Bps"))
    n_params = whole("model['n_params']", n_params, 1)
    layers = whole("model['layers']", layers, 1)
    head_dim = whole("model['head_dim']", head_dim, 1)
    kv_width = whole("model['kv_heads']", kv_heads, 1) * head_dim
    prefill_s = prefill_time_s(
        n_params,
        prompt,
        layers,
        whole("model['heads']", heads, 1) * head_dim,
        n_gpus,
        peak_flops,
        mfu,
    )
    step = decode_step_s(
        batch,
        prompt,
        n_params,
        n_params * finite_positive("model['bytes_per_param']", bytes_per_param),
        2 * layers * kv_width * finite_positive("model['bytes_per_kv']", bytes_per_kv),
        n_gpus,
        bw_Bps,
        peak_flops,
    )
    return {
        "prefill_s": prefill_s,
        "step_s": step["step_s"],
        "total_s": prefill_s + max(n_out - 1, 0) * step["step_s"],
        "bound": step["bound"],
    }
