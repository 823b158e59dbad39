"""Queueing formulas against independent computations: birth-death chains, decimals, simulation."""

from __future__ import annotations

import itertools
import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from servemath_helpers import queueing

RATES = st.floats(0.01, 1000)
SHARES = st.floats(0.001, 0.999)
SERVERS = st.integers(1, 60)


def stationary(a, c, capacity):
    """Return the exact distribution of the number in an M/M/c queue cut off at `capacity`."""
    weights = [Fraction(1)]
    for n in range(1, capacity + 1):
        weights.append(weights[-1] * a / min(n, c))
    total = sum(weights)
    return [weight / total for weight in weights]


def decimal_tail(x, a, c, waiting):
    """Evaluate the textbook sojourn tail with 80 digits; any a != c - 1."""
    with localcontext() as context:
        context.prec = 80
        x, a, waiting = Decimal(x), Decimal(a), Decimal(waiting)
        fast, slow = (-x).exp(), (-(c - a) * x).exp()
        return float(fast + waiting * (fast - slow) / (c - 1 - a))


# --- Little's law -----------------------------------------------------------------


def test_littles_law_returns_the_missing_quantity():
    assert queueing.littles_law(12, 2) == 24
    assert queueing.littles_law(L=30, W=1.5) == 20
    assert queueing.littles_law(lam=20, L=30) == 1.5
    assert queueing.littles_law(lam=0, W=3) == 0
    assert queueing.littles_law(lam=5, L=0) == 0


def test_littles_law_returns_a_plain_float():
    assert type(queueing.littles_law(np.int64(12), np.float64(2))) is float


@given(RATES, RATES, st.floats(0.1, 1000))
def test_littles_law_does_not_depend_on_the_unit_of_time(lam, wait, scale):
    assert math.isclose(
        queueing.littles_law(lam, wait), queueing.littles_law(lam / scale, wait * scale)
    )
    assert math.isclose(queueing.littles_law(L=queueing.littles_law(lam, wait), lam=lam), wait)


@pytest.mark.parametrize(
    "given_values", [{}, {"lam": 1}, {"L": 1}, {"lam": 1, "W": 1, "L": 1}], ids=repr
)
def test_littles_law_needs_exactly_one_none(given_values):
    with pytest.raises(ValueError, match="exactly one of lam, W and L must be None"):
        queueing.littles_law(**given_values)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"lam": -1, "W": 1}, "lam"),
        ({"lam": 1, "W": -1}, "W"),
        ({"L": -1, "W": 1}, "L"),
        ({"L": 1, "W": 0}, "W"),
        ({"L": 1, "lam": 0}, "lam"),
        ({"L": 0, "lam": 0}, "lam"),
        ({"lam": math.inf, "W": 1}, "lam"),
        ({"lam": "12", "W": 1}, "lam"),
    ],
)
def test_littles_law_names_the_argument_it_refuses(values, name):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        queueing.littles_law(**values)


# --- M/M/1 ------------------------------------------------------------------------


def test_mm1_at_thirty_of_fifty():
    result = queueing.mm1(30, 50)
    assert list(result) == ["rho", "W", "Wq", "L", "Lq", "p99"]
    expected = {"rho": 0.6, "W": 0.05, "Wq": 0.03, "L": 1.5, "Lq": 0.9, "p99": 0.05 * math.log(100)}
    assert result == pytest.approx(expected, rel=1e-12)


def test_mm1_without_load_serves_at_once():
    result = queueing.mm1(0, 50)
    assert result["W"] == 1 / 50
    assert [result[key] for key in ("rho", "Wq", "L", "Lq")] == [0, 0, 0, 0]


@pytest.mark.parametrize("lam", [50, 60])
def test_mm1_at_or_above_capacity_has_a_finite_load_and_infinite_waits(lam):
    result = queueing.mm1(lam, 50)
    assert result["rho"] == lam / 50
    assert all(math.isinf(result[key]) for key in ("W", "Wq", "L", "Lq", "p99"))


@pytest.mark.no_cover
@given(SHARES, RATES)
def test_mm1_obeys_littles_law_around_system_and_queue(rho, mu):
    result = queueing.mm1(rho * mu, mu)
    assert math.isclose(result["L"], queueing.littles_law(rho * mu, result["W"]))
    assert math.isclose(result["Lq"], queueing.littles_law(rho * mu, result["Wq"]))
    assert math.isclose(result["W"], result["Wq"] + 1 / mu)


