"""Shards, all-reduces, bubbles and phases against counting by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import memory, parallelism

WEIGHTS_70B = 141_107_412_992
SHAPE_70B = {"n_layers": 80, "n_kv_heads": 8, "head_dim": 128}


def shard_70b(n_gpus, **shape):
    return parallelism.tensor_parallel_shard(n_gpus, WEIGHTS_70B, **SHAPE_70B | shape)


@pytest.mark.parametrize(
    ("n_gpus", "heads", "per_token", "copies"),
    [(1, 8, 327_680, 1), (2, 4, 163_840, 1), (8, 1, 40_960, 1), (16, 1, 40_960, 2)],
)
def test_the_cache_is_cut_by_heads_and_copied_beyond_them(n_gpus, heads, per_token, copies):
    shard = shard_70b(n_gpus)
    assert (shard.kv_heads, shard.kv_bytes_per_token, shard.kv_copies) == (
        heads,
        per_token,
        copies,
    )
    assert shard.weight_bytes == WEIGHTS_70B / n_gpus


def test_multi_query_attention_is_copied_to_every_gpu():
    shard = shard_70b(8, n_kv_heads=1)
    assert shard.kv_copies == 8
    assert shard.total_kv_bytes_per_token == 8 * memory.kv_bytes_per_token(80, 1, 128)


def test_the_size_of_an_element_reaches_the_cache():
    assert shard_70b(4, bytes_per_elem=1).kv_bytes_per_token == 40_960
    assert shard_70b(8, bytes_per_elem="0.5").kv_bytes_per_token == 10_240


@given(exponent=st.integers(0, 6), n_kv_heads=st.sampled_from([1, 2, 4, 8, 16, 32]))
def test_all_gpus_together_hold_the_cache_once_for_each_copy(exponent, n_kv_heads):
    n_gpus = 2**exponent
    shard = shard_70b(n_gpus, n_kv_heads=n_kv_heads)
    whole = memory.kv_bytes_per_token(80, n_kv_heads, 128)
    assert shard.total_kv_bytes_per_token == shard.kv_copies * whole
    assert shard.kv_heads * n_gpus == n_kv_heads * shard.kv_copies


def ring_by_steps(n_bytes, n, link, latency):
    """Walk the ring: n - 1 steps of adding, n - 1 of passing on, a part in each."""
    seconds = Fraction(0)
    for _ in range(n - 1):
        seconds += Fraction(latency) + Fraction(n_bytes, n) / Fraction(link)
    return float(2 * seconds)


@given(
    n_bytes=st.integers(0, 10**9),
    n=st.integers(1, 64),
    link=st.integers(1, 10**12),
    latency=st.fractions(0, 1),
)
def test_an_all_reduce_is_the_steps_of_its_ring(n_bytes, n, link, latency):
    seconds = parallelism.all_reduce_s(n_bytes, n, link, float(latency))
    assert seconds == pytest.approx(ring_by_steps(n_bytes, n, link, latency), rel=1e-12)


def test_one_gpu_has_nobody_to_talk_to():
    assert parallelism.all_reduce_s(10**9, 1, 1e9, 1e-3) == 0.0


def test_a_large_array_moves_twice_whatever_the_ring():
    seconds = parallelism.all_reduce_s(10**9, 1000, 1e9, 0)
    assert seconds == pytest.approx(2, rel=2e-3)


def test_decode_talks_for_latency_and_prefill_for_bytes():
    link = {"n_gpus": 8, "link_Bps": 450e9, "latency_s": 1e-6}
    one = parallelism.tensor_parallel_comm_s(1, 8192, 80, **link)
    assert one == pytest.approx(160 * 2 * 7 * (1e-6 + 8192 * 2 / 8 / 450e9))
    assert one < 1.01 * 160 * 14 * 1e-6
    prompt = parallelism.tensor_parallel_comm_s(4096, 8192, 80, **link)
    assert prompt > 10 * one
    assert parallelism.tensor_parallel_comm_s(0, 8192, 80, **link) == pytest.approx(160 * 14e-6)
    half = parallelism.tensor_parallel_comm_s(1, 8192, 80, **link, bytes_per_elem=1)
    assert half == pytest.approx(160 * 2 * 7 * (1e-6 + 8192 / 8 / 450e9))


@pytest.mark.parametrize(
    ("stages", "pieces", "expected"), [(1, 1, 0), (4, 1, 0.75), (4, 12, 0.2), (2, 1, 0.5)]
)
def test_the_bubble_of_known_pipelines(stages, pieces, expected):
    assert parallelism.pipeline_bubble(stages, pieces) == expected


@given(stages=st.integers(1, 12), pieces=st.integers(1, 40))
def test_the_bubble_is_what_a_time_table_leaves_empty(stages, pieces):
    busy = {(stage, stage + piece) for stage in range(stages) for piece in range(pieces)}
    turns = 1 + max(turn for _, turn in busy)
    assert parallelism.pipeline_bubble(stages, pieces) == pytest.approx(
        1 - len(busy) / (stages * turns)
    )


def test_a_known_split_of_phases():
    split = parallelism.phase_split(8, "0.15", "0.05")
    assert split == parallelism.PhaseSplit(prefill=6, decode=2, max_rps=40.0)


def test_a_tie_leaves_more_machines_to_decode():
    assert parallelism.phase_split(3, 1, 1).prefill == 1


@given(
    n=st.integers(2, 30),
    prefill_s=st.fractions(Fraction(1, 100), 5),
    decode_s=st.fractions(Fraction(1, 100), 5),
)
def test_no_other_split_carries_more(n, prefill_s, decode_s):
    split = parallelism.phase_split(n, prefill_s, decode_s)
    assert split.prefill + split.decode == n
    carried = [min(p / prefill_s, (n - p) / decode_s) for p in range(1, n)]
    assert split.prefill == 1 + carried.index(max(carried))
    assert split.max_rps == float(max(carried))
    # machines that could do both phases would carry at least as much
    assert max(carried) <= n / (prefill_s + decode_s)


def test_a_ring_step_carries_its_part_of_the_call():
    assert parallelism.all_reduce_s(0, 8, 1, parallelism.ring_step_s(8)) == pytest.approx(15e-6)
    assert parallelism.all_reduce_s(0, 2, 1, parallelism.ring_step_s(2)) == pytest.approx(7.8e-6)


@pytest.mark.parametrize("n_gpus", [1, 2, 8])
def test_a_ring_shares_the_pairs_and_passes_every_part_to_all_others(n_gpus):
    seq, layers, width, k = 64 * n_gpus, 3, 16, 10
    cut = parallelism.ring_attention_s(seq, n_gpus, layers, width, k, 1e6, 1e3, mfu=1)
    pairs = sum(range(seq)) + seq / 2  # of a causal model, half of seq * seq
    assert cut["compute_s"] == pytest.approx(4 * width * layers * pairs / n_gpus / 1e6)
    received = sum(seq // n_gpus * k for other in range(n_gpus) if other != 0)
    assert cut["comm_s"] == pytest.approx(received / 1e3)
    assert cut["exposed_s"] == pytest.approx(max(0, cut["comm_s"] - cut["compute_s"]))


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: shard_70b(0), "n_gpus"),
        (lambda: shard_70b(3), "n_gpus must be a divisor or a multiple of n_kv_heads = 8, got 3"),
        (lambda: shard_70b(8, n_kv_heads=0), "n_kv_heads"),
        (lambda: shard_70b(8, n_layers=0), "n_layers"),
        (lambda: shard_70b(8, bytes_per_elem=0), "bytes_per_elem"),
        (lambda: parallelism.tensor_parallel_shard(8, 0, **SHAPE_70B), "weight_bytes"),
        (lambda: parallelism.all_reduce_s(-1, 8, 1, 0), "n_bytes"),
        (lambda: parallelism.all_reduce_s(1, 0, 1, 0), "n_gpus"),
        (lambda: parallelism.all_reduce_s(1, 8, 0, 0), "link_Bps"),
        (lambda: parallelism.all_reduce_s(1, 8, 1, -1), "latency_s"),
        (lambda: parallelism.tensor_parallel_comm_s(-1, 8, 8, 8, 1, 0), "tokens"),
        (lambda: parallelism.tensor_parallel_comm_s(1, 0, 8, 8, 1, 0), "hidden"),
        (lambda: parallelism.tensor_parallel_comm_s(1, 8, 0, 8, 1, 0), "n_layers"),
        (lambda: parallelism.tensor_parallel_comm_s(1, 8, 8, 8, 1, 0, 0), "bytes_per_elem"),
        (lambda: parallelism.ring_step_s(1), "n_gpus"),
        (lambda: parallelism.ring_attention_s(-1, 8, 1, 1, 1, 1, 1), "seq"),
        (lambda: parallelism.ring_attention_s(1, 0, 1, 1, 1, 1, 1), "n_gpus"),
        (lambda: parallelism.ring_attention_s(1, 8, 1, 1, -1, 1, 1), "k"),
        (lambda: parallelism.ring_attention_s(1, 8, 1, 1, 1, 0, 1), "peak_flops"),
        (lambda: parallelism.ring_attention_s(1, 8, 1, 1, 1, 1, 0), "link_Bps"),
        (lambda: parallelism.ring_attention_s(1, 8, 1, 1, 1, 1, 1, 0), "mfu"),
        (lambda: parallelism.pipeline_bubble(0, 1), "stages"),
        (lambda: parallelism.pipeline_bubble(1, 0), "microbatches"),
        (lambda: parallelism.phase_split(1, 1, 1), "n_machines"),
        (lambda: parallelism.phase_split(2, 0, 1), "prefill_s"),
        (lambda: parallelism.phase_split(2, 1, -1), "decode_s"),
    ],
)
def test_errors_name_the_argument(call, argument):
    with pytest.raises(ValueError, match=rf"^{argument}"):
        call()
