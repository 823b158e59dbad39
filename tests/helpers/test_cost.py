"""Prices of tokens, answers and cascades."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import cost, facts, roofline


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"hour_usd": 3, "tok_s": 1000}, 0.8333),
        ({"hour_usd": 2, "tok_s": 600}, 0.9259),
        ({"hour_usd": 2, "tok_s": 600, "util": 0.3}, 3.0864),
        ({"hour_usd": "1.20", "tok_s": 1000, "n_gpus": 2}, 0.6667),
        ({"hour_usd": 0, "tok_s": 1}, 0.0),
    ],
)
def test_cost_of_a_million_tokens(arguments, expected):
    assert round(cost.cost_per_million(**arguments), 4) == expected


@pytest.mark.parametrize("price", ["2.5", Decimal("2.5"), Fraction(5, 2), 2.5])
def test_a_price_may_be_any_exact_number(price):
    assert cost.cost_per_million(price, 1000) == cost.cost_per_million(2.5, 1000)


@pytest.mark.parametrize(("batch", "expected"), [(1, "35.44"), (64, "0.88"), (371, "0.45")])
def test_cost_of_decoding_the_70b_on_eight_h100_at_three_dollars(batch, expected):
    model, chip = facts.get_model("Llama-3-70B"), facts.get_accelerator("H100-SXM")
    step = roofline.decode_step_s(
        batch,
        4096,
        model.n_params,
        model.weight_bytes(),
        model.kv_bytes_per_token(),
        8,
        chip.bandwidth_Bps,
        chip.bf16_dense_flops,
    )
    usd = cost.cost_per_million(3, batch / step["step_s"], n_gpus=8)
    assert f"{usd:.2f}" == expected


def test_cost_of_prefilling_the_70b_on_eight_h100_at_three_dollars():
    model, chip = facts.get_model("Llama-3-70B"), facts.get_accelerator("H100-SXM")
    seconds = roofline.prefill_time_s(
        model.n_params, 4096, model.n_layers, model.d_attn, 8, chip.bf16_dense_flops
    )
    assert round(cost.cost_per_million(3, 4096 / seconds, n_gpus=8), 3) == 0.247


@given(
    hour_usd=st.integers(0, 1000),
    tok_s=st.floats(0.1, 1e6),
    n_gpus=st.integers(1, 64),
    util=st.floats(0.01, 1),
)
def test_the_bill_of_an_hour_is_price_times_tokens(hour_usd, tok_s, n_gpus, util):
    per_million = cost.cost_per_million(hour_usd, tok_s, n_gpus, util)
    tokens_an_hour = tok_s * util * 3600
    assert math.isclose(per_million * tokens_an_hour / 1e6, hour_usd * n_gpus, rel_tol=1e-9)


def test_utilisation_is_served_over_capacity():
    assert cost.utilisation(3, 10) == 0.3
    assert cost.utilisation(0, 10) == 0.0
    assert cost.utilisation(10, 10) == 1.0


def test_an_attempt_that_always_succeeds_costs_what_it_costs():
    assert cost.quality_adjusted_cost("0.70", 1) == 0.7


@given(p=st.floats(0.05, 1), price=st.integers(0, 100))
def test_cost_of_a_success_sums_the_attempts_until_it(p, price):
    # Attempt number i happens with probability (1 - p)^i.
    by_attempts = price * math.fsum((1 - p) ** i for i in range(2000))
    assert math.isclose(cost.quality_adjusted_cost(price, p), by_attempts, rel_tol=1e-9)


def test_a_cascade_that_settles_most_requests_is_cheap():
    assert round(cost.cascade_cost(0.8, "0.10", "0.67"), 3) == 0.234


@given(easy=st.floats(0, 1), small=st.integers(0, 100), large=st.integers(1, 1000))
def test_a_cascade_costs_the_mean_over_easy_and_hard_requests(easy, small, large):
    mean = easy * small + (1 - easy) * (small + large)
    assert math.isclose(cost.cascade_cost(easy, small, large), mean, rel_tol=1e-9, abs_tol=1e-9)


@given(small=st.integers(0, 100), large=st.integers(100, 1000))
def test_at_the_break_even_a_cascade_costs_the_large_model(small, large):
    share = cost.cascade_break_even(small, large)
    assert math.isclose(cost.cascade_cost(share, small, large), large, rel_tol=1e-9)


def test_break_even_of_the_worked_cascade():
    assert round(cost.cascade_break_even("0.10", "0.67"), 3) == 0.149


def test_a_cascade_with_a_dear_first_model_never_pays():
    assert cost.cascade_break_even(2, 1) == 2.0


def test_request_cost_adds_both_prices():
    assert cost.request_cost_usd(1_000_000, 0, "0.25", 9) == 0.25
    assert cost.request_cost_usd(0, 1_000_000, 9, "0.90") == 0.9
    assert cost.request_cost_usd(1024, 256, "0.2467", "0.8823") == pytest.approx(
        (1024 * 0.2467 + 256 * 0.8823) / 1e6, rel=1e-12
    )


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("hour_usd", lambda: cost.cost_per_million(-1, 1)),
        ("hour_usd", lambda: cost.cost_per_million("free", 1)),
        ("tok_s", lambda: cost.cost_per_million(1, 0)),
        ("n_gpus", lambda: cost.cost_per_million(1, 1, -1)),
        ("util", lambda: cost.cost_per_million(1, 1, util=0)),
        ("util", lambda: cost.cost_per_million(1, 1, util=1.1)),
        ("served_tok", lambda: cost.utilisation(-1, 1)),
        ("served_tok", lambda: cost.utilisation(2, 1)),
        ("capacity_tok", lambda: cost.utilisation(0, 0)),
        ("cost_usd", lambda: cost.quality_adjusted_cost(-1, 1)),
        ("p_success", lambda: cost.quality_adjusted_cost(1, 0)),
        ("easy_share", lambda: cost.cascade_cost(1.5, 1, 1)),
        ("cost_small", lambda: cost.cascade_cost(0.5, -1, 1)),
        ("cost_large", lambda: cost.cascade_cost(0.5, 1, -1)),
        ("cost_small", lambda: cost.cascade_break_even(-1, 1)),
        ("cost_large", lambda: cost.cascade_break_even(1, 0)),
        ("n_in", lambda: cost.request_cost_usd(-1, 0, 1, 1)),
        ("n_out", lambda: cost.request_cost_usd(0, 0.5, 1, 1)),
        ("in_usd_per_mtok", lambda: cost.request_cost_usd(0, 0, -1, 1)),
        ("out_usd_per_mtok", lambda: cost.request_cost_usd(0, 0, 1, -1)),
    ],
)
def test_bad_arguments_are_named(name, call):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        call()