def test_mm1_has_the_mean_of_its_stationary_distribution():
    rho = Fraction(3, 5)
    mean = sum(n * p for n, p in enumerate(stationary(rho, 1, 200)))
    assert queueing.mm1(30, 50)["L"] == pytest.approx(float(mean), rel=1e-12)


@pytest.mark.parametrize(
    ("load", "mean_in_services", "p99_in_services"),
    [(0.5, 2, 9.2), (0.8, 5, 23), (0.9, 10, 46), (0.95, 20, 92)],
)
def test_mm1_latency_rises_hyperbolically_with_load(load, mean_in_services, p99_in_services):
    result = queueing.mm1(load, 1)
    assert result["W"] == pytest.approx(mean_in_services, rel=1e-12)
    assert result["p99"] == pytest.approx(p99_in_services, rel=0.005)


def test_mm1_quantile_is_that_of_an_exponential_time():
    assert queueing.mm1_sojourn_quantile_s("0.99", 30, 50) == pytest.approx(
        queueing.mm1(30, 50)["p99"], rel=1e-15
    )
    assert queueing.mm1_sojourn_quantile_s("0.5", 30, 50) == pytest.approx(0.05 * math.log(2))
    assert queueing.mm1_sojourn_quantile_s("0.99", 50, 50) == math.inf


def test_mm1_quantile_keeps_its_digits_for_extreme_q():
    assert queueing.mm1_sojourn_quantile_s("1e-12", 0, 1) == pytest.approx(1e-12, rel=1e-11)
    nines = "0." + "9" * 20  # a float would read this as 1
    assert queueing.mm1_sojourn_quantile_s(nines, 0, 1) == pytest.approx(20 * math.log(10))


@pytest.mark.parametrize("q", [0, 1, -0.1, 99, "p99", "0." + "9" * 310])
def test_a_quantile_level_outside_the_open_interval_is_refused(q):
    for call in (
        lambda: queueing.mm1_sojourn_quantile_s(q, 1, 2),
        lambda: queueing.mmc_sojourn_quantile_s(q, 1, 2, 3),
        lambda: queueing.max_utilization(1, 10, q),
    ):
        with pytest.raises(ValueError, match=r"^q must be "):
            call()


# --- Erlang B and C ---------------------------------------------------------------


def test_erlang_b_of_known_systems():
    assert queueing.erlang_b(1, 0.8) == pytest.approx(4 / 9, rel=1e-12)
    assert queueing.erlang_b(2, 0.8) == pytest.approx(8 / 53, rel=1e-12)
    assert queueing.erlang_b(200, 180) == pytest.approx(0.010325, rel=1e-4)


def test_erlang_b_at_its_edges():
    assert queueing.erlang_b(0, 0) == 1
    assert queueing.erlang_b(0, 5) == 1
    assert queueing.erlang_b(3, 0) == 0
    assert queueing.erlang_b(1, 1.7e308) == 1  # nothing overflows
    assert queueing.erlang_b(3, 1e-200) == 0  # a**3 is below any float


@pytest.mark.parametrize(("c", "a"), [(1, "0.3"), (5, "4.5"), (40, "60"), (170, "150.5")])
def test_erlang_b_equals_the_truncated_poisson_distribution(c, a):
    blocked = stationary(Fraction(a), c, c)[-1]
    assert queueing.erlang_b(c, float(a)) == pytest.approx(float(blocked), rel=1e-13)


@pytest.mark.parametrize(("c", "a"), [(1, "0.6"), (4, "10/3"), (30, "29.9"), (100, "90")])
def test_erlang_c_equals_the_share_of_states_with_all_servers_busy(c, a):
    a = Fraction(a)
    # Exact, with the geometric tail beyond c summed in closed form.
    at_c = stationary(a, c, c)
    busy = at_c[-1] / (1 - a / c)
    share = busy / (1 - at_c[-1] + busy)
    assert queueing.erlang_c(c, float(a)) == pytest.approx(float(share), rel=1e-12)


def test_erlang_c_with_a_thousand_servers_does_not_overflow():
    assert queueing.erlang_c(1000, 900) == pytest.approx(5.927e-4, rel=1e-4)


@pytest.mark.parametrize("c", [1, 2, 3, 7, 100, 1499])
def test_erlang_c_never_passes_one_just_below_full_load(c):
    assert 1 - 1e-12 < queueing.erlang_c(c, math.nextafter(c, 0)) <= 1


