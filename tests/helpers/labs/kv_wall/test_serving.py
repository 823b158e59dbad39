"""The server of lab 3: runs, states against the goals, the frontier."""

from dataclasses import replace

import pytest

from servemath_helpers import facts, roofline
from servemath_helpers.labs.kv_wall import serving
from servemath_helpers.labs.kv_wall.serving import Configuration, Goals, Workload, goal_states, run

CHAT = Workload(lam_rps=8, prompt_tokens=512, mean_output=256)
PEAK = replace(CHAT, lam_rps=16)
SLO = Goals(ttft_slo_s=0.2, tpot_slo_s=0.05)


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


@pytest.mark.parametrize("mode", [mode for _, mode in serving.MODES])
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
    assert tiny.weights_fit and tiny.kv_tokens < 9000
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
    points = serving.frontier(PEAK, Configuration())
    assert [p.batch for p in points] == [1, 2, 4, 8, 16, 32, 64, 128]
    model, gpu = facts.get_model(serving.MODEL), facts.get_accelerator("H100-SXM")
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
    assert [p.batch for p in serving.frontier(CHAT, Configuration(n_gpus=2))][-1] == 64
    assert serving.frontier(CHAT, Configuration(n_gpus=1)) == ()
