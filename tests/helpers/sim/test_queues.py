"""Queues against closed forms, against a loop over events, and against their own laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import batching, queueing
from servemath_helpers.sim import (
    arrivals,
    services,
    simulate_batch,
    simulate_gg1,
    simulate_ggc,
    simulate_loss,
)

N = 400_000
SEEDS = st.integers(0, 2**32)


def rng(seed=1):
    return np.random.default_rng(seed)


def slow_waits(arrivals_s, services_s, c):
    """Take servers one customer at a time, scanning all of them."""
    free = [0.0] * c
    waits = []
    for arrival, service in zip(arrivals_s, services_s, strict=True):
        server = free.index(min(free))
        start = max(arrival, free[server])
        waits.append(start - arrival)
        free[server] = start + service
    return waits


def slow_loss(arrivals_s, services_s, c, buffer):
    """Count who is inside at every arrival; return waits of those who get in."""
    inside = []  # (start, end) of those who got in
    waits = {}
    for i, (arrival, service) in enumerate(zip(arrivals_s, services_s, strict=True)):
        present = [(start, end) for start, end in inside if end > arrival + 1e-9]
        if len(present) < c + buffer:
            ends = sorted(end for _, end in present)
            start = arrival if len(ends) < c else max(arrival, ends[len(ends) - c])
            inside.append((start, start + service))
            waits[i] = start - arrival
    return waits


def slow_batches(arrivals_s, B, alpha_s, beta_s, policy, window_s):
    """Walk through a fine list of instants at which a batch might begin."""
    waiting = list(enumerate(arrivals_s))
    departures = [0.0] * len(waiting)
    sizes = []
    free = 0.0
    while waiting:
        oldest = waiting[0][1]
        full_at = waiting[B - 1][1] if len(waiting) >= B else math.inf
        if policy == "fixed":
            ready = full_at if full_at < math.inf else waiting[-1][1]
        elif policy == "greedy":
            ready = oldest
        else:
            ready = min(full_at, oldest + window_s)
        start = max(free, ready)
        batch = [item for item in waiting if item[1] <= start][:B]
        free = start + alpha_s + beta_s * len(batch)
        for i, _ in batch:
            departures[i] = free
        waiting = waiting[len(batch) :]
        sizes.append(len(batch))
    return departures, sizes


def random_queue(seed, c=1):
    r = rng(seed)
    n = int(r.integers(0, 120))
    arrivals_s = np.cumsum(r.exponential(1.0, n) * (r.random(n) < 0.8))
    return arrivals_s, r.exponential(c * float(r.uniform(0.1, 1.5)), n)


# --- against closed forms -----------------------------------------------------------


@pytest.mark.parametrize("rho", [0.3, 0.8])
def test_mm1_has_the_mean_wait_and_the_exact_quantiles(rho):
    run = simulate_gg1(
        arrivals.poisson(N, rho * 100, rng()), services.exponential(N, 0.01, rng(2))
    ).without_warmup(0.01)
    theory = queueing.mm1(rho * 100, 100)
    assert run.wait_s.mean() == pytest.approx(theory["Wq"], rel=0.05)
    assert run.sojourn_s.mean() == pytest.approx(theory["W"], rel=0.05)
    assert run.percentile("0.99") == pytest.approx(theory["p99"], rel=0.08)
    assert run.busy_fraction() == pytest.approx(rho, rel=0.02)
    assert run.in_queue.mean(run.window_start_s, run.window_end_s) == pytest.approx(
        theory["Lq"], rel=0.06
    )


@pytest.mark.no_cover
@pytest.mark.parametrize("c", [2, 4, 8, 32])
def test_mmc_has_the_mean_wait_and_the_exact_sojourn_quantile(c):
    lam, n = 0.8 * c * 100, 4 * N  # waits in a large pool are rare, and come in spells
    run = simulate_ggc(
        arrivals.poisson(n, lam, rng(3)), services.exponential(n, 0.01, rng(4)), c
    ).without_warmup(0.01)
    assert run.wait_s.mean() == pytest.approx(queueing.mmc_wait(lam, 100, c), rel=0.05)
    for q in ("0.5", "0.99"):
        exact = queueing.mmc_sojourn_quantile_s(q, lam, 100, c)
        assert run.percentile(q) == pytest.approx(exact, rel=0.08)
    waited = (run.wait_s > 0).mean()
    assert waited == pytest.approx(queueing.erlang_c(c, 0.8 * c), rel=0.05)


@pytest.mark.parametrize(
    ("services_s", "cs2"),
    [
        (services.deterministic(N, 0.01), 0),
        (services.lognormal(N, 0.01, 1, rng(5)), 1),
        (services.hyperexponential(N, 0.01, 4, rng(5)), 4),
    ],
)
def test_mg1_has_the_wait_of_pollaczek_and_khinchine(services_s, cs2):
    run = simulate_gg1(arrivals.poisson(N, 80, rng(6)), services_s)
    assert run.wait_s.mean() == pytest.approx(queueing.pk_wait(80, 0.01, cs2), rel=0.05)


def test_bursty_arrivals_wait_about_as_kingman_says():
    run = simulate_gg1(arrivals.bursty(N, 80, 4, rng(7)), services.exponential(N, 0.01, rng(8)))
    assert run.wait_s.mean() == pytest.approx(0.095, rel=0.06)
    assert queueing.kingman_wait(0.8, 0.01, 4, 1) == pytest.approx(0.1)


def test_a_heavy_tail_makes_the_ninety_ninth_percentile_ten_times_the_mean():
    services_s = services.mixture(N, [0.99, 0.01], [0.005, 0.505], rng(9))
    run = simulate_gg1(arrivals.poisson(N, 30, rng(10)), services_s)
    assert run.percentile("0.99") / run.sojourn_s.mean() == pytest.approx(10.68, rel=0.08)


@pytest.mark.no_cover
@pytest.mark.parametrize(("c", "a"), [(1, 0.8), (2, 0.8), (8, 6.0), (200, 180.0)])
@pytest.mark.parametrize("kind", ["exponential", "deterministic"])
def test_loss_is_erlang_b_whatever_the_service(c, a, kind):
    n = 200_000
    services_s = services.exponential(n, 1, rng(11)) if kind == "exponential" else np.full(n, 1.0)
    run = simulate_loss(arrivals.poisson(n, a, rng(12)), services_s, c)
    exact = queueing.erlang_b(c, a)
    assert run.loss_fraction() == pytest.approx(exact, rel=0.05, abs=0.0015)
    assert run.busy_fraction() == pytest.approx(a / c * (1 - exact), rel=0.02)
    assert run.n_lost == run.n_offered - run.n


def test_a_buffer_of_k_makes_mm1k():
    n, rho, k = 300_000, 0.8, 3  # three in the system: one served, two waiting
    run = simulate_loss(
        arrivals.poisson(n, rho, rng(13)), services.exponential(n, 1, rng(14)), buffer=k - 1
    )
    exact = (1 - rho) * rho**k / (1 - rho ** (k + 1))
    assert run.loss_fraction() == pytest.approx(exact, rel=0.03)


def test_periodic_frames_never_collide_and_poisson_frames_do():
    frames = arrivals.periodic(5000, 0.01)
    assert simulate_loss(frames, services.deterministic(5000, 0.008)).n_lost == 0
    # Exactly one period of work: only rounding could lose a frame.
    assert simulate_loss(frames, services.deterministic(5000, 0.01)).n_lost == 0


def test_deterministic_queues_behave_like_clocks():
    clock = arrivals.periodic(1000, 0.5)
    np.testing.assert_array_equal(simulate_gg1(clock, np.full(1000, 0.5)).wait_s, 0)
    # A tenth too slow: the k-th customer waits k tenths of a service time.
    run = simulate_gg1(clock, np.full(1000, 0.55))
    np.testing.assert_allclose(run.wait_s, np.arange(1000) * 0.05, atol=1e-9)
    # Six cameras at the same instant on one sequential worker.
    run = simulate_gg1(np.zeros(6), np.full(6, 0.0035))
    np.testing.assert_allclose(run.sojourn_s, np.arange(1, 7) * 0.0035, atol=1e-12)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("policy", "B", "window_s", "mean_ms"),
    [
        ("fixed", 6, None, 106),
        ("fixed", 7, None, 90.9),
        ("fixed", 8, None, 91.8),
        ("fixed", 16, None, 133),
        ("fixed", 32, None, 221),
        ("greedy", 32, None, 79.4),
        ("window", 32, 0.05, 82.9),
        ("window", 32, 0.1, 110.6),
        ("window", 32, 0.2, 165),
    ],
)
def test_batch_servers_have_the_latencies_of_the_course(policy, B, window_s, mean_ms):
    run = simulate_batch(arrivals.poisson(N, 100, rng(15)), B, 0.05, 0.0005, policy, window_s)
    assert run.sojourn_s.mean() * 1e3 == pytest.approx(mean_ms, rel=0.02)
    if policy == "fixed":
        formula = batching.batch_latency(B, 0.1, 50, 0.5)
        assert run.sojourn_s.mean() * 1e3 == pytest.approx(formula, rel=0.06)


def test_a_greedy_server_is_always_busy_and_far_from_its_capacity():
    run = simulate_batch(arrivals.poisson(N, 100, rng(16)), 32, 0.05, 0.0005, "greedy")
    assert run.busy_fraction() > 0.995
    assert run.utilisation() == pytest.approx(0.206, rel=0.01)
    assert run.percentile("0.99") == pytest.approx(0.106, rel=0.02)
    assert run.mean_batch() == pytest.approx(N / run.batch_size.size)


# --- against slow loops -------------------------------------------------------------


@pytest.mark.parametrize("c", [1, 2, 3, 7])
@given(seed=SEEDS)
def test_waits_are_those_of_a_loop_over_customers(c, seed):
    arrivals_s, services_s = random_queue(seed, c)
    run = simulate_ggc(arrivals_s, services_s, c)
    np.testing.assert_allclose(run.wait_s, slow_waits(arrivals_s, services_s, c), atol=1e-9)
    if c == 1:
        np.testing.assert_array_equal(simulate_gg1(arrivals_s, services_s).wait_s, run.wait_s)


def test_long_runs_agree_across_the_edges_of_blocks():
    n = 100_000
    arrivals_s = arrivals.bursty(n, 100, 4, rng(17))
    services_s = services.exponential(n, 0.0098, rng(18))
    waits = simulate_gg1(arrivals_s, services_s).wait_s
    np.testing.assert_allclose(waits, slow_waits(arrivals_s, services_s, 1), atol=1e-9)


@pytest.mark.parametrize("c", [1, 2, 5])
@pytest.mark.parametrize("buffer", [0, 1, 3])
@given(seed=SEEDS)
def test_losses_are_those_of_a_loop_over_customers(c, buffer, seed):
    arrivals_s, services_s = random_queue(seed, c)
    run = simulate_loss(arrivals_s, services_s, c, buffer=buffer)
    waits = slow_loss(arrivals_s, services_s, c, buffer)
    assert np.flatnonzero(run.accepted).tolist() == list(waits)
    np.testing.assert_allclose(run.wait_s, list(waits.values()), atol=1e-9)


def test_a_large_buffer_loses_nobody_and_waits_like_a_queue():
    arrivals_s, services_s = random_queue(5, 2)
    run = simulate_loss(arrivals_s, services_s, 2, buffer=10**6)
    np.testing.assert_allclose(
        run.wait_s, simulate_ggc(arrivals_s, services_s, 2).wait_s, atol=1e-12
    )


@pytest.mark.parametrize("policy", ["fixed", "greedy", "window"])
@given(seed=SEEDS)
def test_batches_are_those_of_a_loop_over_batches(policy, seed):
    arrivals_s, _ = random_queue(seed)
    r = rng(seed)
    B, alpha_s, beta_s = int(r.integers(1, 9)), float(r.uniform(0, 3)), float(r.uniform(0, 1))
    window_s = float(r.uniform(0, 4)) if policy == "window" else None
    run = simulate_batch(arrivals_s, B, alpha_s, beta_s, policy, window_s)
    departures, sizes = slow_batches(arrivals_s, B, alpha_s, beta_s, policy, window_s)
    assert run.batch_size.tolist() == sizes
    np.testing.assert_allclose(run.departure_s, departures, atol=1e-9)


# --- laws ---------------------------------------------------------------------------


@given(seed=SEEDS, c=st.integers(1, 5))
def test_littles_law_holds_in_every_result(seed, c):
    arrivals_s, services_s = random_queue(seed, c)
    for run in (
        simulate_ggc(arrivals_s, services_s, c),
        simulate_loss(arrivals_s, services_s, c, buffer=1),
        simulate_batch(arrivals_s, c, 0.3, 0.1, "greedy"),
        simulate_ggc(arrivals_s, services_s, c).without_warmup(0.3),
    ):
        check = run.little()
        assert check.gap < 1e-9
        assert check.lam_rps * check.W_s == pytest.approx(check.L, rel=1e-9)


@given(seed=SEEDS)
def test_more_servers_never_make_anybody_wait_longer(seed):
    arrivals_s, services_s = random_queue(seed, 3)
    waits = [simulate_ggc(arrivals_s, services_s, c).wait_s for c in (1, 2, 3, 200)]
    for more, fewer in zip(waits[1:], waits, strict=False):
        assert (more <= fewer + 1e-9).all()
    assert not waits[-1].any()


@given(seed=SEEDS, c=st.integers(1, 5))
def test_service_starts_in_the_order_of_arrival(seed, c):
    run = simulate_ggc(*random_queue(seed, c), c)
    assert (np.diff(run.start_s) >= -1e-9).all()
    assert (run.wait_s >= 0).all()


@given(seed=SEEDS)
def test_one_server_conserves_work(seed):
    # Idle time plus work is the whole time until the last departure.
    arrivals_s, services_s = random_queue(seed)
    if arrivals_s.size:
        run = simulate_gg1(arrivals_s, services_s)
        before = np.concatenate(([0.0], run.departure_s[:-1]))
        idle = np.maximum(run.start_s - before, 0).sum()
        assert idle + services_s.sum() == pytest.approx(run.window_end_s, abs=1e-9)


@given(seed=SEEDS, factor=st.floats(1e-3, 1e3))
def test_a_change_of_unit_changes_nothing_else(seed, factor):
    arrivals_s, services_s = random_queue(seed)
    scaled = simulate_gg1(arrivals_s * factor, services_s * factor).wait_s
    waits = simulate_gg1(arrivals_s, services_s).wait_s * factor
    np.testing.assert_allclose(scaled, waits, rtol=1e-9, atol=1e-9 * factor)


# --- input --------------------------------------------------------------------------


def test_no_arrivals_give_an_empty_result():
    runs = [
        simulate_gg1([], []),
        simulate_ggc([], [], 3),
        simulate_loss([], []),
        simulate_batch([], 4, 1, 1),
    ]
    for run in runs:
        assert run.n == 0
        assert run.throughput_rps() == 0.0
        assert run.busy_fraction() == 0.0
        assert run.utilisation() == 0.0
        assert run.little().L == 0.0
        assert run.in_system.max() == 0
        assert run.window_end_s == 0.0
        assert run.without_warmup(0.5) is run
    assert runs[2].loss_fraction() == 0.0
    assert runs[3].mean_batch() == 0.0


def test_generators_and_integers_are_accepted():
    run = simulate_gg1((t for t in (0, 1, 2, 10)), iter([3, 3, 3, 1]))
    assert run.wait_s.tolist() == [0.0, 2.0, 4.0, 0.0]


def test_results_do_not_share_memory_with_their_input_and_cannot_be_written():
    arrivals_s = np.array([0.0, 1.0])
    run = simulate_gg1(arrivals_s, [1.0, 1.0])
    arrivals_s[0] = 99
    assert run.arrival_s[0] == 0.0
    for array in (run.arrival_s, run.wait_s, run.service_s, run.sojourn_s, run.departure_s):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: simulate_gg1([1, 0], [1, 1]), "arrivals_s must be sorted: arrivals_s[1] = 0.0"),
        (lambda: simulate_gg1([-1, 0], [1, 1]), "arrivals_s[0] must be a finite number of at l"),
        (lambda: simulate_gg1([0, float("nan")], [1, 1]), "arrivals_s[1] must be a finite"),
        (lambda: simulate_gg1([0, math.inf], [1, 1]), "arrivals_s[1] must be a finite"),
        (lambda: simulate_gg1([0, 1], [1, -1]), "services_s[1] must be a finite number of at"),
        (lambda: simulate_gg1([0, 1], [1]), "arrivals_s has 2, services_s has 1"),
        (lambda: simulate_gg1("ab", [1]), "arrivals_s must be a one-dimensional"),
        (lambda: simulate_gg1([[0, 1]], [1]), "arrivals_s must be a one-dimensional"),
        (lambda: simulate_gg1([True, True], [1, 1]), "arrivals_s must be a one-dimensional"),
        (lambda: simulate_ggc([0], [1], 0), "c must be a whole number of at least 1"),
        (lambda: simulate_ggc([0], [1], 1.5), "c must be a whole number"),
        (lambda: simulate_loss([0], [1], 0), "c must be"),
        (lambda: simulate_loss([0], [1], buffer=-1), "buffer must be"),
        (lambda: simulate_batch([0], 0, 1, 1), "B must be"),
        (lambda: simulate_batch([0], 1, -1, 1), "alpha_s must be"),
        (lambda: simulate_batch([0], 1, 1, float("nan")), "beta_s must be"),
        (lambda: simulate_batch([0], 1, 1, 1, "eager"), "policy must be 'fixed', 'greedy'"),
        (lambda: simulate_batch([0], 1, 1, 1, "window"), "window_s must be"),
        (lambda: simulate_batch([0], 1, 1, 1, "window", -1), "window_s must be"),
        (lambda: simulate_batch([0], 1, 1, 1, "greedy", 0.1), "window_s must be None unless"),
        (lambda: simulate_batch([2, 1], 1, 1, 1), "arrivals_s must be sorted"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)