def test_erlang_c_is_one_from_full_load_on():
    for c, a in ((1, 1), (4, 4), (4, 7.5), (0, 0), (0, 2)):
        assert queueing.erlang_c(c, a) == 1.0


@given(SERVERS, SHARES)
def test_erlang_c_lies_between_erlang_b_and_one(c, rho):
    blocked, waiting = queueing.erlang_b(c, rho * c), queueing.erlang_c(c, rho * c)
    assert 0 <= blocked <= waiting <= 1


@given(SHARES)
def test_with_one_server_the_chance_to_wait_is_the_load(a):
    assert math.isclose(queueing.erlang_c(1, a), a, rel_tol=1e-14)


@given(SERVERS, st.floats(0.01, 80))
def test_more_servers_block_and_delay_less(c, a):
    assert queueing.erlang_b(c + 1, a) <= queueing.erlang_b(c, a)
    assert queueing.erlang_c(c + 1, a) <= queueing.erlang_c(c, a)


@pytest.mark.parametrize("call", [queueing.erlang_b, queueing.erlang_c])
def test_erlang_refuses_servers_that_are_no_count_and_a_negative_load(call):
    for c in (-1, 1.5, True):
        with pytest.raises(ValueError, match=r"^c must be a whole number of at least 0"):
            call(c, 1)
    for a in (-1, math.inf):
        with pytest.raises(ValueError, match=r"^a must be "):
            call(1, a)


# --- M/M/c ------------------------------------------------------------------------


def test_mmc_wait_of_known_systems():
    assert queueing.mmc_wait(10, 3, 4) == pytest.approx(0.32886, abs=5e-6)
    assert queueing.mmc_wait(120, 30, 6) == pytest.approx(4.746e-3, abs=5e-7)
    assert queueing.mmc_wait(0, 3, 4) == 0


def test_pooling_seven_servers_beats_splitting_the_stream():
    pooled = queueing.mmc_wait(180, 40, 7)
    split = queueing.mm1(180 / 7, 40)["Wq"]
    assert pooled == pytest.approx(2.17e-3, rel=2e-3)
    assert split == pytest.approx(45e-3, rel=2e-3)


@pytest.mark.parametrize(("lam", "mu", "c"), [(50, 50, 1), (12, 3, 4), (13, 3, 4)])
def test_mmc_wait_is_infinite_from_full_load_on(lam, mu, c):
    assert queueing.mmc_wait(lam, mu, c) == math.inf
    assert queueing.mmc_sojourn_tail(1e9, lam, mu, c) == 1.0
    assert queueing.mmc_sojourn_quantile_s("0.5", lam, mu, c) == math.inf


@given(SHARES, RATES)
def test_mmc_with_one_server_is_mm1(rho, mu):
    single = queueing.mm1(rho * mu, mu)
    assert math.isclose(queueing.mmc_wait(rho * mu, mu, 1), single["Wq"], rel_tol=1e-9)
    for q in ("0.5", "0.99"):
        assert math.isclose(
            queueing.mmc_sojourn_quantile_s(q, rho * mu, mu, 1),
            queueing.mm1_sojourn_quantile_s(q, rho * mu, mu),
            rel_tol=1e-12,
        )
    t = single["W"]
    assert math.isclose(queueing.mmc_sojourn_tail(t, rho * mu, mu, 1), math.exp(-1), rel_tol=1e-9)


@pytest.mark.parametrize(
    ("lam", "mu", "c", "name"),
    [(-1, 1, 1, "lam"), (1, 0, 1, "mu"), (1, 1, 0, "c"), (1, 1, 1.5, "c"), (math.inf, 1, 1, "lam")],
)
def test_mmc_names_the_argument_it_refuses(lam, mu, c, name):
    for call in (
        lambda: queueing.mmc_wait(lam, mu, c),
        lambda: queueing.mmc_sojourn_tail(1, lam, mu, c),
        lambda: queueing.mmc_sojourn_quantile_s("0.99", lam, mu, c),
        lambda: queueing.allen_cunneen_wait(lam, mu, c, 1, 1),
    ):
        with pytest.raises(ValueError, match=f"^{name} must be "):
            call()


