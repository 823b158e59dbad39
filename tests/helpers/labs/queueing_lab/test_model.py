import math

import numpy as np
import pytest

from servemath_helpers import batching, queueing
from servemath_helpers.labs.queueing_lab import model as models
from servemath_helpers.labs.queueing_lab.model import cliff, flow_of, loss_curve, measure, u_curve
from servemath_helpers.labs.queueing_lab.story import controls

POOL = {"arrivals": "poisson", "policy": "single", "block": 16, "prefix_hit": 0.0}
CLOCK = {"lam_rps": 100.0, "S_ms": 8.0, "arrivals": "clock", "jitter_ms": 0.0}


def batch(**changes):
    settings = {"lam_rps": 200.0, "B": 7, "policy": "fixed", "window_ms": 0.0, **changes}
    return measure("cloud", "part2", settings)


@pytest.mark.parametrize("c", [1, 2, 4, 8])
def test_the_pool_agrees_with_erlang_c(c):
    run = measure("cloud", "part3", {**POOL, "rho": 0.8, "replicas": c})
    S = models.idle_sojourn_ms()
    assert run.mean_ms / S == pytest.approx(queueing.mmc_wait(0.8 * c, 1, c) + 1, rel=0.05)
    exact = queueing.mmc_sojourn_quantile_s("0.99", 0.8 * c, 1, c)
    assert run.p99_ms / S == pytest.approx(exact, rel=0.06)
    assert run.rho == pytest.approx(0.8) and run.busy == pytest.approx(0.8, abs=0.02)


def test_bursts_make_waiting_longer_and_a_clock_shorter():
    means = [
        measure("cloud", "part3", {**POOL, "rho": 0.8, "replicas": 1, "arrivals": kind}).mean_ms
        for kind in ("periodic", "poisson", "bursty")
    ]
    assert means == sorted(means)
    kingman = queueing.kingman_wait(0.8, models.idle_sojourn_ms(), models.CA2["bursty"], 1.0)
    assert means[-1] - models.idle_sojourn_ms() == pytest.approx(kingman, rel=0.1)


def test_a_greedy_pool_carries_more_at_the_same_promise():
    one = measure("cloud", "part3", {**POOL, "rho": 0.8, "replicas": 1})
    greedy = measure("cloud", "part3", {**POOL, "rho": 0.8, "replicas": 1, "policy": "greedy"})
    assert greedy.lam_rps > 10 * one.lam_rps and greedy.p99_ms < one.p99_ms
    assert greedy.busy > greedy.rho


@pytest.mark.parametrize(("B", "simulated_ms"), [(7, 45.9), (32, 129.4)])
def test_fixed_batches_come_out_below_the_approximation(B, simulated_ms):
    run = batch(B=B)
    assert run.mean_ms == pytest.approx(simulated_ms, rel=0.03)
    assert run.mean_ms < batching.batch_latency(B, 0.2, 20, 1)
    assert sum(run.stages_ms.values()) == pytest.approx(run.mean_ms)
    # formation is (B - 1)/(2 lam) on average
    assert run.stages_ms["formation"] == pytest.approx((B - 1) / 0.4, rel=0.03)
    assert run.stages_ms["overhead"] == 20


def test_greedy_has_no_formation_and_a_window_gives_it_back():
    greedy, window = batch(B=32, policy="greedy"), batch(B=32, policy="window", window_ms=50.0)
    assert greedy.stages_ms["formation"] == 0
    assert greedy.mean_ms == pytest.approx(38.6, rel=0.03)
    assert greedy.p99_ms == pytest.approx(55.3, rel=0.03)
    assert window.mean_ms == pytest.approx(59.2, rel=0.03)
    assert window.stages_ms["formation"] > 15
    assert greedy.extra["mean_batch"] < 32


def test_more_than_can_be_served_has_no_finite_latency():
    run = batch(B=5)
    assert not run.stable and run.rho >= 1
    assert (run.mean_ms, run.p50_ms, run.p99_ms, run.worst_ms) == (math.inf,) * 4
    assert run.throughput_rps == pytest.approx(200)
    assert np.isfinite(run.times_ms).all()


