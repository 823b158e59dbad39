"""Service times: mean and variability of every kind, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers.sim import services

N = 400_000


def rng(seed=1):
    return np.random.default_rng(seed)


def variability(sample):
    return sample.var() / sample.mean() ** 2


@pytest.mark.parametrize(
    ("sample", "mean", "cs2"),
    [
        (services.exponential(N, 0.02, rng()), 0.02, 1),
        (services.lognormal(N, 0.02, 0.5, rng()), 0.02, 0.5),
        (services.lognormal(N, 0.02, 2, rng()), 0.02, 2),
        (services.hyperexponential(N, 0.02, 1, rng()), 0.02, 1),
        (services.hyperexponential(N, 0.02, 4, rng()), 0.02, 4),
        (services.hyperexponential(N, 0.02, 20, rng()), 0.02, 20),
        (services.mixture(N, [0.9, 0.1], [1, 11], rng()), 2, 0.09 * 100 / 4),
        (services.empirical(N, [1, 2, 6], rng()), 3, 14 / 3 / 9),
    ],
)
def test_samples_have_their_mean_and_variability(sample, mean, cs2):
    assert sample.mean() == pytest.approx(mean, rel=0.02)
    assert variability(sample) == pytest.approx(cs2, rel=0.06)


def test_deterministic_services_are_all_the_same():
    assert services.deterministic(3, 0.5).tolist() == [0.5, 0.5, 0.5]


def test_both_kinds_of_hyperexponential_customers_bring_the_same_work():
    # Balanced means: half of the work comes from the rare long kind, whose mean at cs2 = 9
    # is 1 / (2 * 0.0528) = 9.5 times the overall mean; few short ones exceed 4 times it.
    sample = services.hyperexponential(N, 1.0, 9, rng())
    short = (1 + math.sqrt(0.8)) / 2
    beyond = 4.0
    tail = short * math.exp(-beyond * 2 * short) + (1 - short) * math.exp(-beyond * 2 * (1 - short))
    assert (sample > beyond).mean() == pytest.approx(tail, rel=0.03)


def test_a_mixture_takes_its_values_with_their_probabilities():
    sample = services.mixture(N, [0.2, 0.0, 0.8], [1, 2, 3], rng())
    assert set(sample.tolist()) == {1.0, 3.0}
    assert (sample == 1).mean() == pytest.approx(0.2, rel=0.02)


@given(
    weights=st.lists(st.integers(0, 10), min_size=1, max_size=6).filter(any),
    seed=st.integers(0, 2**32),
)
def test_a_mixture_never_takes_a_value_of_share_zero(weights, seed):
    shares = [w / sum(weights) for w in weights]
    sample = services.mixture(200, shares, range(len(weights)), rng(seed))
    assert all(weights[int(value)] > 0 for value in sample)


@given(seed=st.integers(0, 2**32), cs2=st.floats(1, 1e6))
def test_one_seed_gives_one_run_of_finite_times(seed, cs2):
    first = services.hyperexponential(20, 0.1, cs2, rng(seed))
    assert first.tolist() == services.hyperexponential(20, 0.1, cs2, rng(seed)).tolist()
    assert np.isfinite(first).all()
    assert (first >= 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: services.deterministic(0, 1), "n must be"),
        (lambda: services.deterministic(1, -1), "mean_s must be"),
        (lambda: services.exponential(1, float("nan"), rng()), "mean_s must be"),
        (lambda: services.exponential(1, 1, None), "rng must be"),
        (lambda: services.lognormal(1, 1, -1, rng()), "cs2 must be"),
        (lambda: services.hyperexponential(1, 1, 0.5, rng()), "cs2 must be a finite number of"),
        (lambda: services.hyperexponential(1, 1, math.inf, rng()), "cs2 must be a finite"),
        (lambda: services.mixture(1, [0.5, 0.4], [1, 2], rng()), "shares must sum to 1"),
        (lambda: services.mixture(1, [1.5, -0.5], [1, 2], rng()), "shares[1] must be"),
        (lambda: services.mixture(1, [1.0], [1, 2], rng()), "shares and parts_s must have"),
        (lambda: services.empirical(1, [], rng()), "sample_s must not be empty"),
        (lambda: services.empirical(1, [1, -2], rng()), "sample_s[1] must be"),
        (lambda: services.empirical(1, ["a"], rng()), "sample_s must be a one-dimensional"),
        (lambda: services.empirical(1, [[1], [1, 2]], rng()), "sample_s must be a one-dimensional"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)
