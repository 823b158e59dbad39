"""Divergences against their definitions in eighty digits, and where a bin is empty."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import drift

HISTOGRAMS = (
    st.integers(1, 8)
    .flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 1000), min_size=n, max_size=n)] * 2))
    .filter(lambda pair: any(pair[0]) and any(pair[1]))
)


def log(x):
    return (Decimal(x.numerator) / Decimal(x.denominator)).ln()


def divergence(p, q):
    """Return KL(p || q) of exact shares, 0 ln 0 = 0."""
    return sum(
        (Decimal(a.numerator) / Decimal(a.denominator) * log(a / b))
        for a, b in zip(p, q, strict=True)
        if a
    )


def shares(counts):
    return [Fraction(count) / sum(map(Fraction, counts)) for count in counts]


def test_softmax_of_small_integers():
    weights = [math.exp(k) for k in (1, 2, 3)]
    expected = [weight / sum(weights) for weight in weights]
    assert drift.softmax([1, 2, 3]) == pytest.approx(expected, rel=1e-12)
    assert drift.softmax([5]) == [1.0]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(0.01, 100))
def test_softmax_is_a_distribution_in_the_order_of_the_logits(logits, temperature):
    result = drift.softmax(logits, temperature)
    assert math.fsum(result) == pytest.approx(1, abs=1e-12)
    assert result[int(np.argmax(logits))] == max(result)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=8), st.integers(-1000, 1000))
def test_softmax_does_not_feel_a_shift(logits, shift):
    shifted = drift.softmax([logit + shift for logit in logits])
    assert shifted == pytest.approx(drift.softmax(logits), rel=1e-12)


def test_softmax_neither_overflows_nor_underflows_to_nothing():
    assert drift.softmax([1e308, 1e308]) == [0.5, 0.5]
    assert drift.softmax([-1e6, -1e6 - 1]) == pytest.approx([0.7310585786, 0.2689414214])
    assert drift.softmax([0, 1], temperature=1e-300) == [0, 1]


def test_temperature_sharpens_or_flattens():
    cold, warm, hot = (drift.softmax([1, 2, 3], t)[2] for t in (0.5, 1, 2))
    assert cold > warm > hot > 1 / 3


def test_a_masked_logit_gets_nothing():
    assert drift.softmax([0, -math.inf, 0]) == [0.5, 0, 0.5]
    with pytest.raises(ValueError, match=r"^logits must not all be -inf"):
        drift.softmax([-math.inf])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (([],), "logits must not be empty"),
        (([1, math.inf],), r"logits\[1\] must be below inf"),
        (([1, math.nan],), r"logits\[1\] must be a number"),
        (([1], 0), "temperature must be"),
        (([1], math.inf), "temperature must be"),
    ],
)
def test_softmax_names_what_it_refuses(values, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        drift.softmax(*values)


@given(HISTOGRAMS)
def test_psi_is_the_sum_of_both_relative_entropies(pair):
    p, q = shares([n + 1 for n in pair[0]]), shares([n + 1 for n in pair[1]])
    with localcontext() as context:
        context.prec = 80
        expected = float(divergence(p, q) + divergence(q, p))
    result = drift.psi([n + 1 for n in pair[0]], [n + 1 for n in pair[1]])
    assert result == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert result >= 0
    assert drift.psi(*pair, smoothing=1) == pytest.approx(result, rel=1e-9, abs=1e-15)


def test_psi_of_a_known_shift():
    expected = sum((a - 0.25) * math.log(a / 0.25) for a in (0.1, 0.2, 0.3, 0.4))
    assert drift.psi([25] * 4, [10, 20, 30, 40]) == pytest.approx(expected, rel=1e-12)
    assert drift.psi([10, 20, 30, 40], [0.25] * 4) == pytest.approx(expected, rel=1e-12)


def test_equal_histograms_do_not_drift_even_with_empty_bins():
    assert drift.psi([5, 0, 5], [50, 0, 50]) == 0
    assert drift.js_divergence([5, 0, 5], [50, 0, 50]) == 0


@pytest.mark.parametrize(("expected", "actual"), [([5, 0], [5, 5]), ([5, 5], [5, 0])])
def test_a_bin_empty_on_one_side_is_an_error_unless_smoothed(expected, actual):
    with pytest.raises(ValueError, match=r"^bin 1 must not be empty in only one .* smoothing"):
        drift.psi(expected, actual)
    smoothed = drift.psi(expected, actual, smoothing=0.5)
    by_hand = (0.5 / 6 - 0.5) * math.log((0.5 / 6) / 0.5) + (5.5 / 6 - 0.5) * math.log(5.5 / 3)
    assert smoothed == pytest.approx(by_hand, rel=1e-12)


@given(HISTOGRAMS)
def test_js_divergence_is_its_definition(pair):
    p, q = shares(pair[0]), shares(pair[1])
    mixture = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    with localcontext() as context:
        context.prec = 80
        expected = float((divergence(p, mixture) + divergence(q, mixture)) / 2)
    result = drift.js_divergence(*pair)
    assert result == pytest.approx(expected, rel=1e-11, abs=1e-30)
    assert 0 <= result <= math.log(2)
    assert result == drift.js_divergence(pair[1], pair[0])


def test_js_divergence_needs_no_small_constant():
    result = drift.js_divergence([0.25] * 4, [0.1, 0.2, 0.3, 0.4])
    assert result == pytest.approx(0.0278656135, abs=5e-11)
    assert abs(result - 0.0278656107) > 2e-9  # what a small constant in the logarithm gives


def test_disjoint_histograms_are_ln_2_apart():
    assert drift.js_divergence([3, 0, 1], [0, 7, 0]) == pytest.approx(math.log(2), rel=1e-15)


def test_js_divergence_keeps_its_digits_for_nearly_equal_histograms():
    # d = 1e-9 a bin: the sum is d^2 / 2 to leading order, lost to cancellation otherwise.
    result = drift.js_divergence([0.5 + 5e-10, 0.5 - 5e-10], [0.5 - 5e-10, 0.5 + 5e-10])
    assert result == pytest.approx(5e-19, rel=1e-6)


@pytest.mark.no_cover
@given(HISTOGRAMS, st.sampled_from([1e-300, 1e-3, 1e300]))
def test_js_divergence_does_not_feel_the_scale(pair, scale):
    scaled = [value * scale for value in pair[0]]
    assert drift.js_divergence(scaled, pair[1]) == pytest.approx(
        drift.js_divergence(*pair), rel=1e-6, abs=1e-15
    )


@pytest.mark.parametrize(
    ("call", "first", "second"),
    [(drift.js_divergence, "p", "q"), (drift.psi, "expected", "actual")],
)
def test_histograms_are_checked_by_name(call, first, second):
    with pytest.raises(ValueError, match=f"^{first} must not be empty"):
        call([], [])
    with pytest.raises(ValueError, match=f"^{first} and {second} must have the same length"):
        call([1], [1, 2])
    with pytest.raises(ValueError, match=rf"^{first}\[0\] must be a number of at least 0"):
        call([-1, 2], [1, 2])
    with pytest.raises(ValueError, match=rf"^{second}\[1\] must be a finite number"):
        call([1, 2], [1, math.inf])
    with pytest.raises(ValueError, match=f"^{second} must not all be 0"):
        call([1, 2], [0, 0])


def test_psi_refuses_a_negative_smoothing():
    with pytest.raises(ValueError, match=r"^smoothing must be "):
        drift.psi([1], [1], smoothing=-1)


@pytest.mark.parametrize("bins", [2, 3, 10, 11, 41])
@pytest.mark.parametrize("level", [0.5, 0.05, 0.001])
def test_the_threshold_is_that_of_chi_squared(bins, level):
    from scipy.stats import chi2

    exact = chi2.isf(level, bins - 1)
    assert drift.psi_threshold(bins, 1, level=level) == pytest.approx(exact, rel=1e-9)
    assert drift.psi_threshold(bins, 50, 200, level) == pytest.approx(exact / 40, rel=1e-9)


def test_without_drift_one_comparison_in_twenty_exceeds_the_threshold():
    rng = np.random.default_rng(5)
    counts = rng.multinomial(2000, [0.1] * 10, size=(2000, 2))
    share = np.mean(
        [drift.psi(old, new) > drift.psi_threshold(10, 2000, 2000) for old, new in counts]
    )
    assert share == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize(
    ("values", "name"),
    [((1, 9), "bins"), ((2, 0), "n_actual"), ((2, 9, 0), "n_expected"), ((2, 9, 9, 1), "level")],
)
def test_thresholds_that_cannot_be(values, name):
    with pytest.raises(ValueError, match=f"^{name} must "):
        drift.psi_threshold(*values)
