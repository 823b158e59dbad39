"""Deployments, stored coefficients and closed loops: identities, limits, and measured rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import achieved, facts
from servemath_helpers.closedloop import closed_loop, loop_times
from servemath_helpers.deployment import Deployment
from servemath_helpers.sim import (
    AchievedStep,
    ClosedLoop,
    LLMServer,
    Requests,
    RooflineStep,
    simulate_fleet,
    simulate_llm,
)

LLAMA = facts.get_model("Llama-3.1-70B")
DEEPSEEK = facts.get_model("DeepSeek-R1")
GPT_OSS = facts.get_model("gpt-oss-120b")
H100, H200 = facts.get_accelerator("H100-SXM"), facts.get_accelerator("H200-SXM")
B200, A100 = facts.get_accelerator("B200-SXM"), facts.get_accelerator("A100-80GB-SXM")
COEFFICIENTS = [field.name for field in dataclasses.fields(achieved.Coefficients)]
#: An engine that reaches the data sheet and costs nothing besides.
PERFECT = achieved.Coefficients(
    **{name: 0.0 if name.endswith("_s") or name in ("burst", "late_slot", "late_steps")
       else 1.0
       for name in COEFFICIENTS}
)  # fmt: skip


def deployed(model=LLAMA, chip=H200, tp=1, **more):
    return Deployment(model=model, accelerator=chip, tensor_parallel=tp, **more)


# what a deployment holds ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "formats", "stored"),
    [
        (LLAMA, {"weight_format": "fp8"}, 72.7),
        (LLAMA, {}, 141.1),
        (GPT_OSS, {}, 65.2),
        (DEEPSEEK, {}, 673.0),
        (DEEPSEEK, {"weight_format": "nvfp4"}, 380.0),
    ],
)
def test_weights_are_those_of_the_checkpoint(model, formats, stored):
    node = deployed(model, tp=8, **formats)
    assert node.weight_bytes / 1e9 == pytest.approx(stored, rel=2e-3)
    assert node.weight_bytes == model.stored_bytes(**{"fmt": formats.get("weight_format")})


def test_copies_of_the_attention_repeat_all_but_the_routed_experts():
    one, eight = deployed(DEEPSEEK, tp=8), deployed(DEEPSEEK, tp=1, attention_dp=8)
    assert one.n_gpus == eight.n_gpus == 8
    shared = one.weight_bytes - DEEPSEEK.n_expert_params * (1 + 4 / 128**2)
    assert eight.weight_bytes - one.weight_bytes == pytest.approx(7 * shared, rel=1e-6)


@pytest.mark.parametrize(
    ("model", "tp", "copies"),
    [(LLAMA, 1, 1), (LLAMA, 8, 1), (LLAMA, 16, 2), (DEEPSEEK, 8, 8), (GPT_OSS, 4, 1)],
)
def test_heads_that_there_are_more_gpus_than_are_held_more_than_once(model, tp, copies):
    held = deployed(model, tp=tp, cache_format="fp8").held_bytes(100)
    assert held == pytest.approx(copies * model.resident_kv_bytes(100, 1), rel=1e-12)


def test_windows_cap_and_states_are_added_to_what_a_sequence_holds():
    long = deployed(GPT_OSS).held_bytes(100_000)
    assert long == pytest.approx(GPT_OSS.resident_kv_bytes(100_000))
    hybrid = facts.get_model("Qwen3-Next-80B-A3B")
    state = deployed(hybrid).held_bytes(0)
    assert state == hybrid.state_bytes() == 36 * 2**20


def test_room_and_slots_follow_the_settings_of_engines():
    node = deployed(weight_format="fp8", cache_format="fp8")
    room = 0.9 * 141e9 - node.weight_bytes
    assert node.cache_tokens("vllm") == pytest.approx(room / 163_840)
    assert node.cache_tokens("trtllm") == pytest.approx(0.9 * (141e9 - node.weight_bytes) / 163_840)
    assert node.slots(1024, 8192) == pytest.approx(room / (163_840 * (1024 + 4096)))
    assert node.slots(1024, 8192, "trtllm") < node.slots(1024, 8192, "vllm")
    too_large = deployed(DEEPSEEK, H100)
    assert too_large.cache_tokens() == 0
    assert too_large.slots(10, 10) == 1


# the time of an iteration -----------------------------------------------------------------


@given(batch=st.integers(1, 300), seq=st.integers(0, 20_000))
def test_a_perfect_engine_on_one_gpu_is_the_ideal_roofline(batch, seq):
    """Of what a step reads, that is: the embedding is looked up, not read."""
    step = AchievedStep.on(deployed(chip=B200), PERFECT)
    read = LLAMA.weight_bytes() - 2 * LLAMA.vocab * LLAMA.hidden
    flops = 2 * (LLAMA.n_params - LLAMA.vocab * LLAMA.hidden) * batch
    cache = LLAMA.kv_bytes_per_token() * batch * seq / 8e12
    expected = cache + max(read / 8e12, flops / 2250e12)
    assert step.iteration_s(batch, batch * seq, 0, 0) == pytest.approx(expected, rel=1e-9)


def test_a_prompt_is_its_linear_layers_and_its_attention():
    step = AchievedStep.on(deployed(chip=B200), PERFECT)
    pairs = 4096**2 / 2
    linear = 2 * (LLAMA.n_params - LLAMA.vocab * LLAMA.hidden) * 4096 / 2250e12
    attention = 4 * LLAMA.n_layers * LLAMA.d_attn * pairs / 2250e12
    assert step.iteration_s(0, 0, 4096, pairs) == pytest.approx(linear + attention, rel=1e-9)


def test_windowed_layers_attend_to_their_window_alone():
    step = AchievedStep.on(deployed(GPT_OSS, B200), PERFECT)
    short, long = (step.iteration_s(8, 8 * seq, 0, 0) for seq in (1000, 2000))
    full = GPT_OSS.kv_bytes_per_token() / 2  # half of the layers
    assert long - short == pytest.approx(8 * 1000 * full / 8e12, rel=1e-6)
    assert step.context_s is None
    near = step.iteration_s(0, 0, 4096, 4096**2 / 2) - step.iteration_s(0, 0, 4096, 0)
    each = 4 * GPT_OSS.d_attn / 2250e12
    assert near == pytest.approx(18 * each * (4096**2 / 2 + 4096 * 128), rel=1e-6)


@given(tokens=st.integers(1, 2000))
def test_experts_are_read_as_far_as_they_are_visited(tokens):
    step = AchievedStep.on(deployed(DEEPSEEK, B200, 8), PERFECT)
    dense = step.dense_bytes / (8 * 8e12)
    share = 1 - (1 - 8 / 256) ** tokens
    routed = share * 58 * 256 * step.expert_bytes / (8 * 8e12)
    work = 2 * 8 * 58 * step.expert_params * tokens / (8 * 4500e12)
    links = step.per_token_s * tokens
    linear = 2 * step.linear_params * tokens / (8 * 4500e12)
    expected = max(dense, linear) + max(routed, work) + links
    assert step.iteration_s(tokens, 0, 0, 0) == pytest.approx(expected, rel=1e-9)


def test_what_engines_add_is_added_once():
    costs = dataclasses.replace(
        PERFECT,
        step_s=1e-3,
        layer_s=1e-5,
        expert_layer_s=2e-5,
        sequence_s=1e-6,
        all_reduce_s=3e-6,
        all_to_all_s=5e-6,
    )
    for node, overhead in (
        (deployed(tp=1), 1e-3 + 80e-5),
        (deployed(tp=4), 1e-3 + 80e-5 + 160 * 3e-6),
        (deployed(DEEPSEEK, tp=1, attention_dp=8), 1e-3 + 61e-5 + 58 * 2e-5 + 116 * 5e-6),
    ):
        slow, fast = AchievedStep.on(node, costs), AchievedStep.on(node, PERFECT)
        extra = slow.iteration_s(7, 700, 0, 0) - fast.iteration_s(7, 700, 0, 0)
        assert extra == pytest.approx(overhead + 7e-6, rel=1e-6)


def test_the_host_sets_a_floor():
    slow = AchievedStep.on(deployed(tp=8), dataclasses.replace(PERFECT, host_layer_s=5e-4))
    assert slow.iteration_s(1, 100, 0, 0) == 80 * 5e-4
    assert slow.context_s is None
    # A floor below what every iteration takes anyway leaves the time affine.
    hardly = AchievedStep.on(deployed(tp=1), dataclasses.replace(PERFECT, host_layer_s=1e-6))
    assert hardly.context_s == LLAMA.kv_bytes_per_token() / 4.8e12


@pytest.mark.parametrize(
    ("chip", "fmt", "peak"),
    [
        (A100, "fp8", 312e12),
        (H100, "fp8", 1978.9e12),
        (H100, "nvfp4", 989.4e12),
        (H100, "mxfp4", 989.4e12),
        (H100, "int4_g128", 989.4e12),
        (B200, "nvfp4", 9000e12),
        (B200, "mxfp4", 4500e12),
        (B200, "bf16", 2250e12),
        (B200, "fp8_block", 4500e12),
    ],
)
def test_formats_compute_where_there_are_units_for_them(chip, fmt, peak):
    assert AchievedStep.on(deployed(chip=chip, weight_format=fmt), PERFECT).peak_flops == peak


def test_links_that_are_not_known_do_not_stop_a_prediction():
    chip = facts.get_accelerator("MI300X")
    assert chip.link_Bps is None
    assert AchievedStep.on(deployed(chip=chip, tp=8), PERFECT).per_token_s > 0


@pytest.mark.parametrize(
    ("named", "call"),
    [
        ("model", lambda: Deployment(model="Llama", accelerator=H100)),
        ("accelerator", lambda: Deployment(model=LLAMA, accelerator="H100")),
        ("tensor_parallel", lambda: deployed(tp=0)),
        ("attention_dp", lambda: deployed(attention_dp=1.5)),
        ("format", lambda: deployed(weight_format="fp5")),
        ("format", lambda: deployed(expert_format="fp5")),
        ("format", lambda: deployed(cache_format="fp5")),
        ("n_gpus", lambda: AchievedStep.on(deployed(GPT_OSS, attention_dp=3), PERFECT)),
        ("engine", lambda: achieved.coefficients("H100-SXM", "llama.cpp")),
        ("deployment", lambda: closed_loop(LLAMA, 1, 1, 1)),
        ("prompt", lambda: closed_loop(deployed(), 0, 1, 1)),
        ("output", lambda: closed_loop(deployed(), 1, 0, 1)),
        ("concurrency", lambda: closed_loop(deployed(), 1, 1, 0)),
        ("engine", lambda: closed_loop(deployed(), 1, 1, 1, engine="x")),
        ("n_gpus", lambda: RooflineStep.of(LLAMA, H100, 0)),
    ],
)
def test_bad_input_is_named(named, call):
    with pytest.raises(ValueError, match=f"^(tensor_parallel|{named}) must "):
        call()


# coefficients -----------------------------------------------------------------------------


def test_every_coefficient_has_its_spread_and_meaning():
    found = achieved.spreads()
    assert list(found) == COEFFICIENTS
    for name, entry in found.items():
        assert entry.low <= entry.value <= entry.high, name
        assert entry.unit in ("share", "s", "factor")
        assert (entry.unit == "s") == name.endswith("_s")
        assert entry.meaning


def test_shares_are_shares_wherever_something_was_measured():
    for chip in ("A100-80GB-SXM", "H100-SXM", "H200-SXM", "B200-SXM", "L4", None):
        for engine in ("vllm", "trtllm", "sglang", None):
            reached = achieved.coefficients(chip, engine)
            for name, entry in achieved.spreads().items():
                value = getattr(reached, name)
                assert value > 0
                if entry.unit == "share":
                    assert value <= 1.05, (chip, engine, name)


def test_what_was_not_measured_falls_back_to_what_was():
    assert achieved.coefficients("L4", "vllm") == achieved.coefficients(None, "vllm")
    assert achieved.coefficients("H200-SXM", "vllm", "7.7") == achieved.coefficients(
        "H200-SXM", "vllm"
    )
    # The architecture of a card that was not measured counts: H100s of both kinds are Hopper.
    pcie, other = achieved.coefficients("H100-PCIe"), achieved.coefficients("L4")
    assert pcie.mfu_fp8 != other.mfu_fp8
    assert pcie.weight_bandwidth == other.weight_bandwidth


def test_resolving_multiplies_the_factors_of_the_keys():
    table = {name: {"value": 2.0} for name in COEFFICIENTS}
    table["step_s"] = {"value": 2.0, "by": {"engine": {"a": 3.0}, "release": {"a 1": 5.0}}}
    resolve = achieved.Coefficients.resolve
    assert resolve(table, {"engine": "a", "release": "a 1"}).step_s == 30
    assert resolve(table, {"engine": "b"}).step_s == 2
    assert resolve(table, {}).layer_s == 2


def test_bands_are_wider_for_what_was_not_measured():
    for quantity in ("tpot", "ttft"):
        for experts in (False, True):
            low, high = achieved.bands(quantity, experts=experts, fitted=True)
            wide_low, wide_high = achieved.bands(quantity, experts=experts, fitted=False)
            assert 0 < low < high
            assert wide_low < wide_high
            assert wide_high / wide_low > high / low


# RooflineStep and the simulator -----------------------------------------------------------


def test_of_is_what_engines_reach_and_ideal_the_data_sheet():
    reached = RooflineStep.of(LLAMA, H200, 4, weight_format="fp8", engine="vllm")
    ideal = RooflineStep.ideal(LLAMA, H200, 4, bits=8)
    assert isinstance(reached, AchievedStep)
    assert not isinstance(ideal, AchievedStep)
    assert reached.iteration_s(8, 8000, 0, 0) > ideal.iteration_s(8, 8000, 0, 0)
    assert reached.band == achieved.bands("tpot", experts=False, fitted=True)
    other = RooflineStep.of(GPT_OSS, H100, 4, engine="sglang")
    assert other.band == achieved.bands("tpot", experts=True, fitted=False)


@pytest.mark.parametrize(
    ("tp", "low", "high"),
    [(1, 1.2, 1.6), (2, 1.4, 2.0), (4, 1.9, 2.8), (8, 2.6, 4.4)],
)
def test_cutting_layers_over_more_gpus_gains_less_than_the_roofline_says(tp, low, high):
    """Measured over ideal on H200: 1.4, 1.7, 2.4, 3.7, prompts of others included."""
    ideal = RooflineStep.ideal(LLAMA, H200, tp, bits=8, kv_bytes_per_elem=1)
    reached = RooflineStep.of(LLAMA, H200, tp, weight_format="fp8", cache_format="fp8")
    ratio = reached.iteration_s(8, 8 * 1536, 0, 0) / ideal.iteration_s(8, 8 * 1536, 0, 0)
    assert low < ratio < high


@pytest.mark.parametrize("model", [LLAMA, GPT_OSS, facts.get_model("Qwen3-Next-80B-A3B")])
def test_the_simulator_runs_on_it_and_counts_what_it_used(model):
    step = RooflineStep.of(model, H200, 4, engine="vllm")
    requests = Requests([0.0, 0.1, 0.2], [500, 2000, 100], [50, 20, 80])
    run = simulate_llm(
        requests, LLMServer(step_time=step, batching="chunked", max_batched_tokens=2048)
    )
    assert np.isfinite(run.e2e_s).all()
    assert 0 < run.mfu() < 1
    assert 0 < run.mbu() < 1


def test_bytes_of_iterations_count_the_experts_that_are_read():
    step = AchievedStep.on(deployed(DEEPSEEK, tp=8), PERFECT)
    one = step.bytes_read(1, 0, 1)
    routed = 8 / 256 * 58 * 256 * step.expert_bytes
    assert one == pytest.approx(step.dense_bytes + routed)
    assert step.bytes_read(1, 0) == one
    assert step.bytes_read(10, 5, 320) > 10 * one
    assert step.bytes_read(0, 0, 0) == 0
    dense = AchievedStep.on(deployed(), PERFECT)
    assert dense.bytes_read(3, 10, 99) == 3 * dense.dense_bytes + 10 * dense.k


# closed loops -----------------------------------------------------------------------------


def loop(concurrency, prompt=1024, output=1024, node=None, reached=PERFECT, engine=None):
    node = node or deployed(tp=8, weight_format="fp8", cache_format="fp8")
    return loop_times(
        node, AchievedStep.on(node, reached), reached, prompt, output, concurrency, engine
    )


def test_one_request_alone_decodes_undisturbed():
    node = deployed(tp=8, weight_format="fp8", cache_format="fp8")
    first, token, batch = loop(1, node=node)
    step = AchievedStep.on(node, PERFECT)
    assert token == step.iteration_s(1, 1024 + 512, 0, 0)
    assert first == step.iteration_s(0, 0, 1024, 1024**2 / 2)
    assert batch == 1


def test_each_other_request_delays_an_answer_once():
    node = deployed(tp=8, weight_format="fp8", cache_format="fp8")
    step = AchievedStep.on(node, PERFECT)
    _, token, _ = loop(16, node=node)
    decode = step.iteration_s(16, 16 * 1536, 0, 0)
    mixed = step.iteration_s(15, 15 * 1536, 1024, 1024**2 / 2)
    assert token == pytest.approx(decode + 15 / 1024 * (mixed - decode))


def test_long_prompts_come_in_chunks():
    node = deployed(tp=8, weight_format="fp8", cache_format="fp8")
    step = AchievedStep.on(node, PERFECT)
    first, _, _ = loop(1, prompt=16_384, node=node)
    assert first == pytest.approx(2 * step.iteration_s(0, 0, 8192, 16_384**2 / 4))


def test_who_does_not_fit_waits_as_little_says():
    node = deployed(weight_format="fp8", cache_format="fp8")
    slots = node.slots(1024, 8192)
    first, token, batch = loop(200, output=8192, node=node)
    assert batch == slots < 200
    _, crowded, _ = loop(300, output=8192, node=node)
    assert crowded == token
    own = loop(round(slots), output=8192, node=node)[0]
    assert first - own == pytest.approx((200 / slots - 1) * 8192 * token, rel=0.01)


@pytest.mark.parametrize("users", [4, 16, 64])
@pytest.mark.parametrize(("prompt", "output"), [(1024, 1024), (8192, 1024), (1024, 256)])
def test_the_formula_is_what_a_simulated_loop_measures(users, prompt, output):
    """Ten requests a user, all of them at once at first, answers of unequal lengths."""
    node = deployed(chip=B200, tp=4, weight_format="fp8", cache_format="fp8")
    reached = dataclasses.replace(
        achieved.coefficients("B200-SXM", "trtllm"),
        first_s=0.0, request_s=0.0, late_slot=0.0, late_steps=0.0, burst=1 / 20,
    )  # fmt: skip
    step = AchievedStep.on(node, reached)
    first, token, _ = loop(users, prompt, output, node, reached)
    n = 10 * users
    asked = ClosedLoop(
        users,
        [prompt] * n,
        np.random.default_rng(1).integers(int(0.8 * output), int(1.2 * output), n),
    )
    server = LLMServer(
        step_time=step, batching="chunked", max_batch=users, max_batched_tokens=8192 + users
    )
    run = simulate_fleet(asked, server)
    assert first == pytest.approx(run.ttft_s.mean(), rel=0.15)
    assert token == pytest.approx(run.tpot_s.mean(), rel=0.04)
    # Without the beginning of the run it would be far less where many are in flight.
    late = loop(users, prompt, output, node, dataclasses.replace(reached, burst=0.0))[0]
    assert late < first
    assert users < 64 or late < 0.75 * run.ttft_s.mean()


def test_copies_share_the_load_and_the_experts():
    node = deployed(DEEPSEEK, tp=1, attention_dp=8)
    _, token, batch = loop(64, node=node)
    assert batch == 64
    assert token > AchievedStep.on(node, PERFECT).iteration_s(64, 64 * 1536, 0, 0)


@given(st.integers(1, 400), st.sampled_from(["vllm", "trtllm", "sglang", None]))
def test_more_requests_are_never_faster(concurrency, engine):
    node = deployed(tp=8, weight_format="fp8", cache_format="fp8")
    few = closed_loop(node, 1024, 1024, concurrency, engine=engine)
    more = closed_loop(node, 1024, 1024, concurrency + 1, engine=engine)
    assert more.tpot_s >= few.tpot_s
    assert more.in_batch >= few.in_batch
    for seconds, band in ((few.tpot_s, few.tpot_band_s), (few.ttft_s, few.ttft_band_s)):
        assert 0 < band[0] < band[1]
        assert band[0] < 1.5 * seconds


def test_throughput_is_the_batch_over_the_time_of_a_token():
    found = closed_loop(deployed(tp=8), 1024, 1024, 32, engine="vllm")
    assert found.tokens_per_s == found.in_batch / found.tpot_s
    assert found.fitted
    assert not closed_loop(deployed(chip=H100, tp=8), 1024, 1024, 32, engine="vllm").fitted
