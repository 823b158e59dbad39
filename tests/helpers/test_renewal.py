"""GI/M/1 against M/M/1, Erlang gaps by polynomial, and a simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import renewal
from servemath_helpers.sim import services, simulate_gg1

LOADS = st.floats(0.01, 0.99)


@given(LOADS, st.floats(0.1, 50))
def test_poisson_gaps_give_m_m_1(rho, mu):
    sigma = renewal.gim1_sigma(rho * mu, mu, renewal.gamma_gaps(rho * mu, 1))
    assert sigma == pytest.approx(rho, rel=1e-9)
    assert renewal.gim1_wait(sigma, mu) == pytest.approx(rho / (mu * (1 - rho)), rel=1e-8)


@given(LOADS)
def test_two_stages_between_arrivals_solve_a_cubic(rho):
    # sigma = (2 rho / (2 rho + 1 - sigma))^2 has the roots 1 and those of a square equation
    sigma = renewal.gim1_sigma(rho, 1, renewal.gamma_gaps(rho, 0.5))
    b = 4 * rho + 1
    assert sigma == pytest.approx((b - math.sqrt(b * b - 16 * rho * rho)) / 2, rel=1e-9)


@given(LOADS, st.floats(0, 0.9), st.floats(1.1, 9))
def test_regular_gaps_wait_less_than_poisson_and_bursts_more(rho, regular, bursty):
    less, more = (
        renewal.gim1_sigma(rho, 1, renewal.gamma_gaps(rho, ca2)) for ca2 in (regular, bursty)
    )
    assert less < rho < more < 1


def test_waits_and_their_tail_are_those_of_a_simulation():
    rng = np.random.default_rng(8)
    arrivals_s = np.cumsum(rng.gamma(1 / 3, 3 / 7, 400_000))
    run = simulate_gg1(arrivals_s, services.exponential(400_000, 0.1, rng))
    sigma = renewal.gim1_sigma(7, 10, renewal.gamma_gaps(7, 3))
    assert (run.wait_s > 1e-12).mean() == pytest.approx(sigma, rel=0.02)
    assert run.wait_s.mean() == pytest.approx(renewal.gim1_wait(sigma, 10), rel=0.05)
    p99 = renewal.gim1_wait_quantile_s("0.99", sigma, 10)
    assert np.quantile(run.wait_s, 0.99) == pytest.approx(p99, rel=0.08)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: renewal.gamma_gaps(0, 1), "lam must be"),
        (lambda: renewal.gamma_gaps(1, -1), "ca2 must be"),
        (lambda: renewal.gim1_sigma(2, 2, math.exp), "lam must be below mu = 2.0, or"),
        (lambda: renewal.gim1_sigma(1, 2, lambda s: None), "transform must be a number"),
        (lambda: renewal.gim1_wait(1, 2), "sigma must be below 1, got 1"),
        (lambda: renewal.gim1_wait(-0.1, 2), "sigma must be"),
        (lambda: renewal.gim1_wait(0.5, 0), "mu must be"),
        (lambda: renewal.gim1_wait_quantile_s(1, 0.5, 1), "q must be"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()
