"""The node of lab 3: plans, states and pages; runs, states against the goals, the frontier."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import facts, roofline
from servemath_helpers.labs.kv_wall import model as node
from servemath_helpers.labs.kv_wall.model import (
    Configuration,
    Goals,
    MemorySetup,
    Workload,
    goal_states,
    plan,
    run,
)
from servemath_helpers.labs.kv_wall.story import WORDS

MODELS = [
    name
    for _, name in next(
        c for c in WORDS.controls("controls.act1", defaults=vars(MemorySetup())) if c.key == "model"
    ).choices
]
CHAT = Workload(lam_rps=8, prompt_tokens=512, mean_output=256)
PEAK = replace(CHAT, lam_rps=16)
SLO = Goals(ttft_slo_s=0.2, tpot_slo_s=0.05)
setups = st.builds(
    MemorySetup,
    model=st.sampled_from(MODELS),
    n_gpus=st.sampled_from([1, 2, 4, 8]),
    seq_tokens=st.integers(1, 64).map(lambda i: 512 * i),
    bits=st.sampled_from([16, 8, 4]),
    kv_bits=st.sampled_from([16, 8]),
    reserve=st.sampled_from(["0", "0.05", "0.1"]),
    units=st.sampled_from(["GB", "GiB"]),
    page_tokens=st.sampled_from(node.PAGES),
)


@given(setups)
def test_the_users_are_what_the_pool_holds_and_not_one_more(setup):
    found = plan(setup)
    each = found.k * setup.seq_tokens
    free = setup.n_gpus * setup.gpu_bytes * (1 - Fraction(setup.reserve)) - found.weight_bytes
    assert found.fits == (free >= 0)
    if found.fits:
        assert found.users * each <= free < (found.users + 1) * each
    else:
        assert found.users == 0 and found.pool_bytes == 0


@given(setups)
def test_the_pieces_of_a_card_add_up_to_the_card(setup):
    found = plan(setup)
    pieces = (
        found.gpu_weights_bytes
        + found.gpu_kv_bytes
        + found.gpu_free_bytes
        + found.gpu_reserve_bytes
    )
    assert found.gpu_kv_bytes * setup.n_gpus == pytest.approx(found.users * found.user_bytes)
    if found.fits:
        assert pieces == pytest.approx(setup.gpu_bytes, rel=1e-12)
        assert 0 <= found.gpu_free_bytes * setup.n_gpus < found.user_bytes * (1 + 1e-9)
    else:
        assert pieces > setup.gpu_bytes * (1 - 1e-12)


@given(setups)
def test_a_longer_context_never_makes_room_for_more(setup):
    longer = replace(setup, seq_tokens=setup.seq_tokens + 512)
    assert plan(longer).users <= plan(setup).users


@pytest.mark.parametrize(
    ("change", "users"),
    [
        ({}, 371),
        ({"seq_tokens": 8192}, 185),
        ({"model": "Llama-3-70B as MHA"}, 46),
        ({"kv_bits": 8}, 743),
        ({"reserve": "0.1"}, 324),
        ({"units": "GiB"}, 406),
        ({"n_gpus": 4}, 133),
        ({"n_gpus": 2}, 14),
        ({"n_gpus": 1}, 0),
        ({"n_gpus": 1, "bits": 8}, 7),
    ],
)
def test_the_numbers_of_the_chapter_come_out(change, users):
    assert plan(MemorySetup(**change)).users == users


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "viable"),
        ({"n_gpus": 1}, "oom"),
        ({"model": "Llama-3.1-405B"}, "oom"),
        ({"model": "Llama-3.1-405B", "bits": 8}, "viable"),
        ({"n_gpus": 2, "seq_tokens": 32_768}, "few"),
        ({"n_gpus": 2, "seq_tokens": 6144}, "few"),  # nine
        ({"n_gpus": 2, "seq_tokens": 5632}, "viable"),  # ten
        ({"n_gpus": 2, "seq_tokens": 32_768, "model": "Llama-3-70B as MHA"}, "none"),
    ],
)
def test_every_state_of_the_wall_can_be_reached(change, state):
    assert plan(MemorySetup(**change)).state == state


def test_the_least_number_of_cards_is_named():
    assert plan(MemorySetup(model="Llama-3.1-405B")).min_gpus == 11


def test_amounts_are_shown_in_the_unit_that_was_chosen():
    assert plan(MemorySetup()).in_units(10**9) == 1
    assert plan(MemorySetup(units="GiB")).in_units(2**30) == 1


def test_every_model_to_choose_from_is_known():
    for name in MODELS:
        assert node.model_of(name).name == name
    assert node.gpu_of() == facts.get_accelerator(node.GPU)


def test_users_against_context_fall_with_slope_minus_one():
    tokens, users = node.users_by_context(MemorySetup())
    assert tokens[0] == 512 and tokens[-1] == 131_072
    products = [t * u for t, u in zip(tokens, users, strict=True)]
    assert max(products) == pytest.approx(min(products), rel=1e-12)


def test_users_against_context_are_zero_where_the_weights_do_not_fit():
    assert set(node.users_by_context(MemorySetup(n_gpus=1))[1]) == {0.0}


def test_larger_pages_waste_more_and_the_whole_context_most():
    rows = node.page_waste(MemorySetup())
    wastes = [row.waste for row in rows]
    assert wastes == sorted(wastes) and wastes[0] == 0
    assert [row.page_tokens for row in rows] == [1, 16, 64, 256, 4096]
    # A quarter of the context is used on average, a little less because of the cap.
    assert 0.75 < wastes[-1] < 0.77
    users = [row.users for row in rows]
    assert users == sorted(users, reverse=True) and users[-1] == plan(MemorySetup()).users


def test_pages_of_a_pool_without_room_hold_nobody():
    assert {row.users for row in node.page_waste(MemorySetup(n_gpus=1))} == {0}


def test_a_setup_is_read_from_a_mapping_that_holds_more():
    settings = {**{f: getattr(MemorySetup(), f) for f in MemorySetup.__dataclass_fields__}, "x": 1}
    assert MemorySetup.of(settings) == MemorySetup()


def test_the_same_settings_give_the_same_run():
    assert run(CHAT, Configuration()) is run(CHAT, Configuration(alpha=0.1, chunk_tokens=256))
    assert run(CHAT, Configuration(mode="chunked")) is not run(
        CHAT, Configuration(mode="chunked", chunk_tokens=256)
    )


def test_what_a_mode_ignores_does_not_matter():
    speculative = Configuration(mode="speculative", chunk_tokens=1024, alpha=0.5, gamma=2)
    assert speculative.canonical() == replace(speculative, chunk_tokens=512)
    chunked = Configuration(mode="chunked", chunk_tokens=1024, alpha=0.5)
    assert chunked.canonical() == replace(chunked, alpha=0.8)


@pytest.mark.parametrize("mode", ["static", "continuous", "chunked", "speculative"])
def test_every_mode_runs_and_reports_every_number(mode):
    outcome = run(replace(CHAT, n_requests=200), Configuration(mode=mode))
    assert outcome.served and outcome.rejected == 0
    for value in (outcome.mfu, outcome.mbu, outcome.slot_efficiency):
        assert value is not None and 0 < value < 1
    assert 0 < outcome.ttft_p50_s <= outcome.ttft_p99_s
    assert outcome.queue_p99_s < outcome.ttft_p99_s
    assert outcome.tok_s > 0 and outcome.goodput_rps(Goals()) > 0
    assert 0 < outcome.kv_peak_tokens <= outcome.configuration.kv_tokens


def test_a_run_without_room_for_the_weights_reports_nothing():
    outcome = run(CHAT, Configuration(n_gpus=1))
    assert outcome.result is None and not outcome.served and not outcome.kv_full
    assert (outcome.ttft_p50_s, outcome.ttft_p99_s, outcome.tpot_p99_s) == (None, None, None)
    assert (outcome.mfu, outcome.mbu, outcome.slot_efficiency) == (None, None, None)
    assert outcome.tok_s == 0 and outcome.goodput_rps(SLO) == 0
    assert outcome.kv_peak_tokens == 0 and outcome.rejected == 0 and outcome.unstable
    assert goal_states(outcome, SLO) == ("oom",)


def test_a_run_that_can_serve_nobody_is_full():
    tiny = Configuration(n_gpus=2, reserve="0.1")
    huge = Workload(lam_rps=8, prompt_tokens=9000, mean_output=16, n_requests=50)
    outcome = run(huge, tiny)
    assert 0 < tiny.kv_tokens < 9000
    assert outcome.rejected == 50 and not outcome.served
    assert outcome.ttft_p99_s is None and outcome.pile_up == 1
    assert goal_states(outcome, SLO) == ("kv_full", "unstable", "ttft", "tpot", "throughput")


def test_the_queue_piles_up_where_more_is_asked_than_a_small_batch_can_give():
    small, large = (run(PEAK, Configuration(max_batch=batch)) for batch in (8, 64))
    assert small.unstable and not large.unstable
    # What piles up is what capacity does not carry off.
    assert small.pile_up == pytest.approx(1 - small.tok_s / PEAK.offered_tok_s, abs=0.05)
    twice = run(replace(PEAK, n_requests=3000), Configuration(max_batch=8))
    assert twice.ttft_p99_s > 1.8 * small.ttft_p99_s


@pytest.mark.parametrize(
    ("lam_rps", "batch", "unstable"), [(20, 32, True), (20, 64, False), (14, 32, False)]
)
def test_a_queue_that_grows_by_a_few_in_a_hundred_still_counts_as_stable(lam_rps, batch, unstable):
    assert run(replace(CHAT, lam_rps=lam_rps), Configuration(max_batch=batch)).unstable is unstable


@pytest.mark.parametrize("seed", range(4))
def test_stable_and_unstable_do_not_depend_on_the_draw(seed):
    drawn = replace(PEAK, seed=seed)
    states = [run(drawn, Configuration(max_batch=batch)).unstable for batch in (8, 64)]
    assert states == [True, False]


def test_the_cache_is_full_only_if_somebody_waits_for_it():
    assert run(CHAT, Configuration(n_gpus=2)).kv_full
    assert not run(CHAT, Configuration()).kv_full
    # Slots, not cache, are what is short here.
    assert not run(PEAK, Configuration(max_batch=8)).kv_full
    # Two would not fit, but there is one slot only.
    long = Workload(lam_rps=8, prompt_tokens=30_000, mean_output=16, n_requests=50)
    assert not run(long, Configuration(n_gpus=2, max_batch=1)).kv_full
    assert run(long, Configuration(n_gpus=2, max_batch=2)).kv_full


@pytest.mark.parametrize(
    ("workload", "configuration", "goals", "states"),
    [
        (CHAT, Configuration(), SLO, ()),
        (CHAT, Configuration(mode="static"), SLO, ("ttft",)),
        (PEAK, Configuration(max_batch=8), SLO, ("unstable", "ttft", "throughput")),
        (CHAT, Configuration(), replace(SLO, tpot_slo_s=0.001), ("tpot",)),
        (PEAK, Configuration(max_batch=8), Goals(target_tok_s=1000), ()),
        (PEAK, Configuration(max_batch=8), Goals(target_tok_s=2000), ("throughput",)),
        (PEAK, Configuration(max_batch=8), Goals(), ("throughput",)),
        (CHAT, Configuration(n_gpus=2), Goals(target_tok_s=1), ("kv_full",)),
    ],
)
def test_every_goal_can_be_missed_and_met(workload, configuration, goals, states):
    assert goal_states(run(workload, configuration), goals) == states


def test_keeping_up_is_nine_tenths_of_what_is_asked():
    assert Goals().least_tok_s(CHAT) == pytest.approx(0.9 * 8 * 256)
    assert Goals(target_tok_s=5).least_tok_s(CHAT) == 5


def test_goodput_counts_only_who_was_answered_in_time():
    outcome = run(PEAK, Configuration(max_batch=8))
    assert outcome.goodput_rps(SLO) < 0.1 * outcome.goodput_rps(Goals())


def test_the_frontier_is_the_roofline_and_no_run_lies_above_it():
    points = node.frontier(PEAK, Configuration())
    assert [p.batch for p in points] == [1, 2, 4, 8, 16, 32, 64, 128]
    model, gpu = facts.get_model(node.MODEL), facts.get_accelerator("H100-SXM")
    for p in points:
        step = roofline.decode_step_s(
            p.batch,
            512 + 128,
            model.n_params,
            model.weight_bytes(),
            model.kv_bytes_per_token(),
            8,
            gpu.bandwidth_Bps,
            gpu.bf16_dense_flops,
        )
        assert p.tpot_s == step["step_s"]
        assert p.tok_s == pytest.approx(p.batch / step["step_s"])
        assert run(PEAK, Configuration(max_batch=p.batch)).tok_s < p.tok_s


def test_the_frontier_ends_where_the_cache_is_full():
    assert [p.batch for p in node.frontier(CHAT, Configuration(n_gpus=2))][-1] == 64
    assert node.frontier(CHAT, Configuration(n_gpus=1)) == ()
