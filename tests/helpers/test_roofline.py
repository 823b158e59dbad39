"""Times of prefill and decode against worked numbers and limiting cases."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import roofline

N, L, D = 70_553_706_496, 80, 8192
W, K = 141_107_412_992, 327_680
PEAK, BW = 989.4e12, 3.35e12
MODEL = {
    "n_params": N,
    "layers": L,
    "heads": 64,
    "kv_heads": 8,
    "head_dim": 128,
    "bytes_per_param": 2,
    "bytes_per_kv": 2,
}
HARDWARE = {"n_gpus": 8, "peak_flops": PEAK, "bw_Bps": BW}


def decode(batch, seq=4096, n_gpus=8, bw_Bps=BW, peak_flops=PEAK, n_params=N, weights=W, k=K):
    return roofline.decode_step_s(batch, seq, n_params, weights, k, n_gpus, bw_Bps, peak_flops)


def best(tpot_slo_s, seq=4096, mem_cap=371):
    return roofline.best_decode_batch(tpot_slo_s, seq, mem_cap, N, W, K, 8, BW, PEAK)


@pytest.mark.parametrize(
    ("seq", "mfu", "expected"),
    [
        (4096, 0.5, 0.151598),
        (512, 0.5, 0.018342),
        (4096, 1.0, 0.075799),
        (8192, 0.5, 0.314310),
    ],
)
def test_prefill_of_the_70b_on_eight_h100(seq, mfu, expected):
    assert round(roofline.prefill_time_s(N, seq, L, D, 8, PEAK, mfu), 6) == expected


def test_prefill_assumes_half_of_the_peak():
    assert roofline.prefill_time_s(N, 100, L, D, 8, PEAK) == roofline.prefill_time_s(
        N, 100, L, D, 8, PEAK, mfu=0.5
    )


def test_an_empty_prompt_takes_no_time():
    assert roofline.prefill_time_s(N, 0, L, D, 8, PEAK) == 0.0


@pytest.mark.parametrize(("seq", "percent"), [(4096, 3.7), (32_768, 23.3)])
def test_attention_share_of_the_prefill(seq, percent):
    total = roofline.prefill_flops(N, seq, L, D)
    assert round(100 * (total - 2 * N * seq) / total, 1) == percent


@given(seq=st.integers(0, 200), layers=st.integers(1, 8), d_attn=st.integers(1, 64))
def test_attention_counts_half_of_all_pairs_of_tokens(seq, layers, d_attn):
    # Scores and weighted values: a multiply-add each per pair and element. Causality keeps
    # seq (seq + 1) / 2 pairs; the formula takes seq^2 / 2.
    attention = roofline.prefill_flops(1, seq, layers, d_attn) - 2 * seq
    pairs = sum(position + 1 for position in range(seq))
    exact = sum(4 * d_attn * pairs for _ in range(layers))
    assert attention == exact - 2 * layers * d_attn * seq


@given(seq=st.integers(1, 10**5))
def test_the_second_difference_of_the_prefill_isolates_attention(seq):
    flops = [roofline.prefill_flops(N, tokens, L, D) for tokens in (seq - 1, seq, seq + 1)]
    assert flops[0] - 2 * flops[1] + flops[2] == 2 * 2 * L * D


@pytest.mark.parametrize(
    ("batch", "seq", "step_ms", "tok_s", "bound"),
    [
        (1, 4096, 5.3153, 188, "memory"),
        (48, 4096, 7.6691, 6259, "memory"),
        (64, 4096, 8.4704, 7556, "memory"),
        (371, 4096, 25.1941, 14_726, "compute"),
        (512, 128, 9.9289, 51_566, "compute"),
    ],
)
def test_decode_step_of_the_70b_on_eight_h100(batch, seq, step_ms, tok_s, bound):
    step = decode(batch, seq)
    assert round(step["step_s"] * 1e3, 4) == step_ms
    assert round(batch / step["step_s"]) == tok_s
    assert step["bound"] == bound


def test_a_memory_bound_step_uses_all_of_the_bandwidth_and_little_arithmetic():
    step = decode(64)
    assert step["mbu"] == pytest.approx(1, rel=1e-12)
    assert round(step["mfu"], 3) == 0.135


def test_a_compute_bound_step_without_context_uses_all_of_the_arithmetic():
    step = decode(1000, seq=0)
    assert step["mfu"] == 1.0
    assert step["mbu"] < 1


def test_the_bound_flips_between_295_and_296_sequences_without_context():
    assert [decode(batch, seq=0)["bound"] for batch in (295, 296)] == ["memory", "compute"]


def test_a_tie_counts_as_memory():
    # 8 bytes at 1 B/s, and 2 FLOP x 4 parameters x 1 sequence at 1 FLOP/s: 8 s each.
    step = roofline.decode_step_s(1, 0, 4, 8, 1, 1, 1.0, 1.0)
    assert step == {"step_s": 8.0, "bound": "memory", "mfu": 1.0, "mbu": 1.0}


@given(
    batch=st.integers(1, 1000),
    seq=st.integers(0, 10**5),
    n_gpus=st.integers(1, 64),
    k=st.integers(0, 10**7),
)
def test_decode_shares_lie_in_the_unit_interval_and_bound_the_step(batch, seq, n_gpus, k):
    step = decode(batch, seq, n_gpus=n_gpus, k=k)
    assert 0 < step["mfu"] <= 1 + 1e-12
    assert 0 < step["mbu"] <= 1 + 1e-12
    traffic_s = (W + batch * seq * k) / (n_gpus * BW)
    arithmetic_s = 2 * N * batch / (n_gpus * PEAK)
    assert step["step_s"] >= max(traffic_s, arithmetic_s) * (1 - 1e-12)
    assert step["step_s"] <= (traffic_s + arithmetic_s) * (1 + 1e-12)


@given(batch=st.integers(1, 290), seq=st.integers(0, 10**5))
def test_doubling_the_bandwidth_halves_a_memory_bound_step(batch, seq):
    slow, fast = decode(batch, seq, bw_Bps=BW / 2), decode(batch, seq, bw_Bps=BW)
    assert slow["bound"] == fast["bound"] == "memory"
    assert math.isclose(slow["step_s"], 2 * fast["step_s"], rel_tol=1e-12)


@pytest.mark.parametrize(
    ("slo_ms", "expected"), [(5, 0), (6, 14), (8, 54), (10, 94), (20, 294), (50, 371)]
)
def test_best_batch_by_bound_on_the_time_per_token(slo_ms, expected):
    assert best(slo_ms / 1e3) == expected


def test_no_batch_fits_into_no_memory():
    assert best(1.0, mem_cap=0) == 0


def test_the_best_batch_keeps_a_bound_that_it_meets_exactly():
    exact = decode(100)["step_s"]
    assert best(exact) == 100
    assert best(math.nextafter(exact, 0)) == 99


@given(slo_ms=st.floats(0, 40), seq=st.integers(0, 20_000), cap=st.integers(0, 60))
def test_the_best_batch_is_that_of_a_search_through_all(slo_ms, seq, cap):
    slo_s = slo_ms / 1e3
    fitting = [batch for batch in range(1, cap + 1) if decode(batch, seq)["step_s"] <= slo_s]
    assert best(slo_s, seq, cap) == max(fitting, default=0)


def test_the_ridge_of_the_h100():
    assert round(roofline.ridge_flop_per_byte(PEAK, BW), 2) == 295.34


@pytest.mark.parametrize(("bytes_per_param", "expected"), [(2, 295), (1, 148), (0.5, 74)])
def test_critical_batch_by_weight_size(bytes_per_param, expected):
    assert round(roofline.critical_batch(PEAK, BW, bytes_per_param)) == expected


@given(
    peak=st.floats(1e9, 1e16),
    bandwidth=st.floats(1e6, 1e13),
    bytes_per_param=st.sampled_from([0.5, 1, 2, 4]),
)
def test_at_the_critical_batch_reading_takes_as_long_as_multiplying(
    peak, bandwidth, bytes_per_param
):
    batch = roofline.critical_batch(peak, bandwidth, bytes_per_param)
    assert math.isclose(bytes_per_param / bandwidth, 2 * batch / peak, rel_tol=1e-12)


def test_service_time_joins_prefill_and_decode():
    times = roofline.service_time_s(4096, 101, 64, MODEL, HARDWARE, 0.5)
    assert times["prefill_s"] == roofline.prefill_time_s(N, 4096, L, D, 8, PEAK, 0.5)
    assert times["step_s"] == decode(64)["step_s"]
    assert math.isclose(times["total_s"], times["prefill_s"] + 100 * times["step_s"])
    assert times["bound"] == "memory"


@pytest.mark.parametrize("n_out", [0, 1])
def test_the_first_token_costs_no_decode_step(n_out):
    times = roofline.service_time_s(4096, n_out, 64, MODEL, HARDWARE, 0.5)
    assert times["total_s"] == times["prefill_s"]


@pytest.mark.parametrize(("batch", "bound"), [(295, "memory"), (296, "compute")])
def test_the_bound_of_a_service_flips_without_context(batch, bound):
    assert roofline.service_time_s(0, 1, batch, MODEL, HARDWARE, 0.5)["bound"] == bound


def test_quantised_caches_and_weights_speed_decode_only():
    light = {**MODEL, "bytes_per_param": 0.5, "bytes_per_kv": 1}
    before = roofline.service_time_s(4096, 2, 16, MODEL, HARDWARE, 0.5)
    after = roofline.service_time_s(4096, 2, 16, light, HARDWARE, 0.5)
    assert after["prefill_s"] == before["prefill_s"]
    assert math.isclose(after["step_s"], (N * 0.5 + 16 * 4096 * K / 2) / (8 * BW), rel_tol=1e-12)


@given(prompt=st.integers(0, 20_000), n_out=st.integers(0, 500), more=st.integers(0, 500))
def test_service_never_gets_faster_with_more_tokens(prompt, n_out, more):
    base = roofline.service_time_s(prompt, n_out, 8, MODEL, HARDWARE, 0.5)["total_s"]
    longer = roofline.service_time_s(prompt + more, n_out, 8, MODEL, HARDWARE, 0.5)["total_s"]
    wordier = roofline.service_time_s(prompt, n_out + more, 8, MODEL, HARDWARE, 0.5)["total_s"]
    assert longer >= base
    assert wordier >= base


def test_service_time_leaves_its_arguments_alone():
    model, hardware = dict(MODEL), dict(HARDWARE)
    roofline.service_time_s(10, 10, 1, model, hardware, 0.5)
    assert model == MODEL
    assert hardware == HARDWARE


def service(prompt=1, n_out=1, batch=1, mfu=0.5, model=None, **hardware):
    return roofline.service_time_s(
        prompt, n_out, batch, MODEL | (model or {}), HARDWARE | hardware, mfu
    )


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("n_params", lambda: roofline.prefill_flops(0, 1, 1, 1)),
        ("seq", lambda: roofline.prefill_flops(1, -1, 1, 1)),
        ("layers", lambda: roofline.prefill_flops(1, 1, 0, 1)),
        ("d_attn", lambda: roofline.prefill_flops(1, 1, 1, 0)),
        ("n_gpus", lambda: roofline.prefill_time_s(1, 1, 1, 1, 0, 1)),
        ("peak_flops", lambda: roofline.prefill_time_s(1, 1, 1, 1, 1, 0)),
        ("mfu", lambda: roofline.prefill_time_s(1, 1, 1, 1, 1, 1, 0)),
        ("mfu", lambda: roofline.prefill_time_s(1, 1, 1, 1, 1, 1, 1.01)),
        ("batch", lambda: decode(0)),
        ("seq", lambda: decode(1, -1)),
        ("n_params", lambda: decode(1, n_params=0)),
        ("weight_bytes", lambda: decode(1, weights=0)),
        ("k", lambda: decode(1, k=-1)),
        ("n_gpus", lambda: decode(1, n_gpus=0)),
        ("bw_Bps", lambda: decode(1, bw_Bps=0)),
        ("bw_Bps", lambda: decode(1, bw_Bps=math.inf)),
        ("peak_flops", lambda: decode(1, peak_flops=-1)),
        ("tpot_slo_s", lambda: best(-0.1)),
        ("mem_cap", lambda: best(1, mem_cap=-1)),
        ("seq", lambda: best(1, seq=-1, mem_cap=0)),
        ("peak_flops", lambda: roofline.ridge_flop_per_byte(0, 1)),
        ("bw_Bps", lambda: roofline.ridge_flop_per_byte(1, 0)),
        ("bytes_per_param", lambda: roofline.critical_batch(1, 1, 0)),
        ("prompt", lambda: service(prompt=-1)),
        ("n_out", lambda: service(n_out=-1)),
        ("batch", lambda: service(batch=0)),
        ("mfu", lambda: service(mfu=2)),
        (r"model\['heads'\]", lambda: service(model={"heads": 0})),
        (r"model\['bytes_per_kv'\]", lambda: service(model={"bytes_per_kv": 0})),
        ("n_gpus", lambda: service(n_gpus=0)),
        ("model", lambda: roofline.service_time_s(1, 1, 1, [1], HARDWARE, 0.5)),
    ],
)
def test_bad_arguments_are_named(name, call):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        call()


def test_a_missing_key_is_named():
    without = {key: value for key, value in MODEL.items() if key != "kv_heads"}
    with pytest.raises(ValueError, match=r"^model must have the keys .*missing: \['kv_heads'\]"):
        roofline.service_time_s(1, 1, 1, without, HARDWARE, 0.5)
    with pytest.raises(ValueError, match=r"^hw must have the keys .*missing: \['bw_Bps'\]"):
        roofline.service_time_s(1, 1, 1, MODEL, {"n_gpus": 1, "peak_flops": 1}, 0.5)
