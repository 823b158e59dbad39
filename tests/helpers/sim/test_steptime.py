"""Iteration times against the formulas of chapter 3, and what a step time must be."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import facts, roofline
from servemath_helpers.sim import CustomStep, LinearStep, RooflineStep, StepTime

LLAMA = facts.get_model("Llama-3-70B")
H100 = facts.get_accelerator("H100-SXM")
STEP = RooflineStep.ideal(LLAMA, H100, n_gpus=8)
GOOD = {
    "n_params": 10,
    "weight_bytes": 20,
    "k": 1,
    "layers": 1,
    "d_attn": 1,
    "n_gpus": 1,
    "bw_Bps": 1,
    "peak_flops": 1,
}


def decode_step(batch, seq):
    return roofline.decode_step_s(
        batch,
        seq,
        LLAMA.n_params,
        LLAMA.weight_bytes(),
        LLAMA.kv_bytes_per_token(),
        8,
        H100.bandwidth_Bps,
        H100.bf16_dense_flops,
    )


@given(batch=st.integers(1, 2000), seq=st.integers(0, 100_000))
def test_pure_decode_is_the_roofline_of_chapter_3(batch, seq):
    exact = decode_step(batch, seq)["step_s"]
    assert STEP.iteration_s(batch, batch * seq, 0, 0) == pytest.approx(exact, rel=1e-12)


@given(seq=st.integers(200, 100_000))
def test_a_whole_prompt_is_the_prefill_of_chapter_3(seq):
    exact = roofline.prefill_time_s(
        LLAMA.n_params, seq, LLAMA.n_layers, LLAMA.d_attn, 8, H100.bf16_dense_flops
    )
    assert STEP.iteration_s(0, 0, seq, seq**2 / 2) == pytest.approx(exact, rel=1e-12)


def test_the_numbers_of_the_course_come_out():
    assert STEP.iteration_s(512, 512 * 128, 0, 0) == pytest.approx(9.9289e-3, rel=1e-4)
    assert STEP.iteration_s(0, 0, 512, 512**2 / 2) == pytest.approx(0.018342, rel=1e-4)
    assert STEP.iteration_s(0, 0, 4096, 4096**2 / 2) == pytest.approx(0.151598, rel=1e-5)


def test_no_iteration_is_faster_than_reading_the_weights():
    assert STEP.iteration_s(0, 0, 1, 0.5) == pytest.approx(141_107_412_992 / (8 * 3.35e12))


def test_chunks_of_a_prompt_need_the_pairs_of_the_whole():
    whole = STEP.iteration_s(0, 0, 4096, 4096**2 / 2)
    edges = range(0, 4097, 512)
    chunks = [
        STEP.iteration_s(0, 0, 512, (end**2 - begin**2) / 2)
        for begin, end in itertools.pairwise(edges)
    ]
    assert sum(chunks) == pytest.approx(whole, rel=1e-12)
    assert chunks[0] * 1e3 == pytest.approx(18.34, abs=0.01)
    assert chunks[-1] * 1e3 == pytest.approx(19.56, abs=0.01)


@given(context=st.integers(0, 10**7), batch=st.integers(1, 500))
def test_context_adds_its_slope(context, batch):
    for step in (STEP, LinearStep(base_s=1e-2, per_decode_s=1e-4, per_prefill_token_s=0,
                                  per_context_token_s=1e-8)):  # fmt: skip
        bare = step.iteration_s(batch, 0, 0, 0)
        full = step.iteration_s(batch, context, 0, 0)
        assert full == pytest.approx(bare + step.context_s * context, rel=1e-12)


def test_overhead_mixture_of_experts_and_bits_are_taken_over():
    mixtral = facts.get_model("Mixtral-8x7B")
    step = RooflineStep.ideal(
        mixtral, H100, 2, bits=8, kv_bytes_per_elem=1, overhead_s=0.001, mfu=1.0
    )
    assert step.n_params == mixtral.n_active_params < mixtral.n_params
    assert step.weight_bytes == mixtral.n_params
    assert step.k == mixtral.kv_bytes_per_token(1)
    assert step.iteration_s(1, 0, 0, 0) == pytest.approx(0.001 + mixtral.n_params / (2 * 3.35e12))


def test_flops_and_bytes_are_those_of_the_formulas():
    assert STEP.flops(10, 3) == 20 * LLAMA.n_params + 12 * LLAMA.n_layers * LLAMA.d_attn
    assert STEP.bytes_read(2, 7) == 2 * LLAMA.weight_bytes() + 7 * LLAMA.kv_bytes_per_token()


def test_a_custom_step_asks_its_function():
    step = CustomStep(lambda d, ctx, p, pairs: 1 + d + 10 * ctx + 100 * p + 1000 * pairs)
    assert step.iteration_s(1, 2, 3, 4) == 4322.0
    assert step.context_s is None


def test_all_kinds_are_step_times():
    linear = LinearStep(base_s=1, per_decode_s=0, per_prefill_token_s=0, per_context_token_s=0)
    for step in (STEP, linear, CustomStep(lambda *_: 1.0)):
        assert isinstance(step, StepTime)
    assert not isinstance(lambda *_: 1.0, StepTime)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_params", 0),
        ("weight_bytes", 0),
        ("k", -1),
        ("layers", 0),
        ("d_attn", 0.5),
        ("n_gpus", 0),
        ("bw_Bps", float("inf")),
        ("peak_flops", float("nan")),
        ("mfu", 0),
        ("mfu", 1.1),
        ("overhead_s", -1e-3),
    ],
)
def test_bad_hardware_is_named(field, value):
    with pytest.raises(ValueError, match=field):
        RooflineStep(**{**GOOD, field: value})


@pytest.mark.parametrize(
    "field", ["base_s", "per_decode_s", "per_prefill_token_s", "per_context_token_s"]
)
@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf"), "1"])
def test_bad_coefficients_are_named(field, value):
    good = dict.fromkeys(
        ["base_s", "per_decode_s", "per_prefill_token_s", "per_context_token_s"], 1.0
    )
    with pytest.raises(ValueError, match=field):
        LinearStep(**{**good, field: value})


def test_a_bad_function_is_named():
    with pytest.raises(ValueError, match="function must be callable, got 3"):
        CustomStep(3)
    with pytest.raises(ValueError, match=r"function\(\.\.\.\) must be"):
        CustomStep(lambda *_: 0.0).iteration_s(1, 1, 0, 0)