def test_the_u_curve_is_the_formula_or_the_simulation():
    fixed = u_curve(200.0, "fixed", 0.0, (5, 7))
    assert fixed[0] == math.inf and fixed[1] == batching.batch_latency(7, 0.2, 20, 1)
    greedy = u_curve(200.0, "greedy", 0.0, (2, 32))
    assert greedy[0] == math.inf and greedy[1] == pytest.approx(38.6, rel=0.05)
    window = u_curve(200.0, "window", 50.0, (32,))
    assert window[0] == pytest.approx(59.2, rel=0.05)


@pytest.mark.parametrize("kind", ["periodic", "poisson", "bursty"])
def test_the_cliff_rises(kind):
    points = cliff(2, kind)
    for column in (1, 2):
        values = [point[column] for point in points]
        assert values == sorted(values)


@pytest.mark.parametrize(
    ("n", "B", "worst"), [(5, 5, 7.4), (6, 6, 8.4), (6, 1, 20.4), (5, 2, 12.2)]
)
def test_cameras_that_fire_together_wait_for_one_another(n, B, worst):
    run = measure("edge", "part2", {"sensors": n, "B": B})
    assert run.worst_ms == pytest.approx(worst)


@pytest.mark.parametrize(("n", "c", "worst", "depth"), [(8, 2, 6.4, 1.5), (9, 2, 7.4, 16 / 9)])
def test_accelerators_share_the_cameras(n, c, worst, depth):
    run = measure("edge", "part2", {"sensors": n, "B": 12, "accelerators": c})
    assert run.worst_ms == pytest.approx(worst) and run.depth == pytest.approx(depth)
    assert run.extra["mean_batch"] == n / c
    alone = measure("edge", "part2", {"sensors": 1, "B": 1, "accelerators": 4})
    assert alone.busy == pytest.approx(3.4 * 30 / 1e3 / 4)


def test_a_burst_longer_than_a_period_is_unstable():
    assert not measure("edge", "part2", {"sensors": 12, "B": 1}).stable
    assert measure("edge", "part2", {"sensors": 12, "B": 12}).stable


def loop(**changes):
    settings = {
        "sensors": 6,
        "trigger": "together",
        "jitter_ms": 0.0,
        "accelerators": 1,
        "batched": False,
        **changes,
    }
    return measure("edge", "part3", settings)


def test_staggered_cameras_never_meet_while_jitter_is_small():
    spacing_ms = 1e3 / models.CAMERA_HZ / 6
    assert loop().worst_ms == pytest.approx(20.4)
    assert loop(trigger="staggered").worst_ms == pytest.approx(3.4)
    assert loop(trigger="staggered", jitter_ms=spacing_ms - 3.4).worst_ms == pytest.approx(3.4)
    assert loop(trigger="staggered", jitter_ms=10.0).worst_ms > 3.5


def test_batches_and_accelerators_shorten_the_worst_case():
    assert loop(batched=True).worst_ms == pytest.approx(8.4)
    assert loop(accelerators=3).worst_ms == pytest.approx(6.8)
    assert loop(accelerators=2, batched=True).worst_ms == pytest.approx(5.4)
    assert loop(sensors=1, accelerators=4, batched=True).worst_ms == pytest.approx(3.4)


def frame(B=1, wait_ms=5.0, pipelined=True):
    settings = {"B": B, "wait_ms": wait_ms, "pipelined": pipelined}
    return measure("mobile", "part2", settings)


def test_pipelining_saves_the_rate_and_not_the_age():
    alone, overlapped = frame(pipelined=False), frame()
    assert (alone.extra["fps"], overlapped.extra["fps"]) == (30.0, 60.0)
    assert alone.worst_ms == overlapped.worst_ms == 20


def test_fewer_pixels_are_computed_sooner():
    s = {"B": 1, "wait_ms": 5.0, "pipelined": True}
    assert measure("mobile", "part2", {**s, "pixels": 50}).worst_ms == pytest.approx(5 + 9 + 3)


