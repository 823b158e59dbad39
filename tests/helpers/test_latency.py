"""Latency identities, nearest-rank percentiles and intervals against independent counts."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import latency

finite = st.floats(-1e9, 1e9)


@pytest.mark.parametrize(
    ("queue", "prefill", "n_out", "tpot", "post", "ttft", "e2e"),
    [
        (20, 100, 40, 15, 5, 120, 710),
        (30, 250, 80, 25, 15, 280, 2270),
        (30, 250, 1, 25, 15, 280, 295),
        (30, 250, 0, 25, 15, None, 295),
        (0, 0, 0, 0, 0, None, 0),
    ],
)
def test_latency_of_one_request(queue, prefill, n_out, tpot, post, ttft, e2e):
    result = latency.request_latency_ms(queue, prefill, n_out, tpot, post)
    assert result == {"ttft": ttft, "e2e": e2e}


@given(
    queue=st.integers(0, 1000),
    prefill=st.integers(0, 1000),
    n_out=st.integers(2, 500),
    tpot=st.integers(0, 100),
    post=st.integers(0, 100),
)
def test_time_per_output_token_undoes_the_end_to_end_time(queue, prefill, n_out, tpot, post):
    result = latency.request_latency_ms(queue, prefill, n_out, tpot, post)
    assert latency.tpot_ms(result["e2e"], result["ttft"], n_out, post) == tpot


def test_time_per_output_token_of_two_tokens_is_their_gap():
    assert latency.tpot_ms(e2e=150, ttft=100, n_out=2) == 50.0


@pytest.mark.parametrize("n", [1, 7, 100, 1000, 999])
def test_nearest_rank_is_the_least_rank_that_covers_the_share(n):
    for hundredths in range(1, 101):
        by_counting = next(r for r in range(1, n + 1) if 100 * r >= hundredths * n)
        for q in (
            Fraction(hundredths, 100),
            Decimal(hundredths) / 100,
            hundredths / 100,
            str(hundredths / 100),
        ):
            assert latency.nearest_rank(q, n) == by_counting


def test_percentiles_of_one_to_a_hundred_are_their_own_names():
    shuffled = np.random.default_rng(7).permutation(np.arange(1, 101))
    for percent in range(1, 101):
        assert latency.percentile(shuffled, percent / 100) == percent
        assert latency.percentile(shuffled.tolist(), f"{percent}e-2") == percent


@given(samples=st.lists(finite, min_size=1, max_size=60), percent=st.integers(1, 100))
def test_a_percentile_is_the_smallest_element_that_covers_its_share(samples, percent):
    value = latency.percentile(samples, Fraction(percent, 100))
    covering = [x for x in samples if 100 * sum(y <= x for y in samples) >= percent * len(samples)]
    assert value == min(covering)
    assert type(value) is float


@pytest.mark.parametrize(
    "samples",
    [
        np.array([3, 1, 2]),
        np.array([3, 1, 2], dtype=np.uint8),
        np.array([3.0, 1.0, 2.0], dtype=np.float32),
        (3, 1, 2),
        range(1, 4),
        [Fraction(3), np.int64(1), 2.0],
    ],
)
def test_samples_may_be_any_sequence_of_numbers(samples):
    assert latency.percentile(samples, 1) == 3.0
    assert latency.percentile(samples, "0.5") == 2.0


def test_a_percentile_does_not_reorder_its_samples():
    values = np.array([3.0, 1.0, 2.0])
    latency.percentile(values, "0.5")
    latency.percentile_interval(values, "0.5")
    assert values.tolist() == [3.0, 1.0, 2.0]


def test_the_percentile_of_merged_shards_is_not_the_mean_of_theirs():
    quick, slow = [10.0] * 100, [10.0] * 90 + [1000.0] * 10
    mean = (latency.percentile(quick, "0.99") + latency.percentile(slow, "0.99")) / 2
    assert mean == 505.0
    assert latency.percentile(quick + slow, "0.99") == 1000.0


def interval_by_scipy(n, q, confidence):
    """Return the ranks from exact binomial tails, 0 and n + 1 standing for no bound."""
    half = (1 - confidence) / 2
    counts = np.arange(n + 1)
    below = scipy.stats.binom.cdf(counts, n, q)  # P(K <= k)
    above = scipy.stats.binom.sf(counts - 1, n, q)  # P(K >= k)
    low = max((k + 1 for k in counts[below <= half]), default=0)
    high = min((k for k in counts[above <= half]), default=n + 1)
    return low, high


@pytest.mark.no_cover
@pytest.mark.parametrize("n", [1, 2, 10, 100, 1000, 20_000])
@pytest.mark.parametrize("q", ["0.001", "0.05", "0.5", "0.95", "0.99", "0.999"])
@pytest.mark.parametrize("confidence", ["0.5", "0.95", "0.9999"])
def test_interval_ranks_match_exact_binomial_tails(n, q, confidence):
    low, high = latency.percentile_interval(np.arange(1, n + 1), q, confidence)
    low_rank, high_rank = interval_by_scipy(n, float(q), float(confidence))
    assert low == (low_rank if low_rank else -math.inf)
    assert high == (high_rank if high_rank <= n else math.inf)


@pytest.mark.no_cover
def test_the_interval_is_stable_for_a_million_samples():
    low, high = latency.percentile_interval(np.arange(1.0, 1_000_001.0), "0.999")
    assert (low, high) == (
        scipy.stats.binom.ppf(0.025, 10**6, 0.999),
        scipy.stats.binom.ppf(0.975, 10**6, 0.999) + 1,
    )


def test_the_interval_covers_the_true_quantile_as_often_as_promised():
    rng = np.random.default_rng(11)
    true_median = math.log(2)
    hits = 0
    for _ in range(1000):
        low, high = latency.percentile_interval(rng.exponential(size=80), "0.5", "0.9")
        hits += low <= true_median <= high
    assert 0.88 <= hits / 1000 <= 0.97


@given(samples=st.lists(finite, min_size=1, max_size=200), percent=st.integers(1, 99))
def test_the_interval_holds_the_percentile(samples, percent):
    q = Fraction(percent, 100)
    low, high = latency.percentile_interval(samples, q)
    assert low <= latency.percentile(samples, q) <= high


def test_more_confidence_never_narrows_the_interval():
    samples = np.random.default_rng(3).lognormal(size=500)
    narrow = latency.percentile_interval(samples, "0.9", "0.8")
    wide = latency.percentile_interval(samples, "0.9", "0.99")
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_one_in_a_hundred_behind_a_fan_out_of_a_hundred():
    assert round(latency.fanout_tail(0.01, 100), 3) == 0.634


@pytest.mark.parametrize(("p", "n", "expected"), [(0, 5, 0.0), (1, 5, 1.0), (0.5, 1, 0.5)])
def test_fan_out_at_its_ends(p, n, expected):
    assert latency.fanout_tail(p, n) == expected


def test_a_tiny_tail_keeps_its_digits():
    assert math.isclose(latency.fanout_tail(1e-18, 1000), 1e-15, rel_tol=1e-12)


@given(hundredths=st.integers(0, 100), n=st.integers(1, 40))
def test_fan_out_matches_exact_arithmetic(hundredths, n):
    exact = 1 - (1 - Fraction(hundredths, 100)) ** n
    assert math.isclose(latency.fanout_tail(hundredths / 100, n), exact, rel_tol=1e-12)


@given(q=st.floats(0.01, 1), n=st.integers(1, 1000))
def test_the_fan_out_quantile_undoes_the_fan_out(q, n):
    each = latency.fanout_quantile(q, n)
    assert math.isclose(1 - latency.fanout_tail(1 - each, n), q, rel_tol=1e-9)


@pytest.mark.parametrize(
    ("samples", "q", "expected"),
    [
        (range(1, 101), "0.95", 0.05),
        (range(1, 101), 1, 0.0),
        ([5, 5, 5, 5], "0.5", 0.0),
        ([1, 2, 2, 3], "0.5", 0.25),
        ([7], "0.01", 0.0),
    ],
)
def test_hedging_repeats_what_is_strictly_slower(samples, q, expected):
    assert latency.hedged_extra_load(samples, q) == expected


def test_tail_report_of_a_hundred_samples():
    report = latency.tail_report(list(range(100, 0, -1)), 100, "0.99")
    assert report["quantile"] == 99
    assert math.isclose(report["fanout_p"], 1 - 0.99**100, rel_tol=1e-12)
    assert report["hedged_extra_load"] == 0.01


@pytest.mark.parametrize("q", ["0.3", "1"])
def test_tail_report_of_one_sample(q):
    assert latency.tail_report([7], 10, q) == {
        "quantile": 7.0,
        "fanout_p": 0.0,
        "hedged_extra_load": 0.0,
    }


@given(
    samples=st.lists(st.integers(0, 9), min_size=1, max_size=40),
    fanout=st.integers(1, 50),
    percent=st.integers(1, 100),
)
def test_tail_report_counts_ties_at_the_quantile_as_fast(samples, fanout, percent):
    report = latency.tail_report(samples, fanout, Fraction(percent, 100))
    within = Fraction(sum(x <= report["quantile"] for x in samples), len(samples))
    assert report["quantile"] == latency.percentile(samples, Fraction(percent, 100))
    assert math.isclose(report["hedged_extra_load"], 1 - within, abs_tol=1e-15)
    assert math.isclose(report["fanout_p"], 1 - within**fanout, abs_tol=1e-12)


def test_lognormal_percentile_of_the_worked_example():
    assert round(latency.lognormal_quantile(0.99, median=800, sigma=0.45), 1) == 2278.9


@given(q=st.floats(0.001, 0.999), median=st.floats(0.1, 1e4), sigma=st.floats(0.05, 2))
def test_lognormal_quantiles_match_scipy(q, median, sigma):
    reference = scipy.stats.lognorm(s=sigma, scale=median).ppf(q)
    assert math.isclose(latency.lognormal_quantile(q, median, sigma), reference, rel_tol=1e-9)


def test_a_lognormal_without_spread_is_its_median():
    assert latency.lognormal_quantile(0.99, 3, 0) == 3.0


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("queue", lambda: latency.request_latency_ms(-1, 0, 1, 0, 0)),
        ("prefill", lambda: latency.request_latency_ms(0, -1, 1, 0, 0)),
        ("n_out", lambda: latency.request_latency_ms(0, 0, -1, 0, 0)),
        ("n_out", lambda: latency.request_latency_ms(0, 0, 1.5, 0, 0)),
        ("tpot", lambda: latency.request_latency_ms(0, 0, 0, -1, 0)),
        ("post", lambda: latency.request_latency_ms(0, 0, 1, 0, math.inf)),
        ("e2e", lambda: latency.tpot_ms(-1, 0, 2)),
        ("e2e", lambda: latency.tpot_ms(10, 9, 2, post=2)),
        ("ttft", lambda: latency.tpot_ms(1, -1, 2)),
        ("n_out", lambda: latency.tpot_ms(1, 0, 1)),
        ("post", lambda: latency.tpot_ms(1, 0, 2, post=-1)),
        ("q", lambda: latency.nearest_rank(0, 10)),
        ("q", lambda: latency.nearest_rank("1.01", 10)),
        ("q", lambda: latency.nearest_rank(None, 10)),
        ("n", lambda: latency.nearest_rank("0.5", 0)),
        ("samples", lambda: latency.percentile([], "0.5")),
        ("samples", lambda: latency.percentile(np.array([]), "0.5")),
        ("samples", lambda: latency.percentile(None, "0.5")),
        (r"samples\[1\]", lambda: latency.percentile([1, math.nan], "0.5")),
        (r"samples\[1\]", lambda: latency.percentile(np.array([1, math.nan]), "0.5")),
        (r"samples\[0\]", lambda: latency.percentile(["1"], "0.5")),
        (r"samples\[0\]", lambda: latency.percentile(np.array([True]), "0.5")),
        ("q", lambda: latency.percentile([1], 0)),
        ("samples", lambda: latency.percentile_interval([], "0.5")),
        ("q", lambda: latency.percentile_interval([1], 1)),
        ("confidence", lambda: latency.percentile_interval([1], "0.5", 1)),
        ("p", lambda: latency.fanout_tail(1.1, 1)),
        ("n", lambda: latency.fanout_tail(0.1, 0)),
        ("q", lambda: latency.fanout_quantile(0, 1)),
        ("n", lambda: latency.fanout_quantile(0.5, 0)),
        ("samples", lambda: latency.hedged_extra_load([], "0.5")),
        ("q", lambda: latency.hedged_extra_load([1], 0)),
        ("samples", lambda: latency.tail_report([], 1, "0.5")),
        ("fanout", lambda: latency.tail_report([1], 0, "0.5")),
        ("q", lambda: latency.tail_report([1], 1, 0)),
        ("q", lambda: latency.lognormal_quantile(1, 1, 1)),
        ("median", lambda: latency.lognormal_quantile(0.5, 0, 1)),
        ("sigma", lambda: latency.lognormal_quantile(0.5, 1, -1)),
    ],
)
def test_bad_arguments_are_named(name, call):
    with pytest.raises(ValueError, match=f"^{name} must "):
        call()
