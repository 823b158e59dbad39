"""Replica counts against exact arithmetic and exhaustive search, scaling laws at their edges."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import capacity, queueing


@pytest.mark.parametrize(
    ("lam", "mu", "target", "replicas"),
    [
        (120, 30, "0.75", 6),
        (180, 40, "0.70", 7),
        (36, 12, "0.6", 5),
        (42, 12, "0.7", 5),
        (147, 7, "0.7", 30),
        (36, 12, 0.6, 5),
        ("0.3", "0.1", 1, 3),
        (0, 12, "0.6", 1),
        (Fraction(1, 3), Decimal("0.1"), "1", 4),
    ],
)
def test_replicas_needed_of_known_loads(lam, mu, target, replicas):
    result = capacity.replicas_needed(lam, mu, target)
    assert result == replicas
    assert type(result) is int


@pytest.mark.parametrize("spare", [0, 1, 3, "2", 2.0])
def test_spare_replicas_come_on_top(spare):
    assert capacity.replicas_needed(36, 12, "0.6", spare) == 5 + int(spare)
    assert capacity.replicas_needed(0, 12, "0.6", spare) == 1 + int(spare)


@given(st.integers(1, 500), st.integers(1, 1000), st.integers(1, 100))
def test_replicas_are_exact_at_exact_multiples(count, mu, percent):
    target = Decimal(percent) / 100
    lam = count * mu * target
    assert capacity.replicas_needed(lam, mu, target) == count
    assert capacity.replicas_needed(lam + Decimal("1e-9"), mu, target) == count + 1


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((-1, 12, "0.6"), "lam"),
        ((36, 0, "0.6"), "mu"),
        ((36, 12, 0), "target"),
        ((36, 12, "1.01"), "target"),
        ((36, 12, 60), "target"),
        ((36, 12, "0.6", -1), "spare"),
        ((36, 12, "0.6", "0.5"), "spare"),
        ((36, 12, "0.6", True), "spare"),
    ],
)
def test_replicas_needed_names_the_argument_it_refuses(values, name):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        capacity.replicas_needed(*values)


@pytest.mark.parametrize(
    ("lam", "mu", "wq_max", "replicas"),
    [(10, 3, 0.1, 5), (120, 30, 0.005, 6), (20, 0.5, 0.5, 43), (0, 3, 1e-9, 1), (12, 3, 1e9, 5)],
)
def test_replicas_for_slo_of_known_loads(lam, mu, wq_max, replicas):
    assert capacity.replicas_for_slo(lam, mu, wq_max) == replicas


@given(st.floats(0.01, 60), st.floats(0.1, 10), st.floats(1e-9, 10))
def test_replicas_for_slo_is_the_least_number_that_meets_the_bound(lam, mu, wq_max):
    # One by one from a single replica, the way the search must not depend on.
    c = 1
    while queueing.mmc_wait(lam, mu, c) > wq_max:
        c += 1
    assert capacity.replicas_for_slo(lam, mu, wq_max) == c


def test_a_wait_met_exactly_is_met():
    assert capacity.replicas_for_slo(10, 3, queueing.mmc_wait(10, 3, 5)) == 5


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((-1, 3, 1), "lam"),
        ((10, 0, 1), "mu"),
        ((10, 3, -1), "wq_max"),
        ((10, 3, 0), "wq_max"),
        ((0, 2, 0), "wq_max"),
    ],
)
def test_replicas_for_slo_names_the_argument_it_refuses(values, name):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        capacity.replicas_for_slo(*values)


def test_square_root_staffing_of_a_hundred_servers_of_load():
    c = capacity.square_root_staffing(100, 1)
    assert c == 110
    # Halfin and Whitt's limit, 1 / (1 + beta Phi(beta) / phi(beta)) = 0.22 at beta = 1.
    assert queueing.erlang_c(c, 100) == pytest.approx(0.24, abs=0.005)


def test_the_reserve_grows_as_the_root_of_the_load():
    reserves = [capacity.square_root_staffing(a, 1) - a for a in (1, 100, 10_000)]
    assert reserves == [1, 10, 100]


def test_rounding_buys_no_extra_server():
    assert 0.64 + 2.95 * math.sqrt(0.64) > 3  # the float sum is a little too large
    assert capacity.square_root_staffing(0.64, 2.95) == 3


@given(st.floats(0, 1e4), st.floats(0, 5))
def test_square_root_staffing_is_always_stable(a, beta):
    c = capacity.square_root_staffing(a, beta)
    assert a < c
    assert c >= a + beta * math.sqrt(a) - 1e-6


@pytest.mark.parametrize(("values", "name"), [((-1, 1), "a"), ((1, -1), "beta")])
def test_square_root_staffing_names_the_argument_it_refuses(values, name):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        capacity.square_root_staffing(*values)


def test_scalability_without_interference_is_linear_and_with_contention_amdahl():
    assert capacity.usl_speedup(64, 0, 0) == 64
    assert capacity.usl_speedup(1, 0.5, 0.5) == 1
    assert capacity.usl_speedup(20, 0.05, 0) == pytest.approx(1 / (0.05 + 0.95 / 20), rel=1e-12)


def test_the_peak_of_the_course_example_is_at_44_workers():
    assert capacity.usl_peak(0.03, 0.0005) == pytest.approx(44.05, abs=0.005)
    best = max(range(1, 200), key=lambda n: capacity.usl_speedup(n, 0.03, 0.0005))
    assert best == 44


@given(st.floats(0, 0.9), st.floats(1e-6, 0.5))
def test_nothing_beats_the_peak(sigma, kappa):
    peak = capacity.usl_peak(sigma, kappa)
    top = capacity.usl_speedup(peak, sigma, kappa)
    for factor in (0.5, 0.9, 1.1, 2):
        assert capacity.usl_speedup(max(1, peak * factor), sigma, kappa) <= top * (1 + 1e-12)


def test_the_peak_is_never_below_one_and_without_coherence_cost_nowhere():
    assert capacity.usl_peak(0, 4) == 1
    assert capacity.usl_peak(1, 0.1) == 1
    assert capacity.usl_peak(0.03, 0) == math.inf


@pytest.mark.parametrize(
    ("values", "name"),
    [((0, 0, 0), "n"), ((0.5, 0, 0), "n"), ((2, -1, 0), "sigma"), ((2, 2, 0), "sigma")],
)
def test_usl_speedup_names_the_argument_it_refuses(values, name):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        capacity.usl_speedup(*values)


def test_usl_peak_names_the_argument_it_refuses():
    with pytest.raises(ValueError, match=r"^kappa must be "):
        capacity.usl_peak(0, -1)


def test_a_cold_start_is_the_sum_of_its_parts():
    assert capacity.cold_start_s(141e9, 7e9) == pytest.approx(20, abs=0.5)
    assert capacity.cold_start_s(14e9, 7e9, 15, 40) == 57
    assert capacity.cold_start_s(0, 7e9) == 0


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((-1, 1), "weights_bytes"),
        ((1, 0), "load_Bps"),
        ((1, 1, -1), "detect_s"),
        ((1, 1, 0, -1), "provision_s"),
    ],
)
def test_cold_start_names_the_argument_it_refuses(values, name):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        capacity.cold_start_s(*values)
