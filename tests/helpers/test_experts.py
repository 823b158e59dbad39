"""Mixtures of experts against closed forms, simulation and the numbers of published models."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import experts, roofline

V3 = {
    "n_experts": 256,
    "experts_per_token": 8,
    "moe_layers": 58,
    "expert_bytes": 44_040_192,
    "dense_bytes": 17_117_648_384,
    "n_active_params": 37_552_297_472,
    "n_gpus": 8,
    "bw_Bps": 4.8e12,
    "peak_flops": 1978.9e12,
}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((256, 8, 1), 8),
        ((256, 8, 8), 57.4),
        ((256, 8, 32), 163.3),
        ((256, 8, 128), 251.6),
        ((8, 2, 4), 5.47),
        ((8, 8, 1), 8),
        ((8, 8, 0), 0),
        ((8, 2, 0), 0),
    ],
)
def test_distinct_experts(shape, expected):
    assert experts.experts_read(*shape) == pytest.approx(expected, abs=0.05)


@given(st.integers(1, 40), st.data(), st.integers(0, 60))
def test_distinct_experts_is_the_formula_and_never_more_than_there_are(n, data, tokens):
    chosen = data.draw(st.integers(1, n))
    read = experts.experts_read(n, chosen, tokens)
    assert read == pytest.approx(n * (1 - (1 - chosen / n) ** tokens))
    assert 0 <= read <= min(n, chosen * tokens) + 1e-9


def test_distinct_experts_is_the_mean_of_random_routers():
    rng = np.random.default_rng(1)
    drawn = [
        len({e for _ in range(12) for e in rng.choice(32, 4, replace=False)}) for _ in range(400)
    ]
    assert experts.experts_read(32, 4, 12) == pytest.approx(np.mean(drawn), rel=0.02)


def test_a_step_of_deepseek_v3():
    step = experts.moe_step_s(32, kv_bytes=32 * 4096 * 35_136, **V3)
    assert step["step_s"] == pytest.approx(11.429e-3, rel=1e-4)
    assert step["bytes"] == pytest.approx(434.3e9, rel=1e-3)


@pytest.mark.parametrize(("batch", "bound"), [(3683, "memory"), (3684, "compute")])
def test_where_arithmetic_takes_over(batch, bound):
    assert experts.moe_step_s(batch, kv_bytes=0, **V3)["bound"] == bound


def test_one_expert_that_all_visit_is_a_dense_model():
    shape = {**V3, "n_experts": 1, "experts_per_token": 1, "moe_layers": 1}
    step = experts.moe_step_s(8, kv_bytes=1e9, **shape)
    dense = roofline.decode_step_s(
        8, 1, V3["n_active_params"], 44_040_192 + 17_117_648_384, 1e9 / 8, 8, 4.8e12, 1978.9e12
    )
    assert step["step_s"] == pytest.approx(dense["step_s"])


def test_experts_of_no_bytes_leave_the_dense_part():
    assert experts.moe_step_s(8, kv_bytes=0, **{**V3, "expert_bytes": 0})["bytes"] == 17_117_648_384


def test_expert_parallelism_reaches_few_gpus_and_says_what_travels():
    assert experts.other_gpus_reached(256, 8, 8) == pytest.approx(4.63, abs=0.005)
    assert experts.other_gpus_reached(256, 8, 1) == 0
    assert experts.other_gpus_reached(8, 8, 4) == 3
    assert experts.all_to_all_bytes(7168, 256, 8, 8) == pytest.approx(99.6e3, rel=1e-3)
    assert experts.all_to_all_bytes(10, 8, 8, 4, out_bytes=2, back_bytes=0) == 60


@pytest.mark.parametrize(
    ("tokens", "n_gpus", "expected"),
    [(64, None, 3.5), (256, None, 2.1), (1024, None, 1.5), (64, 8, 1.18), (256, 8, 1.09)],
)
def test_the_busiest_over_the_mean(tokens, n_gpus, expected):
    seen = experts.expert_imbalance(256, 8, tokens, n_gpus, draws=40)
    assert seen == pytest.approx(expected, rel=0.05)
    assert seen == experts.expert_imbalance(256, 8, tokens, n_gpus, draws=40)


@pytest.mark.parametrize(
    ("named", "call"),
    [
        ("n_experts", lambda: experts.experts_read(0, 1, 1)),
        ("experts_per_token", lambda: experts.experts_read(4, 5, 1)),
        ("experts_per_token", lambda: experts.experts_read(4, 0, 1)),
        ("tokens", lambda: experts.experts_read(4, 1, -1)),
        ("batch", lambda: experts.moe_step_s(0, kv_bytes=0, **V3)),
        ("kv_bytes", lambda: experts.moe_step_s(1, kv_bytes=-1, **V3)),
        ("moe_layers", lambda: experts.moe_step_s(1, kv_bytes=0, **{**V3, "moe_layers": 0})),
        ("expert_bytes", lambda: experts.moe_step_s(1, kv_bytes=0, **{**V3, "expert_bytes": -1})),
        ("dense_bytes", lambda: experts.moe_step_s(1, kv_bytes=0, **{**V3, "dense_bytes": -1})),
        ("n_gpus", lambda: experts.other_gpus_reached(8, 2, 3)),
        ("n_gpus", lambda: experts.other_gpus_reached(8, 2, 0)),
        ("out_bytes", lambda: experts.all_to_all_bytes(1, 8, 2, 2, out_bytes=-1)),
        ("back_bytes", lambda: experts.all_to_all_bytes(1, 8, 2, 2, back_bytes=-1)),
        ("hidden", lambda: experts.all_to_all_bytes(0, 8, 2, 2)),
        ("n_gpus", lambda: experts.expert_imbalance(8, 2, 1, 3)),
        ("tokens", lambda: experts.expert_imbalance(8, 2, 0)),
        ("draws", lambda: experts.expert_imbalance(8, 2, 1, draws=0)),
        ("seed", lambda: experts.expert_imbalance(8, 2, 1, seed=-1)),
    ],
)
def test_bad_input_is_named(named, call):
    with pytest.raises(ValueError, match=f"^{named} must "):
        call()
