"""Experiments against their sampling distributions, computed or simulated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from servemath_helpers import experiments


def test_z_of_the_canary_in_the_course():
    assert experiments.two_proportion_z(200, 20_000, 28, 2_000) == pytest.approx(1.684, abs=5e-4)


@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_z_squared_is_the_chi_square_of_the_two_by_two_table(n_a, n_b, data):
    bad_a = data.draw(st.integers(0, n_a))
    bad_b = data.draw(st.integers(0, n_b))
    z = experiments.two_proportion_z(bad_a, n_a, bad_b, n_b)
    if bad_a + bad_b in (0, n_a + n_b):
        assert z == 0
        return
    table = [[bad_a, n_a - bad_a], [bad_b, n_b - bad_b]]
    statistic = stats.chi2_contingency(table, correction=False).statistic
    assert z**2 == pytest.approx(statistic, rel=1e-9, abs=1e-9)
    assert z == -experiments.two_proportion_z(bad_b, n_b, bad_a, n_a)


def test_equal_rates_give_exactly_zero_and_a_worse_canary_a_positive_z():
    assert experiments.two_proportion_z(1, 3, 10, 30) == 0
    assert experiments.two_proportion_z(0, 10, 0, 20) == 0
    assert experiments.two_proportion_z(10, 10, 20, 20) == 0
    assert experiments.two_proportion_z(1, 100, 9, 100) > 0


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((0, 0, 0, 1), "n_a"),
        ((0, 1, 0, 0), "n_b"),
        ((-1, 1, 0, 1), "bad_a"),
        ((0, 1, 0.5, 1), "bad_b"),
        ((2, 1, 0, 1), "bad_a"),
        ((0, 1, 2, 1), "bad_b"),
    ],
)
def test_z_names_the_argument_it_refuses(values, name):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        experiments.two_proportion_z(*values)


def test_sample_size_of_the_canary_in_the_course():
    assert experiments.two_proportion_sample_size(0.010, 0.012) == 42_691
    assert experiments.two_proportion_sample_size(0.010, 0.012, pooled=True) == 42_693
    assert experiments.two_proportion_sample_size(0.012, 0.010) == 42_691


@pytest.mark.parametrize(("p_a", "p_b"), [(0.1, 0.15), (0.01, 0.02), (0.5, 0.45)])
def test_the_sample_size_reaches_its_power_in_repeated_experiments(p_a, p_b):
    n = experiments.two_proportion_sample_size(p_a, p_b, power=0.8, pooled=True)
    rng = np.random.default_rng(11)
    bad_a, bad_b = rng.binomial(n, p_a, 4000), rng.binomial(n, p_b, 4000)
    noticed = [
        abs(experiments.two_proportion_z(a, n, b, n)) > 1.959964
        for a, b in zip(bad_a, bad_b, strict=True)
    ]
    assert np.mean(noticed) == pytest.approx(0.8, abs=0.02)


@given(st.floats(0.001, 0.4), st.floats(0.01, 0.2))
def test_sample_size_rises_with_power_and_falls_with_alpha(p_a, difference):
    def size(**options):
        return experiments.two_proportion_sample_size(p_a, p_a + difference, **options)

    assert size(power=0.9) >= size() >= size(alpha=0.1)
    assert size(pooled=True) >= size()


def test_certain_outcomes_need_one_request_an_arm():
    assert experiments.two_proportion_sample_size(0, 1) == 1


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((-0.1, 0.5), "p_a"),
        ((0.1, 1.5), "p_b"),
        ((0.1, 0.1), "p_a and p_b"),
        ((0.1, 0.2, 0), "alpha"),
        ((0.1, 0.2, 1), "alpha"),
        ((0.1, 0.2, 0.05, 0), "power"),
        ((0.1, 0.2, 0.05, 1), "power"),
        ((0.1, 0.2, 0.05, 0.025), "power"),
    ],
)
def test_sample_size_names_the_argument_it_refuses(values, name):
    with pytest.raises(ValueError, match=f"^{name} must "):
        experiments.two_proportion_sample_size(*values)


# --- Paired bootstrap -------------------------------------------------------------


def test_a_constant_gain_has_an_interval_of_no_width():
    low, high = experiments.paired_bootstrap_interval([0.1, 0.5, 0.9], [0.25, 0.65, 1.05])
    assert low == pytest.approx(0.15)
    assert high == pytest.approx(0.15)


def test_the_same_scores_always_give_the_same_interval():
    old, new = [0.1, 0.4, 0.3, 0.8], [0.2, 0.5, 0.2, 0.9]
    first = experiments.paired_bootstrap_interval(old, new)
    assert experiments.paired_bootstrap_interval(np.array(old), tuple(new)) == first
    seeded = experiments.paired_bootstrap_interval(old, new, rng=np.random.default_rng(0))
    assert seeded == first
    assert all(type(end) is float for end in first)


def test_the_generator_passed_in_is_the_one_used():
    old, new = np.zeros(50), np.random.default_rng(1).normal(size=50)
    one, other = (
        experiments.paired_bootstrap_interval(old, new, rng=np.random.default_rng(seed))
        for seed in (1, 2)
    )
    assert one != other


def test_the_interval_is_near_that_of_the_normal_distribution_for_many_pairs():
    rng = np.random.default_rng(2)
    old = rng.normal(0, 5, 2000)  # the spread between items, which pairing removes
    gain = rng.normal(0.1, 1, 2000)
    low, high = experiments.paired_bootstrap_interval(old, old + gain)
    margin = 1.96 * gain.std(ddof=1) / math.sqrt(2000)
    assert low == pytest.approx(gain.mean() - margin, abs=margin / 15)
    assert high == pytest.approx(gain.mean() + margin, abs=margin / 15)


def test_blocks_of_resamples_cover_every_resample():
    # Three resamples a block: the ranks of 0.8 coverage over ten are the 1st and the 9th.
    n = 2**20 // 3
    new = np.zeros(n)
    new[0] = n
    low, high = experiments.paired_bootstrap_interval(
        np.zeros(n), new, confidence="0.8", n_resamples=10, rng=np.random.default_rng(3)
    )
    rng = np.random.default_rng(3)
    means = sorted(
        mean for rows in (3, 3, 3, 1) for mean in rng.choice(new, size=(rows, n)).mean(axis=1)
    )
    assert (low, high) == (means[0], means[8])


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=12))
def test_more_confidence_means_a_wider_interval_within_the_differences(pairs):
    old, new = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    ends = [
        experiments.paired_bootstrap_interval(old, new, confidence=level, n_resamples=200)
        for level in ("0.99", "0.8")
    ]
    differences = [b - a for a, b in pairs]
    assert min(differences) - 1e-12 <= ends[0][0] <= ends[1][0]
    assert ends[1][0] <= ends[1][1] <= ends[0][1] <= max(differences) + 1e-12


@pytest.mark.parametrize(
    ("values", "options", "name"),
    [
        (([], []), {}, "baseline"),
        (([1], [2]), {}, "baseline"),
        (([1, 2], [1]), {}, "baseline and candidate"),
        (([1, math.inf], [1, 2]), {}, r"baseline\[1\]"),
        (([1, 2], [math.nan, 2]), {}, r"candidate\[0\]"),
        (([1, 2], [1, 2]), {"confidence": 95}, "confidence"),
        (([1, 2], [1, 2]), {"n_resamples": 0}, "n_resamples"),
        (([1, 2], [1, 2]), {"rng": 0}, "rng"),
    ],
)
def test_the_bootstrap_names_the_argument_it_refuses(values, options, name):
    with pytest.raises(ValueError, match=f"^{name} must "):
        experiments.paired_bootstrap_interval(*values, **options)