@pytest.mark.parametrize("c", [1, 2, 3, 10, 100])
@pytest.mark.parametrize("load", [0.01, 0.3, 0.8, 0.987, 0.9999])
@pytest.mark.parametrize("x", [1e-6, 0.1, 1, 10, 100])
def test_sojourn_tail_equals_the_textbook_form_in_eighty_digits(c, load, x):
    a = load * c
    expected = decimal_tail(x, a, c, queueing.erlang_c(c, a))
    assert queueing.mmc_sojourn_tail(x, a, 1, c) == pytest.approx(expected, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("offset", [1e-3, 1e-8, 1e-12, 2**-50, -(2**-50), -1e-12, -1e-8, -1e-3])
def test_sojourn_tail_keeps_its_digits_near_the_removable_singularity(offset):
    a = 3 + offset  # c - 1 = 3
    expected = decimal_tail(2.5, a, 4, queueing.erlang_c(4, a))
    assert queueing.mmc_sojourn_tail(2.5, a, 1, 4) == pytest.approx(expected, rel=1e-13)


def test_sojourn_tail_at_the_removable_singularity():
    waiting = queueing.erlang_c(4, 3)
    expected = math.exp(-2.5) * (1 + waiting * 2.5)
    assert queueing.mmc_sojourn_tail(2.5, 3, 1, 4) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(("lam", "mu", "c"), [(900, 1, 1000), (3, 1, 4), (0.5, 1, 1), (0, 1, 5)])
def test_sojourn_tail_never_overflows(lam, mu, c):
    assert queueing.mmc_sojourn_tail(0, lam, mu, c) == 1.0
    for t in (1e4, 1e100, 1e308):
        assert queueing.mmc_sojourn_tail(t, lam, mu, c) == 0.0
    assert queueing.mmc_sojourn_tail(1e200, lam * 1e200, mu * 1e200, c) == 0.0


@given(SERVERS, SHARES, st.floats(0, 50), st.floats(0, 50))
def test_sojourn_tail_falls_with_time_and_rises_with_load(c, load, t, more):
    tail = queueing.mmc_sojourn_tail(t, load * c, 1, c)
    assert 0 <= queueing.mmc_sojourn_tail(t + more, load * c, 1, c) <= tail + 1e-15
    assert queueing.mmc_sojourn_tail(t, load * c / 2, 1, c) <= tail + 1e-15
    assert math.exp(-t) <= tail + 1e-15  # never faster than the service itself


@pytest.mark.parametrize(("c", "a"), [(1, 0.7), (2, 1.0), (4, 3.0), (4, 3.7), (20, 15.0)])
def test_sojourn_tail_integrates_to_the_mean_time_in_the_system(c, a):
    mean, _ = quad(queueing.mmc_sojourn_tail, 0, 40 / min(1, c - a), args=(a, 1, c), limit=200)
    assert mean == pytest.approx(1 + queueing.mmc_wait(a, 1, c), rel=1e-9)


@given(SERVERS, SHARES, RATES, st.sampled_from(["0.001", "0.5", "0.9", "0.99", "0.999999"]))
def test_sojourn_quantile_inverts_the_tail(c, load, mu, q):
    lam = load * c * mu
    t = queueing.mmc_sojourn_quantile_s(q, lam, mu, c)
    assert queueing.mmc_sojourn_tail(t, lam, mu, c) == pytest.approx(1 - float(q), rel=1e-9)


def test_sojourn_quantile_without_load_is_that_of_the_service():
    assert queueing.mmc_sojourn_quantile_s("0.99", 0, 4, 3) == pytest.approx(math.log(100) / 4)


@pytest.mark.parametrize(("c", "p99"), [(1, 23.0), (2, 11.9), (4, 6.9), (8, 5.15), (16, 4.7)])
def test_pooling_shrinks_the_p99_at_eighty_per_cent_load(c, p99):
    assert queueing.mmc_sojourn_quantile_s("0.99", 0.8 * c, 1, c) == pytest.approx(p99, abs=0.05)


def test_sojourn_quantile_agrees_with_a_simulated_queue():
    rng = np.random.default_rng(4)
    n, c, a = 200_000, 3, 2.1
    free = [0.0] * c
    sojourns = np.empty(n)
    arrivals = np.cumsum(rng.exponential(1 / a, n))
    for i, (now, service) in enumerate(zip(arrivals, rng.exponential(1, n), strict=True)):
        server = min(range(c), key=free.__getitem__)
        free[server] = max(free[server], now) + service
        sojourns[i] = free[server] - now
    assert sojourns.mean() == pytest.approx(1 + queueing.mmc_wait(a, 1, c), rel=0.05)
    simulated = np.sort(sojourns)[math.ceil(0.99 * n) - 1]
    assert simulated == pytest.approx(queueing.mmc_sojourn_quantile_s("0.99", a, 1, c), rel=0.08)


def test_sojourn_tail_refuses_a_negative_or_infinite_time():
    for t in (-1, math.inf):
        with pytest.raises(ValueError, match=r"^t_s must be "):
            queueing.mmc_sojourn_tail(t, 1, 2, 3)


# --- General arrivals and service -------------------------------------------------


@pytest.mark.parametrize(("cs2", "wait"), [(0, 0.02), (1, 0.04), (4, 0.1)])
def test_pk_wait_at_eighty_per_cent(cs2, wait):
    assert queueing.pk_wait(80, 0.01, cs2) == pytest.approx(wait, rel=1e-12)


@given(SHARES, RATES)
def test_pk_wait_of_exponential_service_is_mm1_and_of_constant_service_half(rho, mu):
    lam = rho * mu
    exponential = queueing.pk_wait(lam, 1 / mu, 1)
    assert math.isclose(exponential, queueing.mm1(lam, mu)["Wq"], rel_tol=1e-9)
    assert math.isclose(queueing.pk_wait(lam, 1 / mu, 0), exponential / 2)


@pytest.mark.parametrize("lam", [100, 120])
def test_pk_wait_is_infinite_from_full_load_on(lam):
    assert queueing.pk_wait(lam, 0.01, 0) == math.inf


def test_pk_wait_gives_the_tail_its_mean_with_rare_long_jobs():
    # 99 % of 5 ms and 1 % of 505 ms: mean 10 ms, second moment 2575 ms^2.
    mean, square = 0.99 * 5 + 0.01 * 505, 0.99 * 25 + 0.01 * 505**2
    wait = queueing.pk_wait(0.3 / mean, mean, square / mean**2 - 1)
    assert wait == pytest.approx(0.3 / mean * square / (2 * 0.7), rel=1e-12)


@given(SHARES, RATES, st.floats(0, 10))
def test_kingman_is_exact_for_poisson_arrivals(rho, service, cs2):
    assert math.isclose(
        queueing.kingman_wait(rho, service, 1, cs2),
        queueing.pk_wait(rho / service, service, cs2),
        rel_tol=1e-9,
    )


def test_kingman_wait_grows_with_burstiness():
    assert queueing.kingman_wait(0.8, 0.01, 4, 1) == pytest.approx(0.1, rel=1e-12)
    assert queueing.kingman_wait(0.5, 10, 9, 1) == pytest.approx(50, rel=1e-12)
    assert queueing.kingman_wait(0.5, 10, 0, 0) == 0
    assert queueing.kingman_wait(1, 10, 0, 0) == math.inf
    assert queueing.kingman_wait(math.inf, 0, 0, 0) == math.inf


@pytest.mark.parametrize("position", range(4))
def test_kingman_names_the_argument_it_refuses(position):
    values = [0.5, 1, 1, 1]
    values[position] = -1
    name = ("rho", "ES", "ca2", "cs2")[position]
    with pytest.raises(ValueError, match=f"^{name} must be "):
        queueing.kingman_wait(*values)


def test_pk_names_the_argument_it_refuses():
    for values, name in (((-1, 1, 1), "lam"), ((1, -1, 1), "ES"), ((0.5, 1, -1), "cs2")):
        with pytest.raises(ValueError, match=f"^{name} must be "):
            queueing.pk_wait(*values)


def test_implied_cs_of_the_headset():
    assert queueing.implied_cs(5, 0.9, 15, 0) == pytest.approx(0.27217, abs=5e-6)


@given(SHARES, RATES, st.floats(0, 5), st.floats(0.1, 5))
def test_implied_cs_inverts_kingman(rho, service, ca2, cs):
    wait = queueing.kingman_wait(rho, service, ca2, cs**2)
    assert math.isclose(queueing.implied_cs(wait, rho, service, ca2), cs, rel_tol=1e-9)


def test_a_wait_too_short_for_the_arrivals_implies_no_service_variation():
    assert queueing.implied_cs(5, 0.9, 15, 1) is None
    assert queueing.implied_cs(0, 0.9, 15, 0) == 0


@given(SHARES, RATES, st.floats(0.001, 5))
def test_constant_service_is_not_lost_to_rounding(rho, service, ca2):
    wait = queueing.kingman_wait(rho, service, ca2, 0)
    assert queueing.implied_cs(wait, rho, service, ca2) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((-1, 0.5, 1, 1), "wait"),
        ((1, 0, 1, 1), "rho"),
        ((1, 1, 1, 1), "rho"),
        ((1, 1.2, 1, 1), "rho"),
        ((1, 0.5, 0, 1), "ES"),
        ((1, 0.5, 1, -1), "ca2"),
    ],
)
def test_implied_cs_names_the_argument_it_refuses(values, name):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        queueing.implied_cs(*values)


