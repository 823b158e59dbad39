"""Moments and quantiles by hand; the queue against Erlang's M/D/1 and a simulation."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import mixtures
from servemath_helpers.mixtures import Mixture

TAIL = Mixture([("0.99", 5), ("0.01", 505)])
PARTS = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 30)), min_size=1, max_size=5).filter(
    lambda parts: any(time for _, time in parts)
)


def as_mixture(parts):
    total = sum(weight for weight, _ in parts)
    return Mixture([(Fraction(weight, total), time) for weight, time in parts])


@pytest.mark.no_cover
@given(PARTS)
def test_moments_and_quantiles_are_those_of_a_population_with_these_shares(parts):
    mixture = as_mixture(parts)
    population = sorted(time for weight, time in parts for _ in range(weight))
    assert mixture.mean == pytest.approx(np.mean(population), rel=1e-12)
    assert mixture.cs2 == pytest.approx(np.var(population) / np.mean(population) ** 2, abs=1e-12)
    for rank in range(1, len(population) + 1):
        assert mixture.quantile(Fraction(rank, len(population))) == population[rank - 1]


@given(PARTS)
def test_the_sum_of_two_is_the_convolution(parts):
    mixture, total = as_mixture(parts), as_mixture(parts).sum_of_two()
    assert total.mean == pytest.approx(2 * mixture.mean, rel=1e-12)
    assert total.cs2 == pytest.approx(mixture.cs2 / 2, abs=1e-12)


def test_the_p99_of_a_sum_is_not_the_sum_of_p99s():
    assert TAIL.quantile("0.99") == 5
    assert TAIL.sum_of_two().quantile("0.99") == 510
    milder = Mixture([("0.98", 5), ("0.02", 505)])
    assert milder.quantile("0.99") == 505
    assert milder.sum_of_two().quantile("0.99") == 510 < 2 * 505


def test_the_courses_heavy_tail_behind_a_queue():
    p99, mean = mixtures.mg1_sojourn_quantile("0.99", 0.03, TAIL)
    assert mean == pytest.approx(10 + 0.03 * 2575 / (2 * 0.7), rel=1e-12)
    assert p99 / mean == pytest.approx(10.684, abs=1e-3)


@pytest.mark.parametrize("rho", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("q", [0.5, 0.9, 0.99, 0.9999])
def test_constant_service_gives_erlangs_distribution(rho, q):
    quantile, mean = mixtures.mg1_sojourn_quantile(q, rho, Mixture([(1, 1)]))
    assert mean == pytest.approx(1 + rho / (2 * (1 - rho)), rel=1e-12)

    def waits_at_most(t):
        # Alternating terms: exact in fractions for the powers, so nothing cancels.
        return (1 - rho) * sum(
            (-rho * (t - k)) ** k / math.factorial(k) * math.exp(rho * (t - k))
            for k in range(math.floor(t) + 1)
        )

    if waits_at_most(0) >= q:
        assert quantile == 1
    else:
        assert waits_at_most(quantile - 1) == pytest.approx(q, abs=2e-5)


def test_the_quantile_is_that_of_a_simulated_queue():
    rng = np.random.default_rng(11)
    service = np.where(rng.random(400_000) < 0.8, 4.0, 24.0)
    arrivals = rng.exponential(8 / 0.6, 400_000)
    drift = np.concatenate([[0.0], np.cumsum(service[:-1] - arrivals[1:])])
    sojourn = drift - np.minimum.accumulate(drift) + service
    mixture = Mixture([("0.8", 4), ("0.2", 24)])
    for q, tolerance in ((0.5, 0.02), (0.9, 0.03), (0.99, 0.08)):
        quantile, mean = mixtures.mg1_sojourn_quantile(q, 0.6 / 8, mixture)
        assert quantile == pytest.approx(np.sort(sojourn)[int(q * 400_000) - 1], rel=tolerance)
    assert mean == pytest.approx(sojourn.mean(), rel=0.05)


def test_requests_that_need_no_service_still_wait_for_those_that_do():
    # Halving the requests by free ones halves the load: the others' queue is M/D/1.
    free = Mixture([("0.5", 0), ("0.5", 1)])
    _, mean = mixtures.mg1_sojourn_quantile("0.5", 1.0, free)
    assert mean == pytest.approx(0.5 + 0.5 / (2 * 0.5))
    fine = mixtures.mg1_sojourn_quantile("0.95", 1.0, free, steps_per_mean=400)[0]
    coarse = mixtures.mg1_sojourn_quantile("0.95", 1.0, free, steps_per_mean=50)[0]
    assert coarse == pytest.approx(fine, rel=1e-3)
    # P(T <= t) = (W(t) + W(t - 1)) / 2 with W of M/D/1 at rho = 1/2.
    times = np.linspace(0, 6, 60_001)

    def wait(t):
        if t < 0:
            return 0.0
        return 0.5 * sum(
            (-0.5 * (t - k)) ** k / math.factorial(k) * math.exp(0.5 * (t - k))
            for k in range(math.floor(t) + 1)
        )

    expected = next(t for t in times if (wait(t) + wait(t - 1)) / 2 >= 0.95)
    assert fine == pytest.approx(expected, abs=1e-3)


def test_an_idle_server_gives_the_service_time_and_an_overloaded_one_no_end():
    assert mixtures.mg1_sojourn_quantile("0.99", 0, TAIL) == (5, 10)
    assert mixtures.mg1_sojourn_quantile("0.995", 0, TAIL) == (505, 10)
    assert mixtures.mg1_sojourn_quantile("0.5", 0.1, TAIL) == (math.inf, math.inf)


@pytest.mark.parametrize("q", ["0.5", "0.9", "0.99"])
def test_the_quantile_grows_with_the_load(q):
    rates = [0, 0.01, 0.03, 0.05, 0.08]
    quantiles = [mixtures.mg1_sojourn_quantile(q, lam, TAIL, 20)[0] for lam in rates]
    assert quantiles == sorted(quantiles)
    assert quantiles[-1] > 10 * quantiles[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Mixture([]), "parts must have probabilities that sum to 1, got 0"),
        (lambda: Mixture([(0.5, 1)]), "parts must have probabilities that sum to 1, got 0.5"),
        (lambda: Mixture([(1, 0)]), "parts must hold a time above 0"),
        (lambda: Mixture([(1, 1), (0, 1, 2)]), r"parts\[1\] must be \(probability, time\)"),
        (lambda: Mixture([1]), r"parts\[0\] must be \(probability, time\)"),
        (lambda: Mixture([(2, 1)]), r"parts\[0\] probability must be"),
        (lambda: Mixture([(1, -1)]), r"parts\[0\] time must be"),
        (lambda: TAIL.quantile(0), "q must be"),
        (lambda: mixtures.mg1_sojourn_quantile(0, 0.01, TAIL), "q must be"),
        (lambda: mixtures.mg1_sojourn_quantile(1, 0.01, TAIL), r"q must be in \(0, 0.99999\]"),
        (lambda: mixtures.mg1_sojourn_quantile(0.5, -1, TAIL), "lam must be"),
        (lambda: mixtures.mg1_sojourn_quantile(0.5, 0.01, [(1, 5)]), "service must be a Mixture"),
        (lambda: mixtures.mg1_sojourn_quantile(0.5, 0.01, TAIL, 9), "steps_per_mean must be"),
    ],
)
def test_what_is_refused_is_named(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()
