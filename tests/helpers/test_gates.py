"""Gates at their bounds, intervals against their equations, and a test that may stop early."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import gates

OLD = [0.70, 0.72, 0.71, 0.69, 0.73]
NEW = [score + 0.02 for score in OLD]


def test_a_better_candidate_within_every_bound_is_promoted():
    report = gates.release_gate(OLD, NEW, 600, 600, 2.0, 2.0)
    assert report["promote"] is True
    assert report["reasons"] == []
    assert report["mean_delta"] == pytest.approx(0.02)
    assert report["ci_low"] == pytest.approx(0.02)


def test_each_gate_that_fails_is_named_in_order():
    report = gates.release_gate(NEW, OLD, 601, 600, 2.1, 2)
    assert report["promote"] is False
    assert [reason.split(":")[0] for reason in report["reasons"]] == ["quality", "latency", "cost"]
    assert gates.release_gate(OLD, NEW, 601, 600, 2, 2)["reasons"] == [
        "latency: P99 of 601 ms exceeds 600 ms"
    ]
    assert gates.release_gate(OLD, NEW, 600, 600, 3, 2)["reasons"] == ["cost: 3 exceeds 2"]


def test_equal_scores_are_no_gain():
    report = gates.release_gate(OLD, OLD, 1, 2, 1, 2)
    assert (report["promote"], report["mean_delta"], report["ci_low"]) == (False, 0, 0)
    assert report["reasons"][0].startswith("quality")


def test_a_noisy_gain_whose_interval_crosses_zero_is_not_promoted():
    rng = np.random.default_rng(8)
    old = rng.normal(0.7, 0.1, 50)
    new = old + rng.normal(0.005, 0.1, 50)
    report = gates.release_gate(old, new, 1, 2, 1, 2)
    assert report["mean_delta"] == pytest.approx(np.mean(new - old))
    assert report["ci_low"] < 0
    assert report["promote"] is False


def test_the_low_end_is_near_that_of_the_normal_interval_for_many_pairs():
    rng = np.random.default_rng(9)
    old = rng.normal(0.7, 0.1, 1000)
    new = old + rng.normal(0.01, 0.05, 1000)
    difference = new - old
    error = difference.std(ddof=1) / math.sqrt(1000)
    expected = difference.mean() - 1.96 * error
    assert gates.release_gate(old, new, 1, 2, 1, 2)["ci_low"] == pytest.approx(
        expected, abs=0.1 * error
    )


def test_the_same_scores_always_give_the_same_decision_and_unmeasured_latency_fails():
    first, second = (gates.release_gate(OLD, NEW[::-1], math.inf, 600, 1, 2) for _ in range(2))
    assert first == second
    assert "latency: P99 of inf ms exceeds 600 ms" in first["reasons"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ((OLD, NEW[:-1], 1, 2, 1, 2), "baseline and candidate must have the same length"),
        (([1], [2], 1, 2, 1, 2), "baseline must have at least two values"),
        ((OLD, [*NEW[:-1], math.nan], 1, 2, 1, 2), r"candidate\[4\] must be a number"),
        ((OLD, NEW, -1, 2, 1, 2), "p99_ms must be"),
        ((OLD, NEW, 1, math.nan, 1, 2), "slo_ms must be"),
        ((OLD, NEW, 1, 2, -1, 2), "cost must be"),
        ((OLD, NEW, 1, 2, 1, "2"), "budget must be"),
    ],
)
def test_a_release_gate_names_what_it_refuses(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        gates.release_gate(*call)


def test_admission_is_closed_at_the_threshold():
    assert gates.admit([0.9, 0.7, 0.6999, -1], 0.7) == [True, True, False, False]
    assert gates.admit([], 0.7) == []
    assert gates.admit(np.array([1, 2]), np.float64(2)) == [False, True]
    with pytest.raises(ValueError, match=r"^scores\[0\] must be a number"):
        gates.admit([math.nan], 0.5)
    with pytest.raises(ValueError, match=r"^threshold must be a number"):
        gates.admit([1], None)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_ends_of_a_wilson_interval_solve_its_equation(counts):
    bad, n = counts
    low, high = gates.wilson_interval(bad, n)
    assert 0 <= low <= bad / n <= high <= 1
    z = 1.959963984540054
    for p in (low, high):
        left, right = (bad / n - p) ** 2, z * z * p * (1 - p) / n
        assert left == pytest.approx(right, rel=1e-6, abs=1e-12)


def test_wilson_intervals_of_none_and_of_all_touch_the_end():
    z2 = 1.959963984540054**2
    assert gates.wilson_interval(0, 100) == (0, pytest.approx(z2 / (100 + z2)))
    assert gates.wilson_interval(100, 100) == (pytest.approx(100 / (100 + z2)), 1)
    narrow, wide = (gates.wilson_interval(5, 100, level) for level in ("0.5", 0.99))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize("p", [0.01, 0.3])
def test_wilson_intervals_cover_the_true_rate_about_as_often_as_they_say(p):
    counts = np.random.default_rng(4).binomial(500, p, 2000)
    ends = [gates.wilson_interval(int(bad), 500) for bad in counts]
    covered = np.mean([low <= p <= high for low, high in ends])
    assert covered == pytest.approx(0.95, abs=0.025)


def test_the_sequential_test_stops_at_walds_bounds():
    verdict = gates.canary_sprt([1] * 10, 0.01, 0.02, alpha=0.05, beta=0.10)
    assert verdict.decision == "roll back"
    assert verdict.roll_back_at == math.log(0.90 / 0.05)
    assert verdict.promote_at == math.log(0.10 / 0.95)
    assert verdict.requests_used == math.ceil(verdict.roll_back_at / math.log(2))
    assert len(verdict.log_ratio) == verdict.requests_used
    assert verdict.log_ratio[0] == math.log(2)

    clean = gates.canary_sprt([0] * 1000, 0.01, 0.02)
    step = math.log(0.98 / 0.99)
    assert clean.decision == "promote"
    assert clean.requests_used == math.ceil(clean.promote_at / step)


def test_the_sequential_test_goes_on_while_the_evidence_is_thin():
    assert gates.canary_sprt([0, 1, 0], 0.01, 0.02).decision == "continue"
    nothing = gates.canary_sprt([], 0.01, 0.02)
    assert (nothing.decision, nothing.requests_used, nothing.log_ratio) == ("continue", 0, ())


@pytest.mark.no_cover
@pytest.mark.parametrize(("p", "wrong"), [(0.01, "roll back"), (0.03, "promote")])
def test_its_error_rates_are_about_what_was_accepted(p, wrong):
    rng = np.random.default_rng(6)
    decisions = [
        gates.canary_sprt((rng.random(4000) < p).astype(int).tolist(), 0.01, 0.03).decision
        for _ in range(400)
    ]
    assert decisions.count("continue") < 8
    assert decisions.count(wrong) / 400 < 0.08


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gates.wilson_interval(5, 4), "bad must be at most n = 4"),
        (lambda: gates.wilson_interval(0, 0), "n must be a whole number of at least 1"),
        (lambda: gates.wilson_interval(-1, 4), "bad must be a whole number"),
        (lambda: gates.wilson_interval(1, 4, 1), "confidence must be"),
        (lambda: gates.canary_sprt([0], 0, 0.1), "p_good must be"),
        (lambda: gates.canary_sprt([0], 0.1, 1), "p_bad must be in"),
        (lambda: gates.canary_sprt([0], 0.1, 0.1), "p_bad must be greater than p_good = 0.1"),
        (lambda: gates.canary_sprt([0], 0.1, 0.2, alpha=0), "alpha must be"),
        (lambda: gates.canary_sprt([0], 0.1, 0.2, 0.5, 0.5), "beta must be less than 1 - alpha"),
        (lambda: gates.canary_sprt([0], 0.1, 0.2, beta=1), "beta must be in"),
        (lambda: gates.canary_sprt([2], 0.1, 0.2), r"failures\[0\] must be 0 or 1"),
        (lambda: gates.canary_sprt([0.5], 0.1, 0.2), r"failures\[0\] must be a whole number"),
    ],
)
def test_what_is_refused_is_named(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


def test_a_margin_lets_the_equally_good_and_cheaper_pass():
    old = [0.5, 0.6, 0.7, 0.8, 0.9]
    new = [0.51, 0.59, 0.71, 0.79, 0.90]
    assert not gates.release_gate(old, new, 1, 2, 1, 2)["promote"]
    assert gates.release_gate(old, new, 1, 2, 1, 2, margin=0.05)["promote"]
    low = gates.release_gate(old, new, 1, 2, 1, 2)["ci_low"]
    assert low < 0
    # A loss of just the margin is not ruled out.
    assert not gates.release_gate(old, new, 1, 2, 1, 2, margin=-low)["promote"]
    with pytest.raises(ValueError, match="margin must be a number of at least 0"):
        gates.release_gate(old, new, 1, 2, 1, 2, margin=-0.1)


def test_the_interval_of_a_difference_sees_what_overlapping_intervals_hide():
    old, new = gates.wilson_interval(200, 20_000), gates.wilson_interval(70, 5_000)
    assert old[1] > new[0]  # they overlap
    low, high = gates.difference_interval(200, 20_000, 70, 5_000)
    assert 0 < low < 0.004 < high
    # Newcombe (1998), table II, case (a): 56/70 less 48/80.
    found = gates.difference_interval(48, 80, 56, 70)
    assert found == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert gates.difference_interval(5, 5, 0, 5)[0] >= -1
    with pytest.raises(ValueError, match="bad must be at most"):
        gates.difference_interval(3, 2, 0, 5)