def test_allen_cunneen_scales_the_mmc_wait():
    base = queueing.mmc_wait(120, 30, 6)
    assert queueing.allen_cunneen_wait(120, 30, 6, 1, 1) == pytest.approx(base)
    assert queueing.allen_cunneen_wait(120, 30, 6, 4, 0.5) == pytest.approx(2.25 * base)
    assert queueing.allen_cunneen_wait(180, 30, 6, 0, 0) == math.inf
    with pytest.raises(ValueError, match=r"^cs2 must be "):
        queueing.allen_cunneen_wait(120, 30, 6, 1, -1)


@given(SHARES, RATES, st.floats(0, 9), st.floats(0, 9))
def test_allen_cunneen_with_one_server_is_kingman(rho, mu, ca2, cs2):
    assert math.isclose(
        queueing.allen_cunneen_wait(rho * mu, mu, 1, ca2, cs2),
        queueing.kingman_wait(rho, 1 / mu, ca2, cs2),
        rel_tol=1e-9,
        abs_tol=1e-300,  # what is smaller has lost its digits
    )


# --- Utilisation targets ----------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "budget", "c", "rho"),
    [(10, 200, 1, 0.76974), (1, 10, 1, 0.539), (1, 10, 2, 0.758), (1, 10, 4, 0.875)],
)
def test_max_utilization_of_known_budgets(service, budget, c, rho):
    assert queueing.max_utilization(service, budget, c=c) == pytest.approx(rho, abs=6e-4)


