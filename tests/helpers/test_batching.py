"""Batching formulas against brute force, exact arithmetic at the boundary, and a simulation."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import batching


def test_a_batch_costs_its_fixed_part_once():
    assert batching.batch_service_time(1, 20, 1) == 21
    assert batching.batch_service_time(32, 20, 1) == 52
    assert batching.batch_service_time(8, 0, 0) == 0


def test_a_batch_of_one_never_waits_to_form():
    assert batching.formation_wait(1, 0.1) == 0
    assert batching.formation_wait(1, 0) == 0
    assert batching.formation_wait(2, 0) == math.inf
    assert batching.formation_wait(32, 0.1) == 155


def test_formation_wait_is_the_mean_over_the_members_of_a_batch():
    arrivals = np.arange(8) / 0.25
    assert batching.formation_wait(8, 0.25) == np.mean(arrivals[-1] - arrivals)


def test_batch_metrics_of_thirty_two():
    metrics = batching.batch_metrics(32, 0.1, 20, 1)
    assert list(metrics) == ["S", "throughput", "rho", "stable", "formation"]
    assert metrics["S"] == 52
    assert metrics["throughput"] * 1000 == pytest.approx(615, abs=0.5)  # per second
    assert metrics["rho"] == pytest.approx(0.1625)
    assert metrics["stable"] is True
    assert metrics["formation"] == 155


def test_throughput_nears_its_ceiling_and_passes_half_of_it_at_alpha_over_beta():
    assert batching.batch_metrics(20, 0, 20, 1)["throughput"] == 0.5
    assert batching.batch_metrics(10**6, 0, 20, 1)["throughput"] == pytest.approx(1, rel=1e-4)


def test_a_load_of_exactly_one_is_not_stable():
    metrics = batching.batch_metrics(5, 0.2, 20, 1)
    assert metrics["rho"] == 1
    assert metrics["stable"] is False


@given(st.integers(1, 200), st.integers(1, 400), st.integers(0, 300), st.integers(1, 3))
def test_stability_is_decided_on_the_decimals_not_on_their_rounding(B, tenths, beta, places):
    # lam = B / (alpha + beta B): a load of exactly 1 wherever lam is a short decimal.
    alpha = Fraction(tenths, 10)
    lam = Fraction(B) / (alpha + Fraction(beta, 10) * B)
    if Fraction(str(float(lam))) != lam:
        lam = Fraction(round(lam * 10**places), 10**places)
    true = lam * (alpha + Fraction(beta, 10) * B) < B
    metrics = batching.batch_metrics(B, float(lam), float(alpha), beta / 10)
    assert metrics["stable"] is bool(true)
    assert (metrics["rho"] < 1) is bool(true)
    smallest = batching.min_stable_batch(lam, alpha, Fraction(beta, 10))
    assert true == (smallest is not None and smallest <= B)


def test_a_boundary_that_rounding_would_move_is_kept():
    # 0.1 * (0.3 * 10) / ... : find decimals whose float load is on the wrong side of 1.
    wrong = 0
    for B in range(1, 40):
        for alpha in range(1, 100):
            lam = Fraction(B) / (Fraction(alpha, 10) + Fraction(B, 10))
            if Decimal(str(float(lam))) == Decimal(lam.numerator) / Decimal(lam.denominator):
                rho = float(lam) * (alpha / 10 + 0.1 * B) / B
                wrong += rho < 1
                assert batching.batch_metrics(B, float(lam), alpha / 10, 0.1)["stable"] is False
    assert wrong > 0


def test_metrics_accept_numpy_numbers_and_idle_traffic():
    assert batching.batch_metrics(np.int64(4), np.float64(0), 20, 1) == {
        "S": 24.0,
        "throughput": 4 / 24,
        "rho": 0.0,
        "stable": True,
        "formation": math.inf,
    }


@pytest.mark.parametrize(
    ("lam", "alpha", "beta", "smallest"),
    [
        ("0.1", 50, "0.5", 6),
        (0.1, 50, 0.5, 6),
        (".2", "20", "1", 6),
        ("1", "20", "1", None),
        ("2", "20", "1", None),
        (0, 50, 1, 1),
        ("0.5", 0, 1, 1),
        ("0.3", "0", "0", 1),
    ],
)
def test_min_stable_batch_of_known_loads(lam, alpha, beta, smallest):
    assert batching.min_stable_batch(lam, alpha, beta) == smallest


@given(st.integers(0, 40), st.integers(0, 100), st.integers(0, 40))
def test_min_stable_batch_is_the_first_that_keeps_up(lam, alpha, beta):
    lam, alpha, beta = Fraction(lam, 20), Fraction(alpha, 10), Fraction(beta, 20)
    stable = [B for B in range(1, 500) if lam * (alpha + beta * B) < B]
    found = batching.min_stable_batch(lam, alpha, beta)
    if stable:
        assert found == stable[0]
    else:
        assert found is None or found >= 500


@pytest.mark.parametrize(
    ("B", "latency"),
    [(5, math.inf), (6, 111.4), (7, 95.89), (8, 96.0), (16, 134), (32, 221.27)],
)
def test_latency_over_batch_size_is_u_shaped(B, latency):
    assert batching.batch_latency(B, 0.1, 50, 0.5) == pytest.approx(latency, abs=0.06)


def test_batches_of_one_are_an_md1_queue():
    # Poisson arrivals, constant service: S + rho S / (2 (1 - rho)).
    assert batching.batch_latency(1, 0.01, 50, 0.5) == pytest.approx(
        50.5 + 0.505 * 50.5 / (2 * 0.495), rel=1e-12
    )


@pytest.mark.parametrize(("B", "tolerance"), [(8, 0.08), (16, 0.05), (32, 0.05)])
def test_latency_is_near_that_of_a_simulated_fixed_batch_queue(B, tolerance):
    rng = np.random.default_rng(7)
    n = 30_000 * B
    arrivals = np.cumsum(rng.exponential(10, n)).reshape(-1, B)
    closed, service = arrivals[:, -1], 50 + 0.5 * B
    drift = np.concatenate([[0.0], np.cumsum(service - np.diff(closed))])
    waits = drift - np.minimum.accumulate(drift)
    simulated = np.mean(closed[:, None] - arrivals) + waits.mean() + service
    assert batching.batch_latency(B, 0.1, 50, 0.5) == pytest.approx(simulated, rel=tolerance)


def test_a_batch_without_cost_only_waits_to_form():
    assert batching.batch_latency(5, 0.1, 0, 0) == 20


def test_the_best_fixed_batch_depends_on_the_load():
    assert batching.best_fixed_batch(0.1, 50, 0.5) == 7
    assert batching.best_fixed_batch(0.01, 50, 0.5) == 1
    assert batching.best_fixed_batch(0.2, 20, 1) == 7
    assert batching.best_fixed_batch(0.1, 50, 0.5, b_max=6) == 6


def test_without_a_stable_size_there_is_no_best_batch():
    assert batching.best_fixed_batch(0.1, 50, 0.5, b_max=5) is None
    assert batching.best_fixed_batch(1, 20, 1) is None


@given(st.floats(0.001, 0.5), st.floats(0, 100), st.floats(0, 3))
def test_no_batch_size_beats_the_best(lam, alpha, beta):
    best = batching.best_fixed_batch(lam, alpha, beta, b_max=40)
    latencies = {B: batching.batch_latency(B, lam, alpha, beta) for B in range(1, 41)}
    if best is None:
        assert all(math.isinf(latency) for latency in latencies.values())
    else:
        assert latencies[best] == min(latencies.values())
        assert all(latencies[B] > latencies[best] for B in range(1, best))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: batching.batch_service_time(0, 1, 1), "B"),
        (lambda: batching.batch_service_time(1.5, 1, 1), "B"),
        (lambda: batching.batch_service_time(1, -1, 1), "alpha"),
        (lambda: batching.batch_service_time(1, 1, -1), "beta"),
        (lambda: batching.formation_wait(0, 1), "B"),
        (lambda: batching.formation_wait(1, -1), "lam"),
        (lambda: batching.batch_metrics(1, -1, 1, 1), "lam"),
        (lambda: batching.batch_metrics(1, 1, 0, 0), "alpha and beta"),
        (lambda: batching.min_stable_batch(-1, 1, 1), "lam"),
        (lambda: batching.min_stable_batch(1, -1, 1), "alpha"),
        (lambda: batching.min_stable_batch(1, 1, "-1"), "beta"),
        (lambda: batching.batch_latency(1, 0, 1, 1), "lam"),
        (lambda: batching.batch_latency(0, 1, 1, 1), "B"),
        (lambda: batching.best_fixed_batch(1, 1, 1, 0), "b_max"),
        (lambda: batching.best_fixed_batch(0, 1, 1), "lam"),
        (lambda: batching.choose_batch([1], [1, 2], 1), "throughput and latency_ms"),
        (lambda: batching.choose_batch([-1], [1], 1), r"throughput\[0\]"),
        (lambda: batching.choose_batch([1], [math.nan], 1), r"latency_ms\[0\]"),
        (lambda: batching.choose_batch([1], [1], -1), "limit_ms"),
    ],
)
def test_the_argument_refused_is_named(call, name):
    with pytest.raises(ValueError, match=f"^{name} must "):
        call()


def test_the_fastest_option_within_the_limit_is_chosen():
    assert batching.choose_batch([100, 180, 240], [20, 35, 90], 50) == 1
    assert batching.choose_batch([100, 180, 240], [20, 35, 90], 90) == 2
    assert batching.choose_batch([100, 180, 240], [20, 35, 90], 19.9) is None
    assert batching.choose_batch([], [], 50) is None


def test_the_index_is_that_of_the_given_sequences():
    assert batching.choose_batch(np.array([500, 90, 100]), np.array([99, 40, 45]), 50) == 2


def test_ties_go_to_lower_latency_then_lower_index():
    assert batching.choose_batch([100, 100, 100], [30, 20, 20], 50) == 1


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=8), st.integers(0, 4))
def test_the_chosen_option_is_first_in_the_stated_order(options, limit):
    index = batching.choose_batch([t for t, _ in options], [ms for _, ms in options], limit)
    eligible = [i for i, (_, ms) in enumerate(options) if ms <= limit]
    if not eligible:
        assert index is None
    else:
        assert index == sorted(eligible, key=lambda i: (-options[i][0], options[i][1], i))[0]