def test_a_pair_of_frames_is_a_period_older():
    assert frame(B=2).worst_ms == pytest.approx(1e3 / 60 + 5 + 21)
    assert frame(B=2).extra["fps"] == 60
    assert frame(B=2).slow_stages_ms["formation"] == pytest.approx(1e3 / 60)


def stream(**changes):
    settings = {
        "compute_ms": 15.0,
        "scene": "busy",
        "arrivals": "periodic",
        "cap_ms": 40.0,
        "pipelined": True,
        **changes,
    }
    return measure("mobile", "part3", settings)


def test_frames_wait_less_than_kingman_says():
    run = stream()
    wait = queueing.kingman_wait(run.rho, 15.0, 0.0, run.extra["cs"] ** 2)
    assert wait / 2 < run.mean_ms - 15 < wait  # by the clock it is a bound, and a loose one


def test_an_early_exit_cuts_the_tail():
    assert stream(cap_ms=17.0).p99_ms < stream().p99_ms
    assert stream(cap_ms=17.0).extra["cs"] < stream().extra["cs"]


def test_frames_beyond_the_clock_are_skipped():
    run = stream(compute_ms=18.0)
    assert not run.stable and run.extra["fps"] == 30
    assert stream(compute_ms=15.0, pipelined=False).extra["fps"] == 30
    assert stream(scene="calm").extra["fps"] == 60


def test_a_clock_loses_nothing_and_chance_loses_what_erlang_says():
    assert measure("tiny", "part2", CLOCK).loss == 0
    lost = measure("tiny", "part2", {**CLOCK, "arrivals": "poisson"})
    assert lost.loss == pytest.approx(queueing.erlang_b(1, 0.8), abs=0.01)
    assert lost.stable and lost.worst_ms == pytest.approx(8)
    assert lost.throughput_rps == pytest.approx(100 * (1 - lost.loss))


@pytest.mark.parametrize("slots", [1, 2])
def test_places_to_wait_turn_loss_into_lag(slots):
    runs = [
        measure("tiny", "part3", {**CLOCK, "arrivals": "poisson", "buffer": n, "slots": slots})
        for n in range(3)
    ]
    assert runs[0].loss == pytest.approx(queueing.erlang_b(slots, 0.8), abs=0.01)
    losses, lags = [run.loss for run in runs], [run.worst_ms for run in runs]
    assert losses == sorted(losses, reverse=True) and lags == sorted(lags)


def test_jitter_costs_frames_only_beyond_the_slack():
    losses = [measure("tiny", "part2", {**CLOCK, "jitter_ms": ms}).loss for ms in (2.0, 4.0)]
    assert losses[0] == 0 and losses[1] > 0.01
    assert loss_curve(CLOCK, (0.5, 1.2)) == (0.0, pytest.approx(0.5, abs=0.01))


def test_half_the_time_costs_four_times_the_energy():
    assert models.energy_uj(4) == 4 * models.energy_uj(8)


def test_littles_law_holds_on_every_run_that_the_gauge_shows():
    for lam, W in ((0.5, 0.1), (40, 2), (400, 8)):
        run = flow_of(lam, W)
        seen, law = run.L, run.lam_rps * run.W_s
        assert seen == pytest.approx(law, rel=1e-9)
        assert seen == pytest.approx(lam * W, rel=0.12)
        assert run.in_flight.min() >= 0 and run.time_s.size == 240


@pytest.mark.parametrize("key", [(t, p) for t in ("cloud", "edge", "mobile", "tiny")
                                 for p in ("part2", "part3")], ids=" ".join)  # fmt: skip
def test_measured_numbers_belong_together(key):
    run = measure(*key, {control.key: control.default for control in controls(*key)})
    assert run.p50_ms <= run.p99_ms <= run.worst_ms
    assert sum(run.slow_stages_ms.values()) >= sum(run.stages_ms.values()) - 1e-9
    assert 0 <= run.busy <= 1 and run.stable and run.loss == 0
    assert run is measure(*key, {c.key: c.default for c in reversed(controls(*key))})