def test_max_utilization_of_eight_pooled_servers():
    assert queueing.max_utilization(1, 10, "0.99", 8) == pytest.approx(0.936, abs=5e-4)


@pytest.mark.parametrize("c", [1, 2, 8])
@pytest.mark.parametrize("budget", [0, 50, 200, 50 * math.log(100)])
def test_a_budget_that_an_idle_server_misses_allows_no_load(c, budget):
    assert queueing.max_utilization(50, budget, c=c) == 0.0


@given(SERVERS, st.floats(4.7, 200), st.sampled_from(["0.5", "0.9", "0.99"]))
def test_max_utilization_meets_the_budget_and_no_more(c, budget, q):
    rho = queueing.max_utilization(1, budget, q, c)
    assert 0 < rho < 1
    assert queueing.mmc_sojourn_quantile_s(q, rho * c, 1, c) <= budget * (1 + 1e-9)
    above = rho + 1e-6
    assert above >= 1 or queueing.mmc_sojourn_quantile_s(q, above * c, 1, c) > budget


@pytest.mark.parametrize(("c", "rho"), [(1, 1e-15), (2, 1e-7), (8, 0.01)])
def test_a_budget_that_rounding_lifts_above_the_idle_server_is_worth_next_to_nothing(c, rho):
    budget = math.nextafter(50 * math.log(100), math.inf)
    assert 0 <= queueing.max_utilization(50, budget, c=c) < rho


def test_max_utilization_rises_with_pooling_and_scales_with_the_unit():
    targets = [queueing.max_utilization(1, 10, c=c) for c in (1, 2, 4, 8, 16, 1000)]
    assert all(low < high for low, high in itertools.pairwise(targets))
    assert queueing.max_utilization(0.001, 0.01, c=4) == pytest.approx(targets[2], rel=1e-12)


@pytest.mark.parametrize(
    ("values", "name"), [((0, 1), "S"), ((1, -1), "budget"), ((1, 1, "0.9", 0), "c")]
)
def test_max_utilization_names_the_argument_it_refuses(values, name):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        queueing.max_utilization(*values)


