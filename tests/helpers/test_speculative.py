"""Speculative decoding against enumeration, throwing dice, and the roofline by hand."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import speculative
from servemath_helpers.facts import get_accelerator, get_model

NODE = {
    "target": get_model("Llama-3-70B"),
    "draft": get_model("Llama-3-8B"),
    "gpu": get_accelerator("H100-SXM"),
    "n_gpus": 8,
}

probabilities = st.floats(0, 1)
lengths = st.integers(0, 40)


def tokens_by_enumeration(alpha, gamma):
    """Weigh every place of the first rejection by its probability."""
    rejected_at = sum(alpha**i * (1 - alpha) * (i + 1) for i in range(gamma))
    return rejected_at + alpha**gamma * (gamma + 1)


@pytest.mark.parametrize(
    ("alpha", "gamma", "expected"),
    [(0.8, 4, 3.3616), (0.8, 8, 4.32891136), (0.6, 4, 2.30560), (0.5, 1, 1.5), (0.25, 2, 1.3125)],
)
def test_expected_tokens_of_known_rounds(alpha, gamma, expected):
    assert speculative.expected_tokens(alpha, gamma) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("gamma", [0, 1, 7])
def test_a_useless_draft_yields_one_token_and_a_perfect_one_all(gamma):
    assert speculative.expected_tokens(0, gamma) == 1.0
    assert speculative.expected_tokens(1, gamma) == gamma + 1.0


@given(alpha=probabilities, gamma=lengths)
def test_expected_tokens_are_the_mean_over_all_outcomes(alpha, gamma):
    exact = float(tokens_by_enumeration(Fraction(alpha), gamma))
    result = speculative.expected_tokens(alpha, gamma)
    assert type(result) is float
    assert result == pytest.approx(exact, rel=1e-12)
    assert 1 <= result <= (gamma + 1) * (1 + 1e-12)


@given(alpha=st.floats(0, 0.999), gamma=lengths)
def test_each_further_drafted_token_adds_its_chance_to_be_reached(alpha, gamma):
    gain = speculative.expected_tokens(alpha, gamma + 1) - speculative.expected_tokens(alpha, gamma)
    assert gain == pytest.approx(alpha ** (gamma + 1), abs=1e-11)


@pytest.mark.parametrize("short_of_one", [1e-3, 1e-9, 1e-12, 2**-53])
def test_almost_certain_acceptance_keeps_its_digits(short_of_one):
    gamma = 10
    # 1 - E / (gamma + 1) is gamma / 2 times the distance of alpha from 1, to first order
    series = (gamma + 1) * (1 - gamma / 2 * short_of_one)
    assert speculative.expected_tokens(1 - short_of_one, gamma) == pytest.approx(
        series, abs=400 * short_of_one**2 + 1e-14 * gamma
    )


def test_expected_tokens_agree_with_thrown_dice():
    rng = np.random.default_rng(5)
    alpha, gamma, rounds = 0.7, 5, 200_000
    accepted = rng.random((rounds, gamma)) < alpha
    tokens = 1 + np.cumprod(accepted, axis=1).sum(axis=1)
    error = 4 * tokens.std() / math.sqrt(rounds)
    assert speculative.expected_tokens(alpha, gamma) == pytest.approx(tokens.mean(), abs=error)


def test_speedup_is_tokens_over_the_time_of_a_round():
    tokens, speedup = speculative.speculative_speedup(0.8, 4, 0.05)
    assert tokens == pytest.approx(3.3616)
    assert speedup == pytest.approx(3.3616 / 1.2)


@given(alpha=probabilities, c=st.floats(0, 5))
def test_without_a_draft_nothing_changes(alpha, c):
    assert speculative.speculative_speedup(alpha, 0, c) == (1.0, 1.0)


@given(alpha=probabilities, gamma=st.integers(1, 40), c=st.floats(1, 5))
def test_a_draft_as_slow_as_the_model_never_helps(alpha, gamma, c):
    assert speculative.speculative_speedup(alpha, gamma, c)[1] <= 1 + 1e-12


@pytest.mark.parametrize(
    ("alpha", "c", "gmax", "expected"),
    [
        (0.8, 0.05, 16, 8),
        (0.5, 0.05, 16, 3),
        (0.3, 0.5, 16, 0),
        (0.8, 0.05, 5, 5),  # the peak lies beyond what is allowed
        (0.8, 0.05, 0, 0),
        (1, 0.5, 12, 12),
        (0, 0, 12, 0),  # every length is as good: the shortest
        (0.5, 0.5, 12, 0),  # 1.5 tokens in 1.5 steps: a tie with not speculating
        (1, 1, 12, 0),
    ],
)
def test_best_gamma_of_known_pairs(alpha, c, gmax, expected):
    assert speculative.best_gamma(alpha, c, gmax) == expected


@given(
    alpha=st.fractions(0, Fraction(19, 20), max_denominator=20),
    c=st.fractions(Fraction(1, 20), 2, max_denominator=20),
    gmax=st.integers(0, 15),
)
def test_best_gamma_is_the_best_in_exact_arithmetic(alpha, c, gmax):
    speedups = [sum(alpha**i for i in range(g + 1)) / (g * c + 1) for g in range(gmax + 1)]
    best = speculative.best_gamma(float(alpha), float(c), gmax)
    assert best == speedups.index(max(speedups))


def test_a_free_draft_grows_until_the_gain_is_lost_in_rounding():
    assert speculative.best_gamma(0.8, 0, 32) == 32
    # the gain of each further token halves and falls below a part in 1e12 near the 40th
    assert 38 <= speculative.best_gamma(0.5, 0, 100) <= 41


@given(alpha=st.floats(0, 0.99), c=st.floats(0, 2))
def test_speculation_pays_only_if_acceptance_exceeds_the_cost_ratio(alpha, c):
    best = speculative.best_gamma(alpha, c, 20)
    if alpha < c * (1 - 1e-9):
        assert best == 0
    elif alpha > c * (1 + 1e-9) + 1e-9:
        assert best >= 1


@pytest.mark.parametrize(
    ("batch", "expected"), [(1, 2.3056), (64, 2.0022), (128, 1.2845), (256, 0.8487)]
)
def test_a_large_batch_turns_the_gain_into_a_loss(batch, expected):
    result = speculative.batched_speculation(batch, 1024, 0.8, 4, **NODE)
    assert result.speedup == pytest.approx(expected, abs=5e-5)


def test_the_round_of_a_batch_by_hand():
    bandwidth, peak = 8 * 3.35e12, 8 * 989.4e12
    small, large = NODE["draft"], NODE["target"]
    result = speculative.batched_speculation(256, 1024, 0.8, 4, **NODE)
    cache_s = 256 * 1024 * 327_680 / bandwidth
    assert result.verify_s == pytest.approx(cache_s + 2 * large.n_params * 256 * 5 / peak)
    assert result.plain_s == pytest.approx(cache_s + large.weight_bytes() / bandwidth)
    draft_step_s = 256 * 1024 * 131_072 / bandwidth + small.weight_bytes() / bandwidth
    assert result.draft_s == pytest.approx(4 * draft_step_s)
    assert result.round_s == pytest.approx(result.draft_s + result.verify_s)
    assert result.speedup == pytest.approx(3.3616 * result.plain_s / result.round_s)


@given(batch=st.integers(1, 600), seq=st.integers(0, 8192))
def test_a_batch_that_does_not_draft_runs_as_before(batch, seq):
    result = speculative.batched_speculation(batch, seq, 0.8, 0, **NODE)
    assert result.draft_s == 0
    assert result.verify_s == result.plain_s
    assert result.speedup == pytest.approx(1)


@given(batch=st.integers(1, 600), alpha=probabilities, gamma=st.integers(0, 12))
def test_a_batch_never_gains_more_than_the_textbook_promises(batch, alpha, gamma):
    result = speculative.batched_speculation(batch, 1024, alpha, gamma, **NODE)
    c = result.draft_s / max(gamma, 1) / result.plain_s
    promised = speculative.speculative_speedup(alpha, gamma, c)[1]
    assert result.speedup <= promised * (1 + 1e-9)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: speculative.expected_tokens(-0.1, 4), "alpha"),
        (lambda: speculative.expected_tokens(1.1, 4), "alpha"),
        (lambda: speculative.expected_tokens(0.5, -1), "gamma"),
        (lambda: speculative.expected_tokens(0.5, 1.5), "gamma"),
        (lambda: speculative.speculative_speedup(0.5, 2, -0.1), "c must"),
        (lambda: speculative.speculative_speedup(0.5, 2, math.inf), "c must"),
        (lambda: speculative.best_gamma(0.5, 0.1, -1), "gmax"),
        (lambda: speculative.best_gamma(2, 0.1, 3), "alpha"),
        (lambda: speculative.best_gamma(0.5, -1, 0), "c must"),
        (lambda: speculative.batched_speculation(0, 10, 0.5, 2, **NODE), "batch"),
        (lambda: speculative.batched_speculation(1.5, 10, 0.5, 1, **NODE), "batch"),
        (lambda: speculative.batched_speculation(1, -1, 0.5, 2, **NODE), "seq"),
        (lambda: speculative.batched_speculation(1, 10, 0.5, -2, **NODE), "gamma"),
        (lambda: speculative.batched_speculation(1, 10, 0.5, 2, **NODE | {"n_gpus": 0}), "n_gpus"),
    ],
)
def test_errors_name_the_argument(call, argument):
    with pytest.raises(ValueError, match=rf"^{argument}"):
        call()
