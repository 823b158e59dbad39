"""How many bytes weights and KV cache take, and how many users fit beside them.

All counts are exact: inputs that are decimals in the real world (bits, reserves,
gigabytes) become fractions before anything is divided or rounded.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypedDict

from servemath_helpers._validate import sequence, whole
from servemath_helpers.quantities import GB, GIB, Exact, exact_at_least, exact_probability

if TYPE_CHECKING:
    from collections.abc import Iterable
    from fractions import Fraction

__all__ = [
    "CacheSize",
    "expected_paging_waste_tokens",
    "kv_bytes_per_token",
    "kv_cache_size",
    "kv_pool_bytes",
    "max_concurrent",
    "max_users",
    "min_gpus",
    "mla_kv_bytes_per_token",
    "paged_blocks",
    "resident_kv_bytes",
    "weight_bytes",
]


class CacheSize(TypedDict):
    """Size of a KV cache in three units."""

    bytes: int | float
    gb: float
    gib: float


def _plain(value: Fraction) -> int | float:
    """Return a whole number as int, any other as float."""
    return int(value) if value.denominator == 1 else float(value)


def _positive(name: str, value: Exact) -> Fraction:
    return exact_at_least(value, 0, name, strict=True)


def _non_negative(name: str, value: Exact) -> Fraction:
    return exact_at_least(value, 0, name)


def weight_bytes(n_params: int, bits: Exact) -> int:
    """Memory that the weights of a model take.

    Parameters
    ----------
    n_params : int
        Number of parameters, at least 1.
    bits : int, float, str, Decimal or Fraction
        Bits of one parameter, greater than 0 (16 for bf16; 4.5 for 4-bit weights
        that share scales is fine).

    Returns
    -------
    int
        Bytes, rounded up: ``ceil(n_params * bits / 8)``.

    Examples
    --------
    Llama-3-70B in bf16 is 141.1 GB, and half of that in 8 bits:

    >>> weight_bytes(70_553_706_496, bits=16)
    141107412992
    >>> weight_bytes(70_553_706_496, bits=8)
    70553706496
    """
    return math.ceil(whole("n_params", n_params, 1) * _positive("bits", bits) / 8)


def kv_bytes_per_token(
    n_layers: int, n_kv_heads: int, head_dim: int, bytes_per_elem: Exact = 2
) -> int | float:
    """Bytes that one token adds to the KV cache, keys and values of all layers.

    Parameters
    ----------
    n_layers : int
        Layers, at least 1.
    n_kv_heads : int
        Key/value heads of a layer, at least 1: all heads for multi-head attention,
        a divisor of them for grouped-query attention, 1 for multi-query attention.
    head_dim : int
        Elements of one head, at least 1.
    bytes_per_elem : int, float, str, Decimal or Fraction, optional
        Bytes of one element, greater than 0: 2 for fp16 and bf16, 1 for 8 bits,
        0.5 for 4 bits.

    Returns
    -------
    int or float
        Bytes per token; an int where the number is whole.

    Notes
    -----
    ``k = 2 * n_layers * n_kv_heads * head_dim * bytes_per_elem``: the 2 counts the key
    and the value. The number of query heads does not occur.

    References
    ----------
    Shazeer (2019), "Fast Transformer Decoding: One Write-Head is All You Need",
    arXiv:1911.02150 (multi-query attention).
    Ainslie et al. (2023), "GQA: Training Generalized Multi-Query Transformer Models
    from Multi-Head Checkpoints", arXiv:2305.13245.

    Examples
    --------
    >>> kv_bytes_per_token(n_layers=80, n_kv_heads=8, head_dim=128)
    327680
    >>> kv_bytes_per_token(n_layers=80, n_kv_heads=8, head_dim=128, bytes_per_elem=0.5)
    81920
    """
    elements = (
        2
        * whole("n_layers", n_layers, 1)
        * whole("n_kv_heads", n_kv_heads, 1)
        * whole("head_dim", head_dim, 1)
    )
    return _plain(elements * _positive("bytes_per_elem", bytes_per_elem))


def mla_kv_bytes_per_token(
    n_layers: int, kv_lora_rank: int, rope_head_dim: int, bytes_per_elem: Exact = 2
) -> int | float:
    """Bytes that one token adds to the cache under multi-head latent attention.

    Parameters
    ----------
    n_layers : int
        Layers, at least 1.
    kv_lora_rank : int
        Elements of the latent from which keys and values are expanded, at least 1.
    rope_head_dim : int
        Elements of the rotary key that all heads share, at least 0.
    bytes_per_elem : int, float, str, Decimal or Fraction, optional
        Bytes of one element, greater than 0.

    Returns
    -------
    int or float
        Bytes per token; an int where the number is whole.

    Notes
    -----
    ``k = n_layers * (kv_lora_rank + rope_head_dim) * bytes_per_elem``. There is no factor
    2: one latent serves keys and values, and no head count: all heads expand the same
    latent.

    References
    ----------
    DeepSeek-AI (2024), "DeepSeek-V2: A Strong, Economical, and Efficient
    Mixture-of-Experts Language Model", arXiv:2405.04434, section 2.1.

    Examples
    --------
    DeepSeek-V3 has 61 layers, a latent of 512 and a rotary key of 64 elements:

    >>> mla_kv_bytes_per_token(n_layers=61, kv_lora_rank=512, rope_head_dim=64)
    70272
    """
    elements = whole("n_layers", n_layers, 1) * (
        whole("kv_lora_rank", kv_lora_rank, 1) + whole("rope_head_dim", rope_head_dim, 0)
    )
    return _plain(elements * _positive("bytes_per_elem", bytes_per_elem))


def resident_kv_bytes(
    seq: int,
    k: Exact,
    *,
    n_layers: int = 1,
    windowed_layers: int = 0,
    window: int | None = None,
) -> int | float:
    """KV bytes that one sequence holds when some layers attend to a window only.

    Parameters
    ----------
    seq : int
        Tokens of the sequence so far, at least 0.
    k : int, float, str, Decimal or Fraction
        KV bytes per token of all layers together, greater than 0.
    n_layers : int, optional
        Layers of the model, at least 1, all of the same width.
    windowed_layers : int, optional
        How many of them use the window, between 0 and `n_layers`.
    window : int, optional
        Tokens that a windowed layer keeps, at least 1; needed if `windowed_layers` > 0.

    Returns
    -------
    int or float
        Bytes; an int where the number is whole.

    Raises
    ------
    ValueError
        If there are windowed layers without a window.

    Notes
    -----
    A full layer holds ``seq`` tokens, a windowed one ``min(seq, window)``, so with
    f windowed layers out of L the sequence holds
    ``k / L * ((L - f) * seq + f * min(seq, window))`` bytes. It assumes a server that
    frees what fell out of the window.

    Examples
    --------
    Gemma-2-2B alternates: 13 of 26 layers keep 4096 tokens, the others keep all.

    >>> resident_kv_bytes(8192, k=106_496, n_layers=26, windowed_layers=13, window=4096)
    654311424
    >>> resident_kv_bytes(8192, k=106_496)
    872415232
    """
    seq = whole("seq", seq, 0)
    per_token = _positive("k", k)
    n_layers = whole("n_layers", n_layers, 1)
    windowed_layers = whole("windowed_layers", windowed_layers, 0)
    if windowed_layers > n_layers:
        raise ValueError(
            f"windowed_layers must be at most n_layers = {n_layers}, got {windowed_layers!r}"
        )
    kept = seq
    if window is not None:
        kept = min(seq, whole("window", window, 1))
    elif windowed_layers:
        raise ValueError(f"window must be given for {windowed_layers} windowed layers, got None")
    layer_tokens = (n_layers - windowed_layers) * seq + windowed_layers * kept
    return _plain(per_token * layer_tokens / n_layers)


def kv_cache_size(seq: int, batch: int, k: Exact) -> CacheSize:
    """Size of the KV cache of a batch, in bytes, GB and GiB.

    Parameters
    ----------
    seq : int
        Tokens of each sequence, at least 0.
    batch : int
        Sequences, at least 0.
    k : int, float, str, Decimal or Fraction
        KV bytes per token, greater than 0.

    Returns
    -------
    dict
        ``bytes``, ``gb`` (1 GB = 1e9 bytes) and ``gib`` (1 GiB = 2**30 bytes) of the
        whole batch.

    Examples
    --------
    >>> size = kv_cache_size(seq=4096, batch=1, k=327_680)
    >>> size["bytes"], round(size["gb"], 3), size["gib"]
    (1342177280, 1.342, 1.25)
    """
    total = whole("seq", seq, 0) * whole("batch", batch, 0) * _positive("k", k)
    return {"bytes": _plain(total), "gb": float(total / GB), "gib": float(total / GIB)}


def min_gpus(n_params: int, bits: Exact, gpu_bytes: Exact, reserve: Exact = "0") -> int:
    """Least number of equal GPUs whose memory holds the weights.

    Parameters
    ----------
    n_params : int
        Number of parameters, at least 1.
    bits : int, float, str, Decimal or Fraction
        Bits of one parameter, greater than 0.
    gpu_bytes : int, float, str, Decimal or Fraction
        Memory of one GPU in bytes, greater than 0.
    reserve : int, float, str, Decimal or Fraction, optional
        Share of each GPU's memory that is kept free, in [0, 1).

    Returns
    -------
    int
        GPUs; an exact fit fits.

    Notes
    -----
    ``n = ceil(W / (gpu_bytes * (1 - reserve)))`` with ``W = ceil(n_params * bits / 8)``.
    What fits holds the weights only: no room for a KV cache is asked for.

    Examples
    --------
    Llama-3.1-405B on cards of 80 GB, in 16 and in 8 bits:

    >>> min_gpus(405_853_388_800, bits=16, gpu_bytes=80 * 10**9)
    11
    >>> min_gpus(405_853_388_800, bits=8, gpu_bytes=80 * 10**9)
    6
    """
    weights = weight_bytes(n_params, bits)
    usable = _positive("gpu_bytes", gpu_bytes) * (
        1 - exact_probability(reserve, "reserve", one_allowed=False)
    )
    return math.ceil(weights / usable)


def _kv_pool(n_gpus: int, gpu_bytes: Exact, weight_bytes: Exact, reserve: Exact) -> Fraction:
    """Return the bytes left for the cache, negative where the weights do not fit."""
    memory = whole("n_gpus", n_gpus, 1) * _positive("gpu_bytes", gpu_bytes)
    return memory * (1 - exact_probability(reserve, "reserve", one_allowed=False)) - _non_negative(
        "weight_bytes", weight_bytes
    )


def kv_pool_bytes(
    n_gpus: int, gpu_bytes: Exact, weight_bytes: Exact, reserve: Exact = "0"
) -> int | float:
    """Memory that is left for the KV cache beside the weights.

    Parameters
    ----------
    n_gpus : int
        GPUs over which weights and cache are spread evenly, at least 1.
    gpu_bytes : int, float, str, Decimal or Fraction
        Memory of one GPU in bytes, greater than 0.
    weight_bytes : int, float, str, Decimal or Fraction
        Bytes of the weights on all GPUs together, at least 0.
    reserve : int, float, str, Decimal or Fraction, optional
        Share of each GPU's memory that is kept free, in [0, 1).

    Returns
    -------
    int or float
        Bytes, never below 0; an int where the number is whole.

    Examples
    --------
    Eight cards of 80 GB beside the 141.1 GB of Llama-3-70B:

    >>> kv_pool_bytes(8, 80 * 10**9, 141_107_412_992)
    498892587008
    >>> kv_pool_bytes(1, 80 * 10**9, 141_107_412_992)
    0
    """
    pool = _kv_pool(n_gpus, gpu_bytes, weight_bytes, reserve)
    return _plain(pool) if pool > 0 else 0


def max_users(
    n_gpus: int,
    gpu_bytes: Exact,
    weight_bytes: Exact,
    k: Exact,
    seq: int,
    reserve: Exact = "0",
) -> int:
    """How many sequences of `seq` tokens fit beside the weights.

    Parameters
    ----------
    n_gpus : int
        GPUs over which weights and cache are spread evenly, at least 1.
    gpu_bytes : int, float, str, Decimal or Fraction
        Memory of one GPU in bytes, greater than 0.
    weight_bytes : int, float, str, Decimal or Fraction
        Bytes of the weights on all GPUs together, at least 0.
    k : int, float, str, Decimal or Fraction
        KV bytes per token, greater than 0.
    seq : int
        Tokens of each sequence, at least 1.
    reserve : int, float, str, Decimal or Fraction, optional
        Share of each GPU's memory that is kept free, in [0, 1).

    Returns
    -------
    int
        Sequences, 0 where the weights do not fit.

    Notes
    -----
    ``U = floor((n M (1 - r) - W) / (k seq))``, one exact floor. All quantities are in
    bytes: a card of "80 GB" is 80e9 bytes here unless you pass something else.

    Examples
    --------
    Llama-3-70B in bf16 on eight cards of 80 GB, 4096 tokens each:

    >>> max_users(8, 80 * 10**9, 141_107_412_992, k=327_680, seq=4096)
    371
    >>> max_users(8, 80 * 10**9, 141_107_412_992, k=327_680, seq=4096, reserve="0.1")
    324
    >>> max_users(1, 80 * 10**9, 141_107_412_992, k=327_680, seq=4096)
    0
    """
    pool = _kv_pool(n_gpus, gpu_bytes, weight_bytes, reserve)
    per_user = _positive("k", k) * whole("seq", seq, 1)
    return max(0, math.floor(pool / per_user))


def max_concurrent(gpu_gb: Exact, weights_gb: Exact, workspace_gb: Exact, kv_gb: Exact) -> int:
    """How many requests fit into what weights and workspace leave of a GPU.

    Parameters
    ----------
    gpu_gb, weights_gb, workspace_gb : int, float, str, Decimal or Fraction
        Memory of the GPU, of the weights, of the workspace, in GB, at least 0.
    kv_gb : int, float, str, Decimal or Fraction
        Cache of one request in GB, greater than 0.

    Returns
    -------
    int
        Requests, never below 0.

    Notes
    -----
    ``N = floor((gpu - weights - workspace) / kv)``, computed on fractions. Floating point
    gives one too few where the true quotient is whole: ``44 // 0.55`` is 79.

    Examples
    --------
    >>> max_concurrent(gpu_gb=80, weights_gb=28, workspace_gb=8, kv_gb="0.55")
    80
    >>> max_concurrent(gpu_gb=40, weights_gb=38, workspace_gb=4, kv_gb="0.5")
    0
    """
    room = (
        _non_negative("gpu_gb", gpu_gb)
        - _non_negative("weights_gb", weights_gb)
        - _non_negative("workspace_gb", workspace_gb)
    )
    return max(0, math.floor(room / _positive("kv_gb", kv_gb)))


def paged_blocks(lengths: Iterable[int], block: int) -> tuple[int, int, float]:
    """Blocks that a paged KV cache hands out, and the share of them that stays empty.

    Parameters
    ----------
    lengths : iterable of int
        Tokens of each sequence, at least 0.
    block : int
        Tokens that one block holds, at least 1.

    Returns
    -------
    blocks : int
        Blocks of all sequences together.
    allocated_tokens : int
        Tokens that those blocks could hold.
    waste : float
        Share of them that holds nothing, in [0, 1); 0.0 if nothing is stored.

    Notes
    -----
    Every sequence takes ``ceil(length / block)`` blocks of its own, so it wastes less than
    one block, whatever its length.

    References
    ----------
    Kwon et al. (2023), "Efficient Memory Management for Large Language Model Serving with
    PagedAttention", SOSP 2023, arXiv:2309.06180.

    Examples
    --------
    >>> paged_blocks([35, 18], block=16)
    (5, 80, 0.3375)
    >>> paged_blocks([4096], block=16)
    (256, 4096, 0.0)
    """
    block = whole("block", block, 1)
    items = sequence("lengths", lengths, "a sequence of whole numbers")
    tokens = [whole(f"lengths[{index}]", length) for index, length in enumerate(items)]
    blocks = sum(-(-length // block) for length in tokens)
    allocated = blocks * block
    waste = (allocated - sum(tokens)) / allocated if allocated else 0.0
    return blocks, allocated, waste


def expected_paging_waste_tokens(block: int) -> float:
    """Mean number of empty token slots that paging leaves to a sequence.

    Parameters
    ----------
    block : int
        Tokens that one block holds, at least 1.

    Returns
    -------
    float
        Tokens per sequence, ``(block - 1) / 2``.

    Notes
    -----
    The last block of a sequence holds 1, 2, ..., `block` tokens. If all these fills are
    equally likely, which they nearly are for lengths spread over many blocks, the empty
    slots 0, ..., `block` - 1 average to half of `block` - 1.

    Examples
    --------
    >>> expected_paging_waste_tokens(16)
    7.5
    """
    return (whole("block", block, 1) - 1) / 2