# --- closed loops -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "X", "R"),
    [
        ((1, 4.5, [0.5]), 0.2, 0.5),
        ((5, 4.5, [0.5]), 0.950, 0.762),
        ((10, 4.5, [0.5]), 1.664, 1.509),
        ((20, 4.5, [0.5]), 1.999, 5.506),
        ((40, 4.5, [0.5]), 2.0, 15.5),
        ((20, 4.5, [0.3, 0.2]), 3.0680, 2.0189),
        ((3, 0, [1, 1]), 0.75, 4),
        ((7, 0, [0, 2]), 0.5, 14),
    ],
)
def test_a_closed_loop(network, X, R):
    loop = queueing.mva(*network)
    assert (loop["X"], loop["R"]) == pytest.approx((X, R), abs=6e-4)


@given(st.integers(1, 12), st.floats(0.1, 10), st.floats(0.1, 5))
def test_one_station_is_the_machine_repair_model(users, think, service):
    """Users who think are machines that run: an M/M/1 queue with a finite source."""
    weights = [1.0]
    for busy in range(1, users + 1):
        weights.append(weights[-1] * (users - busy + 1) * service / think)
    total = sum(weights)
    loop = queueing.mva(users, think, [service])
    assert loop["X"] == pytest.approx((1 - weights[0] / total) / service, rel=1e-9)
    mean = sum(n * weight for n, weight in enumerate(weights)) / total
    assert loop["queue"] == pytest.approx([mean], rel=1e-9)


@given(st.integers(1, 30), st.floats(0, 10), st.lists(st.floats(0.01, 3), min_size=1, max_size=4))
def test_closed_loops_keep_their_users_and_their_limits(users, think, demands):
    loop = queueing.mva(users, think, demands)
    assert sum(loop["queue"]) + loop["X"] * think == pytest.approx(users)
    assert loop["R"] == pytest.approx(users / loop["X"] - think, rel=1e-6, abs=1e-9)
    limit = min(users / (sum(demands) + think), 1 / max(demands))
    assert loop["X"] <= limit * (1 + 1e-9)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((0, 1, [1]), "N"),
        ((1, -1, [1]), "think_s"),
        ((1, 1, []), "demands"),
        ((1, 1, [0, 0]), "demands"),
        ((1, 1, [1, -1]), r"demands\[1\]"),
    ],
)
def test_closed_loops_that_cannot_be(values, name):
    with pytest.raises(ValueError, match=f"^{name} must "):
        queueing.mva(*values)


@given(st.floats(0.1, 40), st.sampled_from((0.25, 1, 3)), st.integers(1, 12), st.integers(0, 30))
def test_a_finite_queue_balances_loses_less_with_more_room_and_knows_its_limits(a, mu, c, room):
    one, more = (queueing.mmck(a * mu, mu, c, c + extra) for extra in (room, room + 1))
    assert one["lam_in"] == pytest.approx(a * mu * (1 - one["loss"]), rel=1e-9)
    assert one["L"] == pytest.approx(one["lam_in"] * one["W"], rel=1e-9)
    assert one["L"] - one["Lq"] == pytest.approx(one["rho"] * c, rel=1e-9)
    assert one["W"] == pytest.approx(one["Wq"] + 1 / mu, rel=1e-9)
    assert more["loss"] <= one["loss"] * (1 + 1e-12)
    assert queueing.mmck(a * mu, mu, c, c)["loss"] == pytest.approx(
        queueing.erlang_b(c, a), rel=1e-9
    )


def test_a_finite_queue_with_endless_room_is_m_m_c_and_thousands_of_servers_work():
    assert queueing.mmck(8, 1, 10, 600)["Wq"] == pytest.approx(queueing.mmc_wait(8, 1, 10))
    large = queueing.mmck(3000, 1, 3000, 3000)
    assert large["loss"] == pytest.approx(queueing.erlang_b(3000, 3000), rel=1e-9)
    assert queueing.mmck(0, 2, 3, 5) == dict.fromkeys(
        ("loss", "lam_in", "rho", "L", "Lq", "Wq"), 0
    ) | {"W": 0.5}


@pytest.mark.parametrize(
    ("values", "name"),
    [((-1, 1, 1, 1), "lam"), ((1, 0, 1, 1), "mu"), ((1, 1, 0, 1), "c"), ((1, 1, 3, 2), "K")],
)
def test_finite_queues_that_cannot_be(values, name):
    with pytest.raises(ValueError, match=f"^{name} must "):
        queueing.mmck(*values)
