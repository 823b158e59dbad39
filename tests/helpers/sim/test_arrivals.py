"""Arrival processes: their rate, variability and dispersion, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers.sim import arrivals

N = 200_000


def rng(seed=1):
    return np.random.default_rng(seed)


def gap_statistics(arrivals_s):
    gaps = np.diff(arrivals_s)
    return gaps.mean(), gaps.var() / gaps.mean() ** 2


def dispersion(arrivals_s, window_s):
    counts = np.bincount((arrivals_s / window_s).astype(int))[:-1]
    return counts.var() / counts.mean()


def test_poisson_has_its_rate_variability_one_and_dispersion_one():
    arrivals_s = arrivals.poisson(N, 50, rng())
    mean, ca2 = gap_statistics(arrivals_s)
    assert mean == pytest.approx(0.02, rel=0.01)
    assert ca2 == pytest.approx(1, rel=0.02)
    assert dispersion(arrivals_s, 1.0) == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("ca2", [0.25, 0.7, 1, 2, 4, 9])
def test_bursty_has_its_rate_and_variability(ca2):
    mean, measured = gap_statistics(arrivals.bursty(N, 10, ca2, rng()))
    assert mean == pytest.approx(0.1, rel=0.02)
    assert measured == pytest.approx(ca2, rel=0.05)


def test_bursty_without_variability_is_a_clock():
    np.testing.assert_allclose(arrivals.bursty(4, 10, 0, rng()), [0.1, 0.2, 0.3, 0.4])


def test_bursty_intervals_are_independent():
    gaps = np.diff(arrivals.bursty(N, 10, 4, rng()))
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 0.01


def test_periodic_keeps_its_ticks():
    np.testing.assert_allclose(arrivals.periodic(3, 0.5, phase_s=0.1), [0.1, 0.6, 1.1])


def test_jitter_does_not_add_up_and_stays_within_its_bound():
    late = arrivals.periodic(10_000, 0.01, 0.004, rng()) - np.arange(10_000) * 0.01
    assert late.min() >= 0
    assert late.max() <= 0.004 + 1e-9
    assert late.mean() == pytest.approx(0.002, rel=0.05)


def test_jitter_beyond_a_period_still_gives_sorted_arrivals():
    assert (np.diff(arrivals.periodic(1000, 0.01, 0.05, rng())) >= 0).all()


def test_jitter_without_a_generator_is_refused():
    with pytest.raises(ValueError, match="rng must be a numpy"):
        arrivals.periodic(3, 0.1, 0.01)


def test_markov_modulated_arrivals_have_the_dispersion_of_theory():
    rates, dwell = [5.0, 50.0], [20.0, 10.0]
    arrivals_s = arrivals.markov_modulated(400_000, rates, dwell, rng())
    share = 20 / 30
    rate = share * 5 + (1 - share) * 50
    assert 400_000 / arrivals_s[-1] == pytest.approx(rate, rel=0.05)
    switching = 1 / 20 + 1 / 10
    variance = share * (1 - share) * 45**2
    for window_s in (1.0, 10.0):
        x = switching * window_s
        theory = 1 + 2 * variance / (rate * switching) * (1 - (1 - np.exp(-x)) / x)
        assert dispersion(arrivals_s, window_s) == pytest.approx(theory, rel=0.1)


def test_a_silent_phase_has_no_arrivals():
    # In phases of a second, a hundredth of a second is far shorter than any pause.
    arrivals_s = arrivals.markov_modulated(20_000, [1000, 0], [1, 1], rng())
    assert (np.diff(arrivals_s) > 0.05).sum() > 3


def test_equal_rates_make_a_poisson_process():
    _, ca2 = gap_statistics(arrivals.markov_modulated(N, [20, 20, 20], [1, 2, 3], rng()))
    assert ca2 == pytest.approx(1, rel=0.02)


def test_a_trace_is_moved_to_zero_and_sped_up():
    assert arrivals.from_trace(iter([5.0, 6.0, 9.0]), speedup=4).tolist() == [0.0, 0.25, 1.0]


@pytest.mark.parametrize(
    "generate",
    [
        lambda r: arrivals.poisson(50, 3, r),
        lambda r: arrivals.bursty(50, 3, 4, r),
        lambda r: arrivals.bursty(50, 3, 0.5, r),
        lambda r: arrivals.periodic(50, 0.1, 0.3, r),
        lambda r: arrivals.markov_modulated(50, [1, 9], [2, 2], r),
    ],
)
@given(seed=st.integers(0, 2**32))
def test_one_seed_gives_one_sorted_run(generate, seed):
    first, again = generate(rng(seed)), generate(rng(seed))
    assert first.tolist() == again.tolist()
    assert first.size == 50
    assert (np.diff(first) >= 0).all()
    assert first[0] >= 0


def test_a_seed_gives_the_numbers_it_gave_before():
    # The bits come from PCG64, the same everywhere; nine digits survive any libm.
    drawn = arrivals.poisson(3, 10, np.random.default_rng(2024)).tolist()
    assert drawn == pytest.approx([0.0853178219, 0.0967716370, 0.1136930968], rel=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: arrivals.poisson(0, 1, rng()), "n must be a whole number of at least 1"),
        (lambda: arrivals.poisson(3, -1, rng()), "rate_rps must be"),
        (lambda: arrivals.poisson(3, float("nan"), rng()), "rate_rps must be"),
        (lambda: arrivals.poisson(3, 1, 42), "rng must be a numpy.random.Generator, got 42"),
        (lambda: arrivals.bursty(3, 1, -0.1, rng()), "ca2 must be"),
        (lambda: arrivals.bursty(3, 0, 1, rng()), "rate_rps must be"),
        (lambda: arrivals.periodic(3, 0), "period_s must be"),
        (lambda: arrivals.periodic(3, 1, -1, rng()), "jitter_s must be"),
        (lambda: arrivals.periodic(3, 1, phase_s=-1), "phase_s must be"),
        (lambda: arrivals.markov_modulated(3, [0, 0], [1, 1], rng()), "rates_rps must have"),
        (lambda: arrivals.markov_modulated(3, [1, -1], [1, 1], rng()), "rates_rps[1] must"),
        (lambda: arrivals.markov_modulated(3, [1, 2], [1, 0], rng()), "dwell_s[1] must be"),
        (lambda: arrivals.markov_modulated(3, [1], [1, 1], rng()), "rates_rps and dwell_s must"),
        (lambda: arrivals.varying([1, -1], 1, rng()), "rates_rps[1] must"),
        (lambda: arrivals.varying([1], 0, rng()), "interval_s must be"),
        (lambda: arrivals.from_trace([]), "times_s must not be empty"),
        (lambda: arrivals.from_trace([2.0, 1.0]), "times_s must be sorted: times_s[1] = 1.0"),
        (lambda: arrivals.from_trace([1.0, float("nan")]), "times_s[1] must be a finite"),
        (lambda: arrivals.from_trace([1.0], speedup=0), "speedup must be"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)


def test_a_timetable_has_its_rate_in_each_interval_and_is_poisson_there():
    arrivals_s = arrivals.varying([0, 400, 20], 100.0, rng())
    counts = np.histogram(arrivals_s, np.arange(301))[0]
    assert (np.diff(arrivals_s) >= 0).all()
    assert counts[:100].sum() == 0
    assert counts[100:200].mean() == pytest.approx(400, rel=0.02)
    assert counts[200:].mean() == pytest.approx(20, rel=0.1)
    assert counts[100:200].var() == pytest.approx(400, rel=0.5)
    assert arrivals.varying([0.0], 5, rng()).size == 0
